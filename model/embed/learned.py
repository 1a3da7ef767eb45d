"""nanoGPT's position embedding."""

import torch
from torch import Tensor, nn

from model.config import ModelConfig


class Learned(nn.Embedding):
    """(block_size, C), initialised by `GPT` like every embedding."""

    acts_on_heads = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.block_size, config.n_embd)

    def at_input(self, x: Tensor, start: int = 0) -> Tensor:
        y: Tensor = x + self(torch.arange(start, start + x.size(1), device=x.device))
        return y

    def at_heads(self, x: Tensor, start: int = 0) -> Tensor:
        return x
