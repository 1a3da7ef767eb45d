from __future__ import annotations

from search.record.outcome import Outcome


def test_every_outcome_has_advice_of_its_own_on_one_line() -> None:
    advice = [outcome.advice for outcome in Outcome]
    assert all(text and "\n" not in text for text in advice)
    assert len(set(advice)) == len(advice)


def test_only_a_crashed_or_unmeasured_run_does_not_complete() -> None:
    assert {outcome for outcome in Outcome if not outcome.completes} == {
        Outcome.CRASHED,
        Outcome.UNMEASURED,
    }
