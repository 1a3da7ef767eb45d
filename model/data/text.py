"""The data set `text`: any UTF-8 file of the user's, `data.path=FILE`."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from model.data.config import DataConfig
from model.data.errors import DataError

# Half of a tenth is for validation: over 1,000 characters the mean loss has a standard error of some 0.07
# nats; with fewer, no difference between two recipes would show.
MIN_CHARACTERS = 20_000
# Control characters, and U+FFFD, which stands for what could not be decoded: more than these are no text.
MOST_NO_TEXT = 0.1

_PDF = "a PDF"
# How files begin that are not text, and what they are. UTF-32 before UTF-16, whose mark it begins with. A
# text may begin with the letters of some of them.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", _PDF),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PK\x03\x04", "a zip archive (or a document in one, such as docx or epub)"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
)
_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_LOOKED_AT_BYTES = 4096  # a multiple of four
_FEW_BLOCKS = 8
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]")


def read_text(config: DataConfig) -> str:
    """The text of the file `config.path`; a relative path is relative to the current folder, `~` is the home.

    A byte order mark is dropped and line ends of Windows and old Macs become `\\n`: nothing to learn there.
    Raises `DataError`, one line, for a file that is not there, cannot be read, is not UTF-8, is evidently no
    text, or is too short.
    """
    if not config.path:
        raise DataError("data=text: expected a UTF-8 text file, got no path; type data.path=FILE")
    path = Path(os.path.expanduser(config.path))
    data = _read_bytes(path)
    if kind := _kind_of(data):
        raise DataError(f"data.path={path}: expected a UTF-8 text file, got {kind}")
    text = _decode(path, data).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if problem := _no_text(text):
        raise DataError(f"data.path={path}: expected text, got {problem}; type data.path=FILE with another")
    if len(text) < MIN_CHARACTERS:
        raise DataError(
            f"data.path={path}: expected at least {MIN_CHARACTERS:,} characters (a twentieth is for "
            f"validation), got {len(text):,}; type data.path=FILE with a longer text"
        )
    return text


def _kind_of(data: bytes) -> str:
    """What a file is that is evidently no UTF-8 text, and what to do with it; empty where it may be one."""
    kind = next((kind for beginning, kind in _BEGINNINGS if data.startswith(beginning)), "")
    if kind == _PDF or (kind and not _is_utf8(data)):
        return f"{kind}; {_remedy(kind)}"
    nul = data.find(b"\0")
    if nul < 0:
        return ""
    if encoding := _wide_encoding(data[: min(_LOOKED_AT_BYTES, len(data) // 4 * 4)]):
        return f"{encoding} without a byte order mark; {_remedy(encoding)}"
    return f"a NUL byte at offset {nul:,}, which no text has; type data.path=FILE with another"


def _remedy(kind: str) -> str:
    if kind.startswith("UTF"):
        return "save the file as UTF-8"
    return "unpack it first" if "archive" in kind else "type data.path=FILE with a text"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _wide_encoding(data: bytes) -> str:
    """UTF-32 or UTF-16 where the bytes are letters in one of these, from few of the blocks of 256 characters;
    else empty."""
    for encoding in _ENCODINGS if 0 in data else ():
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        blocks = {ord(character) >> 8 for character in text}
        if len(blocks) <= _FEW_BLOCKS and "\0" not in text and 2 * sum(map(str.isalnum, text)) > len(text):
            return encoding[:6].upper()
    return ""


def _no_text(text: str) -> str:
    """Why decoded characters are evidently no text; empty where they may be one."""
    if not text:
        return "an empty file"
    if text.isspace():
        return "nothing but white space"
    if len(text) >= MIN_CHARACTERS and text.count(text[0]) == len(text):
        return f"one character, {text[0]!r}, and nothing else"
    share = len(_NO_TEXT.findall(text)) / len(text)
    if share > MOST_NO_TEXT:
        return f"{100 * share:.0f} % control characters or characters that could not be decoded"
    return ""


def _read_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "something that is not a plain file"
            raise DataError(f"data.path={path}: expected a UTF-8 text file, got {kind}; type data.path=FILE")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"data.path={path}: expected a UTF-8 text file, found nothing there (looked from {Path.cwd()}); "
            "type data.path=FILE"
        ) from error
    except OSError as error:
        raise DataError(
            f"data.path={path}: expected a file that can be read, got '{error.strerror}'; "
            "change its permissions, or type data.path=FILE with another"
        ) from error


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"data.path={path}: expected UTF-8 text, got byte 0x{data[error.start]:02x} "
            f"at offset {error.start}; save the file as UTF-8"
        ) from error
