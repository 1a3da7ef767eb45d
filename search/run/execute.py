"""ONE run: the meter around the training generator. What is decided here is decided by the pure core.

The generator says which phase comes next; at every change the device is synchronised and the meter read. In
between the meter is looked at a few times a second, so that a run can end for its joules between two
evaluations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from model.config import RunConfig
from model.progress import Progress
from search.console.plural import counted
from search.energy.account import Account, Counter, Reading
from search.meter.base import Meter, WorkDone
from search.record.limits import Limits, Rival
from search.record.objective import Spent, loss_gap, objective_values
from search.record.record import CurvePoint, Ledger, MeterInfo, Outcome, Record, SideReading, find_crossing
from search.run.pauses import STOOD_STILL_S, TOO_LONG, NoPauses, Pauses, Stillness
from search.run.stopping import Ending, Standing, ending

LOOK_EVERY_S = 0.5
DATA_WAIT = 0.02
INTERRUPTED = "the run was interrupted"


@dataclass(frozen=True)
class RunRequest:
    """What one run is to do: plain values, so that it can cross to another process as JSON.

    `index` is the configuration's place in the study's sequence, `system_attrs` what the sampler noted with
    it; a configuration tried again keeps both.
    """

    study: str
    trial: int
    run_id: str
    role: str
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    target_loss: float
    objectives: tuple[str, ...]
    vocab_size: int
    index: int = 0
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    limits: Limits = field(default_factory=Limits)
    rivals: tuple[Rival, ...] = ()
    retry_of: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def run_config(self) -> RunConfig:
        return RunConfig.from_mapping(self.config)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> RunRequest:
        return RunRequest(
            **{
                **data,
                "objectives": tuple(data["objectives"]),
                "limits": Limits(**data["limits"]),
                "rivals": tuple(Rival(rival["trial"], tuple(rival["values"])) for rival in data["rivals"]),
            }
        )


@dataclass(frozen=True)
class Beside:
    """A meter that is read beside the one that ranks: its account, and what it had counted at the latest
    evaluation."""

    meter: MeterInfo
    account: Account
    at_evaluation_j: float | None = None

    def look(self, phase: str, reading: Reading, evaluated: bool) -> Beside:
        looked = replace(self, account=self.account.enter(phase, reading))
        return replace(looked, at_evaluation_j=looked.counted_j) if evaluated else looked

    @property
    def counted_j(self) -> float | None:
        ledger = self.account.ledger()
        return None if ledger is None else ledger.counted_energy_j(self.meter.counted_phases)


@dataclass(frozen=True)
class Temperatures:
    """Of the device during a run, in degrees Celsius; None where nobody knows."""

    start_c: float | None = None
    end_c: float | None = None
    max_c: float | None = None

    def seen(self, now_c: float | None) -> Temperatures:
        if now_c is None:
            return self
        start_c = now_c if self.start_c is None else self.start_c
        return Temperatures(start_c, now_c, now_c if self.max_c is None else max(self.max_c, now_c))

    def observed(self) -> dict[str, float]:
        return {f"temperature_{name}": value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Seen:
    """A run so far. Every instant of it can be turned into a record."""

    request: RunRequest
    meter: MeterInfo
    started_at: str
    account: Account
    progress: Progress
    curve: tuple[CurvePoint, ...] = ()
    beside: tuple[Beside, ...] = ()
    temperatures: Temperatures = Temperatures()
    idle_power_w: float | None = None
    peak_memory_bytes: int | None = None
    flags: tuple[str, ...] = ()
    flags_beside: tuple[tuple[str, ...], ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    stillness: Stillness = field(default_factory=Stillness)

    @property
    def counted(self) -> tuple[float | None, float]:
        """Joules (None: unknown) and seconds in the counted phases until now."""
        policy = self.meter.counted_phases
        seconds = math.fsum(self.account.time_s[phase] for phase in policy.phases)
        ledger = self.account.ledger()
        return (None if ledger is None else ledger.counted_energy_j(policy)), seconds

    @property
    def spent(self) -> Spent:
        energy_j, time_s = self.counted
        return Spent(energy_j, time_s, self.progress.tokens, self.request.parameters, self.peak_memory_bytes)

    def standing(self) -> Standing:
        ledger = self.account.ledger()
        return Standing(
            spent=self.spent,
            gross_energy_j=ledger.gross_energy_j if ledger else None,
            gross_time_s=self.account.last.time_s - self.account.first.time_s,
            train_loss=self.progress.train_loss,
            loss=self.progress.loss,
            previous_loss=self.curve[-2].loss if len(self.curve) > 1 else None,
        )


@dataclass(frozen=True)
class Instrument:
    """A meter and what the record says of it."""

    meter: Meter
    info: MeterInfo

    def open(self, phase: str, reading: Reading) -> Account:
        return Account.open(phase, reading, self.meter.spec.counter)


def execute(
    request: RunRequest,
    training: Generator[Progress, None, object],
    meter: Meter,
    info: MeterInfo,
    report: Callable[[Seen], None],
    *,
    beside: Sequence[Instrument] = (),
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = lambda: None,
    idle_power_w: float | None = None,
    peak_memory: Callable[[], int | None] = lambda: None,
    flags: Sequence[str] = (),
    pauses: Pauses | None = None,
) -> Record:
    """Drive `training` until the target, a budget, a dominating rival or its end. Never raises for the run's
    errors.

    `report` gets the run so far at every look. `beside` are read at the same moments and rank nothing.
    `clock` must be the meter's own. `flags`: what was wrong before the run began. `pauses` tells whether this
    process stood still.
    """
    instruments = (Instrument(meter, info), *beside)
    pauses = pauses or NoPauses()
    work = WorkDone(request.run_config(), request.vocab_size)

    def read() -> tuple[Reading, ...]:
        synchronize()
        return tuple(instrument.meter.read() for instrument in instruments)

    def tell() -> float:
        """Seconds for which nobody took what was told: the training waits, and the device draws power."""
        began_s = clock()
        report(seen)
        waited_s = clock() - began_s
        return waited_s if waited_s >= STOOD_STILL_S else 0.0

    def read_anyhow() -> tuple[Reading, ...]:
        """At both ends, where a device that fails for good must not take the record with it."""
        try:
            return read()
        except Exception as error:
            unread = Reading(clock(), None, f"the device could not be read: {one_line(error)}")
            return (unread,) * len(instruments)

    pauses.start()
    for instrument in instruments:
        instrument.meter.start(work)
    first = read_anyhow()
    seen = Seen(
        request=request,
        meter=info,
        started_at=now_utc(),
        account=instruments[0].open("setup", first[0]),
        progress=Progress(0, 0, "setup"),
        beside=tuple(
            Beside(instrument.info, instrument.open("setup", reading))
            for instrument, reading in zip(beside, first[1:], strict=True)
        ),
        temperatures=Temperatures().seen(_temperature_c(first)),
        idle_power_w=idle_power_w,
    )
    end: Ending | None = None
    unheard_s = 0.0
    try:
        while end is None:
            try:
                progress = next(training)
            except StopIteration:
                end = Ending(Outcome.OUT_OF_BUDGET, _schedule_done(seen.progress.step))
                break
            _note(work, seen.account.phase, progress)
            diverged = progress.train_loss is not None and not math.isfinite(progress.train_loss)
            boundary = progress.phase != seen.account.phase or progress.loss is not None or diverged
            if not boundary and clock() - seen.account.last.time_s < LOOK_EVERY_S:
                seen = replace(seen, progress=progress)
                continue
            seen = _look(seen, progress, read(), peak_memory())
            unheard_s += tell()
            end = ending(
                seen.standing(),
                request.target_loss,
                request.vocab_size,
                request.limits,
                request.objectives,
                request.rivals,
            )
    except KeyboardInterrupt:
        end = Ending(Outcome.CRASHED, INTERRUPTED)
    except BrokenPipeError:  # nobody listens any more
        raise
    except Exception as error:  # a run's own failure is an outcome; the study goes on
        end = Ending(Outcome.CRASHED, one_line(error))
    finally:
        training.close()
    readings = read_anyhow()
    if readings[0].energy_j is not None or end.outcome is not Outcome.CRASHED:  # else what was read before
        seen = _last_look(seen, readings)
    for instrument in instruments:
        instrument.meter.stop()
    still = pauses.stop()  # a stop while it told something is in both
    seen = replace(seen, stillness=replace(still, paused_s=max(still.paused_s, unheard_s)))
    short = short_window(seen.counted[1], meter.spec.update_period_s)
    waited, wait_flags = data_wait(seen)
    paused, pause_flags = pause(seen)
    seen = replace(
        seen,
        flags=(*flags, *meter.flags(), *short, *wait_flags, *pause_flags),
        flags_beside=tuple(tuple(instrument.meter.flags()) for instrument in beside),
        observed=compile_counts(seen.progress) | waited | paused | dict(meter.observed()),
        peak_memory_bytes=peak_memory(),
    )
    stood_still = end.outcome is not Outcome.CRASHED and _paused_too_long(seen) != ""
    interrupted = end.reason == INTERRUPTED or stood_still  # either is worth another attempt
    return to_record(seen, end, interrupted)


def _schedule_done(steps: int) -> str:
    return f"the schedule's {counted(steps, 'step')} {'is' if steps == 1 else 'are'} done"


def _note(work: WorkDone, phase: str, progress: Progress) -> None:
    """What was done in `phase`, which ends with this progress or goes on."""
    work.steps = progress.step
    work.evaluated_tokens += progress.evaluated_tokens or 0
    work.compiles += phase == "compile" and progress.phase != "compile"


def _temperature_c(readings: Sequence[Reading]) -> float | None:
    """The first that a meter gives: the ranking one's own, where it has one."""
    return next((reading.temperature_c for reading in readings if reading.temperature_c is not None), None)


def data_wait(seen: Seen) -> tuple[dict[str, float], tuple[str, ...]]:
    """What a run waited for data, in seconds and in joules of its mean training power, and the flag of one
    that waited for over 2 % of its training: it measured its loader."""
    waited_s, train_s = seen.progress.waited_s, seen.account.time_s["train"]
    if waited_s == 0.0:
        return {}, ()
    observed = {"data_wait_s": waited_s}
    ledger = seen.account.ledger()
    if ledger is not None and train_s > 0:
        observed["data_wait_j"] = ledger.energy_j["train"] * min(1.0, waited_s / train_s)
    return observed, (("waited_for_data",) if waited_s > DATA_WAIT * train_s else ())


def pause(seen: Seen) -> tuple[dict[str, float], tuple[str, ...]]:
    """How long a run's process stood still and how often it was continued, and its flag; nothing of one that
    did neither."""
    still = seen.stillness
    if not still.at_most_s:
        return {}, ()
    return {"paused_s": still.paused_s, "continued": still.continued}, ("paused",)


def _paused_too_long(seen: Seen) -> str:
    """Why joules and seconds are not those of the work, where the process stood still for part of them."""
    whole_s = seen.account.last.time_s - seen.account.first.time_s
    still = seen.stillness
    if still.at_most_s <= TOO_LONG * whole_s:
        return ""
    if still.paused_s > TOO_LONG * whole_s:
        how_long = f"stood still for {still.paused_s:.1f} s of {whole_s:.1f} s (stopped, suspended or asleep)"
    else:
        times = counted(still.continued, "time")
        how_long = f"was stopped and continued {times} in {whole_s:.1f} s, each for less than can be timed"
    return f"the run's process {how_long}, and what was drawn meanwhile cannot be told from its work"


def compile_counts(progress: Progress) -> dict[str, int]:
    """torch's own counts of a run that compiled; nothing of one that did not."""
    if progress.compiled is None:
        return {}
    return {"compiled_graphs": progress.compiled.graphs, "graph_breaks": progress.compiled.graph_breaks}


def short_window(counted_s: float, update_period_s: float) -> tuple[str, ...]:
    """The flag of a run so short that one tick of its meter is over 1 % of what counts."""
    return ("short_window",) if update_period_s > 0.01 * counted_s else ()


def _look(seen: Seen, progress: Progress, readings: Sequence[Reading], peak_memory_bytes: int | None) -> Seen:
    evaluated = progress.loss is not None and math.isfinite(progress.loss)
    seen = replace(
        seen,
        account=seen.account.enter(progress.phase, readings[0]),
        beside=tuple(
            side.look(progress.phase, reading, evaluated)
            for side, reading in zip(seen.beside, readings[1:], strict=True)
        ),
        temperatures=seen.temperatures.seen(_temperature_c(readings)),
        progress=progress,
        peak_memory_bytes=peak_memory_bytes,
    )
    if progress.loss is None or not evaluated:
        return seen
    energy_j, time_s = seen.counted
    stderr = progress.loss_stderr or 0.0
    point = CurvePoint(
        progress.step, progress.tokens, progress.loss, stderr, energy_j, time_s, progress.whole
    )
    return replace(seen, curve=(*seen.curve, point))


def _last_look(seen: Seen, readings: Sequence[Reading]) -> Seen:
    return replace(
        seen,
        account=seen.account.look(readings[0]),
        beside=tuple(
            side.look(side.account.phase, reading, evaluated=False)
            for side, reading in zip(seen.beside, readings[1:], strict=True)
        ),
        temperatures=seen.temperatures.seen(_temperature_c(readings)),
    )


def to_record(seen: Seen, end: Ending, interrupted: bool = False) -> Record:
    """The record of a run that ended here. A run whose energy is unknown becomes UNMEASURED, unless it
    crashed."""
    request = seen.request
    ledger = seen.account.ledger()
    unmeasured = seen.account.reason or _paused_too_long(seen) or _unresolved(seen)
    if unmeasured and end.outcome is not Outcome.CRASHED:
        end = Ending(Outcome.UNMEASURED, unmeasured)
    best = best_loss(seen.curve)
    crossing = find_crossing(seen.curve, request.target_loss) if not unmeasured else None
    energy_j, time_s = (None, seen.counted[1]) if unmeasured else seen.counted
    spent = seen.spent
    if crossing is not None:
        spent = replace(spent, energy_j=crossing.energy_j, time_s=crossing.time_s, tokens=crossing.tokens)
    known = objective_values(request.objectives, spent) if end.outcome.completes else {}
    if known is None:
        end = Ending(Outcome.UNMEASURED, _unknown_objective(request, spent))
    gross_j = ledger.gross_energy_j if ledger else None
    return Record(
        study=request.study,
        trial=request.trial,
        run_id=request.run_id,
        role=request.role,
        seed=int(request.config.get("seed", 0)),
        params=dict(request.params),
        config=dict(request.config),
        outcome=end.outcome,
        reason=end.reason,
        target_loss=request.target_loss,
        loss_gap=loss_gap(end.outcome, best, request.target_loss) if end.outcome.completes else None,
        best_loss=best,
        steps=seen.progress.step,
        tokens=seen.progress.tokens,
        parameters=request.parameters,
        meter=seen.meter,
        gross_energy_j=gross_j,
        net_energy_j=_net(gross_j, ledger, seen.idle_power_w),
        idle_power_w=seen.idle_power_w,
        ledger=ledger,
        counted_energy_j=energy_j,
        counted_time_s=time_s,
        curve=seen.curve,
        crossing=crossing if end.outcome is Outcome.REACHED else None,
        values=known if known and end.outcome is Outcome.REACHED else {},
        spent=known or {},
        peak_memory_bytes=seen.peak_memory_bytes,
        flags=seen.flags,
        interrupted=interrupted,
        retry_of=request.retry_of,
        started_at=seen.started_at,
        ended_at=now_utc(),
        provenance=dict(request.provenance),
        extra={
            "max_steps": request.config["train"]["max_steps"],
            "index": request.index,
            "system_attrs": dict(request.system_attrs),
        },
        energy_error_j=None if unmeasured else seen.account.error_j(seen.meter.counted_phases.phases),
        also=_also(seen, reached=crossing is not None),
        observed=seen.temperatures.observed() | dict(seen.observed),
    )


def best_loss(curve: Sequence[CurvePoint]) -> float | None:
    """The lowest loss. An evaluation that ended early is an estimate, and counts with its standard error."""
    return min((point.loss + (0.0 if point.whole else point.loss_stderr) for point in curve), default=None)


def _also(seen: Seen, reached: bool) -> tuple[SideReading, ...]:
    flags = seen.flags_beside or ((),) * len(seen.beside)
    readings = []
    for side, its_flags in zip(seen.beside, flags, strict=True):
        ledger = side.account.ledger()
        counted_j = side.at_evaluation_j if reached else side.counted_j
        readings.append(
            SideReading(
                meter=side.meter.name,
                kind=side.meter.kind,
                counted_energy_j=counted_j if ledger else None,
                gross_energy_j=ledger.gross_energy_j if ledger else None,
                phases_j=dict(ledger.energy_j) if ledger else None,
                reason=side.account.reason,
                flags=its_flags,
                settings=dict(side.meter.settings),
            )
        )
    return tuple(readings)


def unmetered_record(request: RunRequest, meter: MeterInfo, reason: str, interrupted: bool = False) -> Record:
    """The record of a run that died before its first look: its energy is unknown, which is not zero."""
    nothing = Account.open("setup", Reading(0.0, None, "no reading before the run ended"), Counter())
    seen = Seen(request, meter, now_utc(), nothing, Progress(0, 0, "setup"))
    return replace(to_record(seen, Ending(Outcome.CRASHED, reason), interrupted), counted_time_s=None)


def _unresolved(seen: Seen) -> str:
    """Why the counted phases cannot be believed, where they took time and the counter hardly moved in them.

    A run of 0 J would win every ranking, and one that is shorter than its meter's period may read as little.
    """
    energy_j, time_s = seen.counted
    phases = seen.meter.counted_phases.phases
    if energy_j is None or time_s == 0.0 or seen.account.resolves(phases):
        return ""
    counted = f"the meter counted {energy_j:.3g} J over {time_s:.3f} s of {' and '.join(phases)}"
    error_j = seen.account.error_j(phases)
    return f"{counted}, +- {error_j:.3g} J by its period and resolution: the run is too short for it"


def now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def one_line(error: BaseException, length: int = 400) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:length]


def _net(gross_j: float | None, ledger: Ledger | None, idle_power_w: float | None) -> float | None:
    if gross_j is None or ledger is None or idle_power_w is None:
        return None
    return gross_j - idle_power_w * ledger.gross_time_s


def _unknown_objective(request: RunRequest, spent: Spent) -> str:
    unknown = [name for name in request.objectives if objective_values([name], spent) is None]
    return f"the value of {', '.join(unknown)} is unknown on this machine"
