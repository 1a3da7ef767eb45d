"""What to type next: how to check a winner on fresh seeds, what to do where nothing reached the target."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

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


def is_worth_confirming(saving: str) -> bool:
    """Whether the best trial may have saved something (`Saving`)."""
    return saving in ("saves", "unknown")


def what_next(summary: Mapping[str, Any], recipe: str) -> str:
    """The line after a study's findings: how to confirm its best, or what to do where nothing was reached."""
    if summary["best"] is not None and is_worth_confirming(summary["saving"]):
        return confirm(recipe)
    return missed(summary)


def reachable_target(closest_loss: float) -> float:
    """A target that the closest run would have reached, with two decimals to spare."""
    return math.ceil((closest_loss + MARGIN) * 100) / 100


def missed(summary: Mapping[str, Any]) -> str:
    """For a study in which nothing reached the target: the closest loss, and what to type. Else empty."""
    closest, target = summary["closest"], summary["problem"]["target_loss"]
    if summary["front"] or closest["best_loss"] is None or not isinstance(target, int | float):
        return ""
    trial, loss = closest["trial"], closest["best_loss"]
    return (
        f"Nothing reached the target of {target:g} nats per token; the closest, trial {trial}, came to "
        f"{loss:.4f}. {another_target(loss)}"
    )


def another_target(closest_loss: float) -> str:
    """What to type where nothing reached the target."""
    return (
        "For a target that it reaches, type study.name=OTHER "
        f"target_loss={reachable_target(closest_loss):g}; for what the baseline ends at, target_loss=auto."
    )
