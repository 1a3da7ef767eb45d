"""nanoGPT's MLP: expand, exact GELU, contract."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig


class GeluMLP(nn.Module):
    """(B, T, C) -> (B, T, C). `c_proj` is a residual projection: `GPT` initialises it smaller."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.mlp_width, bias=config.bias)
        self.c_proj = nn.Linear(config.mlp_width, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.c_proj(F.gelu(self.c_fc(x))))
        return y
