"""Whose records they are."""

from __future__ import annotations

from dataclasses import replace

from records_factory import make_record

from search.study.identity import begun_with, known_part

RECORD = make_record(0)


def test_a_record_says_enough_to_be_told_from_one_of_another_study() -> None:
    theirs = begun_with(RECORD)
    ours = theirs | {"space": {}, "study_seed": 0}
    assert known_part(ours, theirs) == theirs
    for change in ({"target_loss": 9.0}, {"data_sha256": "0"}, {"objectives": ["parameters"]}):
        assert known_part(ours | change, theirs) != theirs


def test_what_a_record_of_another_version_lacks_is_not_held_against_it() -> None:
    theirs = begun_with(replace(RECORD, provenance={}))
    assert "data_sha256" not in theirs
    ours = begun_with(RECORD) | {"baseline": begun_with(replace(RECORD, role="baseline"))["baseline"]}
    ours["baseline"]["model"] = ours["baseline"]["model"] | {"new": 1}
    assert known_part(ours, theirs) == theirs
