"""Linear layers that train in 8-bit floats: e4m3 for inputs and weights, e5m2 for gradients (Micikevicius et
al., FP8 Formats for Deep Learning, 2022), each tensor scaled by its own largest value at every step.

Tested on a CPU, where torch emulates the multiplication; it was never run on a GPU here.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import ScalingType

_TINY = 1e-12


class Fp8Linear(nn.Linear):
    """nn.Linear whose three matmuls of a training step take 8 bits and give bf16; it evaluates as nn.Linear.

    Every side of a matmul must be a multiple of 16 on a GPU.
    """

    @classmethod
    def replacing(cls, linear: nn.Linear) -> Fp8Linear:
        """A layer with the same parameters, not copies."""
        with torch.device("meta"):
            layer = cls(linear.in_features, linear.out_features, bias=False)
        layer.weight, layer.bias = linear.weight, linear.bias
        return layer

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.linear(x, self.weight, self.bias)
        product = _Multiply.apply(x.flatten(0, -2), self.weight)  # type: ignore[no-untyped-call]
        y: Tensor = product.view(*x.shape[:-1], -1)
        bias = cast("Tensor | None", self.bias)
        return y if bias is None else y + bias.to(y.dtype)


class _Multiply(torch.autograd.Function):
    """x (N, in) @ weight (out, in)^T -> (N, out) in bf16; gradients in the types of x and weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x8, x_scale = quantise(x, torch.float8_e4m3fn)
        w8, w_scale = quantise(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(x8, x_scale, w8, w_scale)
        ctx.dtypes = x.dtype, weight.dtype
        return _scaled_mm(x8, x_scale, w8.t(), w_scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x8, x_scale, w8, w_scale = ctx.saved_tensors
        g8, g_scale = quantise(gradients[0], torch.float8_e5m2)
        x_dtype, w_dtype = ctx.dtypes
        dx = _scaled_mm(g8, g_scale, _column_major(w8), w_scale)
        dw = _scaled_mm(g8.t().contiguous(), g_scale, _column_major(x8), x_scale)
        return dx.to(x_dtype), dw.to(w_dtype)


def quantise(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(x / scale in `dtype`, scale), so that the largest value of x becomes the largest that `dtype` has."""
    most = torch.finfo(dtype).max
    scale = (x.abs().amax().float() / most).clamp(min=_TINY)
    return (x.float() / scale).clamp(-most, most).to(dtype), scale


def _column_major(x: Tensor) -> Tensor:
    """What a scaled matmul takes on its right."""
    return x.t().contiguous().t()


def _scaled_mm(a: Tensor, a_scale: Tensor, b: Tensor, b_scale: Tensor) -> Tensor:
    one = ScalingType.TensorWise
    return F.scaled_mm(a, b, a_scale, one, b_scale, one, output_dtype=torch.bfloat16)
