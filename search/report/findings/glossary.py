"""The terms of a report, explained."""

from __future__ import annotations

from search.record.meter_info import Kind
from search.record.outcome import Outcome
from search.report.findings.names import capitalised, kind_advice
from search.report.view.data import StudyView

_OURS = " This study's kind."
_TERMS = (
    (
        "energy, time (to target)",
        "Counted joules and seconds until the first evaluation that reaches the target. That evaluation "
        "is an upper bound: the true crossing lies between it and the one before, which is the interval "
        "shown.",
    ),
    (
        "gross",
        "Everything that the meter saw from the start of the run to its end, over all phases. As a way to "
        "count it is all of them but inference.",
    ),
    (
        "inference",
        "Generating text with the trained model, where it was asked for: a phase of its own that is no part "
        "of what training takes. Its joules over the generated tokens, one text at a time, are an objective.",
    ),
    (
        "counted",
        "The phases that rank: by default compile + train, the energy of getting the trained model. "
        "Evaluation is our instrument and not charged; it is in the ledger.",
    ),
    (
        "net",
        "Gross minus idle power times time, shown and never ranked by. It is not clamped, so it can be "
        "negative.",
    ),
    (
        "censored (≥)",
        "The target was not reached. What had been spent is a lower bound of what reaching it would have "
        "cost.",
    ),
    (
        "Pareto front",
        "The runs that reached the target and that no other run beats: no other is as good in every "
        "objective and better in one. Replicates are not ranked, since the luckiest of several seeds would "
        "win.",
    ),
)


def glossary(view: StudyView) -> tuple[tuple[str, str], ...]:
    """(term, meaning): of the numbers, then the kinds of energy and the ways in which a run ends."""
    kinds = [(kind.value, _kind(view, kind)) for kind in Kind]
    outcomes = [(outcome.value, f"{capitalised(outcome.advice)}.") for outcome in Outcome]
    return (*_TERMS, *kinds, *outcomes)


def _kind(view: StudyView, kind: Kind) -> str:
    ours = view.meter is not None and view.meter.kind is kind
    return f"Energy {kind_advice(kind)}.{_OURS if ours else ''}"
