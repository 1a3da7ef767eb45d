from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record, make_study

from search.files.records import RecordsError, append_record, check_appendable, read_records
from search.files.whole_file import FileError, write_atomically
from search.record.record import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def append_all(path: Path, records: list[Record]) -> None:
    for record in records:
        append_record(path, record)


def test_records_come_back_as_they_were_appended(path: Path) -> None:
    records = make_study()
    append_all(path, records)
    assert read_records(path) == (records, path.stat().st_size)


def test_every_record_is_one_line_of_strict_json(path: Path) -> None:
    append_all(path, [make_record(1, best_loss=math.nan, loss_gap=math.inf), make_record(2, reason="a\nb")])
    lines = path.read_text().split("\n")
    assert lines[-1] == ""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert [json.loads(line, parse_constant=refuse)["trial"] for line in lines[:-1]] == [1, 2]


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_no_number_comes_back_as_it_was(path: Path, loss: float) -> None:
    append_record(path, make_record(1, best_loss=loss))
    ((record,), _) = read_records(path)
    assert record.best_loss is not None
    assert str(record.best_loss) == str(loss)


def test_a_torn_last_line_is_left_out_and_lies_beyond_the_valid_length(path: Path) -> None:
    append_all(path, [make_record(1), make_record(2)])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[:-40])
    assert read_records(path) == ([make_record(1)], first)


def test_appending_after_a_torn_line_cuts_it_off(path: Path) -> None:
    append_record(path, make_record(1))
    with path.open("ab") as file:
        file.write(b'{"schema": 1, "stu')
    append_record(path, make_record(2))
    assert read_records(path) == ([make_record(1), make_record(2)], path.stat().st_size)


@given(cut=st.integers(min_value=0, max_value=20_000))
def test_wherever_a_write_was_cut_the_next_append_loses_no_earlier_record(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "records.jsonl"
    append_all(path, [make_record(1), make_record(2)])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    kept = max(first, min(len(whole), first + cut))
    path.write_bytes(whole[:kept])
    append_record(path, make_record(3))
    trials = [record.trial for record in read_records(path)[0]]
    assert trials == ([1, 2, 3] if kept >= len(whole) - 1 else [1, 3])


def test_a_whole_last_line_without_its_newline_is_kept(path: Path) -> None:
    append_record(path, make_record(1))
    path.write_bytes(path.read_bytes()[:-1])
    assert [record.trial for record in read_records(path)[0]] == [1]
    append_record(path, make_record(2))
    assert [record.trial for record in read_records(path)[0]] == [1, 2]


def test_a_torn_line_longer_than_one_read_is_found(path: Path) -> None:
    append_record(path, make_record(1))
    with path.open("ab") as file:
        file.write(b'{"reason": "' + b"x" * 200_000)
    append_record(path, make_record(2))
    assert [record.trial for record in read_records(path)[0]] == [1, 2]


@pytest.mark.parametrize("garbage", [b"\0" * 512, b"\xff\xfe{", b'{"schema": 1,', b'{"schema\0\0"}\n'])
def test_a_last_line_without_an_end_that_is_not_json_counts_as_torn(path: Path, garbage: bytes) -> None:
    append_record(path, make_record(1))
    valid = path.stat().st_size
    with path.open("ab") as file:
        file.write(garbage)
    assert read_records(path) == ([make_record(1)], valid)
    append_record(path, make_record(2))
    assert [record.trial for record in read_records(path)[0]] == [1, 2]


def test_a_corrupt_line_in_the_middle_is_an_error_that_names_it(path: Path) -> None:
    append_all(path, [make_record(1), make_record(2), make_record(3)])
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:100]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(RecordsError, match=r"records\.jsonl, line 2: expected a JSON record"):
        read_records(path)


@pytest.mark.parametrize("line", ['{"schema": 2}', "[1]", '{"schema": 1}'])
def test_a_last_line_of_another_schema_is_an_error_and_not_a_torn_line(path: Path, line: str) -> None:
    append_record(path, make_record(1))
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordsError, match="line 2"):
        read_records(path)


def test_a_record_that_json_cannot_hold_leaves_the_file_as_it_was(path: Path) -> None:
    append_record(path, make_record(1))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        append_record(path, make_record(2, params={"x": object()}))
    assert path.read_bytes() == before


def test_an_empty_file_holds_no_records(path: Path) -> None:
    path.touch()
    assert read_records(path) == ([], 0)


def test_a_file_that_a_record_can_be_added_to_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    check_appendable(path)
    assert not path.exists()
    append_record(path, make_record())
    with path.open("ab") as file:
        file.write(b'{"schema": 1, "stu')  # the trace of a process that died
    before = path.read_bytes()
    check_appendable(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["one line", "# A title\n\nSome text.\n", "a,b\n1,2\n", "\n\nend"])
def test_a_file_that_holds_something_else_is_refused_before_its_last_line_is_lost(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "README.md"
    path.write_text(content)
    with pytest.raises(RecordsError, match=r"README\.md"):
        check_appendable(path)
    assert path.read_text() == content


def test_a_folder_a_device_and_a_place_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="got a folder"):
        check_appendable(tmp_path)
    with pytest.raises(RecordsError, match="got a device"):
        check_appendable(Path("/dev/null"))
    with pytest.raises(OSError, match="No such file"):
        check_appendable(tmp_path / "nowhere" / "x.jsonl")


def test_a_full_disk_is_found_and_leaves_no_file(tmp_path: Path) -> None:
    """Where a process may write no more than so many bytes to a file, it cannot make room either."""
    code = (
        "import resource, sys; from pathlib import Path; from search.files.records import check_appendable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: check_appendable(Path(sys.argv[1]))\n"
        "except OSError as error: print(error.strerror)"
    )
    path = tmp_path / "records.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "too large" in done.stdout
    assert not path.exists()


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("garbage", [b"garbage\n", b"\xff\xfe\x00\n\x80\n", b'{"schema": 1,\n', b"]\n"])
def test_a_garbage_line_is_an_error_wherever_it_stands(path: Path, garbage: bytes, where: int) -> None:
    append_all(path, [make_record(1), make_record(2)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:where], garbage, *lines[where:]]))
    if where == 2 and b"\0" in garbage:
        pytest.skip("zeros at the end are what a crash of the machine leaves")
    with pytest.raises(
        RecordsError, match=rf"records\.jsonl, line {where + 1}: expected a JSON record"
    ) as caught:
        read_records(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_never_held_a_record_is_not_taken_for_a_torn_line(path: Path) -> None:
    for content in (b"PK\x03\x04\x14\x00\x06\x00 a picture", b"some notes of mine, without an end"):
        path.write_bytes(content)
        with pytest.raises(RecordsError, match="line 1"):
            read_records(path)
        with pytest.raises(RecordsError, match="last line"):
            append_record(path, make_record(1))
        assert path.read_bytes() == content


def test_what_is_not_ours_at_the_end_of_a_file_is_not_cut_off(path: Path) -> None:
    append_record(path, make_record(1))
    with path.open("a") as file:
        file.write("a line of somebody else\n")
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="somebody else"):
        append_record(path, make_record(2))
    assert path.read_bytes() == before


def test_a_record_that_stands_there_twice_is_an_error(path: Path) -> None:
    append_all(path, [make_record(1), make_record(2), make_record(1)])
    with pytest.raises(RecordsError, match="line 3: repeats line 1, run run-0001; drop one of them"):
        read_records(path)


@pytest.mark.parametrize("field", ["meter", "ledger", "curve", "flags", "outcome", "also"])
@pytest.mark.parametrize("value", [5, "text", [5], {"a": 5}])
def test_a_record_with_a_field_of_another_shape_is_an_error_of_one_line(
    path: Path, field: str, value: object
) -> None:
    content = make_record(1).to_dict() | {field: value}
    path.write_text(json.dumps(content) + "\n")
    if field == "flags" and isinstance(value, list | dict | str):
        return
    with pytest.raises(RecordsError, match="line 1"):
        read_records(path)


def test_a_folder_in_the_files_place_is_named(path: Path) -> None:
    path.mkdir()
    for attempt in (lambda: read_records(path), lambda: append_record(path, make_record(1))):
        with pytest.raises(FileError, match=r"records\.jsonl cannot be (read|written): it is a folder"):
            attempt()


def test_a_full_disk_names_the_file_and_leaves_it_as_it_was(path: Path) -> None:
    append_record(path, make_record(1))
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(
            FileError, match=r"records\.jsonl cannot be written: (the disk is full|it is larger)"
        ):
            append_record(path, make_record(2))
        with pytest.raises(FileError, match=r"other\.json cannot be written"):
            write_atomically(path.with_name("other.json"), "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["records.jsonl"]


def test_a_trial_below_zero_is_an_error_that_names_its_line(path: Path) -> None:
    append_record(path, make_record(0))
    append_record(path, make_record(-7))
    with pytest.raises(RecordsError, match=r"line 2: trial must be 0 or more, got -7"):
        read_records(path)
