"""How a text becomes tokens, by name.

To add a tokenizer: one file with a function that makes it, and a row in `TOKENIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from model.data.download import Downloads
from model.data.text_parts import Pieces
from model.data.tokenizer.base import MAX_VOCABULARY, Tokenizer
from model.data.tokenizer.bpe import DEFAULT_VOCABULARY, MIN_VOCABULARY, learnt_bpe
from model.data.tokenizer.bytes import ByteTokenizer
from model.data.tokenizer.chars import CharTokenizer
from model.data.tokenizer.gpt2 import load_gpt2

__all__ = [
    "DEFAULT_VOCABULARY",
    "TOKENIZERS",
    "VOCAB_SIZES",
    "ByteTokenizer",
    "CharTokenizer",
    "Making",
    "Tokenizer",
    "TokenizerRow",
]

VOCAB_SIZES = (MIN_VOCABULARY, MAX_VOCABULARY)
"""What `data.vocab_size` may be."""


@dataclass(frozen=True)
class Making:
    """What a tokenizer is made from.

    `train` and `held_out` give the parts of the text. `folder` is where what was learnt from this text is
    kept, and `downloads` gets what comes from elsewhere.
    """

    train: Pieces
    vocab_size: int | None
    folder: Path
    downloads: Downloads
    held_out: Pieces = lambda: iter(())


@dataclass(frozen=True)
class TokenizerRow:
    """A row of the table. `make` raises `DataError` where the tokenizer cannot be had."""

    description: str
    make: Callable[[Making], Tokenizer]


TOKENIZERS: Mapping[str, TokenizerRow] = MappingProxyType(
    {
        "chars": TokenizerRow(
            "the characters of the text",
            lambda given: CharTokenizer.from_pieces(chain(given.train(), given.held_out())),
        ),
        "bytes": TokenizerRow("UTF-8 bytes", lambda given: ByteTokenizer()),
        "gpt2": TokenizerRow("GPT-2's 50,257 tokens", lambda given: load_gpt2(given.downloads)),
        "bpe": TokenizerRow(
            f"byte pairs learnt from the training part, data.vocab_size={DEFAULT_VOCABULARY} tokens",
            lambda given: learnt_bpe(
                given.train,
                given.vocab_size or DEFAULT_VOCABULARY,
                given.folder,
                given.downloads.on_progress,
            ),
        ),
    }
)
