"""Reading the training loss without holding up the device.

A GPU works through a queue. Whoever asks for the loss of the last step waits until the queue is empty, and
then the GPU waits for whoever fills it again.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class LossReader(Protocol):
    """Called with the mean loss of a step, every `every` steps."""

    every: int

    def __call__(self, loss: Tensor) -> float | None:
        """A loss of this call or of the one before; None where there is none yet."""
        ...


class ReadAtOnce:
    """For a CPU, on which nothing is queued."""

    every = 1

    def __call__(self, loss: Tensor) -> float | None:
        return float(loss)


class ReadLater:
    """For a GPU: the loss is copied to the host behind the work in the queue, and read at the next call, when
    that was done long ago. So a loss that is no number is noticed up to 20 steps late."""

    every = 10

    def __init__(self) -> None:
        self._copy = torch.empty((), pin_memory=True)
        self._copied: torch.cuda.Event | None = None

    def __call__(self, loss: Tensor) -> float | None:
        before = None
        if self._copied is not None:
            self._copied.synchronize()
            before = float(self._copy)
        self._copy.copy_(loss, non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()
        return before


def loss_reader(device: torch.device) -> LossReader:
    return ReadLater() if device.type == "cuda" else ReadAtOnce()
