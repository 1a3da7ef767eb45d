"""A text turned into training and validation tokens, and its way into the cache and back."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.data import cache
from model.data.tokenizer import CharTokenizer

TRAIN_FRACTION = 0.9  # nanoGPT's split of Shakespeare
_FORMAT = 1  # of the cached corpus; a change in what `from_text` makes needs a new one


@dataclass(frozen=True, eq=False)
class Corpus:
    """Everything that training and evaluation need of a text.

    `sha256` is of the whole raw text in UTF-8. `vocabulary` holds the characters of the training part only,
    sorted, then the unknown symbol. `train` and `validation` are token ids, uint16, shape (tokens,).
    `validation_bytes_per_token` turns nats per token into bits per byte.
    """

    name: str
    sha256: str
    tokenizer: str
    vocabulary: tuple[str, ...]
    train: npt.NDArray[np.uint16]
    validation: npt.NDArray[np.uint16]
    validation_bytes_per_token: float

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def from_text(cls, name: str, text: str) -> Corpus:
        """The first nine tenths of the characters are for training, the rest for validation.

        Raises `DataError` where the text has too many different characters.
        """
        n = int(TRAIN_FRACTION * len(text))
        train, validation = text[:n], text[n:]
        tokenizer = CharTokenizer.from_text(train)
        return cls(
            name=name,
            sha256=text_sha256(text),
            tokenizer="characters",
            vocabulary=tokenizer.vocabulary,
            train=tokenizer.encode(train),
            validation=tokenizer.encode(validation),
            validation_bytes_per_token=len(validation.encode()) / len(validation),
        )


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def corpus_folder(sha256: str, cache_dir: Path) -> Path:
    """Where all that is derived from one text is cached."""
    return cache_dir / sha256


def read_corpus(name: str, sha256: str, cache_dir: Path) -> Corpus | None:
    """The cached corpus of the text with this digest, called `name`; None where there is none."""
    payload = cache.read(_cached(sha256, cache_dir))
    if payload is None:
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        facts = json.loads(arrays["facts"].tobytes())
        return Corpus(
            name=name,
            sha256=sha256,
            tokenizer=facts["tokenizer"],
            vocabulary=tuple(facts["vocabulary"]),
            train=arrays["train"],
            validation=arrays["validation"],
            validation_bytes_per_token=facts["validation_bytes_per_token"],
        )


def write_corpus(corpus: Corpus, cache_dir: Path) -> None:
    """Cache `corpus` under its digest; its name is left out, because the same text may go by several."""
    facts = {
        "tokenizer": corpus.tokenizer,
        "vocabulary": corpus.vocabulary,
        "validation_bytes_per_token": corpus.validation_bytes_per_token,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        train=corpus.train,
        validation=corpus.validation,
        facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
    )
    cache.write(_cached(corpus.sha256, cache_dir), buffer.getvalue())


def _cached(sha256: str, cache_dir: Path) -> Path:
    return corpus_folder(sha256, cache_dir) / f"corpus-v{_FORMAT}.cache"
