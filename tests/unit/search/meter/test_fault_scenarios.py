"""The measurement contract as one table: each row is a simulated machine and a run on it, which ends either
with joules inside the stated error, or without any and with a reason. Never with a wrong number.

A row goes the whole way of a real run: `execute`, the meter's own rules, the ledger, the record.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from model.progress import Progress
from search.config.schema import StudyConfig
from search.errors import MeterUnavailable
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock, simulated_meter
from search.meter.simulated.program import PowerProfile, Program
from search.record.ledger import CountedPhases
from search.record.meter_info import Kind, MeterInfo
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.execute import execute
from search.run.request import RunRequest

REQUEST = RunRequest(
    study="faults",
    trial=0,
    run_id="r0",
    role=Role.SEARCH,
    params={},
    config=StudyConfig().run_values(),
    target_loss=2.0,
    objectives=("energy_to_target_j", "time_to_target_s"),
    counted_phases=CountedPhases.COMPILE_TRAIN,
    vocab_size=65,
)
INFO = MeterInfo("simulated", Kind.MODELLED)
SETUP_S, EVAL_S = 2.0, 0.7


@dataclass(frozen=True)
class Scenario:
    """A program, how long the run trains, and how it must end: in joules (with these flags), `unmeasured` for
    a reason that matches, or `refused` before it begins. `stretches`: training is interrupted by so many
    evaluations. `sampled`: whether the meter's thread gets to run. `step_s`: seconds of a training step."""

    name: str
    program: Program
    train_s: float = 10.0
    stretches: int = 1
    flags: frozenset[str] = frozenset()
    unmeasured: str = ""
    refused: str = ""
    sampled: bool = True
    step_s: float = 0.25


def gpu(name: str, steps: list[tuple[float, float]] | None = None, **settings: Any) -> Scenario:
    return scenario(name, "gpu", steps, settings)


def rapl(name: str, steps: list[tuple[float, float]] | None = None, **settings: Any) -> Scenario:
    return scenario(name, "rapl", steps, {"tick_s": 0.001} | settings)


def scenario(
    name: str, serves: str, steps: list[tuple[float, float]] | None, settings: dict[str, Any]
) -> Scenario:
    own = {key: settings.pop(key) for key in list(settings) if key in Scenario.__dataclass_fields__}
    if "flags" in own:
        own["flags"] = frozenset(own["flags"])
    program = Program(serves=serves, steps=tuple(steps or [(0.0, 70.0)]), **settings)
    return Scenario(f"{serves}: {name}", program, **own)


STEP = [(0.0, 70.0), (SETUP_S + 5.0, 300.0)]
BURSTS = [(0.0, 60.0), (0.13, 400.0), (0.31, 90.0)]

SCENARIOS = [
    # a GPU's counter
    gpu("constant power"),
    gpu("power steps up at half time", STEP),
    gpu("bursts shorter than anything the meter sees", BURSTS, repeat_s=0.47, stretches=8),
    gpu("a counter that moves every 20 ms", STEP, tick_s=0.02),
    gpu("a counter that moves all the time", STEP, tick_s=0.0),
    gpu("many evaluations, each shorter than ten ticks", STEP, train_s=20.0, stretches=20),
    gpu("three GPUs are summed", STEP, devices=3),
    gpu(
        "a pause of a second without any power",
        [(0.0, 70.0), (5.0, 0.0), (6.0, 70.0)],
        flags=["power_implausible"],
    ),
    gpu("a run of three ticks is short", train_s=0.3, flags=["short_window"]),
    gpu("a run of minutes", BURSTS, repeat_s=0.47, train_s=300.0, stretches=10),
    gpu(
        "the power reading fails beside a counter that works",
        power_unreadable_from_s=4.0,
        flags=["sampling_gap"],
    ),
    gpu("no power reading beside a counter", power_reading="none"),
    gpu("counter and power disagree", power_gain=0.8, train_s=20.0, flags=["counter_power_disagree"]),
    # what goes wrong with it
    gpu("the counter freezes", frozen_from_s=5.0, unmeasured="not moved|stood still|frozen"),
    gpu("one of two counters freezes", devices=2, fault_device=1, frozen_from_s=5.0, unmeasured="not moved"),
    gpu("the counter is reset in the run", resets_at_s=6.0, unmeasured="went back"),
    gpu("the counter is reset before training", resets_at_s=1.0, unmeasured="went back"),
    gpu("one of two counters is reset", devices=2, fault_device=0, resets_at_s=6.0, unmeasured="went back"),
    gpu("the GPU is lost", unreadable_from_s=6.0, unmeasured="is lost"),
    gpu("the GPU is lost and comes back", unreadable_from_s=6.0, unreadable_until_s=7.0,
        unmeasured="is lost"),
    gpu("one of three GPUs is lost", devices=3, fault_device=2, unreadable_from_s=6.0, unmeasured="is lost"),
    gpu("nothing is drawn at all", [(0.0, 0.0)], unmeasured="not moved|stood still|0 J"),
    gpu("a run shorter than a tick", train_s=0.02, unmeasured="0 J"),
    gpu("a run of many stretches, each shorter than a tick", train_s=0.4, stretches=20,
        unmeasured="too short"),
    gpu("the counter reads zero", reads_zero=True, refused="zero"),
    gpu("MIG", mig=True, refused="MIG"),
    gpu("a counter of the whole module", module_scope=True, refused="module"),
    gpu("no permission", forbidden=True, refused="may not read"),
    # without a counter
    gpu("integrated instantaneous power", counter=False),
    gpu("integrated instantaneous power over a step", STEP, counter=False),
    gpu("integrated average power over a step", STEP, counter=False, power_reading="average", train_s=60.0,
        flags=["short_window"]),
    gpu("integrated power of two GPUs", STEP, counter=False, devices=2),
    gpu("integrated power that fails", counter=False, power_unreadable_from_s=6.0,
        unmeasured="cannot be read"),
    gpu("integrated power of zero", [(0.0, 70.0), (4.0, 0.0)], counter=False, unmeasured="0 W|zero"),
    gpu("integrated power that nobody sampled", counter=False, sampled=False, step_s=3.0,
        unmeasured="sampled"),
    gpu("integrated power that is looked at twice a second", counter=False, sampled=False),
    gpu("neither counter nor power", counter=False, power_reading="none", refused="power"),
    # who else, and how warm
    gpu("another process comes", foreign_from_s=5.0, flags=["foreign_process"]),
    gpu("a container hides who computes", sees_processes=False, flags=["processes_not_identifiable"]),
    gpu("too hot for its clocks", throttled=((4.0, 8.0, "throttled_thermal"),), flags=["throttled_thermal"]),
    gpu("held down by the power limit", throttled=((4.0, 8.0, "power_capped"),), flags=["power_capped"]),
    gpu("power brake", throttled=((4.0, 8.0, "throttled_power_brake"),), flags=["throttled_power_brake"]),
    gpu("power limit lowered", power_limit_w=200.0, default_power_limit_w=300.0,
        flags=["power_limit_lowered"]),
    # RAPL packages
    rapl("no wrap", STEP),
    rapl("one wrap", [(0.0, 200.0)], start_j=261_000.0),
    rapl("three wraps", [(0.0, 800.0)], train_s=1000.0, max_power_w=1000.0),
    rapl("two packages wrap at different times", [(0.0, 200.0)], devices=2, start_j=261_500.0),
    rapl("psys is not added", psys=True),
    rapl("DRAM is kept apart", dram_w=20.0),
    rapl("bursts", BURSTS, repeat_s=0.47, stretches=8),
    rapl("a package freezes", frozen_from_s=5.0, unmeasured="not moved|stood still|frozen"),
    rapl("one of two packages freezes", devices=2, fault_device=1, frozen_from_s=5.0, unmeasured="not moved"),
    rapl("reset, which looks like a wrap", start_j=1000.0, resets_at_s=6.0, unmeasured="reset"),
    rapl("a package cannot be read any more", unreadable_from_s=6.0, unmeasured="cannot be read"),
    rapl("nothing is drawn at all", [(0.0, 0.0)], unmeasured="not moved|stood still|0 J"),
    rapl("root only", forbidden=True, refused="root"),
    rapl("a wrap could hide between two samples", [(0.0, 100.0)], sampled=False, train_s=0.5,
         range_j=300.0, max_power_w=200.0, unmeasured="wrap"),
]  # fmt: skip


class Training:
    """Trains for `train_s` in equal stretches, each ended by an evaluation, the last one below the target. It
    notes when it trained."""

    def __init__(self, clock: FakeClock, scenario: Scenario) -> None:
        self._clock, self._train_s = clock, scenario.train_s
        self._stretches, self._step_s = scenario.stretches, scenario.step_s
        self.trained: list[tuple[float, float]] = []

    def __call__(self) -> Generator[Progress, None, None]:
        self._clock.advance(SETUP_S)
        step = 0
        yield Progress(step, step, "train")
        for stretch in range(self._stretches):
            began_s = self._clock()
            ends_s = began_s + self._train_s / self._stretches
            while self._clock() < ends_s - 1e-9:
                self._clock.advance(min(self._step_s, ends_s - self._clock()))
                step += 1
                if self._clock() < ends_s - 1e-9:
                    yield Progress(step, step, "train")
            self.trained.append((began_s, self._clock()))
            yield Progress(step, step, "eval")
            self._clock.advance(EVAL_S)
            last = stretch == self._stretches - 1
            yield Progress(step, step, "train", loss=1.9 if last else 3.0, loss_stderr=0.01)


def true_j(program: Program, origin_s: float, trained: list[tuple[float, float]]) -> float:
    profile = PowerProfile(program.steps, program.repeat_s)
    return program.devices * sum(
        profile.energy_j(end - origin_s) - profile.energy_j(start - origin_s) for start, end in trained
    )


def play(scenario: Scenario, policy: CountedPhases = CountedPhases.COMPILE_TRAIN) -> tuple[Record, float]:
    """The record, and what the counted phases truly took. Raises MeterUnavailable where it is refused."""
    clock = FakeClock(1000.0)
    meter = simulated_meter(scenario.program, clock, in_background=False)
    if scenario.sampled:
        clock.every = meter.sample  # type: ignore[attr-defined]
    training = Training(clock, scenario)
    request = replace(REQUEST, counted_phases=policy)
    record = execute(request, training(), [ChosenMeter(meter, INFO)], lambda state: None, clock=clock)
    return record, true_j(scenario.program, 1000.0, training.trained)


def reads(scenario: Scenario) -> bool:
    return not scenario.unmeasured and not scenario.refused


def test_there_are_at_least_thirty_and_each_is_named_once() -> None:
    assert len(SCENARIOS) >= 30
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize(
    "scenario", [one for one in SCENARIOS if not one.refused], ids=lambda scenario: str(scenario.name)
)
def test_joules_inside_the_stated_error_or_none_with_a_reason(scenario: Scenario) -> None:
    record, truth_j = play(scenario)
    if scenario.unmeasured:
        assert record.outcome is Outcome.UNMEASURED
        assert re.search(scenario.unmeasured, record.reason), record.reason
        assert record.counted_energy_j is None
        assert record.energy_error_j is None
        assert record.crossing is None
        assert record.values == {}
    else:
        assert record.outcome is Outcome.REACHED, record.reason
        assert record.counted_energy_j is not None
        assert record.energy_error_j is not None
        assert abs(record.counted_energy_j - truth_j) <= record.energy_error_j + 1e-6


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if reads(one)], ids=lambda s: str(s.name))
def test_doubts_are_flagged_and_nothing_else_is(scenario: Scenario) -> None:
    record, _ = play(scenario)
    always = {"short_window"} if scenario.train_s <= 10.0 else set()  # a tick of 100 ms is 1 % of 10 s
    assert scenario.flags <= set(record.flags)
    assert set(record.flags) <= scenario.flags | always


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.refused], ids=lambda s: str(s.name))
def test_what_cannot_be_measured_is_refused_in_one_line(scenario: Scenario) -> None:
    with pytest.raises(MeterUnavailable, match=scenario.refused) as refusal:
        play(scenario)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wraps", [0, 1, 3])
def test_rapl_wraps_read_true(wraps: int) -> None:
    range_j = 262_143.328850
    program = Program(
        serves="rapl", steps=((0.0, 1000.0),), range_j=range_j, tick_s=0.001, max_power_w=1000.0
    )
    train_s = (wraps + 0.5) * range_j / 1000.0
    record, truth_j = play(Scenario("wraps", program, train_s))
    assert record.counted_energy_j == pytest.approx(truth_j, abs=2.0)
    assert truth_j == pytest.approx((wraps + 0.5) * range_j)


def test_seventy_watts_for_ten_seconds_are_700_joules() -> None:
    record, _ = play(Scenario("constant", Program(steps=((0.0, 70.0),))))
    assert record.counted_energy_j == pytest.approx(700.0, abs=7.0)
    exact, _ = play(Scenario("constant", Program(steps=((0.0, 70.0),), tick_s=0.0)))
    assert exact.counted_energy_j == pytest.approx(700.0, abs=0.002)


def test_a_step_from_70_to_300_watts_at_half_time_reads_1850_joules_within_a_tick() -> None:
    record, _ = play(Scenario("step", Program(steps=tuple(STEP), tick_s=0.1)))
    assert record.counted_energy_j == pytest.approx(1850.0, abs=30.0)


def test_the_temperature_rise_is_kept_beside_the_joules() -> None:
    record, _ = play(Scenario("warm", Program(steps=((0.0, 300.0),), ambient_c=30.0), 60.0))
    assert record.observed["temperature_start_c"] < record.observed["temperature_end_c"]
    assert record.observed["temperature_max_c"] == record.observed["temperature_end_c"]
