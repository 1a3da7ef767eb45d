"""The texts to learn, by name, and how one of them becomes tokens.

To add a data set: one file with a function that returns its text, and a row in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from model.config import DataConfig
from model.data import cache
from model.data.corpus import Corpus, read_corpus, text_sha256, write_corpus
from model.data.errors import DataError
from model.data.ngram import NgramLoss, best_ngram, cached_best_ngram, ngram_losses
from model.data.shakespeare import KEY as SHAKESPEARE_KEY
from model.data.shakespeare import read_plays
from model.data.text import read_text
from model.data.tokenizer import UNKNOWN, CharTokenizer

__all__ = [
    "DATASETS",
    "UNKNOWN",
    "CharTokenizer",
    "Corpus",
    "DataError",
    "DataSet",
    "NgramLoss",
    "best_ngram",
    "cached_best_ngram",
    "load",
    "ngram_losses",
]


@dataclass(frozen=True)
class DataSet:
    """A row of the table.

    `read` returns the raw text, or raises `DataError`. `key` names the text where that can be told without
    reading it, so that a cached corpus is found at once; None for a text that must be read to be known.
    """

    description: str
    read: Callable[[DataConfig], str]
    key: str | None = None


DATASETS: Mapping[str, DataSet] = MappingProxyType(
    {
        "shakespeare": DataSet("38 plays, 4.8 million characters", read_plays, key=SHAKESPEARE_KEY),
        "text": DataSet("a UTF-8 file of yours: data.path=FILE", read_text),
    }
)


def load(config: DataConfig, cache_dir: Path) -> Corpus:
    """The corpus of the data set that `config` names: from `cache_dir`, or made and put there.

    Safe to call from several processes at once, and to kill. Raises `DataError` where there is no such data
    set, its text cannot be had, or the cache cannot be written.
    """
    dataset = DATASETS.get(config.name)
    if dataset is None:
        raise DataError(
            f"data: expected one of {', '.join(DATASETS)}, got {config.name!r}; "
            f"type data={next(iter(DATASETS))}"
        )
    if dataset.key is None:
        text = dataset.read(config)
        return read_corpus(config.name, text_sha256(text), cache_dir) or _make(config.name, text, cache_dir)

    pointer = cache_dir / f"{dataset.key}.cache"
    if (sha256 := cache.read(pointer)) and (corpus := read_corpus(config.name, sha256.decode(), cache_dir)):
        return corpus
    corpus = _make(config.name, dataset.read(config), cache_dir)
    cache.write(pointer, corpus.sha256.encode())
    return corpus


def _make(name: str, text: str, cache_dir: Path) -> Corpus:
    corpus = Corpus.from_text(name, text)
    write_corpus(corpus, cache_dir)
    return corpus
