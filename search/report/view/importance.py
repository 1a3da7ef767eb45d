"""Which parameters tell the good trials from the rest, for the first objective (PED-ANOVA, by Optuna).

PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255) compares, one parameter at a time, how the values of the
best trials (a quarter, or all that reached the target where they are fewer) are spread with how those of all
trials are. It needs no scikit-learn and says nothing
of how parameters act together.

- Only ranks matter to it. A trial that did not reach the target has lower bounds for values, so it counts as
  worse than every trial that reached it, all of them alike.
- The baseline is left out: no sampler proposed it. So are trials without values.
- Only parameters that all of these trials have count, and only those that vary among them.
- The distributions are rebuilt from the values seen (the records are all that a report has): numbers span
  their observed range, on a log scale from a factor of ten; anything else is a category.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning

from search.record.record import Record
from search.report.view.data import RANKED_ROLES, StudyView
from search.report.view.values import plain_value

_BEST_SHARE = 0.25
MIN_TRIALS = 8
MIN_REACHED = 3  # fewer best trials than these have no spread to speak of
_LOG_FROM = 10.0


class Lacking(Enum):
    """Why nothing can be said of importance."""

    TRIALS = "too few trials, or too few that reached the target"
    DIFFERENCES = "the trials all cost the same"
    VARIATION = "no parameter varies"


@dataclass(frozen=True)
class Importance:
    """Shares that add up to 1, the largest first; empty where there is nothing to say: `lacking` says why.

    Of `trials`, so many `reached` the target, and the `best` of them are set against all.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0
    reached: int = 0
    best: int = 0
    lacking: Lacking | None = None


def parameter_importance(view: StudyView) -> Importance:
    """Importance of every varying parameter for being among the best by the first objective."""
    reached = [record for record in view.feasible if record is not view.baseline]
    short = [
        record
        for record in view.records
        if record.role in RANKED_ROLES and record.outcome.completes and not record.feasible
    ]
    records = reached + short
    nothing = Importance(trials=len(records), reached=len(reached))
    if len(records) < MIN_TRIALS or len(reached) < MIN_REACHED:
        return dataclasses.replace(nothing, lacking=Lacking.TRIALS)
    values = [float(record.values[view.objectives[0]]) for record in reached]
    values += [2.0 * max(values) + 1.0] * len(short)
    if len(set(values)) == 1:
        return dataclasses.replace(nothing, lacking=Lacking.DIFFERENCES)
    columns = _varying_columns(records)
    if not columns:
        return dataclasses.replace(nothing, lacking=Lacking.VARIATION)
    best_share = min(_BEST_SHARE, len(reached) / len(records))
    best = round(best_share * len(records))
    shares = _ped_anova(columns, values, best_share)
    return Importance(shares, len(records), len(reached), best)


def _varying_columns(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Values by parameter, for the parameters that every record has and that vary among them."""
    names = [name for name in records[0].params if all(name in record.params for record in records)]
    columns = {name: _comparable([record.params[name] for record in records]) for name in names}
    return {name: column for name, column in columns.items() if len(set(column)) > 1}


def _comparable(values: Sequence[Any]) -> list[Any]:
    """Numbers as they are, anything else (a list, None, a mixture) as its text: Optuna's categories."""
    plain = [plain_value(value) for value in values]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in plain)
    return plain if numbers else [str(value) for value in plain]


def _distribution(column: Sequence[Any]) -> BaseDistribution:
    if any(isinstance(value, str) for value in column):
        return CategoricalDistribution(sorted(set(column)))
    low, high = min(column), max(column)
    log = low > 0 and high >= _LOG_FROM * low
    if all(isinstance(value, int) for value in column):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _ped_anova(
    columns: Mapping[str, Sequence[Any]], values: Sequence[float], best_share: float
) -> dict[str, float]:
    distributions = {name: _distribution(column) for name, column in columns.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the study below is an intermediate, not news
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study = optuna.create_study()
            for row, value in enumerate(values):
                params = {name: column[row] for name, column in columns.items()}
                study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best_share)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(share) for name, share in shares.items()}
