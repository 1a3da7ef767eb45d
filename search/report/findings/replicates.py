"""How a recipe did when the search trained it again, with another seed."""

from __future__ import annotations

from search.record.noise import can_rank
from search.record.record import Record
from search.report.findings import numbers
from search.report.findings.names import name_of
from search.report.view.data import StudyView


def which_run(view: StudyView, record: Record) -> str:
    """Which of its recipe's runs stands for it: `one run`, `of 2 runs the dearest to reach the target`."""
    runs = 1 + len(view.other_runs(record))
    return "one run" if runs == 1 else f"of {runs} runs the dearest to reach the target"


def again_words(view: StudyView, record: Record) -> str | None:
    """How the recipe's other runs ended, or None where it ran once. Said beside a result that no fresh seeds
    have confirmed: where another seed missed, the result is a lucky one."""
    others = view.other_runs(record)
    if not others:
        return None
    ended = "; ".join(f"{name_of(view, other)} {_ended(view, other)}" for other in others)
    return f"The same recipe with another seed: {ended}."


def _ended(view: StudyView, run: Record) -> str:
    if can_rank(run, view.objectives):
        return f"reached the target for {numbers.amounts(view.objectives, view.values(run))}"
    if run.feasible:
        return "reached the target"
    if run.loss_gap is None:
        return "missed the target"
    metric = view.problem.metric
    return f"missed the target by {numbers.number(run.loss_gap, 2)} {metric.either('nats', 'of accuracy')}"
