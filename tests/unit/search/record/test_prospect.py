"""What one more trial is expected to save, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.outcome import Outcome, Role
from search.record.prospect import FIRST_GUESS, RECENT, prospect
from search.record.record import Record


def trial(number: int, energy_j: float, reached: bool = True, role: Role = Role.SEARCH) -> Record:
    outcome = Outcome.REACHED if reached else Outcome.OUT_OF_BUDGET
    return make_record(number, energy_j=energy_j, time_s=energy_j / 5, outcome=outcome, role=role)


def search(energies_j: Sequence[float | None]) -> list[Record]:
    """Trials that reached the target for so many joules, or (None) missed it for 40."""
    return [
        trial(number, 40.0 if energy_j is None else energy_j, reached=energy_j is not None)
        for number, energy_j in enumerate(energies_j)
    ]


def test_nothing_is_said_before_enough_trials_followed_the_first_that_reached_the_target() -> None:
    assert prospect(search([None] * 50)) is None
    assert prospect(search([None, 50.0] + [60.0] * (RECENT - 1))) is None
    assert prospect(search([None, 50.0] + [60.0] * RECENT)) is not None


def test_the_saving_is_the_share_of_improvements_times_what_they_brought() -> None:
    found = prospect(search([100.0] + [None] * (RECENT - 2) + [80.0, 60.0]))
    assert found is not None
    assert (found.improvements, found.trials) == (2, RECENT)
    gain = (FIRST_GUESS + 0.2 + 0.25) / 3
    assert found.saving_j == pytest.approx(2.5 / (RECENT + 1) * gain * 60.0)


def test_without_an_improvement_a_trial_may_still_bring_one() -> None:
    found = prospect(search([100.0] + [None] * RECENT))
    assert found is not None
    assert found.saving_j == pytest.approx(0.5 / (RECENT + 1) * FIRST_GUESS * 100.0)


def test_the_cost_is_what_the_last_trials_took_and_it_pays_after_so_many_uses() -> None:
    records = search([100.0] + [None] * RECENT)
    found = prospect(records)
    assert found is not None
    assert found.cost_j == pytest.approx(records[-1].gross_energy_j)
    assert found.pays(1.01 * found.uses_to_pay)
    assert not found.pays(0.99 * found.uses_to_pay)


def test_runs_of_the_baseline_are_no_trials() -> None:
    records = search([100.0] + [None] * RECENT)
    beside = [trial(90, 5.0, role=Role.BASELINE), *records, trial(91, 4.0, role=Role.BASELINE)]
    assert prospect(beside) == prospect(records)


@given(st.lists(st.one_of(st.none(), st.floats(1.0, 100.0)), max_size=40))
def test_a_saving_is_positive_and_less_than_the_best_trial_costs(energies_j: list[float | None]) -> None:
    found = prospect(search(energies_j))
    reached = [energy_j for energy_j in energies_j if energy_j is not None]
    if found is not None:
        assert 0.0 < found.saving_j < min(reached)
        assert found.cost_j > 0.0
