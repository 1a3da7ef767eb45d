"""Training losses, a file each. A row's `reference` has the signature of `Loss`."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from model.loss.head import Head

MOST_PARTS = 16
"""How many parts `chunked` takes the tokens in at most: a compiled graph repeats itself for each."""


class Loss(Protocol):
    """Mean nats per token. x: (N, C), what goes into the head; targets: (N,) int64."""

    def __call__(self, x: "Tensor", targets: "Tensor", head: "Head") -> "Tensor": ...
