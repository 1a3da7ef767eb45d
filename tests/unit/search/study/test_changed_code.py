"""A study that goes on with other code than trained its baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from records_factory import make_record

from search.config.schema import ALLOW, REFUSE
from search.errors import UserError
from search.record.flags import Flag
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.study.changed_code import changes, check_code, marked


def by(digest: str | None, commit: str | None = "1111111199", torch: str | None = "2.13.0") -> dict[str, Any]:
    code = {"training_sha256": digest, "git_commit": commit, "git_dirty": digest == "dirty"}
    return {"code": code, "software": {"torch": torch}}


def run(number: int, provenance: dict[str, Any], **changed: Any) -> Record:
    return replace(make_record(number), provenance=provenance, **changed)


BEGUN = [run(0, by("a")), run(1, by("a"))]


@pytest.mark.parametrize("now", [by("a"), by("a", commit="2222222299"), by(None), {}])
def test_a_study_goes_on_where_what_trains_is_the_same_or_unknown(now: dict[str, Any]) -> None:
    assert check_code(now, BEGUN, "a study", REFUSE) is None
    assert check_code(now, [run(0, {}), run(1, {})], "a study", REFUSE) is None


def test_a_study_without_a_baseline_goes_on_with_any_code() -> None:
    failed = run(0, by("a"), outcome=Outcome.CRASHED)
    assert check_code(by("b"), [], "a study", REFUSE) is None
    assert check_code(by("b"), [failed], "a study", REFUSE) is None


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (by("b", commit="2222222299"), "commit 11111111, now commit 22222222"),
        (by("dirty"), "commit 11111111, now commit 11111111 with uncommitted changes"),
        (by("b", commit=None), "commit 11111111, now digest b"),
        (by("a", torch="2.11.0"), "torch 2.13.0, now 2.11.0"),
    ],
)
def test_other_code_is_refused_in_a_line_that_says_what_to_type(now: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_code(now, BEGUN, "a study", REFUSE)
    assert said in str(caught.value)
    assert "study.on_change=allow" in str(caught.value)
    assert "\n" not in str(caught.value)
    allowed = check_code(now, BEGUN, "a study", ALLOW)
    assert allowed is not None
    assert said in allowed


def test_a_run_of_other_code_is_marked_and_one_of_the_same_is_not() -> None:
    assert marked(run(2, by("a")), BEGUN).flags == BEGUN[1].flags
    assert Flag.CODE_CHANGED in marked(run(2, by("b")), BEGUN).flags
    assert Flag.CODE_CHANGED in marked(run(2, by("a", torch="2.11.0")), BEGUN).flags


def test_the_code_that_counts_is_that_of_the_first_baseline() -> None:
    """Its repetition by other code changes nothing; nor does a run that only looks for the target."""
    again = run(3, by("b"), role=Role.BASELINE)
    assert Flag.CODE_CHANGED in marked(run(4, by("b")), [*BEGUN, again]).flags
    target = run(0, by("a"), role=Role.TARGET)
    with pytest.raises(UserError):
        check_code(by("b"), [target], "a study", REFUSE)


def test_what_one_of_the_two_does_not_know_is_no_difference() -> None:
    assert changes(by("a", torch=None), by("a")) == []
    assert changes({"code": None}, by("a")) == []
