"""The mean of a model's weights over steps, as a model of its own (Izmailov et al., arXiv 1803.05407).

`torch.optim.swa_utils.AveragedModel` computes the same, and a test compares the two. torch's waits for the
GPU's queue at every step, since its count is a tensor that becomes a number (2.13).
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class RunningMean(Generic[Module]):
    """`model` holds the mean, each shared parameter once. Its buffers are those of the model that it began
    with, and not averaged."""

    def __init__(self, model: Module) -> None:
        self.model = copy.deepcopy(model)
        self._taken = 0

    @torch.no_grad()
    def take(self, model: Module) -> None:
        """Count the weights of `model` as they are now."""
        self._taken += 1
        mean: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(mean, weights, 1.0 / self._taken)
