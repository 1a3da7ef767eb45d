"""A text in its two parts, read in pieces: a large one never lies in memory as a whole."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

from model.data.download import OnProgress

TRAIN_FRACTION = 0.9  # nanoGPT's split of Shakespeare
PIECE_CHARACTERS = 2**22
# Before a space or a line end that follows something else: GPT-2's way to split a text into words splits
# there whatever stands around, so that a text gives the same tokens in pieces as whole.
_CUT = re.compile(r"(?<=\S)[ \n]")
_CUT_WITHIN = 4096  # characters at the end of a piece, where a cut is looked for first

Pieces = Callable[[], Iterator[str]]
"""Gives a part from its beginning, each time that it is called."""


@dataclass(frozen=True)
class Text:
    """`sha256` is of what the text was read from: the whole text in UTF-8, or the published file it came in.

    `test` is a part of its own, of a text that was published with one and is to be split so: all that is held
    out is for validation then. `size_bytes` is roughly how much there is to read, for showing progress.
    """

    sha256: str
    train: Pieces
    held_out: Pieces
    size_bytes: int
    test: Pieces | None = None

    @staticmethod
    def from_string(text: str) -> Text:
        """The first nine tenths of the characters are for training, the rest is held out."""
        train, held_out = split(text)
        return Text(
            sha256=text_sha256(text),
            train=lambda: pieces(io.StringIO(train)),
            held_out=lambda: pieces(io.StringIO(held_out)),
            size_bytes=len(text.encode()),
        )


def split(text: str) -> tuple[str, str]:
    n = int(TRAIN_FRACTION * len(text))
    return text[:n], text[n:]


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def pieces(
    file: TextIO, characters: int = PIECE_CHARACTERS, longest: int = PIECE_CHARACTERS
) -> Iterator[str]:
    """The text of `file` in pieces of about so many characters, cut between words.

    A text that has no such place for `longest` characters (a genome, a language without spaces) is cut there
    all the same, so that no piece grows without bound: no token spans that place.
    """
    rest = ""
    while block := file.read(characters):
        cut_free = len(rest)
        rest += block
        cut = _last_cut(rest, cut_free)
        if not cut and len(rest) >= longest:
            cut = len(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest


def told(pieces: Pieces, what: str, size_bytes: int, on_progress: OnProgress) -> Pieces:
    """The same pieces; each time that one is taken, `on_progress` is told how far that is."""

    def read() -> Iterator[str]:
        done_bytes = 0
        for piece in pieces():
            yield piece
            done_bytes += len(piece.encode())
            on_progress(what, min(done_bytes, size_bytes), size_bytes)

    return read


def _last_cut(text: str, cut_free: int) -> int:
    """Where to cut `text` as late as possible; 0 where there is no such place. The first `cut_free`
    characters have none."""
    for start in (max(cut_free, len(text) - _CUT_WITHIN), cut_free):
        cuts = [found.start() for found in _CUT.finditer(text, start)]
        if cuts:
            return cuts[-1]
    return 0
