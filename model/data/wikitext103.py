"""The data set `wikitext103`: 28,475 articles of Wikipedia with their words as they are, 0.5 GB; held out
is its own validation part. Its own test part is read where `data.split=published`.

Merity, Xiong, Bradbury and Socher, "Pointer sentinel mixture models", 2016; the "raw" variant. The text is CC
BY-SA. The archive's first address is gone, and several projects pin this digest from the time when it was
there.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from model.data.config import PUBLISHED, DataConfig
from model.data.download import Downloads, RemoteFile
from model.data.text_parts import Pieces, Text, pieces

FILE = RemoteFile(
    name="wikitext103/wikitext-103-raw-v1.zip",
    size_bytes=191_984_949,
    sha256="91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794",
    urls=(
        "https://huggingface.co/datasets/mattdangerw/wikitext-103-raw/resolve/"
        "3555105b17ae31cc619a136fac72dbe2865c3738/wikitext-103-raw-v1.zip",
        "https://wikitext.smerity.com/wikitext-103-raw-v1.zip",
        "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-raw-v1.zip",
    ),
    otherwise="type data.urls=[ADDRESS] for another mirror, or data=text data.path=FILE for your own",
)
_TRAIN, _HELD_OUT, _TEST = (f"wikitext-103-raw/wiki.{part}.raw" for part in ("train", "valid", "test"))


def open_text(config: DataConfig, downloads: Downloads) -> Text:
    """The text, read from the archive piece by piece. Raises `DataError` where it cannot be downloaded."""
    return text_of(downloads.get(FILE), FILE.sha256, with_test=config.split == PUBLISHED)


def text_of(archive: Path, sha256: str, with_test: bool = False) -> Text:
    """The text in `archive`, whose digest is `sha256`; `with_test` its own test part too."""
    names = [_TRAIN, _HELD_OUT, *([_TEST] if with_test else [])]
    with zipfile.ZipFile(archive) as there:
        size_bytes = sum(there.getinfo(name).file_size for name in names)
    return Text(
        sha256=sha256,
        train=_member(archive, _TRAIN),
        held_out=_member(archive, _HELD_OUT),
        size_bytes=size_bytes,
        test=_member(archive, _TEST) if with_test else None,
    )


def _member(archive: Path, name: str) -> Pieces:
    def read() -> Iterator[str]:
        with zipfile.ZipFile(archive) as there, there.open(name) as raw:
            yield from pieces(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))

    return read
