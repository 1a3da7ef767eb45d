"""What every tokenizer does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

MAX_VOCABULARY = 2**16  # token ids are uint16


class Tokenizer(Protocol):
    """Text to token ids and back.

    `label` names it in records. `vocabulary[i]` is how the token with id i reads, with `U+FFFD` for bytes
    that are no character by themselves.
    """

    @property
    def label(self) -> str: ...

    @property
    def vocabulary(self) -> tuple[str, ...]: ...

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        """The ids of `text`, shape (tokens,)."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`."""
        ...
