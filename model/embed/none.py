"""No positions: what a token attends to tells it how many came before."""

from torch import Tensor, nn

from model.config import ModelConfig


class NoPositions(nn.Module):
    acts_on_heads = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def at_input(self, x: Tensor, start: int = 0) -> Tensor:
        return x

    def at_heads(self, x: Tensor, start: int = 0) -> Tensor:
        return x
