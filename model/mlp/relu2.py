"""Squared ReLU (So et al., Primer, 2021)."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig


class Relu2MLP(nn.Module):
    """(B, T, C) -> (B, T, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.mlp_width, bias=config.bias)
        self.c_proj = nn.Linear(config.mlp_width, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.c_proj(F.relu(self.c_fc(x)).square()))
        return y
