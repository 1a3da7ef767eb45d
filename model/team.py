"""The processes that train one model together, as one of them sees them: the seam in the training loop.

`Alone` is the team of one. The team of several is in `model.distributed`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from torch import Tensor, nn

from model.share import WHOLE, Share

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Team(Protocol):
    """What a training loop asks of the others."""

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, keeps the mean of the weights, and is the one that is heard."""
        ...

    def share(self, grad_accum: int) -> Share:
        """What this process takes of each step of `grad_accum` micro-batches."""
        ...

    def together(self, model: nn.Module, compute_loss: LossFunction) -> LossFunction:
        """`compute_loss`, whose backward pass leaves the mean of all processes' gradients in `model`."""
        ...

    def by_itself(self) -> AbstractContextManager[object]:
        """Around each micro-batch but a step's last: its gradients stay in this process until then."""
        ...

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of `loss` over the processes, each of which asks for it."""
        ...


class Alone:
    """One process that trains by itself."""

    leads = True

    def share(self, grad_accum: int) -> Share:
        return WHOLE

    def together(self, model: nn.Module, compute_loss: LossFunction) -> LossFunction:
        return compute_loss

    def by_itself(self) -> AbstractContextManager[object]:
        return nullcontext()

    def mean(self, loss: Tensor) -> Tensor:
        return loss


ALONE = Alone()
