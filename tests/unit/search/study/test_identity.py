"""What a person reads where a study was begun with other settings."""

from pathlib import Path

import pytest
from records_factory import make_record
from search.identity import check_records

from search.errors import UserError

PATH = Path("records.jsonl")


def test_of_many_changes_a_few_are_named_and_none_at_length() -> None:
    ours = {"baseline": {f"key_{number}": "x" * 500 for number in range(30)}}
    theirs = {"baseline": {f"key_{number}": "y" for number in range(30)}}
    with pytest.raises(UserError, match=r"key_0: .*; 26 more\); type study\.name=OTHER") as refused:
        check_records(ours, theirs, [make_record(0)], PATH, None)
    assert len(str(refused.value)) < 700


def test_an_identity_that_says_nothing_is_a_lost_one_and_the_records_are_asked() -> None:
    for written, asked in (({}, r"trial 0 of records\.jsonl"), ({"threads": 2}, "study ")):
        with pytest.raises(UserError, match=f"^{asked}"):
            check_records({"threads": 1}, written, [make_record(0)], PATH, None)
