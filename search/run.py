"""ONE run: the meter around the training generator. What is decided here is decided by the pure core.

The generator says which phase comes next; at every change the device is synchronised and the meter read. In
between the meter is looked at a few times a second, so that a run can end for its joules between two
evaluations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from model.config import RunConfig
from model.progress import Progress
from search.energy import Account, Reading
from search.meter.base import Meter
from search.objective import Spent, loss_gap, objective_values
from search.stopping import Ending, Limits, Standing, ending
from search.trial import CurvePoint, Ledger, MeterInfo, Outcome, Record, find_crossing

LOOK_EVERY_S = 0.5
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
    rivals: tuple[tuple[float, ...], ...] = ()
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
                "rivals": tuple(tuple(rival) for rival in data["rivals"]),
            }
        )


@dataclass(frozen=True)
class Seen:
    """A run so far. Every instant of it can be turned into a record."""

    request: RunRequest
    meter: MeterInfo
    started_at: str
    account: Account
    progress: Progress
    curve: tuple[CurvePoint, ...] = ()
    idle_power_w: float | None = None
    peak_memory_bytes: int | None = None
    flags: tuple[str, ...] = ()

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


def execute(
    request: RunRequest,
    training: Generator[Progress, None, object],
    meter: Meter,
    info: MeterInfo,
    report: Callable[[Seen], None],
    *,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = lambda: None,
    idle_power_w: float | None = None,
    peak_memory: Callable[[], int | None] = lambda: None,
) -> Record:
    """Drive `training` until the target, a budget, a dominating rival or its end. Never raises for the run's
    errors.

    `report` gets the run so far at every look. `clock` must be the meter's own.
    """

    def read() -> Reading:
        synchronize()
        return meter.read()

    def read_anyhow() -> Reading:
        """At both ends, where a device that fails for good must not take the record with it."""
        try:
            return read()
        except Exception as error:
            return Reading(clock(), None, f"the device could not be read: {one_line(error)}")

    meter.start()
    seen = Seen(
        request=request,
        meter=info,
        started_at=now_utc(),
        account=Account.open("setup", read_anyhow(), meter.spec.update_period_s),
        progress=Progress(0, 0, "setup"),
        idle_power_w=idle_power_w,
    )
    end: Ending | None = None
    try:
        while end is None:
            try:
                progress = next(training)
            except StopIteration:
                end = Ending(Outcome.OUT_OF_BUDGET, f"the schedule's {seen.progress.step} steps are done")
                break
            diverged = progress.train_loss is not None and not math.isfinite(progress.train_loss)
            boundary = progress.phase != seen.account.phase or progress.loss is not None or diverged
            if not boundary and clock() - seen.account.last.time_s < LOOK_EVERY_S:
                seen = replace(seen, progress=progress)
                continue
            seen = _look(seen, progress, read(), peak_memory())
            report(seen)
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
    last = read_anyhow()
    if last.energy_j is not None or end.outcome is not Outcome.CRASHED:  # else what was read before it broke
        seen = replace(seen, account=seen.account.look(last))
    flags = (*meter.flags(), *short_window(seen.counted[1], meter.spec.update_period_s))
    seen = replace(seen, flags=flags, peak_memory_bytes=peak_memory())
    interrupted = end.reason == INTERRUPTED
    return to_record(seen, end, interrupted)


def short_window(counted_s: float, update_period_s: float) -> tuple[str, ...]:
    """The flag of a run so short that one tick of its meter is over 1 % of what counts."""
    return ("short_window",) if update_period_s > 0.01 * counted_s else ()


def _look(seen: Seen, progress: Progress, reading: Reading, peak_memory_bytes: int | None) -> Seen:
    account = seen.account.enter(progress.phase, reading)
    seen = replace(seen, account=account, progress=progress, peak_memory_bytes=peak_memory_bytes)
    if progress.loss is None or not math.isfinite(progress.loss):
        return seen
    energy_j, time_s = seen.counted
    stderr = progress.loss_stderr or 0.0
    point = CurvePoint(progress.step, progress.tokens, progress.loss, stderr, energy_j, time_s)
    return replace(seen, curve=(*seen.curve, point))


def to_record(seen: Seen, end: Ending, interrupted: bool = False) -> Record:
    """The record of a run that ended here. A run whose energy is unknown becomes UNMEASURED, unless it
    crashed."""
    request = seen.request
    ledger = seen.account.ledger()
    unmeasured = seen.account.reason or _counted_nothing(seen)
    if unmeasured and end.outcome is not Outcome.CRASHED:
        end = Ending(Outcome.UNMEASURED, unmeasured)
    best = min((point.loss for point in seen.curve), default=None)
    crossing = find_crossing(seen.curve, request.target_loss) if not unmeasured else None
    energy_j, time_s = seen.counted if ledger else (None, seen.counted[1])
    spent = seen.spent
    if crossing is not None:
        spent = replace(spent, energy_j=crossing.energy_j, time_s=crossing.time_s, tokens=crossing.tokens)
    values = objective_values(request.objectives, spent) if end.outcome.completes else {}
    if values is None:
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
        values=values or {},
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
    )


def unmetered_record(request: RunRequest, meter: MeterInfo, reason: str, interrupted: bool = False) -> Record:
    """The record of a run that died before its first look: its energy is unknown, which is not zero."""
    nothing = Account.open("setup", Reading(0.0, None, "no reading before the run ended"), 0.0)
    seen = Seen(request, meter, now_utc(), nothing, Progress(0, 0, "setup"))
    return replace(to_record(seen, Ending(Outcome.CRASHED, reason), interrupted), counted_time_s=None)


def _counted_nothing(seen: Seen) -> str:
    """Why the counted phases cannot be believed, where they took time and the counter did not move in them.

    A run of 0 J would win every ranking.
    """
    energy_j, time_s = seen.counted
    if energy_j == 0.0 and time_s > 0.0:
        phases = " and ".join(seen.meter.counted_phases.phases)
        return f"the meter counted 0 J over {time_s:.3f} s of {phases}"
    return ""


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
