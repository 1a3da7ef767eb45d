import pytest

from model.config import DataConfig
from model.data import DATASETS, DataError, load
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


@pytest.mark.parametrize("length", [0, MIN_CHARACTERS - 1])
def test_a_text_too_short_to_validate_on_is_refused_with_its_length(file, length):
    file.write_text(TEXT[:length], encoding="utf-8")
    assert f"at least {MIN_CHARACTERS:,} characters (a tenth is for validation), got {length:,}" in refusal(
        file
    )


def test_a_dataset_that_is_not_in_the_table_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(DataError, match=f"expected one of {', '.join(DATASETS)}, got 'shakespear'"):
        load(DataConfig(name="shakespear"), tmp_path)
