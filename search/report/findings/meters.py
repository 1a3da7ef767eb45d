"""Meters that ran beside each other: how far they agree, and what a reader must know of it, as sentences."""

from __future__ import annotations

from search.console.plural import counted
from search.energy.agreement import (
    MIN_RUNS,
    REGRET,
    RHO,
    Agreement,
    Correlation,
    Pair,
    Residual,
    Swap,
    Verdict,
)
from search.record.meter_info import Kind
from search.report.findings.names import meter_words
from search.report.findings.numbers import UNKNOWN, quantity, ratio
from search.report.view.data import StudyView
from search.report.view.side_by_side import Comparison

VERDICT_RULE = (
    f"A meter agrees where the 95 % interval of Spearman's ρ lies at or above {RHO:g} and the run that it "
    f"would choose costs at most {100 * (REGRET - 1):.0f} % more than the cheapest, by the reference. It "
    f"does not agree where the interval lies below {RHO:g} or that run costs more. Fewer than {MIN_RUNS} "
    "runs have no interval."
)


def correlation_words(correlation: Correlation | None) -> str:
    """`0.93 [0.81, 0.98]`, without an interval where the runs are too few for one."""
    if correlation is None:
        return UNKNOWN
    if correlation.low is None or correlation.high is None:
        return f"{correlation.rho:.2f}"
    return f"{correlation.rho:.2f} [{correlation.low:.2f}, {correlation.high:.2f}]"


def verdict_words(agreement: Agreement) -> str:
    """`agrees`, `does not agree`, or why neither can be said."""
    if agreement.verdict is Verdict.AGREES:
        return "agrees"
    if agreement.verdict is Verdict.DISAGREES:
        return f"does not agree: {' and '.join(_disagreements(agreement))}"
    if agreement.verdict is Verdict.UNDECIDED:
        return f"not shown to agree: the interval reaches below {RHO:g}, more runs would tell"
    if agreement.runs < MIN_RUNS:
        return f"unknown: {agreement.runs} of the {MIN_RUNS} runs that it takes reached the target"
    return "unknown: one of the two meters reads every run the same"


def _disagreements(agreement: Agreement) -> list[str]:
    correlation, winners = agreement.correlation, agreement.winners
    reasons = []
    if winners is not None and winners.regret > REGRET:
        reasons.append(
            f"its winner, {winners.chosen.label}, costs {ratio(winners.regret)} times what "
            f"{winners.cheapest.label} costs"
        )
    if correlation is not None and correlation.high is not None and correlation.high < RHO:
        reasons.append(f"the interval of its rank correlation lies below {RHO:g}")
    return reasons


def residual_words(comparison: Comparison, residual: Residual) -> str:
    """How far one run is from the scale of its meter, with both numbers."""
    return (
        f"{residual.pair.label}: {ratio(residual.factor)} times the median ratio "
        f"({_both(comparison, residual.pair)})"
    )


def swap_words(comparison: Comparison, swap: Swap) -> str:
    """Two runs that change places, with all four numbers."""
    dearer, cheaper = swap.dearer, swap.cheaper
    ours, theirs = comparison.surrogate, comparison.reference
    return (
        f"{dearer.label} looks cheaper than {cheaper.label} by {ours.name} "
        f"({quantity(dearer.surrogate_j, 'J')} against {quantity(cheaper.surrogate_j, 'J')}, "
        f"{ours.kind.value}) and costs {ratio(swap.gap)} times as much by {theirs.name} "
        f"({quantity(dearer.reference_j, 'J')} against {quantity(cheaper.reference_j, 'J')}, "
        f"{theirs.kind.value})"
    )


def _both(comparison: Comparison, pair: Pair) -> str:
    both = ((pair.surrogate_j, comparison.surrogate), (pair.reference_j, comparison.reference))
    return ", ".join(f"{quantity(joules, 'J')} by {meter.name}, {meter.kind.value}" for joules, meter in both)


def meter_warning(view: StudyView) -> str:
    """What must be said first: the meter that ranked, and a better one beside it, disagree. Else empty."""
    found = view.meters.of_the_ranking
    if found is None or found.agreement.verdict is not Verdict.DISAGREES:
        return ""
    agreement, ours, theirs = found.agreement, meter_words(found.surrogate), meter_words(found.reference)
    text = f"{theirs}, read beside {ours} over the same runs, orders the trials differently"
    winners = agreement.winners
    if winners is not None and winners.regret > 1:
        chosen, cheapest = winners.chosen, winners.cheapest
        text += (
            f": {chosen.label}, the cheapest by {found.surrogate.name}, costs {ratio(winners.regret)} times "
            f"what {cheapest.label} costs by {found.reference.name} ({quantity(chosen.reference_j, 'J')} "
            f"against {quantity(cheapest.reference_j, 'J')}, {found.reference.kind.value})"
        )
    return (
        f"{text}. Spearman's ρ is {correlation_words(agreement.correlation)} over "
        f"{counted(agreement.runs, 'run')}, and {len(agreement.swaps)} of "
        f"{counted(agreement.comparisons, 'pair')} of runs change places. Rank by "
        f"{found.reference.name} (meter={found.reference.name}) before you conclude."
    )


def meter_disagreement(view: StudyView) -> str:
    """`meter_warning` in one line that refers to the report."""
    found = view.meters.of_the_ranking
    if found is None or found.agreement.verdict is not Verdict.DISAGREES:
        return ""
    ours, theirs = meter_words(found.surrogate), meter_words(found.reference)
    return f"Warning: {theirs}, read beside {ours}, orders the trials differently: see the report."


def meter_caveat(view: StudyView) -> str:
    """A better meter ran beside the one that ranked, and does not settle whether they agree. Else empty."""
    found = view.meters.of_the_ranking
    open_verdicts = (Verdict.UNDECIDED, Verdict.UNKNOWN)
    if found is None or found.agreement.verdict not in open_verdicts:
        return ""
    return (
        f"Ranked by {meter_words(found.surrogate)}, with {meter_words(found.reference)} read beside it; "
        f"whether the two agree is not settled ({verdict_words(found.agreement)})."
    )


def measured_hint(view: StudyView) -> str:
    """How to have a meter that is read from a device beside one that is not; empty where there is one."""
    if view.meter is None or view.meter.kind is Kind.MEASURED or view.meters.measured:
        return ""
    return (
        f"No measured meter was read beside {view.meter.name}, so how well it ranks is not known. Where the "
        "machine has an energy counter, meter.also=[nvml] (NVIDIA GPUs), meter.also=[rapl] (CPUs, Linux) or "
        "meter.also=[zeus] (AMD GPUs, Jetson) reads it over the same runs, and the report compares the two."
    )
