from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
from bare_meter import BareMeter
from hypothesis import given
from hypothesis import strategies as st

from model.progress import Compiled, Progress
from search.config.schema import StudyConfig
from search.energy.account import Reading
from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, WorkDone
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.ledger import CountedPhases
from search.record.limits import Limits, Rival
from search.record.meter_info import Kind, MeterInfo
from search.record.objective import LARGE_GAP
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.execute import execute, one_line
from search.run.observations import short_window
from search.run.pauses import Stillness
from search.run.record_builder import to_record, unmetered_record
from search.run.request import RunRequest
from search.run.state import RunState
from search.run.stopping import Ending

WATTS = 100.0
TARGET = 2.0
TOKENS_PER_STEP = 10
REQUEST = RunRequest(
    study="a study",
    trial=3,
    run_id="r3",
    role=Role.SEARCH,
    params={"optimizer.lr": 0.001},
    config=StudyConfig().run_values(),
    target_loss=TARGET,
    objectives=("energy_to_target_j", "time_to_target_s"),
    counted_phases=CountedPhases.COMPILE_TRAIN,
    vocab_size=65,
    index=2,
    parameters=800,
)
INFO = MeterInfo("simulated", Kind.MODELLED)

# A script of a run: how long the phase before lasts, and what is then reported.
Step = tuple[float, Progress]


def at(step: int, phase: str, **losses: float) -> Progress:
    return Progress(step, step * TOKENS_PER_STEP, phase, **losses)


SETUP_AND_COMPILE: list[Step] = [(1.0, at(0, "compile")), (2.0, at(0, "train"))]
TO_THE_TARGET: list[Step] = [
    *SETUP_AND_COMPILE,
    (3.0, at(30, "eval")),
    (0.5, at(30, "train", loss=3.0)),
    (4.0, at(70, "eval")),
    (0.5, at(70, "train", loss=2.5)),
    (1.0, at(80, "eval")),
    (0.5, at(80, "train", loss=1.9)),
    (9.0, at(170, "eval")),
]


class Script:
    """A training that is written down. It notes that it was closed, which may take a while."""

    def __init__(
        self, clock: FakeClock, steps: Sequence[Step], error: Exception | None = None, closing_s: float = 0.0
    ) -> None:
        self.clock, self.steps, self.error, self.closing_s = clock, steps, error, closing_s
        self.closed = False
        self.resumed = 0

    def __call__(self) -> Generator[Progress, None, None]:
        try:
            for seconds, progress in self.steps:
                self.clock.advance(seconds)
                yield progress
                self.resumed += 1
            if self.error is not None:
                raise self.error
        finally:
            self.clock.advance(self.closing_s)
            self.closed = True


def ran(
    steps: Sequence[Step],
    *,
    request: RunRequest = REQUEST,
    error: Exception | None = None,
    faults: dict[str, Any] | None = None,
    watts: float = WATTS,
    policy: CountedPhases = CountedPhases.COMPILE_TRAIN,
    report: Callable[[RunState], None] = lambda state: None,
    closing_s: float = 0.0,
    **seams: Any,
) -> Record:
    clock = FakeClock(50.0)
    script = Script(clock, steps, error, closing_s)
    meter = BareMeter(PowerProfile(((0.0, watts),)), clock, **(faults or {}))
    request = replace(request, counted_phases=policy)
    return execute(request, script(), [ChosenMeter(meter, INFO)], report, clock=clock, **seams)


def small_steps(count: int, seconds: float = 0.1) -> list[Step]:
    """Training steps that end in no evaluation."""
    return [(1.0, at(0, "train")), *[(seconds, at(step, "train")) for step in range(1, count + 1)]]


# ---- ledger and crossing


def test_the_ledger_holds_exactly_what_each_phase_spent() -> None:
    record = ran(TO_THE_TARGET)
    seconds = {"setup": 1.0, "compile": 2.0, "train": 8.0, "eval": 1.5, "checkpoint": 0.0}
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
    assert "trial 4 reached it" in record.reason
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


# ---- a meter that cannot be trusted


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


def test_every_instant_of_a_run_can_be_turned_into_a_record_that_crosses_a_process() -> None:
    instants: list[Record] = []

    def report(seen: RunState) -> None:
        partial = to_record(seen, Ending(Outcome.CRASHED, "interrupted"), interrupted=True)
        instants.append(Record.from_dict(json.loads(json.dumps(partial.to_dict()))))

    record = ran(TO_THE_TARGET, report=report)
    assert len(instants) == 8
    assert all(instant.interrupted and instant.outcome is Outcome.CRASHED for instant in instants)
    spent = [instant.gross_energy_j for instant in instants if instant.gross_energy_j is not None]
    assert spent == sorted(spent)
    assert spent[-1] == record.gross_energy_j
    assert instants[-1].curve == record.curve


# ---- requests, and runs that never began


def test_a_run_that_died_before_its_first_look_has_no_energy_rather_than_zero() -> None:
    record = unmetered_record(REQUEST, INFO, "the worker was killed", interrupted=True)
    assert (record.outcome, record.reason) == (Outcome.CRASHED, "the worker was killed")
    assert record.interrupted
    assert (record.gross_energy_j, record.net_energy_j, record.counted_energy_j) == (None, None, None)
    assert (record.ledger, record.crossing, record.curve) == (None, None, ())
    assert dict(record.values) == {}
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@given(
    st.builds(
        replace,
        st.just(REQUEST),
        params=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=3) | st.booleans()),
        objectives=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        limits=st.builds(
            Limits,
            energy_j=st.none() | st.floats(0, 1e9),
            time_s=st.none() | st.floats(0, 1e9),
            tokens=st.none() | st.integers(0, 10**12),
        ),
        rivals=st.lists(
            st.builds(Rival, st.integers(0, 99), st.tuples(st.floats(0, 1e9), st.floats(0, 1e9))), max_size=3
        ).map(tuple),
        retry_of=st.none() | st.integers(0, 100),
        index=st.integers(0, 1000),
    )
)
def test_a_request_survives_the_way_to_another_process(request: RunRequest) -> None:
    assert RunRequest.from_dict(json.loads(json.dumps(asdict(request)))) == request


def test_an_error_is_told_in_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert len(one_line(ValueError("x" * 10_000))) == 400


# ---- short windows


@pytest.mark.parametrize(
    ("counted_s", "update_period_s", "short"),
    [(5.0, 0.1, True), (10.0, 0.1, False), (0.0, 0.1, True), (0.001, 0.0, False)],
)
def test_a_run_in_which_one_tick_is_over_a_hundredth_is_flagged(
    counted_s: float, update_period_s: float, short: bool
) -> None:
    assert short_window(counted_s, update_period_s) is short


# ---- second meters, and what a meter sees beside joules


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


def test_temperatures_of_the_start_the_end_and_the_peak_are_kept() -> None:
    clock = FakeClock()
    profile = PowerProfile(((0.0, 300.0), (6.0, 1.0)))
    meter = BareMeter(profile, clock, ambient_c=20.0, kelvin_per_w=0.1, thermal_time_s=2.0)
    record = execute(
        REQUEST, Script(clock, TO_THE_TARGET)(), [ChosenMeter(meter, INFO)], lambda state: None, clock=clock
    )
    start_c, end_c, max_c = (record.observed[f"temperature_{name}_c"] for name in ("start", "end", "max"))
    assert start_c == 20.0
    assert start_c < end_c < max_c
    assert record.observed["clock_sm_mhz"] == 1500.0


def test_an_unknown_temperature_is_not_in_the_record() -> None:
    record = ran(TO_THE_TARGET, faults={"ambient_c": None})
    assert not [key for key in record.observed if key.startswith("temperature")]


def test_what_was_wrong_before_the_run_began_is_flagged_too() -> None:
    record = ran(TO_THE_TARGET, faults={"shown": ("foreign_process",)}, flags=("started_hot",))
    assert record.flags == ("started_hot", "foreign_process")


# ---- partial evaluations


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


# ---- waiting for data


def waited(seconds: float) -> list[Step]:
    return [(step_s, replace(progress, waited_s=seconds)) for step_s, progress in TO_THE_TARGET]


def test_seconds_and_joules_of_waiting_for_data_are_kept() -> None:
    record = ran(waited(0.1))
    assert record.observed["data_wait_s"] == 0.1
    assert record.observed["data_wait_j"] == pytest.approx(0.1 * WATTS)
    assert record.flags == ()


def test_a_run_that_waited_for_over_two_percent_of_its_training_is_flagged() -> None:
    assert ran(waited(0.3)).flags == ("waited_for_data",)


def test_resident_data_leave_no_trace() -> None:
    assert not [key for key in ran(TO_THE_TARGET).observed if key.startswith("data_wait")]


# ---- what was compiled


def test_what_torch_compiled_is_kept_and_nothing_is_said_of_a_run_that_did_not() -> None:
    counted = [
        (s, replace(p, compiled=Compiled(3, 0)) if p.phase != "compile" else p) for s, p in TO_THE_TARGET
    ]
    assert {"compiled_graphs": 3, "graph_breaks": 0}.items() <= ran(counted).observed.items()
    assert "compiled_graphs" not in ran(TO_THE_TARGET).observed


# ---- a process that stood still


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
