"""What happens between the two matrices of an MLP, written out plainly. h: what `c_fc` gives."""

import torch
from torch import Tensor


def gelu(h: Tensor) -> Tensor:
    return 0.5 * h * (1 + torch.erf(h / 2**0.5))


def relu2(h: Tensor) -> Tensor:
    return torch.where(h > 0, h * h, 0.0)


def swiglu(h: Tensor) -> Tensor:
    half = h.size(-1) // 2
    gate, value = h[..., :half], h[..., half:]
    return gate / (1 + torch.exp(-gate)) * value
