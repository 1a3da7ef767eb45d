"""The data sets by name, and how they become tokens.

A data set gives tokens, or a text that `data.tokenizer` turns into tokens. To add one: one file with a
function that opens it, and a row in `DATASETS`. The tokens are kept in the cache and read from there.

    text.py shakespeare.py ...   the data sets, a file each
    download.py                  published files, fetched once
    text_parts.py                a text in its two parts, in pieces
    tokenizer/                   text -> token ids, a file each
    corpus.py                    token ids, kept in the cache
    held_out.py                  those that are held out, in validation and test
    loader.py                    batches of them, for a training loop (imports torch)
    ngram.py                     how well counting predicts them
    ngram_choices.py, grams.py   what it predicts greedily, and how it counts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from model.data import (
    cache,
    fineweb,
    shakespeare,
    sparse_parity,
    tinyshakespeare,
    wikitext103,
)
from model.data.config import PUBLISHED, DataConfig
from model.data.corpus import (
    Corpus,
    Tokens,
    corpus_folder,
    read_corpus,
    tokenised,
    tokens_folder,
    unseen_share,
    write_corpus,
)
from model.data.download import Downloads, OnProgress, silent
from model.data.errors import DataError
from model.data.held_out import HeldOut
from model.data.ngram import NgramLoss, best_ngram, cached_best_ngram, ngram_error_rates, ngram_losses
from model.data.text import read_text
from model.data.text_parts import Pieces, Text, told
from model.data.tokenizer import DEFAULT_VOCABULARY, TOKENIZERS, CharTokenizer, KeptTokenizer, Making

__all__ = [
    "DATASETS",
    "TOKENIZERS",
    "CharTokenizer",
    "Corpus",
    "DataError",
    "DataSet",
    "HeldOut",
    "KeptTokenizer",
    "NgramLoss",
    "best_ngram",
    "cached_best_ngram",
    "kept_tokenizer",
    "load",
    "ngram_error_rates",
    "ngram_losses",
    "unseen_share",
]


@dataclass(frozen=True)
class DataSet:
    """A row of the table.

    `open` gives the text or the tokens, or raises `DataError`. `tokenizer` is a text's default, or the name
    of the tokens. `sha256` gives the digest of what `open` would give, so that the cache can be searched
    first; None for a text that must be read to be known. `options` are the keys of `data` that it uses.
    """

    description: str
    open: Callable[[DataConfig, Downloads], Text | Tokens]
    tokenizer: str
    sha256: Callable[[DataConfig], str | None]
    options: tuple[str, ...]


_OF_TEXTS = ("tokenizer", "vocab_size")

DATASETS: Mapping[str, DataSet] = MappingProxyType(
    {
        "sparse_parity": DataSet(
            "20 random bits, and what three of them decide",
            sparse_parity.generate,
            sparse_parity.LABEL,
            lambda config: sparse_parity.SHA256,
            (),
        ),
        "shakespeare": DataSet(
            "38 plays, 4.8 million characters",
            lambda config, downloads: Text.from_string(shakespeare.read_plays(config)),
            "chars",
            lambda config: shakespeare.SHA256,
            _OF_TEXTS,
        ),
        "tinyshakespeare": DataSet(
            "nanoGPT's, 1.1 million characters",
            tinyshakespeare.open_text,
            "chars",
            lambda config: tinyshakespeare.FILE.sha256,
            (*_OF_TEXTS, "urls"),
        ),
        "text": DataSet(
            "a UTF-8 file of yours: data.path=FILE",
            lambda config, downloads: Text.from_string(read_text(config)),
            "chars",
            lambda config: None,
            (*_OF_TEXTS, "path"),
        ),
        "wikitext103": DataSet(
            "articles of Wikipedia, 0.5 GB",
            wikitext103.open_text,
            "gpt2",
            lambda config: wikitext103.FILE.sha256,
            (*_OF_TEXTS, "urls", "split"),
        ),
        "fineweb": DataSet(
            "the speed-run's, 100 million tokens a shard",
            fineweb.open_tokens,
            "gpt2",
            fineweb.sha256,
            ("shards", "urls"),
        ),
    }
)


def load(
    config: DataConfig,
    cache_dir: Path,
    on_progress: OnProgress = silent,
    held_out: HeldOut = HeldOut.HALVES,
) -> Corpus:
    """The corpus of the data set that `config` names: from `cache_dir`, or made and put there. What is kept
    does not depend on `held_out`, nor does what has a test part of its own.

    Safe to call from several processes at once, and to kill. `on_progress` is told of downloads and of
    tokenising. Raises `DataError` where there is no such data set, it cannot be had, it does not use a key
    that `config` sets, or the cache cannot be written.
    """
    dataset = _dataset(config)
    urls = None if config.urls is None else tuple(config.urls)
    downloads = Downloads(cache_dir / "downloads", urls, on_progress)
    opened = None
    sha256 = dataset.sha256(config)
    if sha256 is None:
        opened = dataset.open(config, downloads)
        sha256 = opened.sha256
    folder = tokens_folder(sha256, _kind_of_tokens(config, dataset), cache_dir)
    corpus = read_corpus(config.name, folder, held_out=held_out)
    if corpus is None:
        with cache.alone(folder):
            # Another process may have made it meanwhile.
            corpus = read_corpus(config.name, folder, held_out=held_out)
            if corpus is None:
                _make(opened or dataset.open(config, downloads), config, folder, downloads)
                corpus = read_corpus(config.name, folder, held_out=held_out)
                assert corpus is not None, f"what was just written to {folder} cannot be read"
    return corpus


def kept_tokenizer(corpus: Corpus, cache_dir: Path) -> KeptTokenizer:
    """What to keep of a corpus' tokenizer beside a model that was trained on it. Raises `DataError` where
    what was learnt from the text is not in the cache any more."""
    kept = KeptTokenizer(corpus.tokenizer, corpus.vocabulary)
    row = TOKENIZERS.get(kept.kind)
    learnt = None if row is None else row.learnt(kept.label, corpus_folder(corpus.sha256, cache_dir))
    return replace(kept, learnt=learnt)


def _dataset(config: DataConfig) -> DataSet:
    dataset = DATASETS.get(config.name)
    if dataset is None:
        raise DataError(
            f"data: expected one of {', '.join(DATASETS)}, got {config.name!r}; type data={DataConfig.name}"
        )
    for key in fields(config):
        value = getattr(config, key.name)
        given = value not in (key.default, dataset.tokenizer if key.name == "tokenizer" else key.default)
        if given and key.name not in ("name", *dataset.options):
            default = "null" if key.default is None else key.default
            raise DataError(
                f"data.{key.name}={value}: data={config.name} does not use it; "
                f"type data.{key.name}={default}, or another data set"
            )
    return dataset


def _kind_of_tokens(config: DataConfig, dataset: DataSet) -> str:
    tokenizer = config.tokenizer or dataset.tokenizer
    if tokenizer == "bpe":
        tokenizer = f"bpe-{config.vocab_size or DEFAULT_VOCABULARY}"
    return f"{tokenizer}-{PUBLISHED}" if config.split == PUBLISHED else tokenizer


def _make(opened: Text | Tokens, config: DataConfig, folder: Path, downloads: Downloads) -> None:
    if isinstance(opened, Text):
        row = TOKENIZERS[config.tokenizer or DATASETS[config.name].tokenizer]
        opened = tokenised(opened, row.make(_making(opened, config, folder, downloads)))
    write_corpus(opened, folder, f"tokens of {config.name}", downloads.on_progress)


def _making(text: Text, config: DataConfig, folder: Path, downloads: Downloads) -> Making:
    """What a tokenizer of `text` is made from; as it reads, progress is told."""

    def read(part: Pieces) -> Pieces:
        return told(part, f"reading {config.name}", text.size_bytes, downloads.on_progress)

    return Making(
        read(text.train),
        config.vocab_size,
        folder.parent,
        replace(downloads, urls=None),
        read(lambda: chain(text.held_out(), text.test() if text.test else ())),
    )
