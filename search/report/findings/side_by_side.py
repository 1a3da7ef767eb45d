"""Meters side by side: who is compared with whom, how far they agree, and their worst disagreements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from search.console.plural import counted
from search.record.meter_info import Kind
from search.report.findings import numbers
from search.report.findings.flags import flag_words
from search.report.findings.meters import (
    VERDICT_RULE,
    correlation_words,
    residual_words,
    swap_words,
    verdict_words,
)
from search.report.findings.names import meter_words
from search.report.view.data import StudyView
from search.report.view.side_by_side import Comparison, StudyMeter, Trouble
from search.report.view.values import redacted

_LISTED = 5  # of the worst disagreements


@dataclass(frozen=True)
class MeterRow:
    """A meter against the reference; `ranks`: the study ranks by it."""

    name: str
    ranks: bool
    kind: str
    reads: str
    runs: str
    correlation: str
    scale: str
    regret: str
    verdict: str


@dataclass(frozen=True)
class Disagreements:
    """The runs on which two meters differ most."""

    title: str
    residuals: tuple[str, ...]
    swaps: tuple[str, ...]
    swapped: str


@dataclass(frozen=True)
class MetersBeside:
    """Empty where one meter ran alone. `rows` and `disagreements` go with `view.meters.comparisons`."""

    reference: str
    trust: str
    rows: tuple[MeterRow, ...]
    note: str
    disagreements: tuple[Disagreements, ...]
    unreadable: tuple[str, ...]
    flagged: tuple[str, ...]


def meters_beside(view: StudyView) -> MetersBeside:
    comparisons = view.meters.comparisons
    reference = comparisons[0].reference if comparisons else None
    ranks = reference is not None and reference.ranks
    return MetersBeside(
        reference="" if reference is None else meter_words(reference),
        trust=f"the most trustworthy of them{'; the study ranks by it' if ranks else ''}",
        rows=tuple(map(_row, comparisons)),
        note="" if reference is None else _note(reference),
        disagreements=tuple(map(_disagreements, comparisons)),
        unreadable=_troubles((each, redacted(each.text)) for each in view.meters.unreadable),
        flagged=_troubles((each, flag_words(each.text)) for each in view.meters.flagged),
    )


def _row(comparison: Comparison) -> MeterRow:
    meter, agreement = comparison.surrogate, comparison.agreement
    devices = ", ".join(meter.devices) or numbers.UNKNOWN
    return MeterRow(
        name=meter.name,
        ranks=meter.ranks,
        kind=meter.kind.value,
        reads="no device" if meter.kind is Kind.MODELLED else devices,
        runs=f"{agreement.runs} of {len(agreement.pairs)}",
        correlation=correlation_words(agreement.correlation),
        scale=numbers.ratio(agreement.scale),
        regret=numbers.ratio(None if agreement.winners is None else agreement.winners.regret),
        verdict=verdict_words(agreement),
    )


def _note(reference: StudyMeter) -> str:
    name = reference.name
    return (
        "Runs: those that reached the target, of all that both meters read. Scale: median ratio of joules "
        f"to {name}'s. Regret: what the run that the meter would choose costs over the cheapest, both by "
        f"{name}. {VERDICT_RULE} Meters that read different devices count different joules, and need not "
        "agree."
    )


def _disagreements(comparison: Comparison) -> Disagreements:
    agreement = comparison.agreement
    pairs = counted(agreement.comparisons, "pair")
    return Disagreements(
        title=f"{meter_words(comparison.surrogate)} against {meter_words(comparison.reference)}",
        residuals=tuple(residual_words(comparison, each) for each in agreement.residuals[:_LISTED]),
        swaps=tuple(swap_words(comparison, each) for each in agreement.swaps[:_LISTED]),
        swapped=f"{len(agreement.swaps)} of {pairs} of runs that reached the target change places.",
    )


def _troubles(said: Iterable[tuple[Trouble, str]]) -> tuple[str, ...]:
    return tuple(f"{meter_words(each.meter)}, {counted(each.runs, 'run')}: {text}" for each, text in said)
