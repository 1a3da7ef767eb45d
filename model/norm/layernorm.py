"""nanoGPT's LayerNorm, and the same without parameters."""

from torch import nn

from model.config import ModelConfig


def layernorm(config: ModelConfig) -> nn.Module:
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def weightless(config: ModelConfig) -> nn.Module:
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, elementwise_affine=False)
