"""SwiGLU (Shazeer, GLU Variants Improve Transformer, 2020)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig


def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    return F.silu(gate) * value


class SwigluMLP(nn.Module):
    """(B, T, C) -> (B, T, C). `c_fc` holds the gate's matrix, then the gated one: at equal `mlp_ratio` it has
    1.5 times the weights of a plain MLP. `kernel` gates in training; evaluation takes the plain one."""

    def __init__(self, config: ModelConfig, kernel: Callable[[Tensor, Tensor], Tensor] = swiglu) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 2 * config.mlp_width, bias=config.bias)
        self.c_proj = nn.Linear(config.mlp_width, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.c_fc(x).chunk(2, dim=-1)
        y: Tensor = self.dropout(self.c_proj((self.kernel if self.training else swiglu)(gate, value)))
        return y
