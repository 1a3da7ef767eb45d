"""Bytes of UTF-8 as tokens: any text, 256 ids, nothing to learn and nothing to fetch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_VOCABULARY = tuple(bytes([value]).decode("utf-8", "replace") for value in range(256))


@dataclass(frozen=True)
class ByteTokenizer:
    """The id of a byte is its value."""

    label: str = "bytes"
    vocabulary: tuple[str, ...] = _VOCABULARY

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16)

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")
