"""The baseline and the front as rows of texts, and what must be known to read them."""

from __future__ import annotations

from dataclasses import dataclass

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.findings import numbers
from search.report.findings.flags import flag_words
from search.report.findings.headline import floor_words
from search.report.findings.meters import meter_disagreement
from search.report.findings.names import kind_words, name_of
from search.report.view.data import Saving, StudyView
from search.report.view.values import brief_names, differing_params, flat

_LOOKUP = (
    "Lookup-like variants (lookup tables, smeared embeddings) map the last tokens to the next by looking "
    "them up; they buy what counting n-grams buys too, so they are a class of their own"
)
_RATIO = (
    "A ratio is candidate over baseline: 0.10 means a tenth. Within: how far before the evaluation that "
    "reached the target the crossing may lie, as a share of the counted joules."
)


@dataclass(frozen=True)
class Measure:
    """One objective of a run with its unit, and its ratio to the baseline's; empty where it is not known."""

    value: str
    ratio: str


@dataclass(frozen=True)
class Param:
    """A parameter that differs: its path, the part of it that tells it apart, and its value."""

    path: str
    name: str
    value: str


@dataclass(frozen=True)
class FrontRow:
    """One run. `joins`: it is on the front only without lookup-like runs; `lookup`: it ranks and is
    lookup-like; `best`: it is the best of all, or of those that are not lookup-like. Flags have their
    words beside them."""

    trial: int
    name: str
    is_baseline: bool
    joins: bool
    lookup: bool
    best: bool
    measures: tuple[Measure, ...]
    best_loss: str
    within: str
    params: tuple[Param, ...]
    flags: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Objective:
    """Its name in words, and whether it is joules."""

    label: str
    is_energy: bool


@dataclass(frozen=True)
class Front:
    """`lookup` says what lookup-like runs are, where there are any; `note` how to read the numbers.
    `measured`: loss or accuracy."""

    measured: str
    objectives: tuple[Objective, ...]
    columns: int
    rows: tuple[FrontRow, ...]
    joining: tuple[FrontRow, ...]
    lookup: str
    note: str


def front(view: StudyView) -> Front:
    rows = front_rows(view)
    return Front(
        measured=view.problem.metric.name,
        objectives=tuple(Objective(numbers.label(n), numbers.is_energy(n)) for n in view.objectives),
        columns=5 + 2 * len(view.objectives),
        rows=tuple(row for row in rows if not row.joins),
        joining=tuple(row for row in rows if row.joins),
        lookup=_lookup(view),
        note=_note(view),
    )


def front_rows(view: StudyView) -> tuple[FrontRow, ...]:
    """The baseline first, then the front, then what joins it without lookup-like runs."""
    names = brief_names(differing_params([view.params(record) for record in view.shown]))
    return tuple(_row(view, record, names) for record in view.shown)


def _row(view: StudyView, record: Record, names: dict[str, str]) -> FrontRow:
    is_baseline = record is view.baseline
    return FrontRow(
        trial=record.trial,
        name=name_of(view, record),
        is_baseline=is_baseline,
        joins=not is_baseline and not view.on_front(record),
        lookup=view.is_lookup(record),
        best=record is view.best or record is view.best_without_lookup,
        measures=tuple(_measure(view, record, objective) for objective in view.objectives),
        best_loss=record.metric.text(record.best_loss),
        within=_within(record),
        params=tuple(
            Param(path, names[path], numbers.parameter(value))
            for path, value in flat(view.params(record)).items()
            if path in names
        ),
        flags=tuple((flag, flag_words(flag)) for flag in record.flags),
    )


def _within(record: Record) -> str:
    """How far before the evaluation that reached the target the crossing may lie."""
    if record.crossing is None:
        return ""
    return f"{numbers.number(100 * record.crossing.relative_interval, 2)} %"


def _measure(view: StudyView, record: Record, objective: str) -> Measure:
    """A run that missed the target shows what it had spent, a lower bound of what reaching it costs."""
    value, ratio = record.spent.get(objective), view.ratio(record, objective)
    shown = numbers.objective_value(objective, value, record.energy_error_j)
    at_least = value is not None and not view.ranks(record)
    return Measure(f"≥ {shown}" if at_least else shown, "" if ratio is None else numbers.ratio(ratio))


def error_note(view: StudyView) -> str:
    """What ± means, where it stands beside the joules of any run."""
    return f" ±: {numbers.ERROR_WORDS}." if any(map(_shows_error, view.records)) else ""


def _shows_error(record: Record) -> bool:
    name = "energy_to_target_j"
    value = record.values.get(name)
    return value is not None and numbers.visible_error_j(name, value, record.energy_error_j) is not None


def _note(view: StudyView) -> str:
    empty = "" if view.front else " Nothing reached the target, so the front is empty."
    return f"{_RATIO}{error_note(view)}{empty}"


def _lookup(view: StudyView) -> str:
    if not view.lookup:
        return ""
    if view.fronts_differ:
        return f"{_LOOKUP}, and the front is shown with and without them."
    return f"{_LOOKUP}; none of them is on the front here."


def front_title(view: StudyView) -> str:
    """On a terminal, above the front."""
    study = view.study or "the study"
    if view.meter is None:
        return f"Pareto front of {study}: no run has finished"
    return f"Pareto front of {study} (energy {kind_words(view)})"


def front_caption(view: StudyView) -> str:
    """On a terminal, below the front: what a reader must know before comparing."""
    parts = (_standing(view), _front_without_lookup(view), meter_disagreement(view))
    return " ".join(part for part in parts if part)


def _standing(view: StudyView) -> str:
    """Whether there is anything to compare with, and how far runs of the baseline differ."""
    if not view.front:
        return "No run has reached the target."
    if view.baseline is None:
        return "No baseline: no ratios."
    if view.baseline.outcome is not Outcome.REACHED:
        outcome = view.baseline.outcome.value
        return f"The baseline did not reach the target ({outcome}), so there are no ratios."
    objective, runs = view.decided_by, len(view.noise.trials)
    floor = view.noise.floor.get(objective)
    if floor is None:
        return "The noise floor is not known: the baseline ran once."
    within = {
        Saving.WITHIN_NOISE: "No saving beyond the noise floor",
        Saving.NOTHING: "Nothing was saved; noise floor",
    }.get(view.saving, "Noise floor")
    return f"{within}: {floor_words(floor)} in {numbers.label(objective)}, by {runs} runs of the baseline."


def _front_without_lookup(view: StudyView) -> str:
    """What a lookup-like run on the front is, and the front without such runs."""
    if not view.fronts_differ:
        return ""
    others = [str(record.trial) for record in view.front_without_lookup]
    without = f"the front is trial {', '.join(others)}" if others else "nothing has reached the target"
    return (
        "Lookup-like runs look the next token up, which buys what counting n-grams buys too; "
        f"without them {without}."
    )
