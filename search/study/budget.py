"""What a study has spent of its budget, in joules and in trials. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from search.config.schema import StudyConfig
from search.record.outcome import Outcome, Role
from search.record.record import Record

# Of a study's energy budget, what may be kept for one more run of the baseline.
LARGEST_RESERVE = 0.25


def spent_j(records: Sequence[Record]) -> float:
    return sum(record.gross_energy_j or 0.0 for record in records)


def spent_s(records: Sequence[Record]) -> float:
    return sum(record.ledger.gross_time_s for record in records if record.ledger is not None)


def search_limit_j(records: Sequence[Record], config: StudyConfig) -> float | None:
    """What the study may spend before it repeats its baseline: its budget, less one run of the baseline
    where that is still to come and at most a quarter of it. None without a budget."""
    limit_j = config.budget.study_energy_j
    runs = [record for record in records if record.role is Role.BASELINE and record.feasible]
    if limit_j is None or len(runs) != 1 or config.noise.runs < 2:
        return limit_j
    once_more_j = runs[0].gross_energy_j or 0.0
    return limit_j - once_more_j if once_more_j <= LARGEST_RESERVE * limit_j else limit_j


def cut_off_by_study(record: Record, config: StudyConfig) -> bool:
    """Whether a trial stopped in the middle of its schedule because the study's joules were spent, not its
    own budget. It says nothing of its configuration then."""
    if record.role is not Role.SEARCH or record.outcome is not Outcome.OUT_OF_BUDGET:
        return False
    time_s = None if record.ledger is None else record.ledger.gross_time_s
    if config.limits().spent(record.gross_energy_j, time_s, record.tokens) is not None:
        return False
    return record.max_steps is not None and record.steps < record.max_steps


def counted_trials(records: Sequence[Record]) -> int:
    """How many runs `budget.n_trials` counts: all but those that find the target, or repeat a baseline that
    has reached it."""
    count, reached = 0, False
    for record in records:
        is_baseline = record.role is Role.BASELINE
        count += record.role is not Role.TARGET and not (is_baseline and reached)
        reached = reached or (is_baseline and record.feasible)
    return count
