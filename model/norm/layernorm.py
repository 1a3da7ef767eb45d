"""nanoGPT's LayerNorm."""

from torch import nn

from model.config import ModelConfig


def layernorm(config: ModelConfig) -> nn.Module:
    return nn.LayerNorm(config.n_embd, eps=1e-5, bias=config.bias)
