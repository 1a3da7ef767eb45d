"""A run whose process stood still for part of its time has no joules that count."""

from __future__ import annotations

from bare_meter import BareMeter
from scripted_run import INFO, REQUEST, TO_THE_TARGET, WATTS, Script, at, ran

from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.outcome import Outcome
from search.run.execute import execute
from search.run.pauses import Stillness
from search.run.state import RunState


class Paused:
    """Stood still for so many seconds."""

    def __init__(self, seconds: float, continued: int = 0) -> None:
        self._still = Stillness(seconds, continued)

    def start(self) -> None:
        pass

    def stop(self) -> Stillness:
        return self._still


def test_a_run_that_stood_still_for_part_of_its_time_has_no_joules_that_count_and_is_tried_again() -> None:
    record = ran(TO_THE_TARGET, pauses=Paused(3.0))
    assert record.outcome is Outcome.UNMEASURED
    assert "stood still for 3.0 s of 12.5 s" in record.reason
    assert record.interrupted, "so that it is tried again"
    assert (record.values, record.counted_energy_j) == ({}, None)
    assert record.gross_energy_j is not None, "which the study spent all the same"
    assert "paused" in record.flags
    assert record.observed["paused_s"] == 3.0


def test_a_pause_that_is_short_beside_the_run_is_flagged() -> None:
    record = ran([(1000.0, at(0, "train")), *TO_THE_TARGET], pauses=Paused(2.0))
    assert record.outcome is Outcome.REACHED
    assert "paused" in record.flags
    assert not record.interrupted


def test_a_run_that_is_stopped_and_continued_all_the_time_has_no_joules_that_count() -> None:
    record = ran(TO_THE_TARGET, pauses=Paused(0.0, continued=60))
    assert record.outcome is Outcome.UNMEASURED
    assert "was stopped and continued 60 times in 12.5 s" in record.reason
    assert "paused" in record.flags


def test_a_run_that_waits_for_whoever_hears_of_it_stood_still_meanwhile() -> None:
    """A stopped parent whose pipe is full, a terminal that was told to wait."""
    clock = FakeClock()
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    taken_s = iter([0.0, 4.0])

    def report(state: RunState) -> None:
        clock.advance(next(taken_s, 0.0))

    record = execute(
        REQUEST, Script(clock, TO_THE_TARGET, None)(), [ChosenMeter(meter, INFO)], report, clock=clock
    )
    assert record.outcome is Outcome.UNMEASURED
    assert "stood still for 4.0 s" in record.reason


def test_a_run_that_did_not_stand_still_says_nothing_of_it() -> None:
    record = ran(TO_THE_TARGET, pauses=Paused(0.0))
    assert record.outcome is Outcome.REACHED
    assert "paused" not in record.flags
    assert "paused_s" not in record.observed


def test_a_run_that_raised_and_stood_still_keeps_its_own_reason_and_is_not_tried_again() -> None:
    record = ran(TO_THE_TARGET[:4], error=ValueError("no"), pauses=Paused(3.0))
    assert (record.outcome, record.interrupted) == (Outcome.CRASHED, False)
