"""What has to be done so that records, storage and `running.json` agree: a plan, as values. Pure.

`records.jsonl` is the truth. Whatever the storage says, because its process was killed, its file was lost, or
somebody pressed a button of optuna-dashboard, it is told again or built again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from optuna.trial import FrozenTrial, TrialState

from search.record.record import Record
from search.sampling.history import RUN_ID, state_of, values_of

NO_NUMBER = -1


@dataclass(frozen=True)
class RecoveryPlan:
    """`cut_off`: the record, still to be written, of the run that was going on when its process died.
    `tell`: finished runs whose trials still count as RUNNING. `fail`: numbers of trials that were left
    RUNNING and of which nobody knows anything. `rebuild`: why the storage cannot be right, empty where it
    can."""

    cut_off: Record | None = None
    tell: tuple[Record, ...] = ()
    fail: tuple[int, ...] = ()
    rebuild: str = ""


def recovery_plan(
    records: Sequence[Record],
    trials: Sequence[FrozenTrial],
    abandoned: Collection[int],
    running: Record | None = None,
    elsewhere: Collection[int] = (),
) -> RecoveryPlan:
    """`trials` as the storage has them; `abandoned`: the numbers of RUNNING ones whose process has ended;
    `elsewhere`: of those that another process runs, which tells them itself; `running`: what `running.json`
    holds. What is told supposes that `cut_off` was recorded first."""
    cut_off = _cut_off(running, records, [trial for trial in trials if trial.number in abandoned])
    records = records if cut_off is None else (*records, cut_off)
    by_number = {record.trial: record for record in records}
    lost = {number for number in elsewhere if number in by_number and by_number[number].interrupted}
    abandoned = {*abandoned, *lost}  # those whose leases ran out
    tell = tuple(by_number[number] for number in sorted(abandoned) if number in by_number)
    fail = tuple(number for number in sorted(abandoned) if number not in by_number)
    return RecoveryPlan(cut_off, tell, fail, disagreement(records, trials, {*abandoned, *elsewhere}))


def _cut_off(
    running: Record | None, records: Sequence[Record], abandoned: Sequence[FrozenTrial]
) -> Record | None:
    """`running` as the record of an interrupted run, or None where that run is recorded or left no trace.

    It has no number yet where its process died before the trial existed, or before it learnt the number: it
    is then that of the abandoned trial which carries the run's name, or of the only one without a name.
    """
    if running is None or running.run_id in {record.run_id for record in records}:
        return None
    taken = {record.trial for record in records}
    number = running.trial
    if number == NO_NUMBER:
        unknown = [trial for trial in abandoned if trial.number not in taken]
        named = [trial for trial in unknown if trial.user_attrs.get(RUN_ID) == running.run_id]
        candidates = named or [trial for trial in unknown if RUN_ID not in trial.user_attrs]
        if len(candidates) != 1:
            return None
        number = candidates[0].number
    if number in taken:
        number = next_number(records)
    return replace(running, trial=number, interrupted=True)


def next_number(records: Sequence[Record]) -> int:
    return max((record.trial for record in records), default=-1) + 1


def disagreement(
    records: Sequence[Record], trials: Sequence[FrozenTrial], pending: Collection[int] = ()
) -> str:
    """What the storage says that the records do not, in words; or nothing. `pending`: numbers of trials that
    are about to be told."""
    if records and not trials:
        return "it holds nothing of the study"
    stored = {trial.number: trial for trial in trials}
    if sorted(stored) != list(range(len(trials))) or len(stored) != len(trials):
        return "trials were deleted from it"
    by_number = {record.trial: record for record in records}
    missing = [number for number in sorted(by_number) if number not in stored]
    if missing:
        return f"it lacks {_trials(missing)}"
    for number, trial in stored.items():
        record = by_number.get(number)
        if record is None:
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                return f"trial {number} is {trial.state.name} there, and no record says so"
        elif trial.user_attrs.get(RUN_ID, record.run_id) != record.run_id:
            return f"trial {number} is another run there"
        elif number not in pending and (said := _contradiction(record, trial)):
            return said
    return ""


def _contradiction(record: Record, trial: FrozenTrial) -> str:
    state, values = state_of(record), values_of(record)
    if trial.state is not state:
        return f"trial {record.trial} is {trial.state.name} there, and its run {_ended(record)}"
    if values is not None and not _equal(trial.values, values):
        return f"trial {record.trial} has other values there"
    if state is not TrialState.FAIL and trial.params and trial.params != dict(record.params):
        return f"trial {record.trial} has other parameters there"
    return ""


def _ended(record: Record) -> str:
    return "reached the target" if record.feasible else f"ended as {record.outcome.value}"


def _equal(found: Sequence[float] | None, wanted: Sequence[float]) -> bool:
    if found is None or len(found) != len(wanted):
        return False
    return all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(found, wanted, strict=True))


def unrecorded(records: Sequence[Record], trials: Sequence[FrozenTrial]) -> list[int]:
    """Numbers of finished trials with values of which there is no record: what building anew would lose."""
    known = {record.run_id for record in records}
    numbers = {record.trial for record in records}

    def is_known(trial: FrozenTrial) -> bool:
        name = trial.user_attrs.get(RUN_ID)
        return trial.number in numbers if name is None else name in known

    finished = (TrialState.COMPLETE, TrialState.PRUNED)
    return [trial.number for trial in trials if trial.state in finished and not is_known(trial)]


def layout(records: Sequence[Record], trials: Sequence[FrozenTrial]) -> list[Record | FrozenTrial | None]:
    """What the trials of a storage that is built anew are, by number: those of the records; at a number
    without one a failed trial that was there before, or None for one that fills the gap; then those that
    wait."""
    by_number = {record.trial: record for record in records}
    failed = {trial.number: trial for trial in trials if trial.state is TrialState.FAIL}
    waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
    end = max(next_number(records), *(number + 1 for number in failed), 0)
    numbered: list[Record | FrozenTrial | None] = [
        by_number.get(number) or failed.get(number) for number in range(end)
    ]
    return [*numbered, *waiting]


def _trials(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    return f"{len(numbers)} trials, the first of them {numbers[0]}"
