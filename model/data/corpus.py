"""Tokens to learn, to validate and to test on, and their way into the cache and back.

What a data set gives is tokenised once and kept, whole or not at all: a folder with files of token ids,
little endian uint16, and one of facts. `validation.bin` has all that is held out, which is divided when it is
read, unless there is a `test.bin` beside it. Small files are read and checked against their digests; of large
ones only the size is checked, and they are mapped into memory, so that a run reads only what it uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.data import cache
from model.data.download import OnProgress, silent
from model.data.held_out import HeldOut, validation_and_test
from model.data.text_parts import Pieces, Text, split, text_sha256
from model.data.tokenizer import CharTokenizer, Tokenizer

_FORMAT = 2  # of what is kept; a change in what a data set or a tokenizer makes needs a new one
_DTYPE = np.dtype("<u2")
READ_WHOLE_BYTES = 2**26
_LOOKED_AT_ONCE = 2**24  # tokens of a part that may be mapped from a file
_PARTS = ("train", "validation", "test")  # in files of these names; mostly without a test part of its own

Chunks = Callable[[], Iterator[tuple[npt.NDArray[np.uint16], int]]]
"""Gives a part from its beginning: token ids, and how many bytes of text they stand for."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Everything that training and evaluation need of a data set.

    `sha256` is of what it was made from: the whole text in UTF-8, or the published files. `tokenizer` names
    the tokens and `vocabulary[i]` is how token i reads. `train` and `validation` are token ids, uint16, shape
    (tokens,), mapped from a file where they are many. `validation_bytes_per_token` turns nats per token into
    bits per byte: where tokens are characters it is that of the validation part, otherwise that of all that
    is held out. Where tokens come in records of `record_tokens`, windows begin at multiples of it, in
    training and in evaluation. `test` are token ids that no run is stopped, ranked or chosen by; `held_out`
    says whether there are any.
    """

    name: str
    sha256: str
    tokenizer: str
    vocabulary: tuple[str, ...]
    train: npt.NDArray[np.uint16]
    validation: npt.NDArray[np.uint16]
    validation_bytes_per_token: float
    record_tokens: int = 1
    test: npt.NDArray[np.uint16] = field(default_factory=lambda: np.empty(0, dtype=np.uint16))
    held_out: HeldOut = HeldOut.HALVES

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def from_text(cls, name: str, text: str, held_out: HeldOut = HeldOut.HALVES) -> Corpus:
        """The first nine tenths of the characters are for training, the rest is held out.

        Raises `DataError` where the text has too many different characters.
        """
        train, rest = split(text)
        tokenizer = CharTokenizer.from_text(text)
        validation, test = validation_and_test(tokenizer.encode(rest), 1, held_out)
        return cls(
            name=name,
            sha256=text_sha256(text),
            tokenizer=tokenizer.label,
            vocabulary=tokenizer.vocabulary,
            train=tokenizer.encode(train),
            validation=validation,
            validation_bytes_per_token=_bytes_per_character(validation, tokenizer.vocabulary),
            test=test,
            held_out=held_out,
        )


@dataclass(frozen=True)
class Tokens:
    """A corpus that is still to be made: as `Corpus`, chunk by chunk, and all that is held out in one, but
    for a `test` part of its own.

    `size_bytes` is how much text there is, None where that is not known.
    """

    sha256: str
    tokenizer: str
    vocabulary: tuple[str, ...]
    train: Chunks
    held_out: Chunks
    size_bytes: int | None
    record_tokens: int = 1
    test: Chunks | None = None


def tokenised(text: Text, tokenizer: Tokenizer) -> Tokens:
    """What `tokenizer` makes of `text`, when it is asked for."""

    def chunks(pieces: Pieces) -> Chunks:
        return lambda: ((tokenizer.encode(piece), len(piece.encode())) for piece in pieces())

    return Tokens(
        sha256=text.sha256,
        tokenizer=tokenizer.label,
        vocabulary=tokenizer.vocabulary,
        train=chunks(text.train),
        held_out=chunks(text.held_out),
        size_bytes=text.size_bytes,
        test=None if text.test is None else chunks(text.test),
    )


@remembered
def unseen_share(corpus: Corpus, n_validation_tokens: int) -> float:
    """The share of `validation[1 : n_validation_tokens + 1]`, which an evaluation of so many tokens scores,
    that never occurs in the training part: nothing can learn to predict it."""
    occurs = np.zeros(max(corpus.vocab_size, 1), dtype=bool)
    for start in range(0, len(corpus.train), _LOOKED_AT_ONCE):
        occurs[corpus.train[start : start + _LOOKED_AT_ONCE]] = True
    scored = corpus.validation[1 : n_validation_tokens + 1]
    return 1.0 - float(occurs[scored].mean()) if len(scored) else 0.0


def corpus_folder(sha256: str, cache_dir: Path) -> Path:
    """Where all that is derived from one text is cached."""
    return cache_dir / sha256


def tokens_folder(sha256: str, tokens: str, cache_dir: Path) -> Path:
    """Where a text is kept as tokens of this kind."""
    return corpus_folder(sha256, cache_dir) / f"tokens-v{_FORMAT}-{tokens}"


def read_corpus(
    name: str,
    folder: Path,
    read_whole_bytes: int = READ_WHOLE_BYTES,
    held_out: HeldOut = HeldOut.HALVES,
) -> Corpus | None:
    """The corpus in `folder`, called `name`; None where there is none, or a damaged one.

    A part of more than `read_whole_bytes` is mapped and only its size is checked. `held_out` says how to
    divide what is held out of one without a test part of its own.
    """
    payload = cache.read(folder / "facts.cache")
    if payload is None:
        return None
    facts = json.loads(payload)
    parts = {
        part: _read_part(folder / f"{part}.bin", **facts[part], read_whole_bytes=read_whole_bytes)
        for part in _PARTS
        if part in facts
    }
    train, rest = parts["train"], parts["validation"]
    if train is None or rest is None or ("test" in parts and parts["test"] is None):
        return None
    validation, test = validation_and_test(rest, facts["record_tokens"], held_out)
    if (own := parts.get("test")) is not None:
        validation, test, held_out = rest, own, HeldOut.PUBLISHED
    bytes_per_token = facts["validation_bytes_per_token"]
    if facts["tokenizer"] == CharTokenizer.label:
        bytes_per_token = _bytes_per_character(validation, facts["vocabulary"])
    return Corpus(
        name=name,
        sha256=facts["sha256"],
        tokenizer=facts["tokenizer"],
        vocabulary=tuple(facts["vocabulary"]),
        train=train,
        validation=validation,
        validation_bytes_per_token=bytes_per_token,
        record_tokens=facts["record_tokens"],
        test=test,
        held_out=held_out,
    )


def _bytes_per_character(ids: npt.NDArray[np.uint16], vocabulary: Sequence[str]) -> float:
    lengths = np.array([len(character.encode()) for character in vocabulary])
    starts = range(0, len(ids), _LOOKED_AT_ONCE)
    return sum(int(lengths[ids[start : start + _LOOKED_AT_ONCE]].sum()) for start in starts) / len(ids)


def write_corpus(tokens: Tokens, folder: Path, what: str, on_progress: OnProgress = silent) -> None:
    """Make `folder` of `tokens`, whole or not at all, in the place of a damaged one.

    Nobody else may be writing there (`cache.alone`). `what` is said to `on_progress`. Raises `DataError`
    where the folder cannot be written, and what the tokens raise.
    """
    with cache.writing_to(folder.parent):
        unfinished = cache.unfinished_beside(folder)
        unfinished.mkdir()
        try:
            facts = _write_parts(tokens, unfinished, what, on_progress)
            cache.write(unfinished / "facts.cache", json.dumps(facts).encode())
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _write_parts(tokens: Tokens, folder: Path, what: str, on_progress: OnProgress) -> dict[str, Any]:
    counts = {}
    digests = {}
    text_bytes = dict.fromkeys(_PARTS, 0)
    for part, chunks in zip(_PARTS, (tokens.train, tokens.held_out, tokens.test), strict=True):
        if chunks is None:
            continue
        digest = hashlib.sha256()
        counts[part] = 0
        with (folder / f"{part}.bin").open("xb") as file:
            for ids, n_bytes in chunks():
                payload = ids.astype(_DTYPE, copy=False).tobytes()
                file.write(payload)
                digest.update(payload)
                counts[part] += len(ids)
                text_bytes[part] += n_bytes
                if tokens.size_bytes is not None:
                    on_progress(what, sum(text_bytes.values()), tokens.size_bytes)
            file.flush()
            os.fsync(file.fileno())
        digests[part] = digest.hexdigest()
    return {
        "sha256": tokens.sha256,
        "tokenizer": tokens.tokenizer,
        "vocabulary": tokens.vocabulary,
        "validation_bytes_per_token": text_bytes["validation"] / counts["validation"],
        "record_tokens": tokens.record_tokens,
    } | {part: {"tokens": counts[part], "sha256": digests[part]} for part in counts}


def _read_part(path: Path, tokens: int, sha256: str, read_whole_bytes: int) -> npt.NDArray[np.uint16] | None:
    """The token ids of a part, None where it is damaged."""
    size_bytes = tokens * _DTYPE.itemsize
    try:
        if path.stat().st_size != size_bytes:
            return None
        if size_bytes > read_whole_bytes:
            return np.memmap(path, dtype=_DTYPE, mode="r", shape=(tokens,))
        ids: npt.NDArray[np.uint16] = np.fromfile(path, dtype=_DTYPE)
    except OSError:
        return None
    return ids if hashlib.sha256(ids.tobytes()).hexdigest() == sha256 else None
