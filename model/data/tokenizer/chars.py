"""Characters as tokens, with nanoGPT's ids: the sorted characters of the whole text.

They are those of the whole text, as in nanoGPT. If they were those of the training part, with one symbol for
all others, a run of different characters under that symbol could be learnt, and a loss on them would say
nothing. A character that only the held-out part has is never trained on, and costs accordingly
(`model.data.corpus.unseen_share`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.data.errors import DataError
from model.data.tokenizer.base import MAX_VOCABULARY

_CODEPOINTS = 0x110000


@dataclass(frozen=True)
class CharTokenizer:
    """`vocabulary[i]` is the character with id i."""

    vocabulary: tuple[str, ...]
    label: str = "chars"

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """As `from_pieces`, of a text that is whole."""
        return cls.from_pieces([text])

    @classmethod
    def from_pieces(cls, pieces: Iterable[str]) -> CharTokenizer:
        """The sorted characters of the text.

        Raises `DataError` where they do not fit in uint16.
        """
        characters = sorted(set().union(*map(set, pieces)))
        if len(characters) > MAX_VOCABULARY:
            raise DataError(
                f"characters as tokens: expected {MAX_VOCABULARY:,} different ones or fewer, "
                f"got {len(characters):,}; type data.tokenizer=bytes, or use a text in fewer scripts"
            )
        return cls(tuple(characters))

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        """Ids of the characters of `text`, shape (len(text),). Raises ValueError, which names them, for some
        that are not in the vocabulary."""
        ids = np.full(_CODEPOINTS, -1, dtype=np.int32)
        ids[[ord(character) for character in self.vocabulary]] = np.arange(len(self.vocabulary))
        codepoints = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found = ids.take(codepoints)
        if len(found) and found.min() < 0:
            others = "".join(sorted(set(text) - set(self.vocabulary)))
            raise ValueError(f"expected characters of the vocabulary, got {others!r}")
        return found.astype(np.uint16)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. Raises IndexError for an id that is past the vocabulary."""
        return "".join([self.vocabulary[i] for i in ids])
