"""How a text becomes tokens, by name.

To add a tokenizer: one file with a function that makes it, and a row in `TOKENIZERS`, which also says how it
is had again beside a trained model.
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
from model.data.tokenizer.bpe import DEFAULT_VOCABULARY, MIN_VOCABULARY, bpe_again, kept_of_bpe, learnt_bpe
from model.data.tokenizer.bytes import ByteTokenizer
from model.data.tokenizer.chars import CharTokenizer
from model.data.tokenizer.gpt2 import load_gpt2
from model.data.tokenizer.kept import KeptTokenizer

__all__ = [
    "DEFAULT_VOCABULARY",
    "TOKENIZERS",
    "VOCAB_SIZES",
    "ByteTokenizer",
    "CharTokenizer",
    "KeptTokenizer",
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
    """A row of the table.

    `make` and `again`, from what was kept beside a trained model, raise `DataError` where the tokenizer
    cannot be had. `learnt` gives what one of this label learnt from a text, from the text's `Making.folder`,
    and raises `DataError` where that is lost.
    """

    description: str
    make: Callable[[Making], Tokenizer]
    again: Callable[[KeptTokenizer, Downloads], Tokenizer]
    learnt: Callable[[str, Path], str | None] = lambda label, folder: None


TOKENIZERS: Mapping[str, TokenizerRow] = MappingProxyType(
    {
        "chars": TokenizerRow(
            "the characters of the text",
            lambda given: CharTokenizer.from_pieces(chain(given.train(), given.held_out())),
            lambda kept, downloads: CharTokenizer(kept.vocabulary),
        ),
        "bytes": TokenizerRow(
            "UTF-8 bytes", lambda given: ByteTokenizer(), lambda kept, downloads: ByteTokenizer()
        ),
        "gpt2": TokenizerRow(
            "GPT-2's 50,257 tokens",
            lambda given: load_gpt2(given.downloads),
            lambda kept, downloads: load_gpt2(downloads),
        ),
        "bpe": TokenizerRow(
            f"byte pairs learnt from the training part, data.vocab_size={DEFAULT_VOCABULARY} tokens",
            lambda given: learnt_bpe(
                given.train,
                given.vocab_size or DEFAULT_VOCABULARY,
                given.folder,
                given.downloads.on_progress,
            ),
            lambda kept, downloads: bpe_again(kept),
            kept_of_bpe,
        ),
    }
)
