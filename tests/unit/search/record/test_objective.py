from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.objective import LARGE_GAP, OBJECTIVES, Spent, loss_gap, objective_values
from search.record.outcome import Outcome

SPENT = Spent(
    energy_j=12.5,
    time_s=3.5,
    tokens=4096,
    parameters=800,
    peak_memory_bytes=2**20,
    inference_energy_j_per_token=0.25,
)
EVERY = {
    "energy_to_target_j": 12.5,
    "time_to_target_s": 3.5,
    "tokens_to_target": 4096.0,
    "parameters": 800.0,
    "peak_memory_bytes": 2.0**20,
    "inference_energy_j_per_token": 0.25,
}


def test_every_objective_reads_its_own_part_of_what_was_spent() -> None:
    assert {name: objective_values([name], SPENT) for name in OBJECTIVES} == {
        name: {name: value} for name, value in EVERY.items()
    }


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_says_what_it_is_and_carries_its_unit_in_its_name(name: str) -> None:
    row = OBJECTIVES[name]
    assert row.summary
    suffixes = {"J": "_j", "s": "_s", "B": "_bytes", "J/token": "_j_per_token"}
    assert name.endswith(suffixes.get(row.unit, ""))


@given(st.lists(st.sampled_from(sorted(OBJECTIVES)), min_size=1, unique=True))
def test_values_come_in_the_studys_order_and_are_plain_floats(names: list[str]) -> None:
    values = objective_values(names, SPENT)
    assert values is not None
    assert list(values) == names
    assert all(type(value) is float for value in values.values())


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
@pytest.mark.parametrize(
    ("field", "objective"),
    [
        ("energy_j", "energy_to_target_j"),
        ("time_s", "time_to_target_s"),
        ("peak_memory_bytes", "peak_memory_bytes"),
        ("inference_energy_j_per_token", "inference_energy_j_per_token"),
    ],
)
def test_one_unknown_value_makes_all_of_them_unknown(field: str, objective: str, bad: float | None) -> None:
    spent = replace(SPENT, **{field: bad})
    assert objective_values(["tokens_to_target", objective], spent) is None
    assert objective_values(["tokens_to_target"], spent) == {"tokens_to_target": 4096.0}


def test_nothing_spent_is_a_known_value() -> None:
    assert objective_values(["energy_to_target_j"], replace(SPENT, energy_j=0.0)) == {
        "energy_to_target_j": 0.0
    }


def test_the_gap_is_the_best_loss_minus_the_target() -> None:
    assert loss_gap(Outcome.OUT_OF_BUDGET, 2.5, 2.25) == 0.25
    assert loss_gap(Outcome.REACHED, 2.0, 2.25) == -0.25
    assert loss_gap(Outcome.DOMINATED, 2.25, 2.25) == 0.0


def test_a_run_that_diverged_has_a_large_gap_however_good_it_had_been() -> None:
    assert loss_gap(Outcome.DIVERGED, 2.26, 2.25) == LARGE_GAP


@pytest.mark.parametrize("best", [None, math.nan, math.inf])
def test_a_run_without_a_loss_has_a_large_gap(best: float | None) -> None:
    assert loss_gap(Outcome.OUT_OF_BUDGET, best, 2.25) == LARGE_GAP


def test_a_large_gap_is_larger_than_that_of_a_run_that_only_guesses() -> None:
    guessing = math.log(50_304)
    assert loss_gap(Outcome.OUT_OF_BUDGET, guessing, 1.0) < LARGE_GAP
