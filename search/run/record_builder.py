"""From the state of a run to its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from model.progress import Progress
from search.energy.account import Reading
from search.energy.counter_check import Counter
from search.record.crossing import Crossing, CurvePoint, crossing_at_the_end, find_crossing
from search.record.ledger import CountedPhases, Ledger, Phase
from search.record.meter_info import MeterInfo, SecondMeter
from search.record.objective import INFERENCE, Spent, known_early, loss_gap, objective_values
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.observations import paused_too_long, unresolved
from search.run.request import RunRequest
from search.run.state import MeterState, RunState
from search.run.stopping import Ending


def to_record(state: RunState, end: Ending, interrupted: bool = False) -> Record:
    """The record of a run that ended here. A run whose energy is unknown becomes UNMEASURED, unless it
    crashed."""
    request, account = state.request, state.account
    policy, ledger = request.counted_phases, account.ledger()
    unmeasured = account.reason or paused_too_long(state) or unresolved(state)
    if unmeasured and end.outcome is not Outcome.CRASHED:
        end = Ending(Outcome.UNMEASURED, unmeasured)
    best = best_loss(state.curve)
    find = crossing_at_the_end if request.to_the_end else find_crossing
    crossing = None if unmeasured else find(state.curve, request.target_loss)
    energy_j, time_s = (None, state.counted[1]) if unmeasured else state.counted
    spent = _spent_until(crossing, state)
    asked = request.objectives if end.outcome is Outcome.REACHED else known_early(request.objectives)
    known = objective_values(asked, spent) if end.outcome.completes else {}
    if known is None:
        end = Ending(Outcome.UNMEASURED, _unknown_objective(asked, spent, state))
    reached = end.outcome is Outcome.REACHED
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
        steps=state.progress.step,
        tokens=state.progress.tokens,
        parameters=request.parameters,
        meter=state.meter,
        counted_phases=policy,
        gross_energy_j=ledger.gross_energy_j if ledger else None,
        net_energy_j=_net_energy_j(ledger, state.idle_power_w),
        idle_power_w=state.idle_power_w,
        ledger=ledger,
        counted_energy_j=energy_j,
        counted_time_s=time_s,
        curve=state.curve,
        crossing=crossing if reached else None,
        values=known if known and reached else {},
        spent=known or {},
        peak_memory_bytes=state.peak_memory_bytes,
        flags=state.flags,
        interrupted=interrupted,
        retry_of=request.retry_of,
        started_at=state.started_at,
        ended_at=now_utc(),
        provenance=dict(request.provenance),
        index=request.index,
        system_attrs=dict(request.system_attrs),
        energy_error_j=None if unmeasured else account.error_j(policy.phases),
        second_meters=tuple(_second(one, policy, crossing is not None) for one in state.meters[1:]),
        observed=state.temperatures.observed() | dict(state.observed),
        confirmation=request.confirmation,
        test_loss=state.test_loss,
        test_loss_stderr=state.test_loss_stderr,
        ended_by=end.rival,
        foreseen=state.foreseen,
        inference=state.inference,
    )


def unmetered_record(request: RunRequest, meter: MeterInfo, reason: str, interrupted: bool = False) -> Record:
    """The record of a run that died before its first reading: its energy is unknown, which is not zero."""
    unread = Reading(0.0, None, "no reading before the run ended")
    meters = (MeterState.open(meter, Counter(), unread),)
    state = RunState(request, now_utc(), meters, Progress(0, 0, Phase.SETUP))
    return replace(to_record(state, Ending(Outcome.CRASHED, reason), interrupted), counted_time_s=None)


def best_loss(curve: Sequence[CurvePoint]) -> float | None:
    """The lowest loss. An evaluation that ended early is an estimate, and counts with its standard error."""
    return min((point.loss + (0.0 if point.whole else point.loss_stderr) for point in curve), default=None)


def now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _spent_until(crossing: Crossing | None, state: RunState) -> Spent:
    """What the run spent until it crossed the target, or until its end where it did not."""
    if crossing is None:
        return state.spent
    return replace(state.spent, energy_j=crossing.energy_j, time_s=crossing.time_s, tokens=crossing.tokens)


def _second(meter: MeterState, policy: CountedPhases, reached: bool) -> SecondMeter:
    ledger = meter.account.ledger()
    counted_j = meter.at_evaluation_j if reached else meter.counted_j(policy)
    return SecondMeter(
        meter=meter.info.name,
        kind=meter.info.kind,
        counted_energy_j=counted_j if ledger else None,
        gross_energy_j=ledger.gross_energy_j if ledger else None,
        phases_j=dict(ledger.energy_j) if ledger else None,
        reason=meter.account.reason,
        flags=meter.flags,
        settings=dict(meter.info.settings),
    )


def _net_energy_j(ledger: Ledger | None, idle_power_w: float | None) -> float | None:
    if ledger is None or idle_power_w is None:
        return None
    return ledger.gross_energy_j - idle_power_w * ledger.gross_time_s


def _unknown_objective(names: Sequence[str], spent: Spent, state: RunState) -> str:
    unknown = [name for name in names if objective_values([name], spent) is None]
    if unknown == [INFERENCE] and state.inference is not None:
        return f"the joules of a generated token are unknown: {state.inference.reason}"
    return f"the value of {', '.join(unknown)} is unknown on this machine"
