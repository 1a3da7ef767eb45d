"""What a precision changes: the weights, once; and what runs around a forward pass, or around both passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from model.precision.fp8 import Fp8Linear

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Precision:
    """`weights` is what parameters and buffers are stored in, `autocast` what matmuls cast their inputs to,
    `matmuls` torch's float32 matmul precision; `fp8` says whether blocks multiply in 8 bits."""

    weights: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    matmuls: str = "highest"
    fp8: bool = False

    def prepare(self, model: nn.Module) -> None:
        """Change the model's weights or layers in place: once, before the optimizer is made."""
        if self.weights != torch.float32:
            model.to(self.weights)
        if self.fp8:
            for block in model.get_submodule("blocks").modules():
                for name, child in list(block.named_children()):
                    if type(child) is nn.Linear:
                        setattr(block, name, Fp8Linear.replacing(child))

    def forward(self, device_type: str) -> AbstractContextManager[object]:
        """Around the forward pass and the loss."""
        return torch.autocast(device_type, dtype=self.autocast) if self.autocast else nullcontext()

    @contextmanager
    def both_passes(self) -> Iterator[None]:
        """Around forward and backward pass, but not around an evaluation: it is set for the whole process."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmuls)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


FP32 = Precision()
TF32 = Precision(matmuls="high")
BF16 = Precision(autocast=torch.bfloat16)
BF16_WEIGHTS = Precision(weights=torch.bfloat16)
FP8 = Precision(autocast=torch.bfloat16, fp8=True)


def evaluable(model: Module) -> Module:
    """The model itself where its weights are fp32, else a copy that is."""
    if all(p.dtype == torch.float32 for p in model.parameters()):
        return model
    return copy.deepcopy(model).float()
