from __future__ import annotations

from typing import Any

import pytest
from records_factory import (
    BASELINE,
    make_record,
    unmeasured,
)
from report_page import view_of

from search.record.outcome import Outcome
from search.report.findings.importance import importance_words
from search.report.view.importance import MIN_TRIALS, parameter_importance


def test_the_parameter_that_decides_the_energy_is_the_most_important() -> None:
    records = [
        make_record(n, energy_j=5.0 + n, params={"lr": 1e-3 * 1.6**n, "noise": (n * 7) % 5, "same": 1})
        for n in range(1, 13)
    ]
    found = parameter_importance(view_of(*records))
    assert list(found.shares) == ["lr", "noise"]
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_importance_leaves_out_the_baseline_and_trials_without_values() -> None:
    reached = [make_record(n, energy_j=5.0 + n, params={"lr": n * 1e-3}) for n in range(1, MIN_TRIALS)]
    others = [
        BASELINE,
        unmeasured(52, "frozen"),
    ]
    found = parameter_importance(view_of(*reached, *others))
    assert (found.shares, found.trials) == ({}, MIN_TRIALS - 1)
    assert f"{MIN_TRIALS - 1} of {MIN_TRIALS - 1} trials reached" in importance_words(found)


def test_a_trial_short_of_the_target_counts_as_worse_however_little_it_had_spent() -> None:
    """Its values are lower bounds: those that reached it differ from it by `lr` alone."""
    reached = [make_record(n, energy_j=50.0 + n, params={"lr": 1e-3, "noise": n % 3}) for n in range(1, 5)]
    short = [
        make_record(n, energy_j=1.0, outcome=Outcome.DOMINATED, params={"lr": 1e-1, "noise": n % 3})
        for n in range(5, 13)
    ]
    found = parameter_importance(view_of(*reached, *short))
    assert found.trials == 12
    assert next(iter(found.shares)) == "lr"


def test_importance_needs_a_few_trials_that_reached_the_target() -> None:
    reached = [make_record(1, params={"lr": 1e-3}), make_record(2, params={"lr": 2e-3})]
    short = [make_record(n, outcome=Outcome.DOMINATED, params={"lr": n * 1e-3}) for n in range(3, 14)]
    found = parameter_importance(view_of(*reached, *short))
    assert found.shares == {}
    assert "2 of 13 trials reached the target" in importance_words(found)


@pytest.mark.parametrize(
    ("energies", "params", "why"),
    [
        ([5.0] * 9, [{"lr": float(n)} for n in range(9)], "all cost the same"),
        ([5.0 + n for n in range(9)], [{"lr": 1.0}] * 9, "no parameter varies"),
        ([5.0 + n for n in range(9)], [{f"p{n}": n} for n in range(9)], "no parameter varies"),
    ],
)
def test_importance_that_cannot_be_computed_says_why(
    energies: list[float], params: list[dict[str, Any]], why: str
) -> None:
    records = [
        make_record(n + 1, energy_j=e, params=p)
        for n, (e, p) in enumerate(zip(energies, params, strict=True))
    ]
    found = parameter_importance(view_of(*records))
    assert found.shares == {}
    assert why in importance_words(found)


def test_importance_takes_categories_lists_and_missing_values_as_they_come() -> None:
    kinds: list[Any] = ["muon", None, [1, 2], True]
    records = [make_record(n, energy_j=5.0 + n, params={"mixed": kinds[n % 4], "n": n}) for n in range(1, 13)]
    assert set(parameter_importance(view_of(*records)).shares) == {"mixed", "n"}
