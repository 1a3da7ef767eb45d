"""What the norms compute, written out plainly. `weight` and `bias` are those that the module has."""

import torch
from torch import Tensor


def layernorm(x: Tensor, eps: float, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    y = layernorm_weightless(x, eps) * weight
    return y if bias is None else y + bias


def layernorm_weightless(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + eps)


def rmsnorm(x: Tensor, eps: float, weight: Tensor) -> Tensor:
    return rmsnorm_weightless(x, eps) * weight


def rmsnorm_weightless(x: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)
