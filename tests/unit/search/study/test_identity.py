"""Whose records they are, and what a person reads where a study was begun with other settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records_factory import make_record

from model.config import RunConfig
from search.errors import UserError
from search.record.outcome import Role
from search.study.identity import begun_with, check_records, known_part, of_this_version

PATH = Path("records.jsonl")
RECORD = make_record(0)


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


def test_a_record_says_enough_to_be_told_from_one_of_another_study() -> None:
    theirs = begun_with(RECORD)
    ours = theirs | {"space": {}, "study_seed": 0}
    assert known_part(ours, theirs) == theirs
    for change in ({"target_loss": 9.0}, {"data_sha256": "0"}, {"objectives": ["parameters"]}):
        assert known_part(ours | change, theirs) != theirs


def test_what_a_record_of_another_version_lacks_is_not_held_against_it() -> None:
    theirs = begun_with(replace(RECORD, provenance={}))
    assert "data_sha256" not in theirs
    ours = begun_with(RECORD) | {"baseline": begun_with(replace(RECORD, role=Role.BASELINE))["baseline"]}
    ours["baseline"]["model"] = ours["baseline"]["model"] | {"new": 1}
    assert known_part(ours, theirs) == theirs


def test_a_setting_that_the_version_before_did_not_have_has_its_default() -> None:
    now = of_this_version({"baseline": {"model": {"n_layer": 2}, "train": {}}})["baseline"]
    assert now["model"]["n_layer"] == 2
    assert now["model"]["attention_window"] == RunConfig().model.attention_window
    check_records({"baseline": now}, {"baseline": {"model": {"n_layer": 2}, "train": {}}}, [], PATH, None)
    changed = {"baseline": {**now, "model": now["model"] | {"attention_window": 7}}}
    with pytest.raises(UserError, match=r"baseline\.model\.attention_window: 32 -> 7"):
        check_records(changed, {"baseline": {"model": {"n_layer": 2}, "train": {}}}, [RECORD], PATH, None)
