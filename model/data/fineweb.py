"""The data set `fineweb`: the nanoGPT speed-run's, FineWeb's sample of 10 billion tokens, in shards of 100
million.

Published as GPT-2 tokens: 256 int32 (magic, version, how many tokens, zeros), then uint16, each document
opened by the end-of-text token. `fineweb.txt` pins the shards at one revision (their Git LFS object ids);
`data.shards` of them are for training, 0.2 GB each, and once more in the cache as one file. Held out is what
the speed-run validates on; nothing is published for testing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.data.config import DataConfig
from model.data.corpus import Tokens
from model.data.download import Downloads, RemoteFile
from model.data.errors import DataError
from model.data.tokenizer.gpt2 import load_gpt2

REVISION = "889765ea1f903759787add96995d81171b632d0c"
HELD_OUT_TOKENS = 10_485_760  # that have one before them
_URL = f"https://huggingface.co/datasets/kjj0/fineweb10B-gpt2/resolve/{REVISION}"
_HEADER = np.dtype("<i4"), 256
_MAGIC, _VERSION = 20240520, 1
_TOKENS_AT_ONCE = 2**23


def open_tokens(config: DataConfig, downloads: Downloads) -> Tokens:
    """The held-out shard and the first `config.shards` for training, downloaded as they are asked for.

    Raises `DataError` where there are not so many, they cannot be downloaded, or GPT-2's vocabulary, which
    tells how many bytes of text a token is, cannot be had.
    """
    shards = published()
    check(config, shards)
    return tokens_of(shards[: config.shards + 1], downloads)


def sha256(config: DataConfig) -> str:
    """The digest of the lines `SHA256 NAME` of the shards that are used, the held-out one first."""
    shards = published()
    check(config, shards)
    return shards_sha256(shards[: config.shards + 1])


def published() -> tuple[RemoteFile, ...]:
    """The held-out shard, and those for training in order."""
    lines = Path(__file__).with_name("fineweb.txt").read_text(encoding="ascii").split("\n")
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return tuple(
        RemoteFile(
            name=f"fineweb/{name}",
            size_bytes=int(size_bytes),
            sha256=digest,
            urls=(f"{_URL}/{name}",),
            otherwise="type data.urls=[FOLDER/] for another mirror, or data=text data.path=FILE for your own",
        )
        for digest, size_bytes, name in rows
    )


def check(config: DataConfig, shards: Sequence[RemoteFile]) -> None:
    """Raises `DataError` for more shards than there are, and for addresses that are no folder of them."""
    most = len(shards) - 1
    if config.shards > most:
        raise DataError(
            f"data.shards={config.shards}: expected 1 to {most}, all there are; type data.shards={most}"
        )
    if not all(url.endswith("/") for url in config.urls or ()):
        raise DataError(
            "data.urls: data=fineweb is many files and expects folders, addresses that end in /; "
            f"got {', '.join(config.urls or ())}"
        )


def shards_sha256(shards: Sequence[RemoteFile]) -> str:
    lines = "".join(f"{shard.sha256}  {Path(shard.name).name}\n" for shard in shards)
    return hashlib.sha256(lines.encode()).hexdigest()


def tokens_of(
    shards: Sequence[RemoteFile], downloads: Downloads, held_out_tokens: int = HELD_OUT_TOKENS
) -> Tokens:
    """The tokens of `shards`, the first of which is held out. Raises as `open_tokens`."""
    tokenizer = load_gpt2(replace(downloads, urls=None))
    token_bytes = tokenizer.token_bytes

    def part(files: Sequence[RemoteFile], limit: int | None) -> Iterator[tuple[npt.NDArray[np.uint16], int]]:
        for file in files:
            ids = read_shard(downloads.get(file))[:limit]
            for start in range(0, len(ids), _TOKENS_AT_ONCE):
                chunk = ids[start : start + _TOKENS_AT_ONCE]
                yield chunk, int(token_bytes[chunk].sum())

    return Tokens(
        sha256=shards_sha256(shards),
        tokenizer=tokenizer.label,
        vocabulary=tokenizer.vocabulary,
        train=lambda: part(shards[1:], None),
        held_out=lambda: part(shards[:1], held_out_tokens + 1),
        size_bytes=None,
    )


def read_shard(path: Path) -> npt.NDArray[np.uint16]:
    """The token ids of a shard, mapped. Raises `DataError` for a file that is none."""
    dtype, words = _HEADER
    header = np.fromfile(path, dtype=dtype, count=words)
    n = (path.stat().st_size - words * dtype.itemsize) // 2
    if len(header) < words or (header[0], header[1], header[2]) != (_MAGIC, _VERSION, n):
        raise DataError(
            f"{path}: expected a shard (magic {_MAGIC}, version {_VERSION}, as many tokens as it says), "
            f"got {header[:3].tolist()}; remove it, and it is downloaded again"
        )
    return np.memmap(path, dtype="<u2", mode="r", offset=words * dtype.itemsize, shape=(n,))
