"""ONE run: the meters around the training generator. What is decided here is decided by pure functions.

The generator says which phase comes next; at every change the device is synchronised and the meters are read.
In between they are read a few times a second, so that a run can end for its joules between two evaluations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from model.errors import one_line
from model.generation import Generation
from model.progress import Progress
from model.runnable import not_cached
from search.console.plural import counted
from search.energy.account import Account, Reading
from search.meter.base import WorkDone
from search.meter.choose import ChosenMeter
from search.record.flags import Flag
from search.record.forecast import Schedule
from search.record.ledger import Phase
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.foresight import foresee, in_words
from search.run.inference import Generate, measured_inference
from search.run.observations import observed, own_flags, paused_too_long
from search.run.pauses import STOOD_STILL_S, NoPauses, Pauses
from search.run.record_builder import now_utc, to_record
from search.run.request import RunRequest
from search.run.state import MeterState, RunState, Temperatures
from search.run.stopping import Ending, ending

Keep = Callable[[RunState, Ending], None]
"""Keeps the model of a run that was trained to its end. It must not raise for a disk that refuses."""

READ_EVERY_S = 0.5
TRAINED = (Outcome.REACHED, Outcome.OUT_OF_BUDGET)
"""How a run ends that has a model to keep."""
INTERRUPTED = "the run was interrupted"


def execute(
    request: RunRequest,
    training: Generator[Progress, None, object],
    meters: Sequence[ChosenMeter],
    report: Callable[[RunState], None],
    *,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = lambda: None,
    idle_power_w: float | None = None,
    peak_memory: Callable[[], int | None] = lambda: None,
    flags: Sequence[Flag] = (),
    pauses: Pauses | None = None,
    keep: Keep | None = None,
    generate: Generate | None = None,
) -> Record:
    """Drive `training` until the target, a budget, a dominating rival or its end. Never raises for the run's
    errors.

    The first of `meters` ranks; the others are read at the same moments. `report` gets the run so far
    whenever they are read. `clock` must be the meters' own. `flags`: what was wrong before the run began.
    `pauses` tells whether this process stood still. `keep` is called where the run was trained to its end, in
    the checkpoint phase. `generate` has the trained model generate text, where the request has a plan for it.
    """
    pauses = pauses or NoPauses()
    work = WorkDone(request.run_config(), request.vocab_size)
    reader = _Reader(meters, synchronize, clock)
    pauses.start()
    for one in meters:
        one.meter.start(work)
    first = reader.read_anyhow()
    state = RunState(
        request=request,
        started_at=now_utc(),
        meters=tuple(
            MeterState.open(one.info, one.meter.spec.counter, reading)
            for one, reading in zip(meters, first, strict=True)
        ),
        progress=Progress(0, 0, Phase.SETUP),
        temperatures=Temperatures().after(first),
        idle_power_w=idle_power_w,
    )
    run = _Run(state, work, reader, report, peak_memory)
    end = run.drive(training)
    if keep is not None:
        end = run.keep(keep, end)
    if generate is not None:
        end = run.infer(generate, end)
    run.read_last(end)
    for one in meters:
        one.meter.stop()
    still = pauses.stop()  # a stop during a report is counted in both
    still = replace(still, paused_s=max(still.paused_s, run.unheard_s))
    state = replace(run.state, stillness=still, peak_memory_bytes=run.peak_memory())
    state = _with_findings(state, meters, flags)
    stood_still = end.outcome is not Outcome.CRASHED and paused_too_long(state) != ""
    interrupted = end.reason == INTERRUPTED or stood_still  # either is worth another attempt
    return to_record(state, end, interrupted)


@dataclass(frozen=True)
class _Reader:
    """Reads all meters at one moment of the device."""

    meters: Sequence[ChosenMeter]
    synchronize: Callable[[], None]
    clock: Callable[[], float]

    def read(self) -> tuple[Reading, ...]:
        self.synchronize()
        return tuple(one.meter.read() for one in self.meters)

    def read_anyhow(self) -> tuple[Reading, ...]:
        """For the first and the last reading: a device that fails for good must not take the record with
        it."""
        try:
            return self.read()
        except Exception as error:
            unread = Reading(self.clock(), None, f"the device could not be read: {one_line(error)}")
            return (unread,) * len(self.meters)


@dataclass
class _Run:
    """`state` stays that of the last readings, whatever the training raises. `unheard_s` are the seconds for
    which nobody took what `report` told: the training waits meanwhile, and the device draws power."""

    state: RunState
    work: WorkDone
    reader: _Reader
    report: Callable[[RunState], None]
    peak_memory: Callable[[], int | None]
    unheard_s: float = 0.0
    schedule: Schedule | None = None

    def drive(self, training: Generator[Progress, None, object]) -> Ending:
        try:
            with closing(training):
                return self._drive(training)
        except BrokenPipeError:
            raise
        except Exception as error:  # it could not be ended in good order, and there is no model to keep
            return Ending(Outcome.CRASHED, one_line(error))

    def _drive(self, training: Generator[Progress, None, object]) -> Ending:
        try:
            for progress in training:
                end = self._follow(progress)
                if end is not None:
                    return end
            return Ending(Outcome.OUT_OF_BUDGET, _schedule_done(self.state.progress.step))
        except KeyboardInterrupt:
            return Ending(Outcome.CRASHED, INTERRUPTED)
        except BrokenPipeError:  # nobody listens any more
            raise
        except Exception as error:  # a run's own failure is an outcome; the study goes on
            return Ending(Outcome.CRASHED, one_line(error))

    def _follow(self, progress: Progress) -> Ending | None:
        """Book what the training reports, and say whether the run ends here."""
        phase = self.state.account.phase
        _note(self.work, phase, progress)
        diverged = progress.train_loss is not None and not math.isfinite(progress.train_loss)
        boundary = progress.phase != phase or progress.loss is not None or diverged
        if not boundary and self.reader.clock() - self.state.account.last.time_s < READ_EVERY_S:
            self.state = replace(self.state, progress=progress)
            return None
        self.state = self.state.advance(progress, self.reader.read(), self.peak_memory())
        foreseen = self._foresee(progress)
        self._tell()
        request = self.state.request
        end = ending(
            self.state.standing,
            request.target_loss,
            request.vocab_size,
            request.limits,
            request.objectives,
            request.rivals,
            request.metric,
        )
        return end or foreseen

    def _foresee(self, progress: Progress) -> Ending | None:
        """After an evaluation: the end of a run that has hardly a chance to matter, unless it is one that
        goes on to see how often that is wrong."""
        request = self.state.request
        if request.forecast is None or progress.loss is None or not math.isfinite(progress.loss):
            return None
        if self.state.foreseen is not None:
            return None
        self.schedule = self.schedule or Schedule(request.run_config())
        foreseen = foresee(
            self.state.curve[-1],
            self.state.spent,
            self.schedule,
            request.forecast,
            request.target_loss,
            request.objectives,
            request.rivals,
        )
        self.state = replace(self.state, foreseen=foreseen)
        return (
            None
            if foreseen is None or foreseen.audited
            else Ending(Outcome.DOMINATED, in_words(foreseen, request.metric))
        )

    def _tell(self) -> None:
        began_s = self.reader.clock()
        self.report(self.state)
        waited_s = self.reader.clock() - began_s
        self.unheard_s += waited_s if waited_s >= STOOD_STILL_S else 0.0

    def keep(self, keep: Keep, end: Ending) -> Ending:
        """Let `keep` have the model where there is one. What that takes has its own phase in the ledger; its
        memory is not the training's."""
        if end.outcome not in TRAINED:
            return end
        try:
            self._enter_after_training(Phase.CHECKPOINT)
            keep(self.state, end)
        except KeyboardInterrupt:
            return Ending(Outcome.CRASHED, INTERRUPTED)
        return end

    def infer(self, generate: Generate, end: Ending) -> Ending:
        """Have the trained model generate, where the target was reached or a schedule of fixed length came to
        its end. What that takes has its own phase, which never counts."""
        plan, config = self.state.request.inference, self.work.config
        at_its_end = self.state.request.to_the_end and self.state.progress.step == config.train.max_steps
        if plan is None or not (end.outcome is Outcome.REACHED or (at_its_end and end.outcome in TRAINED)):
            return end

        def counted_generation(generation: Generation) -> int:
            recomputed = generate(generation)
            self.work.generations[generation] += 1
            return recomputed

        try:
            self._enter_after_training(Phase.INFERENCE)
            found = measured_inference(plan, counted_generation, self._book, not_cached(config.model))
        except KeyboardInterrupt:
            return Ending(Outcome.CRASHED, INTERRUPTED)
        self.state = replace(self.state, inference=found)
        return end

    def _enter_after_training(self, phase: Phase) -> None:
        """What follows takes memory that is not the training's."""
        trained_with_bytes = self.peak_memory()
        self.peak_memory = lambda: trained_with_bytes
        progress = replace(self.state.progress, phase=phase, loss=None)
        self.state = self.state.advance(progress, self.reader.read_anyhow(), trained_with_bytes)

    def _book(self) -> Account:
        """Book what was spent in the present phase until now, tell it, and return the account."""
        self.state = self.state.end(self.reader.read_anyhow())
        self._tell()
        return self.state.account

    def read_last(self, end: Ending) -> None:
        """After a crash, a reading that could not be had leaves what was read before."""
        readings = self.reader.read_anyhow()
        if readings[0].energy_j is not None or end.outcome is not Outcome.CRASHED:
            self.state = self.state.end(readings)


def _with_findings(state: RunState, meters: Sequence[ChosenMeter], flags: Sequence[Flag]) -> RunState:
    """The state with the flags and observations of the run and its meters, when both have ended."""
    flagged = tuple(
        replace(before, flags=tuple(one.meter.flags()))
        for before, one in zip(state.meters, meters, strict=True)
    )
    return replace(
        state,
        meters=flagged,
        flags=(*flags, *flagged[0].flags, *own_flags(state)),
        observed=observed(state) | dict(meters[0].meter.observed()),
    )


def _schedule_done(steps: int) -> str:
    return f"the schedule's {counted(steps, 'step')} {'is' if steps == 1 else 'are'} done"


def _note(work: WorkDone, phase: Phase, progress: Progress) -> None:
    """Note what was done in `phase`, which ends with this progress or continues."""
    work.steps = progress.step
    work.evaluated_tokens += progress.evaluated_tokens or 0
    work.compiles += phase is Phase.COMPILE and progress.phase != Phase.COMPILE
