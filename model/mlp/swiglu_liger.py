"""swiglu with its gate in Liger's Triton kernels."""

from torch import Tensor, nn

from model.config import ModelConfig
from model.mlp.swiglu import SwigluMLP


def swiglu(config: ModelConfig) -> nn.Module:
    return SwigluMLP(config, kernel)


def kernel(gate: Tensor, value: Tensor) -> Tensor:
    from liger_kernel.transformers import functional  # type: ignore[import-not-found]

    y: Tensor = functional.liger_swiglu(gate, value)
    return y
