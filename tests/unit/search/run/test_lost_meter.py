"""A run whose meter cannot be trusted is unmeasured: it has no energy rather than a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scripted_run import REQUEST, TO_THE_TARGET, at, ran, small_steps

from search.record.limits import Limits, Rival
from search.record.outcome import Outcome


@pytest.mark.parametrize(
    "faults",
    [
        {"unreadable_from_s": 0.0},
        {"unreadable_from_s": 4.0},
        {"frozen_from_s": 1.5},
        {"resets_at_s": 6.0},
        {"reads_zero": True},
    ],
    ids=["never readable", "unreadable", "frozen", "reset", "always zero"],
)
def test_a_run_that_the_meter_lost_is_unmeasured_and_has_no_energy_and_no_values(
    faults: dict[str, Any],
) -> None:
    record = ran(TO_THE_TARGET, faults=faults, idle_power_w=10.0)
    assert record.outcome is Outcome.UNMEASURED
    assert record.reason
    assert record.values == {}
    assert record.loss_gap is None
    assert record.crossing is None
    unknown = (record.gross_energy_j, record.net_energy_j, record.counted_energy_j, record.ledger)
    assert unknown == (None, None, None, None)
    assert record.best_loss == 1.9  # the training was real


def test_a_counter_that_shows_nothing_over_a_short_run_is_unmeasured_too() -> None:
    record = ran(
        [(0.1, at(0, "train")), (0.2, at(1, "eval")), (0.1, at(1, "train", loss=1.0))],
        faults={"reads_zero": True},
    )
    assert record.outcome is Outcome.UNMEASURED
    assert "counted 0 J" in record.reason
    assert record.gross_energy_j is None
    assert record.values == {}


def test_training_that_the_meter_counted_as_nothing_cannot_rank() -> None:
    faults = {
        "frozen_from_s": 1.0
    }  # the counter stops as training begins, and the run is over within its limit
    steps = [(1.0, at(0, "train")), (1.5, at(15, "eval")), (0.1, at(15, "train", loss=1.0))]
    record = ran(steps, faults=faults)
    assert record.values.get("energy_to_target_j") != 0.0
    assert record.outcome is Outcome.UNMEASURED


def test_no_point_of_an_unmeasured_runs_curve_says_zero_joules_after_training() -> None:
    steps = [(0.1, at(0, "train")), (0.2, at(1, "eval")), (0.1, at(1, "train", loss=3.0))]
    record = ran(steps, faults={"reads_zero": True})
    assert record.outcome is Outcome.UNMEASURED
    assert [point.energy_j for point in record.curve] == [None]


def test_points_of_the_curve_after_the_meter_was_lost_have_no_energy() -> None:
    curve = ran(TO_THE_TARGET, faults={"unreadable_from_s": 7.0}).curve
    assert [point.energy_j for point in curve] == [pytest.approx(500.0), None, None]


def test_an_unknown_energy_spends_no_budget_and_is_dominated_by_nobody() -> None:
    request = replace(REQUEST, limits=Limits(energy_j=1e-9), rivals=(Rival(1, (0.0, 0.0)),))
    record = ran(small_steps(100), request=request, faults={"unreadable_from_s": 0.0})
    assert record.outcome is Outcome.UNMEASURED
    assert record.steps == 100


def test_a_crash_under_a_lost_meter_stays_a_crash() -> None:
    record = ran(TO_THE_TARGET[:4], error=ValueError("no"), faults={"unreadable_from_s": 0.0})
    assert record.outcome is Outcome.CRASHED
    assert record.gross_energy_j is None


def test_an_objective_that_this_machine_cannot_tell_makes_the_run_unmeasured_and_names_it() -> None:
    request = replace(REQUEST, objectives=("energy_to_target_j", "peak_memory_bytes"))
    record = ran(TO_THE_TARGET, request=request)
    assert record.outcome is Outcome.UNMEASURED
    assert "peak_memory_bytes" in record.reason
    assert "energy_to_target_j" not in record.reason
    assert record.values == {}
    assert record.crossing is None
    assert record.gross_energy_j == pytest.approx(1250.0)  # which is known, and was spent
    known = ran(TO_THE_TARGET, request=request, peak_memory=lambda: 4096)
    assert known.values["peak_memory_bytes"] == 4096.0
    assert known.peak_memory_bytes == 4096


def test_the_meters_flags_are_in_the_record_and_lose_no_run() -> None:
    record = ran(TO_THE_TARGET, faults={"shown": ("clocks_throttled", "foreign_process")})
    assert record.flags == ("clocks_throttled", "foreign_process")
    assert record.outcome is Outcome.REACHED
