"""What the kernels of causal attention compute, written out plainly: head by head, every score at once."""

import math

import torch
from torch import Tensor


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v over the tokens up to each one: (B, H, T, D), (B, K, T, D) twice."""
    T = q.size(2)
    return attention(q, k, v, torch.ones(T, T, dtype=torch.bool, device=q.device).tril())


def attention(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """The same over what is visible: `visible` (T, T) is true where a row's token sees a column's."""
    group = q.size(1) // k.size(1)
    heads = []
    for head in range(q.size(1)):
        scores = q[:, head] @ k[:, head // group].transpose(-2, -1) / q.size(-1) ** 0.5
        weights = torch.softmax(scores.masked_fill(~visible, -math.inf), dim=-1)
        heads.append(weights @ v[:, head // group])
    return torch.stack(heads, dim=1)
