"""Go on, or end with an outcome: pure decisions over what a run has spent and what finished trials needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.metric import LOSS, METRICS, Metric
from search.record.limits import Limits, Rival
from search.record.objective import OBJECTIVES, Spent, objective_values, shown_values
from search.record.outcome import Outcome

# Uniform guessing costs ln(V) nats. One evaluation this far above it may be a kick at the end of the warm-up,
# from which runs recover; two in a row are taken for divergence. No error rate gets there: such a run has
# diverged where a loss of its training is no number.
DIVERGED_ABOVE_UNIFORM = 1.5


@dataclass(frozen=True)
class Standing:
    """Where a run stands: `spent` in counted phases, gross joules and seconds, and the latest losses."""

    spent: Spent
    gross_energy_j: float | None
    gross_time_s: float
    train_loss: float | None = None
    loss: float | None = None
    previous_loss: float | None = None


@dataclass(frozen=True)
class Ending:
    """`rival`: the trial that it was ended for, of a run that is dominated."""

    outcome: Outcome
    reason: str
    rival: Rival | None = None


def ending(
    standing: Standing,
    target_loss: float,
    vocab_size: int,
    limits: Limits,
    objectives: Sequence[str],
    rivals: Sequence[Rival],
    metric: Metric = METRICS[LOSS],
) -> Ending | None:
    """The first reason to end the run here, or None.

    `rivals` are the finished trials that may end this run (none for a baseline, which runs to its end).
    """
    if standing.loss is not None and standing.loss <= target_loss:
        value = f"validation {metric.name} {metric.shown(standing.loss):.4f}"
        return Ending(Outcome.REACHED, f"{value} is {metric.at_target} {metric.shown(target_loss):g}")
    return (
        _diverged(standing, vocab_size)
        or _out_of_budget(standing, limits)
        or _dominated(standing.spent, objectives, rivals)
    )


def _diverged(standing: Standing, vocab_size: int) -> Ending | None:
    for name, loss in (("training", standing.train_loss), ("validation", standing.loss)):
        if loss is not None and not math.isfinite(loss):
            return Ending(Outcome.DIVERGED, f"the {name} loss became {loss}")
    uniform = math.log(vocab_size)
    last, before = standing.loss, standing.previous_loss
    if last is not None and before is not None and min(last, before) > uniform + DIVERGED_ABOVE_UNIFORM:
        return Ending(
            Outcome.DIVERGED,
            f"the validation loss was {before:.2f} and then {last:.2f}; guessing costs {uniform:.2f}",
        )
    return None


def _out_of_budget(standing: Standing, limits: Limits) -> Ending | None:
    spent = limits.spent(standing.gross_energy_j, standing.gross_time_s, standing.spent.tokens)
    if spent is None:
        return None
    name, limit, unit = spent
    return Ending(Outcome.OUT_OF_BUDGET, f"the run's {name} budget of {limit:g} {unit} is spent")


def _dominated(spent: Spent, objectives: Sequence[str], rivals: Sequence[Rival]) -> Ending | None:
    """Without regret: what is spent only grows, so a rival that needed no more of anything than this run has
    spent already stays as good or better. Beyond its margin, it would have been so with a less lucky seed
    too."""
    bound = objective_values(objectives, spent)
    if bound is None:
        return None
    for rival in rivals:
        needed = dict(zip(objectives, rival.values, strict=True))
        if all(bound[name] >= limit_of(name, needed[name], rival.margin) for name in objectives):
            words = f"spent {shown_values(bound)} and had not reached the target; {_for(rival)} "
            return Ending(Outcome.DOMINATED, words + shown_values(needed), rival)
    return None


def limit_of(objective: str, needed: float, margin: float) -> float:
    """What a run may spend of an objective before it is worse than a rival that needed so much."""
    return needed * (1 + margin) if OBJECTIVES[objective].by_luck else needed


def _for(rival: Rival) -> str:
    """Why the rival may end a run; its values follow."""
    if rival.confirmed_seeds:
        return f"trial {rival.trial}, confirmed on {rival.confirmed_seeds} fresh seeds, takes"
    beyond = f"beyond the margin of {100 * rival.margin:.3g} %: " if rival.margin else ""
    return f"{beyond}trial {rival.trial}, measured once, reached it for"
