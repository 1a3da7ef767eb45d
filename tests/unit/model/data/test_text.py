import bz2
import gzip
import lzma
import random

import pytest

from model.data import DATASETS, DataError, load
from model.data.config import DataConfig
from model.data.text import MIN_CHARACTERS, read_text

TEXT = "To be, or not to be.\n" * (MIN_CHARACTERS // 21 + 1)


def read(path):
    return read_text(DataConfig(name="text", path=str(path)))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_utf8_file_is_read_as_it_is(file):
    text = TEXT + "“Œuvre”\t\x0b — \N{GRINNING FACE}"
    file.write_text(text, encoding="utf-8")
    assert read(file) == text


def test_a_byte_order_mark_is_dropped(file):
    file.write_text(TEXT, encoding="utf-8-sig")
    assert read(file) == TEXT


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_become_newlines(file, line_end):
    file.write_bytes(TEXT.replace("\n", line_end).encode())
    assert read(file) == TEXT


def test_a_leading_tilde_is_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert read("~/text.txt") == TEXT


def test_a_relative_path_is_relative_to_the_current_folder(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert read("text.txt") == TEXT


def refusal(path):
    with pytest.raises(DataError) as error:
        read_text(DataConfig(name="text", path=path and str(path)))
    message = str(error.value)
    assert "\n" not in message
    assert "expected" in message
    return message


@pytest.mark.parametrize("path", [None, ""])
def test_no_path_is_refused(path):
    assert "got no path; type data.path=FILE" in refusal(path)


def test_a_missing_file_is_refused_with_the_folder_it_was_looked_for_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal("nowhere.txt")
    assert "nowhere.txt" in message
    assert str(tmp_path) in message


def test_a_folder_is_refused(tmp_path):
    assert "got a folder" in refusal(tmp_path)


def test_a_device_is_refused_before_it_is_read():
    assert "not a plain file" in refusal("/dev/zero")


def test_a_file_that_cannot_be_read_is_refused_with_the_systems_reason(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in refusal(tmp_path / "loop")


def test_a_file_that_is_not_utf8_is_refused_with_the_byte_and_its_offset(file):
    file.write_bytes(b"caf\xe9 " + TEXT.encode())
    assert "byte 0xe9 at offset 3" in refusal(file)


def test_what_may_be_text_is_read(file):
    """Of a log with colours, a text that begins as some archives do, a stray U+FFFD."""
    for text in (
        "\x1b[31mred\x1b[0m, and not so red\f\n" * 999,
        "BZh, GIF8 and PAR1 " + TEXT,
        TEXT + "\ufffd",
    ):
        file.write_text(text, encoding="utf-8")
        assert read(file) == text


NO_TEXT = {
    "nothing": (b"", "an empty file"),
    "a byte order mark": (b"\xef\xbb\xbf", "an empty file"),
    "white space": (b" \n\t" * 9_999, "nothing but white space"),
    "white space of other scripts": ("\u3000\u00a0\n".encode() * 9_999, "nothing but white space"),
    "one character": (b"a" * 99_999, "one character, 'a'"),
    "a NUL byte": (TEXT.encode() + b"\0" + TEXT.encode(), f"a NUL byte at offset {len(TEXT.encode()):,}"),
    "zeros": (bytes(99_999), "a NUL byte at offset 0"),
    "UTF-16 with its mark": (TEXT.encode("utf-16"), "UTF-16; save the file as UTF-8"),
    "UTF-16 of the other order with its mark": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16; save"),
    "UTF-32 with its mark": (TEXT.encode("utf-32"), "UTF-32; save the file as UTF-8"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "UTF-16 without a byte order mark; save"),
    "UTF-16 of the other order": (TEXT.encode("utf-16-be"), "UTF-16 without a byte order mark"),
    "UTF-32 without a mark": (TEXT.encode("utf-32-le"), "UTF-32 without a byte order mark"),
    "UTF-32 of the other order": (TEXT.encode("utf-32-be"), "UTF-32 without a byte order mark"),
    "UTF-16 of another script": ("Пусть так и будет. ".encode("utf-16-le") * 2_000, "UTF-16 without"),
    "UTF-16 without a space": ("Привет".encode("utf-16-le") * 9_999, "% control characters"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 200, "a PNG image"),
    "a JPEG": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 200, "a JPEG image"),
    "a gzip file": (gzip.compress(TEXT.encode()), "a gzip archive; unpack it first"),
    "a bzip2 file": (bz2.compress(TEXT.encode()), "a bzip2 archive; unpack it first"),
    "an xz file": (lzma.compress(TEXT.encode()), "an xz archive; unpack it first"),
    "a zip file": (b"PK\x03\x04" + bytes(99_999), "a zip archive"),
    "a PDF": (b"%PDF-1.4\n" + TEXT.encode(), "a PDF"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(99_999), "a program"),
    "control characters": (bytes(range(1, 33)) * 999, "control characters"),
    "what was decoded wrongly": (("caf\ufffd " * 9_999).encode(), "control characters or characters that"),
    "Latin-1": (("café " * 9_999).encode("latin-1"), "byte 0xe9 at offset 3; save the file as UTF-8"),
    "chance": (random.Random(0).randbytes(99_999), ""),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_evidently_no_text_is_refused_with_what_it_is(name, file):
    content, said = NO_TEXT[name]
    file.write_bytes(content)
    message = refusal(file)
    assert message.startswith(f"data.path={file}: expected ")
    assert said in message


@pytest.mark.parametrize("length", [1, MIN_CHARACTERS - 1])
def test_a_text_too_short_to_validate_on_is_refused_with_its_length(file, length):
    file.write_text(TEXT[:length], encoding="utf-8")
    assert (
        f"at least {MIN_CHARACTERS:,} characters (a twentieth is for validation), got {length:,}"
        in refusal(file)
    )


def test_a_dataset_that_is_not_in_the_table_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(DataError, match=f"expected one of {', '.join(DATASETS)}, got 'shakespear'"):
        load(DataConfig(name="shakespear"), tmp_path)
