"""A run from its first step to its record: ledger, crossing, endings, errors, and when it reads the meter."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from bare_meter import BareMeter
from hypothesis import given
from hypothesis import strategies as st
from scripted_run import (
    INFO,
    REQUEST,
    SETUP_AND_COMPILE,
    TARGET,
    TO_THE_TARGET,
    WATTS,
    Script,
    Step,
    at,
    ran,
    small_steps,
)

from model.errors import one_line
from model.progress import Progress
from search.energy.account import Reading
from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, WorkDone
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.ledger import CountedPhases
from search.record.limits import Limits, Rival
from search.record.meter_info import Kind
from search.record.objective import LARGE_GAP
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.execute import execute
from search.run.state import RunState
from search.run.stopping import Ending

# ---- ledger and crossing


def test_the_ledger_holds_exactly_what_each_phase_spent() -> None:
    record = ran(TO_THE_TARGET)
    seconds = {"setup": 1.0, "compile": 2.0, "train": 8.0, "eval": 1.5, "checkpoint": 0.0, "inference": 0.0}
    assert record.ledger is not None
    assert record.ledger.time_s == pytest.approx(seconds)
    assert record.ledger.energy_j == pytest.approx({phase: WATTS * s for phase, s in seconds.items()})
    assert record.gross_energy_j == pytest.approx(1250.0)


def test_a_run_ends_reached_at_the_first_evaluation_at_or_below_the_target() -> None:
    record = ran(TO_THE_TARGET)
    assert record.outcome is Outcome.REACHED
    assert record.steps == 80
    assert record.tokens == 800
    assert record.best_loss == 1.9
    assert record.loss_gap == pytest.approx(-0.1)
    exactly = ran(
        [
            *SETUP_AND_COMPILE,
            (3.0, at(30, "eval")),
            (0.5, at(30, "train", loss=TARGET)),
            (9.0, at(99, "eval")),
        ]
    )
    assert exactly.outcome is Outcome.REACHED
    assert exactly.steps == 30


def test_the_crossing_lies_between_the_last_evaluation_above_and_the_one_that_reached() -> None:
    crossing = ran(TO_THE_TARGET).crossing
    assert crossing is not None
    assert crossing.step == 80
    assert (crossing.energy_low_j, crossing.energy_j) == pytest.approx((900.0, 1000.0))
    assert (crossing.time_low_s, crossing.time_s) == pytest.approx((9.0, 10.0))
    assert crossing.energy_low_j < crossing.energy_interpolated_j < crossing.energy_j


def test_the_curve_holds_counted_joules_at_every_evaluation() -> None:
    curve = ran(TO_THE_TARGET).curve
    assert [(p.step, p.tokens, p.loss) for p in curve] == [(30, 300, 3.0), (70, 700, 2.5), (80, 800, 1.9)]
    assert [p.energy_j for p in curve] == pytest.approx([500.0, 900.0, 1000.0])
    assert [p.time_s for p in curve] == pytest.approx([5.0, 9.0, 10.0])


@pytest.mark.parametrize(
    ("policy", "energy_j", "time_s"),
    [
        (CountedPhases.COMPILE_TRAIN, 1000.0, 10.0),
        (CountedPhases.TRAIN, 800.0, 8.0),
        (CountedPhases.GROSS, 1250.0, 12.5),
    ],
)
def test_what_counts_is_a_policy_and_gross_stays_what_it_is(
    policy: CountedPhases, energy_j: float, time_s: float
) -> None:
    record = ran(TO_THE_TARGET, policy=policy)
    assert record.counted_energy_j == pytest.approx(energy_j)
    assert record.counted_time_s == pytest.approx(time_s)
    assert record.values == pytest.approx({"energy_to_target_j": energy_j, "time_to_target_s": time_s})
    assert record.gross_energy_j == pytest.approx(1250.0)


def test_net_is_gross_minus_idle_power_over_the_whole_time_and_never_clamped() -> None:
    assert ran(TO_THE_TARGET, idle_power_w=30.0).net_energy_j == pytest.approx(1250.0 - 30.0 * 12.5)
    assert ran(TO_THE_TARGET, idle_power_w=110.0).net_energy_j == pytest.approx(-125.0)
    assert ran(TO_THE_TARGET).net_energy_j is None


def test_what_a_run_spends_after_the_crossing_is_in_its_ledger_and_not_in_its_values() -> None:
    record = ran(TO_THE_TARGET, closing_s=5.0)
    assert record.values == pytest.approx({"energy_to_target_j": 1000.0, "time_to_target_s": 10.0})
    assert record.gross_energy_j == pytest.approx(1750.0)


def test_values_come_in_the_order_of_the_studys_objectives() -> None:
    names = ("tokens_to_target", "parameters", "energy_to_target_j")
    record = ran(TO_THE_TARGET, request=replace(REQUEST, objectives=names))
    assert list(record.values.items()) == [
        ("tokens_to_target", 800.0),
        ("parameters", 800.0),
        ("energy_to_target_j", pytest.approx(1000.0)),
    ]


def test_a_record_keeps_what_was_asked_for() -> None:
    record = ran(TO_THE_TARGET, request=replace(REQUEST, retry_of=1, provenance={"code": {"version": "1"}}))
    assert (record.study, record.trial, record.run_id, record.role) == ("a study", 3, "r3", "search")
    assert (record.seed, record.params, record.retry_of) == (1337, {"optimizer.lr": 0.001}, 1)
    assert record.index == 2
    assert record.provenance == {"code": {"version": "1"}}
    assert not record.interrupted


phases = st.sampled_from(["setup", "compile", "train", "eval"])


@given(st.lists(st.tuples(st.floats(0.001, 5.0), phases), min_size=1, max_size=12))
def test_phases_of_any_run_add_up_to_all_that_was_spent(visits: list[tuple[float, str]]) -> None:
    record = ran([(seconds, at(index, phase)) for index, (seconds, phase) in enumerate(visits)])
    seconds = math.fsum(seconds for seconds, _ in visits)
    assert record.ledger is not None
    assert record.ledger.gross_time_s == pytest.approx(seconds)
    assert record.gross_energy_j == pytest.approx(WATTS * seconds, abs=0.01)


# ---- endings


def test_a_run_that_is_done_before_the_target_is_out_of_budget_and_says_so() -> None:
    record = ran(TO_THE_TARGET[:6])
    assert record.outcome is Outcome.OUT_OF_BUDGET
    assert "70 steps are done" in record.reason
    assert record.loss_gap == pytest.approx(0.5)
    assert record.crossing is None
    assert record.values == {}
    assert record.spent == pytest.approx({"energy_to_target_j": 900.0, "time_to_target_s": 9.0})


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(energy_j=200.0), "energy budget of 200 J"),
        (Limits(time_s=2.0), "time budget of 2 s"),
        (Limits(tokens=100), "token budget of 100 tokens"),
    ],
)
def test_a_budget_ends_a_run_between_two_evaluations_within_a_second(limits: Limits, reason: str) -> None:
    record = ran(small_steps(1000), request=replace(REQUEST, limits=limits))
    assert record.outcome is Outcome.OUT_OF_BUDGET
    assert reason in record.reason
    assert record.gross_energy_j is not None
    assert 200.0 <= record.gross_energy_j < 200.0 + WATTS
    assert record.loss_gap == LARGE_GAP  # it never got an evaluation


def test_a_dominated_run_ends_between_two_evaluations_within_a_second() -> None:
    request = replace(REQUEST, rivals=(Rival(3, (500.0, 0.1)), Rival(4, (90.0, 0.9))))
    record = ran(small_steps(1000), request=request)
    assert record.outcome is Outcome.DOMINATED
    assert "trial 4, measured once, reached it" in record.reason
    assert record.ended_by == request.rivals[1]
    assert record.values == {}
    assert 90.0 <= record.spent["energy_to_target_j"] < 90.0 + WATTS
    assert record.crossing is None


def test_without_rivals_a_run_goes_on_to_its_end() -> None:
    assert ran(small_steps(100)).outcome is Outcome.OUT_OF_BUDGET


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number_is_divergence_with_a_large_gap_and_values(bad: float) -> None:
    steps = [
        *TO_THE_TARGET[:4],
        (4.0, at(70, "eval")),
        (0.5, at(70, "train", loss=bad)),
        (9.0, at(99, "eval")),
    ]
    record = ran(steps)
    assert record.outcome is Outcome.DIVERGED
    assert record.outcome.completes
    assert record.loss_gap == LARGE_GAP
    assert record.values == {}
    assert record.spent == pytest.approx({"energy_to_target_j": 900.0, "time_to_target_s": 9.0})
    assert [point.loss for point in record.curve] == [3.0]
    json.dumps(record.to_dict(), allow_nan=False)


def test_a_training_loss_that_is_no_number_ends_the_run_at_once() -> None:
    steps = [(1.0, at(0, "train")), (0.01, at(1, "train", train_loss=math.nan)), (0.01, at(2, "train"))]
    record = ran(steps)
    assert record.outcome is Outcome.DIVERGED
    assert record.steps == 1


def test_two_wild_evaluations_in_a_row_are_divergence_and_one_is_not() -> None:
    def evaluations(*losses: float) -> list[Step]:
        return [(0.3, at(step, "train", loss=loss)) for step, loss in enumerate(losses)]

    assert ran(evaluations(4.2, 9.0, 4.0, 9.0, 3.0)).outcome is Outcome.OUT_OF_BUDGET
    diverged = ran(evaluations(4.2, 9.0, 9.0, 3.0))
    assert diverged.outcome is Outcome.DIVERGED
    assert diverged.steps == 2


# ---- errors


def test_an_error_inside_training_is_an_outcome_with_a_partial_ledger() -> None:
    record = ran(TO_THE_TARGET[:5], error=RuntimeError("CUDA out of memory\n  tried 9 GiB"))
    assert record.outcome is Outcome.CRASHED
    assert record.reason == "RuntimeError: CUDA out of memory tried 9 GiB"
    assert record.gross_energy_j == pytest.approx(1050.0)
    assert record.counted_energy_j == pytest.approx(900.0)
    assert record.values == {}
    assert record.loss_gap is None
    assert len(record.curve) == 1


def test_a_crash_on_the_way_keeps_what_was_spent_since_the_last_look() -> None:
    def training() -> Generator[Progress, None, None]:
        yield at(0, "train")
        clock.advance(7.0)
        raise ValueError("no")

    clock = FakeClock()
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    record = execute(REQUEST, training(), [ChosenMeter(meter, INFO)], lambda state: None, clock=clock)
    assert record.gross_energy_j == pytest.approx(700.0)


@pytest.mark.parametrize(
    ("steps", "error"),
    [(TO_THE_TARGET, None), (TO_THE_TARGET[:5], ValueError("no")), (TO_THE_TARGET[:5], None)],
    ids=["reached", "crashed", "at its end"],
)
def test_training_is_closed_and_not_resumed_whichever_way_the_run_ends(
    steps: list[Step], error: Exception | None
) -> None:
    script = Script(clock := FakeClock(), steps, error)
    training = script()  # held here, so that nobody but the run closes it
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    execute(REQUEST, training, [ChosenMeter(meter, INFO)], lambda state: None, clock=clock)
    assert script.closed
    assert script.resumed <= 7


def test_a_training_that_cannot_be_closed_is_a_crash_with_its_joules_and_keeps_no_model() -> None:
    clock, kept = FakeClock(), []
    script = Script(clock, TO_THE_TARGET)

    def training() -> Generator[Progress, None, None]:
        try:
            yield from script()
        finally:
            raise RuntimeError("rank 1 of 2 was killed by SIGKILL")

    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    record = execute(
        REQUEST,
        training(),
        [ChosenMeter(meter, INFO)],
        lambda state: None,
        clock=clock,
        keep=lambda state, end: kept.append(end),
    )
    assert record.outcome is Outcome.CRASHED
    assert record.reason == "RuntimeError: rank 1 of 2 was killed by SIGKILL"
    assert record.gross_energy_j == pytest.approx(1250.0)
    assert kept == []


def test_an_interruption_gives_a_partial_record_that_is_marked_as_one() -> None:
    script = Script(clock := FakeClock(), TO_THE_TARGET)
    training = script()
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)

    def interrupted(seen: RunState) -> None:
        if seen.progress.step == 30:
            raise KeyboardInterrupt

    record = execute(REQUEST, training, [ChosenMeter(meter, INFO)], interrupted, clock=clock)
    assert record.interrupted
    assert record.outcome is Outcome.CRASHED
    assert record.gross_energy_j == pytest.approx(600.0)
    assert record.values == {}
    assert script.closed


# ---- keeping the model


def kept_by(
    steps: Sequence[Step], seconds: float, raising: BaseException | None = None, **seams: Any
) -> tuple[Record, list[RunState]]:
    """A run whose model takes `seconds` to keep."""
    clock, seen = FakeClock(50.0), []
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)

    def keep(state: RunState, end: Ending) -> None:
        seen.append(state)
        clock.advance(seconds)
        if raising is not None:
            raise raising

    training = Script(clock, steps)()
    chosen = [ChosenMeter(meter, INFO)]
    record = execute(REQUEST, training, chosen, lambda state: None, clock=clock, keep=keep, **seams)
    return record, seen


@given(st.floats(0.0, 1e3))
def test_keeping_the_model_is_in_the_ledger_and_does_not_count(seconds: float) -> None:
    bare, (record, seen) = ran(TO_THE_TARGET), kept_by(TO_THE_TARGET, seconds)
    assert record.outcome is Outcome.REACHED
    assert record.ledger is not None
    assert bare.ledger is not None
    assert record.ledger.energy_j == pytest.approx(
        {**bare.ledger.energy_j, "checkpoint": WATTS * seconds}, abs=2e-3
    )
    assert record.gross_energy_j == pytest.approx(bare.gross_energy_j + WATTS * seconds, abs=2e-3)
    assert math.fsum(record.ledger.energy_j.values()) == record.gross_energy_j
    assert (record.counted_energy_j, record.values) == (bare.counted_energy_j, bare.values)
    assert (record.curve, record.energy_error_j) == (bare.curve, bare.energy_error_j)
    assert [state.curve for state in seen] == [record.curve]


def test_a_model_that_was_trained_past_its_target_or_to_its_end_is_kept_and_no_other() -> None:
    to_the_end = TO_THE_TARGET[:4]
    assert len(kept_by(TO_THE_TARGET, 1.0)[1]) == 1
    assert len(kept_by(to_the_end, 1.0)[1]) == 1
    diverged = [*SETUP_AND_COMPILE, (1.0, at(1, "train", train_loss=math.nan))]
    assert kept_by(diverged, 1.0)[1] == []


def test_an_interruption_while_the_model_is_kept_is_one_of_the_run() -> None:
    record, _ = kept_by(TO_THE_TARGET, 2.0, KeyboardInterrupt())
    assert (record.outcome, record.interrupted) == (Outcome.CRASHED, True)
    assert record.ledger is not None
    assert record.ledger.energy_j["checkpoint"] == pytest.approx(2.0 * WATTS)


def test_the_memory_for_keeping_a_model_is_not_the_trainings() -> None:
    peaks = iter(range(1, 99))
    record, seen = kept_by(TO_THE_TARGET, 1.0, peak_memory=lambda: next(peaks))
    assert record.peak_memory_bytes == seen[0].peak_memory_bytes == next(peaks) - 1


def test_a_listener_that_is_gone_ends_the_run_without_a_record() -> None:
    def gone(seen: RunState) -> None:
        raise BrokenPipeError

    script = Script(clock := FakeClock(), TO_THE_TARGET)
    training = script()
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock)
    with pytest.raises(BrokenPipeError):
        execute(REQUEST, training, [ChosenMeter(meter, INFO)], gone, clock=clock)
    assert script.closed


def test_a_device_that_fails_for_good_still_leaves_a_partial_record() -> None:
    calls = 0

    def synchronize() -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    record = ran(TO_THE_TARGET, synchronize=synchronize)
    assert record.outcome is Outcome.CRASHED
    assert "illegal memory access" in record.reason


# ---- readings


class Noted:
    """A meter of constant power that notes its calls."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.calls = clock, list[str]()
        self.spec = MeterSpec("noted", Kind.MODELLED, Counter(0.0, 1e-6), ("noted",))

    def read(self) -> Reading:
        self.calls.append("read")
        return Reading(self.clock(), WATTS * self.clock())

    def start(self, work: WorkDone | None = None) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def observed(self) -> dict[str, Any]:
        self.calls.append("observed")
        return {}

    def flags(self) -> Sequence[str]:
        self.calls.append("flags")
        return ()

    def close(self) -> None:
        self.calls.append("close")


def test_the_device_is_synchronised_before_every_reading() -> None:
    clock = FakeClock()
    meter = Noted(clock)
    execute(
        REQUEST,
        Script(clock, TO_THE_TARGET)(),
        [ChosenMeter(meter, INFO)],
        lambda state: None,
        clock=clock,
        synchronize=lambda: meter.calls.append("synchronize"),
    )
    assert meter.calls[0] == "start"
    assert meter.calls[-3:] == ["stop", "flags", "observed"]
    between = meter.calls[1:-3]
    assert between == ["synchronize", "read"] * (len(between) // 2)
    assert len(between) // 2 == 1 + 8 + 1  # the start, every boundary until the target, the end


def test_training_steps_between_boundaries_are_looked_at_a_few_times_a_second_only() -> None:
    clock = FakeClock()
    meter = Noted(clock)
    execute(
        REQUEST,
        Script(clock, small_steps(1000, 0.01))(),
        [ChosenMeter(meter, INFO)],
        lambda state: None,
        clock=clock,
    )
    assert 11 <= meter.calls.count("read") <= 110  # in 11 s


def test_an_error_is_told_in_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert len(one_line(ValueError("x" * 10_000))) == 400


def test_meters_that_follow_the_work_are_told_of_it_before_they_are_read() -> None:
    clock = FakeClock()
    seen: list[tuple[int, int, int]] = []

    class Follower(BareMeter):
        def read(self) -> Reading:
            work = self.works[-1]
            assert work is not None
            seen.append((work.steps, work.evaluated_tokens, work.compiles))
            return super().read()

    steps = [
        *SETUP_AND_COMPILE,
        (3.0, at(30, "eval")),
        (0.5, replace(at(30, "train", loss=3.0), evaluated_tokens=512)),
        (1.0, at(40, "eval")),
        (0.5, replace(at(40, "train", loss=1.0), evaluated_tokens=2048)),
    ]
    meter = Follower(PowerProfile(((0.0, WATTS),)), clock)
    execute(REQUEST, Script(clock, steps)(), [ChosenMeter(meter, INFO)], lambda state: None, clock=clock)
    assert seen[:3] == [(0, 0, 0), (0, 0, 0), (0, 0, 1)]
    assert seen[3:] == [(30, 0, 1), (30, 512, 1), (40, 512, 1), (40, 2560, 1), (40, 2560, 1)]


def test_what_was_wrong_before_the_run_began_is_flagged_too() -> None:
    record = ran(TO_THE_TARGET, faults={"shown": ("foreign_process",)}, flags=("started_hot",))
    assert record.flags == ("started_hot", "foreign_process")


def test_the_best_loss_takes_an_estimate_with_its_standard_error() -> None:
    steps = [
        *SETUP_AND_COMPILE,
        (1.0, at(10, "eval")),
        (0.5, replace(at(10, "train", loss=2.4, loss_stderr=0.1), whole=False)),
        (1.0, at(20, "eval")),
        (0.5, at(20, "train", loss=2.6)),
    ]
    record = ran(steps)
    assert record.best_loss == pytest.approx(2.5)
    assert [point.whole for point in record.curve] == [False, True]
    steps[-1] = (0.5, at(20, "train", loss=2.45))
    assert ran(steps).best_loss == 2.45
