"""Characters as tokens: nanoGPT's ids for the characters of the training text, and one for all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.data.errors import DataError
from model.data.tokenizer.base import MAX_VOCABULARY

UNKNOWN = "\ufffd"  # Unicode's replacement character: shows as such wherever it is decoded
_CODEPOINTS = 0x110000


@dataclass(frozen=True)
class CharTokenizer:
    """`vocabulary[i]` is the character with id i; the last one is `UNKNOWN`."""

    vocabulary: tuple[str, ...]
    label: str = "characters"

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """As `from_pieces`, of a text that is whole."""
        return cls.from_pieces([text])

    @classmethod
    def from_pieces(cls, pieces: Iterable[str]) -> CharTokenizer:
        """The sorted characters of the text, which makes nanoGPT's ids, then `UNKNOWN`.

        Raises `DataError` where they do not fit in uint16.
        """
        characters = sorted(set().union(*map(set, pieces)) - {UNKNOWN})
        if len(characters) >= MAX_VOCABULARY:
            raise DataError(
                f"characters as tokens: expected fewer than {MAX_VOCABULARY:,} different ones, "
                f"got {len(characters):,}; type data.tokenizer=bytes, or use a text in fewer scripts"
            )
        return cls((*characters, UNKNOWN))

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        """Ids of the characters of `text`, shape (len(text),); `UNKNOWN`'s for one not in the vocabulary."""
        ids: npt.NDArray[np.uint16] = np.full(_CODEPOINTS, len(self.vocabulary) - 1, dtype=np.uint16)
        ids[[ord(character) for character in self.vocabulary]] = np.arange(len(self.vocabulary))
        codepoints = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        return ids.take(codepoints)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. Raises IndexError for an id that is past the vocabulary."""
        return "".join([self.vocabulary[i] for i in ids])
