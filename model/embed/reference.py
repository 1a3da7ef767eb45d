"""How positions are told, written out plainly: at the input (B, T, C), by learned `vectors` (places, C) where
the row has them, and at queries and keys (B, T, heads, D)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Places(NamedTuple):
    at_input: Callable[[Tensor, Tensor], Tensor]
    at_heads: Callable[[Tensor], Tensor]


def turned(x: Tensor) -> Tensor:
    """Pair i at place t as a complex number, times e^(i t / 10000^(2 i / D))."""
    T, D = x.size(1), x.size(-1)
    pairs = torch.complex(*x.double().chunk(2, dim=-1))
    speeds = [10_000.0 ** (-2 * i / D) for i in range(D // 2)]
    places = torch.arange(T, device=x.device)[:, None, None]
    angles = places * torch.tensor(speeds, dtype=torch.float64, device=x.device)
    y = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((y.real, y.imag), dim=-1).to(x.dtype)


LEARNED = Places(lambda x, vectors: x + vectors[: x.size(1)], lambda x: x)
ROPE = Places(lambda x, vectors: x, turned)
NONE = Places(lambda x, vectors: x, lambda x: x)
