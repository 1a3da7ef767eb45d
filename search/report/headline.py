"""What a study found, as one sentence that a person can repeat, and the caveats that belong to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search.report import words
from search.report.data import StudyView
from search.trial import Record


@dataclass(frozen=True)
class Headline:
    """The finding in one sentence, and what a reader must know before repeating it."""

    text: str
    caveats: tuple[str, ...]


def headline(view: StudyView) -> Headline:
    """The finding; where there is none, what happened instead."""
    if not view.records:
        return Headline("No run has finished yet.", ())
    if view.best is None:
        return Headline(_nothing_reached(view), ())
    if view.baseline is None:
        return Headline(
            f"{_reached_for(view, view.best)}; there is no baseline to compare it with.", _caveats(view)
        )
    if not view.baseline_reached:
        return Headline(_baseline_fell_short(view, view.best, view.baseline), _caveats(view))
    return Headline(_compared(view, view.best, view.baseline), _caveats(view))


def _nothing_reached(view: StudyView) -> str:
    target = words.nats(view.problem.target_loss)
    others = [record for record in view.records if record is not view.baseline and not record.interrupted]
    if view.baseline is not None and view.baseline_reached:
        cost = " and ".join(
            words.objective_value(name, value)
            for name, value in zip(view.objectives, view.values(view.baseline), strict=True)
        )
        tried = f"none of {len(others)} trials has" if others else "no other trial has finished"
        return f"Only the baseline reached {target} nats ({cost}, {words.kind_words(view)}); {tried}."
    closest = min(
        (r for r in view.records if r.best_loss is not None and math.isfinite(r.best_loss)),
        key=lambda r: r.best_loss if r.best_loss is not None else math.inf,
        default=None,
    )
    if closest is None or closest.best_loss is None:
        return f"Nothing reached {target} nats: no run has a loss to show."
    who = words.name_of(view, closest)
    return f"Nothing reached {target} nats: the closest, {who}, came to {words.nats(closest.best_loss)}."


def _reached_for(view: StudyView, best: Record) -> str:
    target = words.nats(view.problem.target_loss)
    return f"{_trial(view, best)} reached {target} nats for {_costs(view, best)}"


def _costs(view: StudyView, record: Record) -> str:
    costs = [
        words.objective_value(name, value)
        for name, value in zip(view.objectives, view.values(record), strict=True)
    ]
    return f"{' and '.join(costs)} ({words.kind_words(view)})"


def _trial(view: StudyView, record: Record) -> str:
    name = words.marked_name(view, record)
    return name[0].upper() + name[1:]


def _baseline_fell_short(view: StudyView, best: Record, baseline: Record) -> str:
    first = view.objectives[0]
    spent = baseline.spent.get(first)
    text = f"{_reached_for(view, best)}; the baseline did not reach it"
    if spent is None:
        return f"{text} ({baseline.outcome.value}: {baseline.outcome.advice})."
    bound = best.values[first] / spent if spent > 0 else math.inf
    text += f" with {words.objective_value(first, spent)}"
    if bound >= 1:
        return f"{text}, so which of the two costs less is not known."
    rounded_up = math.ceil(bound * 1000) / 1000
    return f"{text}, so the ratio of {words.label(first)} is at most {rounded_up:.3f}."


def _compared(view: StudyView, best: Record, baseline: Record) -> str:
    reached = f"reached {words.nats(view.problem.target_loss)} nats with {_shares(view, best, baseline)}."
    if _saves(view, best):
        return f"{_trial(view, best)} {reached}"
    what, who = words.label(view.objectives[0]), words.marked_name(view, best)
    return f"No trial saved {what}: the cheapest, {who}, {reached}"


def _saves(view: StudyView, record: Record) -> bool:
    ratio = view.ratio(record, view.objectives[0])
    return ratio is not None and ratio < 1


def _shares(view: StudyView, record: Record, baseline: Record) -> str:
    """Each objective as a share of the baseline's; "but" where one is worse although the first is better."""
    first, *rest = view.objectives
    text = _share(view, first, record, baseline)
    for name in rest:
        ratio = view.ratio(record, name)
        worse = _saves(view, record) and ratio is not None and ratio > 1
        text += f" {'but' if worse else 'and'} {_share(view, name, record, baseline)}"
    return text


def _share(view: StudyView, objective: str, best: Record, baseline: Record) -> str:
    """`0.21 of the baseline's energy (12.3 J against 58.1 J, estimated by cpu_time)`."""
    ours = words.objective_value(objective, best.values[objective])
    theirs = words.objective_value(objective, baseline.values[objective])
    first = objective == view.objectives[0]
    meter = f", {words.kind_words(view)}" if words.is_energy(objective) else ""
    whose = "the baseline's" if first else "its"
    share = words.ratio(view.ratio(best, objective))
    return f"{share} of {whose} {words.label(objective)} ({ours} against {theirs}{meter})"


def _lookup_caveat(view: StudyView, best: Record) -> str:
    """That the winner is lookup-like, and the best of the trials that are not."""
    other, baseline = view.best_without_lookup, view.baseline
    lead = (
        f"Trial {best.trial} is lookup-like: it maps the last tokens to the next by looking them up, which "
        "buys a loss that counting n-grams buys too."
    )
    if other is None:
        return f"{lead} No trial that is not reached the target."
    if baseline is not None and view.baseline_reached:
        cost = f"with {_shares(view, other, baseline)}"
    else:
        cost = f"for {_costs(view, other)}"
    return f"{lead} The best that is not, trial {other.trial}, reached the target {cost}."


def _caveats(view: StudyView) -> tuple[str, ...]:
    """Reasons to wait before repeating the headline."""
    best = view.best
    assert best is not None
    caveats = [_lookup_caveat(view, best)] if view.is_apart(best) else []
    caveats.append("One run each, not yet confirmed with fresh seeds: a search picks lucky runs.")
    other = view.best_without_lookup if view.is_apart(best) else None
    compared = [record for record in (best, other, view.baseline) if record is not None]
    caveats += [
        f"{words.name_of(view, record).capitalize()} is flagged: {'; '.join(map(words.flag, record.flags))}."
        for record in compared
        if record.flags
    ]
    widths = [
        (words.name_of(view, r), r.crossing.relative_interval) for r in compared if r.crossing is not None
    ]
    if any(width > words.WIDE_INTERVAL for _, width in widths):
        *most, last = [f"{words.number(100 * width, 2)} % ({who})" for who, width in widths]
        parts = f"{', '.join(most)} and {last}" if most else last
        caveats.append(
            f"The target was crossed somewhere in the last {parts} of the counted joules, between two "
            "evaluations; the later one ranks."
        )
    if caveat := words.meter_caveat(view):
        caveats.append(caveat)
    return tuple(caveats)
