"""What to type next: how to check a winner on fresh seeds, what to do where nothing reached the target."""

from __future__ import annotations

import math
import shlex

from model.metric import Metric
from search.confirm.settings import ConfirmSettings
from search.confirm.state import ConfirmationState
from search.report.view.confirmation import over_budget, verdict_so_far
from search.report.view.data import Saving, StudyView

# Beyond the closest seen, in nats per token or of accuracy: what another seed of the same configuration may
# move it by.
MARGIN = 0.01


def confirm_command(view: StudyView, folder: str) -> str:
    """What fits and confirms the best, or continues where that stopped."""
    turned_on = f" confirm.candidates={ConfirmSettings().candidates}" if view.confirmation_off else ""
    return f"python -m search.confirm {shlex.quote(folder)}{turned_on}"


def confirm(view: StudyView, folder: str) -> str:
    """Where nothing has been run to confirm the best."""
    lead = "Not yet confirmed with fresh seeds: a search picks lucky runs."
    if not view.confirmable:
        return f"{lead} It takes a baseline to confirm the best beside."
    return (
        f"{lead} To fit the length of the best recipes and run them beside the baseline with fresh seeds, "
        f"type: {confirm_command(view, folder)}"
    )


def is_worth_confirming(view: StudyView) -> bool:
    """Whether there is a best trial that may have saved something, and nothing was run to confirm it."""
    saved = view.best is not None and view.saving in (Saving.SAVES, Saving.UNKNOWN)
    return saved and not (view.confirming and view.confirmation is not None)


def what_next(view: StudyView, folder: str) -> str:
    """The line after a study's findings: how to confirm its best, what would decide its verdict, or what
    to do where nothing was reached. `folder` is the study's, as commands name it."""
    if view.claim is not None:
        return ""
    if view.confirming and view.confirmation is not None:
        return undecided(view, view.confirmation, folder)
    return confirm(view, folder) if is_worth_confirming(view) else missed(view)


def undecided(view: StudyView, state: ConfirmationState, folder: str) -> str:
    """Where no verdict stands: how the confirmation continues, or what would decide it."""
    command, verdict = confirm_command(view, folder), verdict_so_far(state)
    if state.next is not None:
        return f"The confirmation is not finished. To continue it, type: {command}"
    if over_budget(state):
        return f"Unproven, since {state.why}. To continue, type: {command} confirm.energy_j=MORE"
    if verdict is None:
        return f"Nothing is confirmed: {state.why}."
    return f"Unproven. What would decide the verdict: {verdict.would_decide}."


def reachable_target(closest_loss: float) -> float:
    """A target that the closest run would have reached, with two decimals to spare. Of an error rate too."""
    return math.ceil((closest_loss + MARGIN) * 100) / 100


def missed(view: StudyView) -> str:
    """For a study in which nothing reached the target: the closest loss, and what to type. Else empty."""
    closest, target = view.closest, view.problem.target_loss
    if view.front or closest is None or closest.best_loss is None or target is None:
        return ""
    metric, loss = view.problem.metric, closest.best_loss
    return (
        f"Nothing reached the target of {metric.words(target)}; the closest, trial {closest.trial}, came "
        f"to {metric.shown(loss):.4f}. {another_target(loss, metric)}"
    )


def another_target(closest_loss: float, metric: Metric) -> str:
    """What to type where nothing reached the target."""
    return (
        "For a target that it reaches, type study.name=OTHER "
        f"{metric.typed(reachable_target(closest_loss))}; for what the baseline ends at, "
        f"{metric.setting}=auto."
    )
