"""Meters side by side, for `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypedDict

from search.energy.agreement import Correlation, Verdict
from search.record.meter_info import Kind
from search.report.view.side_by_side import Comparison, SideBySide, StudyMeter


class MeterName(TypedDict):
    """A meter that ran in this study."""

    name: Annotated[str, "For example nvml, rapl, cpu_time."]
    kind: Annotated[Kind, "What its joules are."]
    ranks: Annotated[bool, "Whether the study ranks by it."]


class SideBySideSummary(TypedDict):
    """A meter against the most trustworthy one of the study, over the same runs."""

    surrogate: MeterName
    reference: MeterName
    runs: Annotated[int, "Runs that reached the target and were read by both."]
    runs_of_any_outcome: Annotated[int, "Runs that were read by both."]
    spearman: Annotated[
        Correlation | None, "Rank correlation over `runs`; null where one of them does not vary."
    ]
    scale: Annotated[float | None, "Median of the surrogate's joules over the reference's."]
    regret: Annotated[
        float | None,
        "What the run that the surrogate would choose costs over the cheapest, by the reference.",
    ]
    chosen: Annotated[int | None, "Trial that the surrogate would choose."]
    cheapest: Annotated[int | None, "Trial that is cheapest by the reference."]
    swapped_pairs: Annotated[int, "Pairs of `runs` that the two meters order differently."]
    pairs: Annotated[int, "All pairs of `runs`."]
    unreadable: Annotated[Mapping[str, int], "Runs by why the surrogate gave no reading."]
    verdict: Annotated[Verdict, "Whether ranking by the surrogate may stand for ranking by the reference."]


def side_by_side_summary(found: SideBySide) -> list[SideBySideSummary]:
    """An entry a comparison, for `summary.json`."""
    return [_summary(comparison, found) for comparison in found.comparisons]


def _summary(comparison: Comparison, found: SideBySide) -> SideBySideSummary:
    agreement = comparison.agreement
    winners = agreement.winners
    return {
        "surrogate": _named(comparison.surrogate),
        "reference": _named(comparison.reference),
        "runs": agreement.runs,
        "runs_of_any_outcome": len(agreement.pairs),
        "spearman": agreement.correlation,
        "scale": agreement.scale,
        "regret": None if winners is None else winners.regret,
        "chosen": None if winners is None else comparison.record_of(winners.chosen).trial,
        "cheapest": None if winners is None else comparison.record_of(winners.cheapest).trial,
        "swapped_pairs": len(agreement.swaps),
        "pairs": agreement.comparisons,
        "unreadable": {t.text: t.runs for t in found.unreadable if t.meter == comparison.surrogate},
        "verdict": agreement.verdict,
    }


def _named(meter: StudyMeter) -> MeterName:
    return {"name": meter.name, "kind": meter.kind, "ranks": meter.ranks}
