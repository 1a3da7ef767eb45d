"""What fresh seeds say of the best recipes, for `summary.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, NotRequired, TypedDict

from model.metric import ACCURACY, LOSS, Metric
from search.confirm.clauses import Clause, FittedBaseline
from search.confirm.intervals import Interval
from search.confirm.state import ConfirmationState
from search.confirm.verdict import Verdict, VerdictKind
from search.record.confirmation import FITTED
from search.report.view.confirmation import ArmResult, arm_results, confirmed_seeds, verdicts
from search.report.view.data import StudyView

Nats = Annotated[
    float | None,
    "In nats per token; null where a run diverged or crashed, it is unknown, or the accuracy is measured.",
]
Share = Annotated[float | None, "Likewise, where the accuracy is measured; absent otherwise."]


def measured(metric: Metric, name: str, value: float | None) -> float | None:
    """As people read it; None where `name` is not what is measured, and of what is not finite, which JSON
    has no word for."""
    if value is None or not math.isfinite(value) or metric.name != name:
        return None
    return metric.shown(value)


class IntervalSummary(TypedDict):
    """An estimate with its 95 % interval, for all looks and candidates together."""

    estimate: Annotated[float, "The best guess."]
    low: Annotated[float, "The lower end."]
    high: Annotated[float, "The upper end."]


class ClauseSummary(TypedDict):
    """One clause of a verdict."""

    name: Annotated[
        str,
        "reach, energy_documented, energy_fitted, time_documented, time_fitted, loss (or accuracy), problem, "
        "meter or (with confirm.inference) inference.",
    ]
    holds: Annotated[bool | None, "Null: not known yet."]
    words: Annotated[str, "What it rests on."]


class VerdictSummary(TypedDict):
    """What fresh seeds say of one candidate beside the baseline, as far as they have come."""

    trial: Annotated[int, "The trial whose recipe it is."]
    arm: Annotated[str, "Its name in the confirmation."]
    verdict: Annotated[VerdictKind, "SAVES: every clause holds."]
    steps: Annotated[int, "Its fixed length."]
    seeds: Annotated[list[int], "The fresh seeds of the rounds that count."]
    replicates: Annotated[int, "How many."]
    misses: Annotated[int, "Of these, how many missed the target at their end."]
    reach_share: Annotated[
        IntervalSummary | None, "Share of seeds that reach the target, with its Clopper-Pearson interval."
    ]
    mean_loss: Annotated[Nats, "Mean validation loss at the last step."]
    mean_accuracy: NotRequired[Annotated[Share, "Mean validation accuracy at the last step."]]
    p_reach: Annotated[
        float | None,
        "One-sided, that the mean at the end does not reach the target; corrected for looks and candidates.",
    ]
    energy_ratio: Annotated[
        IntervalSummary | None, "Counted joules over those of the documented baseline, paired."
    ]
    energy_ratio_fitted: Annotated[
        IntervalSummary | None, "The same over the baseline at its fitted length; null where it did not run."
    ]
    time_ratio: Annotated[IntervalSummary | None, "Counted seconds over the documented baseline's, paired."]
    time_ratio_fitted: Annotated[
        IntervalSummary | None, "The same over the baseline at its fitted length; null where it did not run."
    ]
    loss_difference: Annotated[
        IntervalSummary | None, "Test loss minus the documented baseline's, in nats per token."
    ]
    accuracy_difference: NotRequired[
        Annotated[IntervalSummary | None, "Test accuracy minus the documented baseline's; above 0 is better."]
    ]
    inference_ratio: NotRequired[
        Annotated[
            IntervalSummary,
            "Joules of a generated token, one text at a time, over the documented baseline's, paired; "
            "only where that is known.",
        ]
    ]
    clauses: Annotated[list[ClauseSummary], "What the verdict is made of."]
    uneven_rounds: Annotated[int, "Rounds whose sides saw different load; they count as they are."]
    decided: Annotated[bool, "Whether more seeds would change nothing."]
    why: Annotated[str, "What fails, and what would decide it."]
    left: Annotated[str, "Why it got no more seeds before the end; empty where it did."]


class FitSummary(TypedDict):
    """How the length of one recipe was fitted."""

    arm: Annotated[str, "The recipe's name in the confirmation; fitted is the baseline."]
    steps: Annotated[int | None, "The fitted length; null while undecided, or where none was found."]
    runs: Annotated[int, "How many it took."]
    share: Annotated[float | None, "Of fresh seeds that are predicted to reach the target at this length."]
    reason: Annotated[str, "Why it ended, or where it stands."]


class ArmSummary(TypedDict):
    """What one recipe came to over the rounds that count."""

    arm: Annotated[str, "documented and fitted are the baseline."]
    steps: Annotated[int, "Its fixed length."]
    replicates: Annotated[int, "Seeds that ran."]
    reached: Annotated[int, "Of these, how many reached the target at their end."]
    mean_loss: Annotated[Nats, "Mean validation loss at the last step."]
    mean_test_loss: Annotated[Nats, "Mean loss on the test part."]
    mean_accuracy: NotRequired[Annotated[Share, "Mean validation accuracy at the last step."]]
    mean_test_accuracy: NotRequired[Annotated[Share, "Mean accuracy on the test part."]]
    energy_j: Annotated[float | None, "Counted joules of a run, geometric mean."]
    time_s: Annotated[float | None, "Counted seconds of a run, geometric mean."]


class ConfirmationSummary(TypedDict):
    """The runs that fitted and confirmed the best recipes."""

    baseline_steps: Annotated[int, "The baseline's documented length."]
    baseline_fitted_steps: Annotated[int | None, "Its fitted length; null where there is none."]
    baseline_fitted: Annotated[FittedBaseline | None, "What became of fitting it; null before it ended."]
    fits: Annotated[list[FitSummary], "One a recipe."]
    arms: Annotated[list[ArmSummary], "One a recipe, the baseline first; empty before the first round."]
    energy_j: Annotated[float, "Gross joules of all runs that fitted and confirmed, in search_cost too."]
    runs: Annotated[int, "How many."]
    ended: Annotated[bool, "Whether no run is to follow."]
    why: Annotated[str, "Why it ended; empty while it has not."]


def verdict_summaries(view: StudyView) -> list[VerdictSummary]:
    """One entry a candidate, the one that leads first; empty before the first round is complete."""
    state = view.confirmation
    if state is None:
        return []
    metric = view.problem.metric
    return [_verdict(state, verdict, metric) for verdict in verdicts(state) if verdict.seeds]


def confirmation_summary(view: StudyView) -> ConfirmationSummary | None:
    """None where nothing was run to confirm the best."""
    state = view.confirmation
    if state is None or not view.confirming:
        return None
    target_loss, metric = view.problem.target_loss, view.problem.metric
    became = next((facts.fitted_baseline for facts in state.facts.values()), None)
    return {
        "baseline_steps": state.baseline.steps,
        "baseline_fitted_steps": state.fits[FITTED].steps,
        "baseline_fitted": became if state.race is not None else None,
        "fits": [
            {"arm": arm, "steps": fit.steps, "runs": fit.runs, "share": fit.share, "reason": fit.reason}
            for arm, fit in state.fits.items()
        ],
        "arms": [] if target_loss is None else [_arm(arm, metric) for arm in arm_results(state, target_loss)],
        "energy_j": state.spent_j,
        "runs": len(view.confirming),
        "ended": state.next is None,
        "why": state.why if state.next is None else "",
    }


def _verdict(state: ConfirmationState, verdict: Verdict, metric: Metric) -> VerdictSummary:
    left: Mapping[str, str] = {} if state.race is None else state.race.left
    found: VerdictSummary = {
        "trial": state.recipe(verdict.arm).of_trial,
        "arm": verdict.arm,
        "verdict": verdict.kind,
        "steps": state.steps[verdict.arm],
        "seeds": list(confirmed_seeds(state, verdict.arm)),
        "replicates": verdict.seeds,
        "misses": verdict.misses,
        "reach_share": _interval(verdict.reach_share),
        "mean_loss": measured(metric, LOSS, verdict.mean_loss),
        "p_reach": verdict.p_reach,
        "energy_ratio": _interval(verdict.energy_ratio),
        "energy_ratio_fitted": _interval(verdict.energy_ratio_fitted),
        "time_ratio": _interval(verdict.time_ratio),
        "time_ratio_fitted": _interval(verdict.time_ratio_fitted),
        "loss_difference": _interval(verdict.loss_difference) if metric.name == LOSS else None,
        "clauses": [_clause(clause) for clause in verdict.clauses],
        "uneven_rounds": verdict.uneven,
        "decided": verdict.decided,
        "why": verdict.why,
        "left": left.get(verdict.arm, ""),
    }
    if metric.name == ACCURACY:
        found["mean_accuracy"] = measured(metric, ACCURACY, verdict.mean_loss)
        found["accuracy_difference"] = _turned(verdict.loss_difference)
    if verdict.inference_ratio is not None:
        found["inference_ratio"] = _interval_summary(verdict.inference_ratio)
    return found


def _clause(clause: Clause) -> ClauseSummary:
    return {"name": clause.name, "holds": clause.holds, "words": clause.words}


def _arm(arm: ArmResult, metric: Metric) -> ArmSummary:
    found: ArmSummary = {
        "arm": arm.arm,
        "steps": arm.steps,
        "replicates": len(arm.seeds),
        "reached": arm.reached,
        "mean_loss": measured(metric, LOSS, arm.loss),
        "mean_test_loss": measured(metric, LOSS, arm.test_loss),
        "energy_j": arm.energy_j,
        "time_s": arm.time_s,
    }
    if metric.name == ACCURACY:
        found["mean_accuracy"] = measured(metric, ACCURACY, arm.loss)
        found["mean_test_accuracy"] = measured(metric, ACCURACY, arm.test_loss)
    return found


def _interval(interval: Interval | None) -> IntervalSummary | None:
    return None if interval is None else _interval_summary(interval)


def _interval_summary(interval: Interval) -> IntervalSummary:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _turned(interval: Interval | None) -> IntervalSummary | None:
    """Of error rates, as one of accuracies."""
    if interval is None:
        return None
    return {"estimate": -interval.estimate, "low": -interval.high, "high": -interval.low}
