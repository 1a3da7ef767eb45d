"""A training that is written down, step by step, and run to its record over a clock that the script moves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from bare_meter import BareMeter

from model.progress import Progress
from search.config.schema import StudyConfig
from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.ledger import CountedPhases
from search.record.meter_info import Kind, MeterInfo
from search.record.outcome import Role
from search.record.record import Record
from search.run.execute import execute
from search.run.request import RunRequest
from search.run.state import RunState

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
