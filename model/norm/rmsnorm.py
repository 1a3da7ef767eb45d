"""Root mean square normalisation (Zhang and Sennrich, 2019), with a weight and without. There is no bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig


class WeightlessRMSNorm(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, None, self.eps)


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimension, times `weight`.

    On a GPU, and when compiled, torch has one kernel for it; on a CPU it runs several. `_FewPasses` takes
    0.65 to 0.75 of their time forward and backward (fp32 0.18 against 0.25 ms, bf16 0.24 against 0.33, of 12
    x 64 x 128).
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.rms_norm(x, (x.size(-1),), weight, eps)
    y: Tensor = _FewPasses.apply(x, eps)  # type: ignore[no-untyped-call]
    return y if weight is None else y * weight


class _FewPasses(torch.autograd.Function):
    """Two passes over x forward, four backward: dx = (g - x mean(g x) / rms^2) / rms.

    For the backward pass it keeps x, which others keep as well, and not what it returns.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        scale = torch.rsqrt(size.square() / x.size(-1) + eps)
        ctx.save_for_backward(x, scale)
        return x * scale.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, scale = ctx.saved_tensors
        along = (gradients[0] * x).mean(dim=-1, keepdim=True, dtype=scale.dtype) * scale.square()
        return torch.addcmul(gradients[0], x, along.to(x.dtype), value=-1).mul_(scale.to(x.dtype)), None


class RMSNorm(nn.Module):
    """`kernel` (x, weight, eps) computes it in training; evaluation takes the plain one."""

    def __init__(
        self, config: ModelConfig, kernel: Callable[[Tensor, Tensor, float], Tensor] = rms_norm
    ) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.n_embd))
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        return (self.kernel if self.training else rms_norm)(x, self.weight, self.eps)
