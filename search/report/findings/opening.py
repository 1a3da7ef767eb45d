"""What stands at the top: what the study is, what it found, and what must be known before all else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.console.plural import counted
from search.report.findings import numbers
from search.report.findings.headline import Headline, headline
from search.report.findings.meters import meter_warning
from search.report.findings.names import capitalised, kind_words
from search.report.findings.notes import notes
from search.report.findings.origin import origin_words
from search.report.view.data import Problem, StudyView
from search.report.view.values import redacted


@dataclass(frozen=True)
class Alert:
    """A warning that must be seen first: what is wrong, and why. `id` is its name on the page."""

    id: str
    lead: str
    text: str


@dataclass(frozen=True)
class Opening:
    """Empty texts are left out. `unit` says what the numbers mean of what is `measured`. `facts` ends with
    the kind of energy, where one is known."""

    title: str
    name: str
    description: str
    facts: str
    origin: str
    unit: str
    measured: str
    headline: Headline
    alerts: tuple[Alert, ...]
    notes: tuple[str, ...]


def opening(view: StudyView, config: Mapping[str, Any], folder: str) -> Opening:
    """`folder` is the study's, as commands name it."""
    return Opening(
        title=f"{view.study or 'Study'}: joules to target {view.problem.metric.name}",
        name=view.study or "A study without a name",
        description=_description(config),
        facts=_facts(view),
        origin=origin_words(view.origin),
        unit="" if view.problem.target_loss is None else view.problem.metric.meaning,
        measured=capitalised(view.problem.metric.name),
        headline=headline(view, folder),
        alerts=_alerts(view),
        notes=notes(view),
    )


def _description(config: Mapping[str, Any]) -> str:
    """What the study is, in its author's words; empty where there are none."""
    study = config.get("study")
    text = study.get("description") if isinstance(study, Mapping) else None
    return redacted(text) if isinstance(text, str) else ""


def _facts(view: StudyView) -> str:
    """`shakespeare_char, target 2.30 nats per token, best 5-gram 2.41, 17 runs, energy measured by nvml`."""
    problem = view.problem
    facts = [problem.dataset] if problem.dataset else []
    if problem.target_loss is None:
        facts.append("no target known")
    else:
        facts.append(f"target {_target_words(view, problem.target_loss)}")
    if problem.ngram_loss is not None:
        counting = problem.metric.text(problem.ngram_loss)
        facts.append(f"best {problem.ngram_order or 'n'}-gram {counting}")
    facts.append(counted(view.cost.runs, "run"))
    if view.meter is not None:
        facts.append(f"energy {kind_words(view)}")
    return ", ".join(facts)


def _target_words(view: StudyView, target_loss: float) -> str:
    return numbers.loss_words(target_loss, view.origin.bytes_per_token, view.problem.metric)


def _alerts(view: StudyView) -> tuple[Alert, ...]:
    alerts = []
    if view.other_strata:
        lead = f"This study ran on {len(view.other_strata) + 1} kinds of device, whose joules do not compare."
        alerts.append(Alert("strata", lead, " ".join(strata_sentences(view))))
    if text := meter_warning(view):
        lead = "The meter that ranked these trials does not order them as a better one does."
        alerts.append(Alert("meter-warning", lead, text))
    if view.problem.counting_reaches_target:
        lead = "The target does not need a language model."
        alerts.append(Alert("ngram-warning", lead, _ngram_warning(view.problem)))
    return tuple(alerts)


def strata_sentences(view: StudyView) -> list[str]:
    """What this report shows, and where the rest is. Each kind of device has a baseline of its own."""
    device = view.origin.hardware.get("device", "one kind of device")
    found = [f"This report shows the {counted(view.cost.runs, 'run')} on {device} with their own baseline."]
    for other in view.other_strata:
        where = f"{other.folder.rstrip('/')}/report.html"
        found.append(f"{counted(other.runs, 'run')} on {other.device}, read by {other.meter}: {where}.")
    return found


def _ngram_warning(problem: Problem) -> str:
    metric = problem.metric
    counting, below = metric.text(problem.ngram_loss), metric.either("below", "above")
    return (
        f"Counting n-grams reaches {metric.amount(problem.ngram_loss)} on this data and the target is "
        f"{metric.text(problem.target_loss)}. A table of counts would reach it for almost no energy, so the "
        "joules in this report do not say what training a language model costs. Set "
        f"{metric.setting} {below} {counting}; it takes more train.max_steps or a larger model to get there."
    )
