"""Byte pairs learnt from the training part, by Hugging Face's `tokenizers`: like GPT-2's, but fewer.

What was learnt is kept beside the text's tokens and used again. Its digest is in the label, because another
version of the library may learn other pairs.

To learn, the library takes time with the square of a word's length, and a text without spaces is one word. So
pairs are learnt within stretches of at most `LONGEST_LEARNT_CHARACTERS`; words of a language are shorter.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model.data import cache
from model.data.download import OnProgress, silent
from model.data.errors import DataError
from model.data.text_parts import Pieces, pieces
from model.data.tokenizer.kept import KeptTokenizer

if TYPE_CHECKING:
    import tokenizers

_FORMAT = 2  # of what is kept; a change in how it is learnt needs a new one
DEFAULT_VOCABULARY = 1024
MIN_VOCABULARY = 257  # the bytes, and one pair
# A million characters take half a CPU-second (the plays) to two (a genome, whose words all differ); more text
# hardly changes which pairs are frequent.
LEARNT_FROM_CHARACTERS = 50_000_000
LEARNT_FROM_CHARACTERS_OF_WORDS = 4_000_000  # each different word once
LONGEST_LEARNT_CHARACTERS = 256
# The library spreads pieces over the cores.
_ENCODED_AT_ONCE_CHARACTERS = 2**14
_LOOK_UP_S = 0.1


class BpeTokenizer:
    """Any text can be encoded: the 256 bytes are among the tokens."""

    def __init__(self, learnt: tokenizers.Tokenizer) -> None:
        self._learnt = learnt
        self.label = f"bpe-{learnt.get_vocab_size()}-{_digest(learnt.to_str().encode())}"
        self.vocabulary = tuple(self.decode([i]) for i in range(learnt.get_vocab_size()))

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        parts = list(pieces(io.StringIO(text), _ENCODED_AT_ONCE_CHARACTERS, _ENCODED_AT_ONCE_CHARACTERS))
        encodings = self._learnt.encode_batch_fast(parts, add_special_tokens=False)
        return np.concatenate(
            [np.array([], dtype=np.uint16), *(np.array(one.ids, dtype=np.uint16) for one in encodings)]
        )

    def decode(self, ids: Iterable[int]) -> str:
        text: str = self._learnt.decode(list(ids))
        return text


def learnt_bpe(
    train: Pieces, vocab_size: int, folder: Path, on_progress: OnProgress = silent
) -> BpeTokenizer:
    """The tokenizer of `vocab_size` tokens for the text whose training part is `train`: from `folder`, or
    learnt and put there. `on_progress` hears from time to time that it is still learning.

    Raises `DataError` where the library is not installed, or the text is too poor for so many tokens.
    """
    tokenizers = _library()
    path = _path(folder, vocab_size)
    if (payload := cache.read(path)) is not None:
        return BpeTokenizer(tokenizers.Tokenizer.from_str(payload.decode()))
    made = _learn(train, vocab_size, on_progress)
    cache.write(path, made.to_str().encode())
    return BpeTokenizer(made)


def kept_of_bpe(label: str, folder: Path) -> str:
    """What the tokenizer of this label learnt, from `folder`. Raises `DataError` where it is lost."""
    _, vocab_size, digest = label.split("-")
    path = _path(folder, int(vocab_size))
    payload = cache.read(path)
    if payload is None or _digest(payload) != digest:
        raise DataError(
            f"{path}: expected the byte pairs of the tokens {label}, found "
            f"{'none' if payload is None else 'others'}; remove {folder}, and they are learnt anew"
        )
    return payload.decode()


def bpe_again(kept: KeptTokenizer) -> BpeTokenizer:
    """Raises `DataError` where the library is not installed or cannot read what was kept."""
    tokenizers = _library()
    try:
        return BpeTokenizer(tokenizers.Tokenizer.from_str(kept.learnt or ""))
    except Exception as error:  # the library raises no class of its own
        raise DataError(f"expected the byte pairs of {kept.label}, got {error}") from error


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            "data.tokenizer=bpe: expected the package tokenizers, found none; type pip install tokenizers"
        ) from error
    return tokenizers


def _path(folder: Path, vocab_size: int) -> Path:
    return folder / f"bpe-v{_FORMAT}-{vocab_size}.cache"


def _digest(learnt: bytes) -> str:
    """What a label says of it."""
    return hashlib.sha256(learnt).hexdigest()[:12]


def _learn(train: Pieces, vocab_size: int, on_progress: OnProgress = silent) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    beginning = _beginning(train(), LEARNT_FROM_CHARACTERS, LEARNT_FROM_CHARACTERS_OF_WORDS)
    _interruptible(
        lambda: made.train_from_iterator(_short(beginning), trainer),
        lambda: on_progress(f"learning {vocab_size:,} byte pairs", 0, 0),
    )
    if made.get_vocab_size() < vocab_size:
        raise DataError(
            f"data.vocab_size={vocab_size}: expected a text that gives as many tokens, this one gives "
            f"{made.get_vocab_size()}; type a data.vocab_size of at most that, or data.tokenizer=bytes"
        )
    return made


def _short(text: Iterator[str]) -> Iterator[str]:
    """The same text in stretches that the library learns from quickly."""
    for piece in text:
        yield from pieces(io.StringIO(piece), LONGEST_LEARNT_CHARACTERS, LONGEST_LEARNT_CHARACTERS)


def _beginning(text: Iterator[str], characters: int, characters_of_words: int) -> Iterator[str]:
    """The first so many characters, or as many as hold so many of different words, up to the end of a
    piece."""
    known: set[str] = set()
    for piece in text:
        yield piece
        new = set(piece.split()) - known
        known |= new
        characters -= len(piece)
        characters_of_words -= sum(map(len, new))
        if characters <= 0 or characters_of_words <= 0:
            return


def _interruptible(work: Callable[[], None], while_it_lasts: Callable[[], None]) -> None:
    """Do `work`, which does not react to signals, such that Ctrl-C need not wait for it. Raises what it
    raises."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="learning byte pairs", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_UP_S)
        while_it_lasts()
    if failed:
        raise failed[0]
