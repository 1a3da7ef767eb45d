"""Meters beside the one that counts: they see the same run, rank nothing, and fail for themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from bare_meter import BareMeter
from scripted_run import INFO, REQUEST, TO_THE_TARGET, WATTS, Script, Step, small_steps

from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.meter_info import Kind
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.execute import execute


def second_meter(clock: FakeClock, name: str = "roofline", **settings: Any) -> ChosenMeter:
    meter = BareMeter(PowerProfile(((0.0, 3.0),)), clock, **settings)
    return ChosenMeter(meter, replace(INFO, name=name, kind=Kind.MODELLED))


def ran_with(
    steps: Sequence[Step], *others: Callable[[FakeClock], ChosenMeter], error: Exception | None = None
) -> Record:
    clock = FakeClock()
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    meters = [ChosenMeter(meter, INFO), *(other(clock) for other in others)]
    return execute(REQUEST, Script(clock, steps, error)(), meters, lambda state: None, clock=clock)


def test_a_second_meter_counts_the_same_run_and_ranks_nothing() -> None:
    alone, with_other = ran_with(TO_THE_TARGET), ran_with(TO_THE_TARGET, second_meter)
    assert with_other.values == alone.values
    assert with_other.counted_energy_j == alone.counted_energy_j
    (side,) = with_other.second_meters
    assert (side.meter, side.kind, side.reason) == ("roofline", Kind.MODELLED, "")
    assert side.counted_energy_j == pytest.approx(30.0)
    assert side.gross_energy_j == pytest.approx(3.0 * 12.5)
    assert side.phases_j is not None
    assert side.phases_j["compile"] == pytest.approx(6.0)
    assert alone.second_meters == ()


def test_a_second_meter_counts_until_the_crossing_where_there_is_one_and_to_the_end_elsewhere() -> None:
    reached = ran_with(TO_THE_TARGET, second_meter).second_meters[0]
    assert reached.counted_energy_j == pytest.approx(3.0 * 10.0)
    ended = ran_with(small_steps(20), second_meter).second_meters[0]
    assert ended.counted_energy_j == pytest.approx(3.0 * 2.0)


def test_a_second_meter_that_fails_costs_its_own_joules_only() -> None:
    def broken(clock: FakeClock) -> ChosenMeter:
        return second_meter(clock, "rapl", unreadable_from_s=3.0)

    record = ran_with(TO_THE_TARGET, broken, second_meter)
    assert record.outcome is Outcome.REACHED
    lost, kept = record.second_meters
    assert (lost.counted_energy_j, lost.gross_energy_j, lost.phases_j) == (None, None, None)
    assert "is lost" in lost.reason
    assert kept.counted_energy_j == pytest.approx(30.0)


def test_a_record_with_second_meters_survives_the_way_to_a_file() -> None:
    def flagged(clock: FakeClock) -> ChosenMeter:
        return second_meter(clock, "cpu_time", shown=("cpu_contended",))

    record = ran_with(TO_THE_TARGET, second_meter, flagged)
    assert record.second_meters[1].flags == ("cpu_contended",)
    assert record.flags == ()
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_every_meter_is_stopped_whichever_way_the_run_ends() -> None:
    for error in (None, ValueError("no")):
        clock = FakeClock()
        meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
        other = second_meter(clock)
        script = Script(clock, TO_THE_TARGET[:4], error)
        execute(REQUEST, script(), [ChosenMeter(meter, INFO), other], lambda state: None, clock=clock)
        assert meter.stops == 1
        assert isinstance(other.meter, BareMeter)
        assert other.meter.stops == 1
