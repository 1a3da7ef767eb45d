"""What to type next: how to check a winner on fresh seeds, what to do where nothing reached the target."""

from __future__ import annotations

import math
import shlex

from search.report.view.data import Saving, StudyView

# Seeds that no shipped study uses. A recipe that reaches its target on two seeds of three passes all five in
# 13 % of cases, one that does on half of them in 3 %.
FRESH_SEEDS = (101, 102, 103, 104, 105)
# Above the closest loss seen, in nats per token: what another seed of the same configuration may move it by.
MARGIN = 0.01


def confirm_command(recipe: str) -> str:
    """The command that trains a recipe with each of `FRESH_SEEDS`; its status is 1 if one misses."""
    seeds = ",".join(map(str, FRESH_SEEDS))
    return f"python -m search.train -m {shlex.quote(f'recipe={recipe}')} seed={seeds}"


def confirm(recipe: str) -> str:
    return (
        "Not yet confirmed with fresh seeds: a search picks lucky runs. To see whether the best reaches the "
        f"target on {len(FRESH_SEEDS)} fresh seeds, type: {confirm_command(recipe)}"
    )


def is_worth_confirming(view: StudyView) -> bool:
    """Whether there is a best trial that may have saved something."""
    return view.best is not None and view.saving in (Saving.SAVES, Saving.UNKNOWN)


def what_next(view: StudyView, recipe: str) -> str:
    """The line after a study's findings: how to confirm its best, or what to do where nothing was reached."""
    if is_worth_confirming(view):
        return confirm(recipe)
    return missed(view)


def reachable_target(closest_loss: float) -> float:
    """A target that the closest run would have reached, with two decimals to spare."""
    return math.ceil((closest_loss + MARGIN) * 100) / 100


def missed(view: StudyView) -> str:
    """For a study in which nothing reached the target: the closest loss, and what to type. Else empty."""
    closest, target = view.closest, view.problem.target_loss
    if view.front or closest is None or closest.best_loss is None or target is None:
        return ""
    loss = closest.best_loss
    return (
        f"Nothing reached the target of {target:g} nats per token; the closest, trial {closest.trial}, came "
        f"to {loss:.4f}. {another_target(loss)}"
    )


def another_target(closest_loss: float) -> str:
    """What to type where nothing reached the target."""
    return (
        "For a target that it reaches, type study.name=OTHER "
        f"target_loss={reachable_target(closest_loss):g}; for what the baseline ends at, target_loss=auto."
    )
