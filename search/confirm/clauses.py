"""The clauses of a verdict: each holds, fails or is not known yet, and says so in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from model.metric import LOSS, METRICS, Metric
from search.confirm.intervals import Interval, MeanBelow
from search.confirm.rounds import ConfirmedRun
from search.confirm.settings import ConfirmSettings
from search.record.flags import Flag, meaning
from search.record.meter_info import Kind

# Flags by which the joules themselves are in doubt. A flag of load fails no verdict: both sides saw it.
INTEGRITY_FLAGS = frozenset(
    {
        Flag.SHORT_WINDOW,
        Flag.PAUSED,
        Flag.COUNTER_POWER_DISAGREE,
        Flag.SAMPLING_GAP,
        Flag.POWER_IMPLAUSIBLE,
        Flag.ENERGY_UNTIL_LAST_REPORT,
    }
)


MORE_SEEDS = "more seeds"


class FittedBaseline(StrEnum):
    """What became of fitting the baseline's own length."""

    MEASURED = "measured"  # it runs as an arm of its own
    DOCUMENTED = "documented"  # its fitted length is the documented one
    NEVER_REACHES = "never_reaches"  # no length that was tried reaches the target on enough seeds
    NOT_FITTED = "not_fitted"  # nobody knows: its runs failed, or the budget was spent


@dataclass(frozen=True)
class VerdictFacts:
    """What decides a candidate's verdict beside its runs. Losses are as the `metric` minimises them.
    `ngram_loss` is what counting n-grams reaches, None where that is not known; `looks_up` whether the
    candidate is lookup-like; `meter_kind` measured, estimated or modelled; `n_candidates` how many were to be
    confirmed, those that left early included."""

    target_loss: float
    ngram_loss: float | None
    looks_up: bool
    meter_kind: str
    n_candidates: int
    fitted_baseline: FittedBaseline = FittedBaseline.MEASURED
    metric: Metric = METRICS[LOSS]


@dataclass(frozen=True)
class Clause:
    """`holds` is None where that is not known yet. `final`: it does not hold, and more seeds change nothing.
    `mend` says what would decide it, empty where it holds."""

    name: str
    holds: bool | None
    words: str
    final: bool = False
    mend: str = ""


def reach_clause(
    test: MeanBelow, misses: int, seeds: int, target_loss: float, metric: Metric = METRICS[LOSS]
) -> Clause:
    """`test` at the level of this look."""
    mean_end, target = f"mean end {metric.name}", f"{metric.shown(target_loss):g}"
    missed = f"{misses} of {seeds} seeds missed it"
    if seeds and math.isinf(test.mean):
        words = f"a run diverged or crashed, so that there is no {mean_end}; {missed}"
        return Clause("reach", False, words, final=True, mend="a steadier recipe")
    if test.upper is None:
        better = metric.either("below", "above")
        words = f"whether the {mean_end} lies {better} {target} is not known yet; {missed}"
        return Clause("reach", None, words, mend=MORE_SEEDS)
    words = (
        f"{mean_end} {metric.shown(test.mean):.4f} against a target of {target}, "
        f"{metric.either('at most', 'at least')} {metric.shown(test.upper):.4f}"
    )
    holds = test.upper < target_loss
    above = test.lower is not None and test.lower > target_loss
    mend = "" if holds else "a longer recipe" if above or test.mean >= target_loss else MORE_SEEDS
    return Clause("reach", holds, f"{words}; {missed}", above, mend)


def energy_clause(name: str, ratio: Interval | None, baseline: str, pairs: int, needed: int) -> Clause:
    """`pairs`: in how many both sides have joules; `needed`: how many a claim takes."""
    words = f"{_ratio(ratio)} of the {baseline} baseline's joules"
    if ratio is None or pairs < needed:
        return _unknown(name, words, ratio, pairs, needed)
    holds, final = ratio.high < 1, ratio.low > 1
    return Clause(name, holds, words, final, "" if holds else "a cheaper recipe" if final else MORE_SEEDS)


def time_clause(
    name: str, ratio: Interval | None, baseline: str, pairs: int, needed: int, margin: float
) -> Clause:
    words = f"{_ratio(ratio)} of the {baseline} baseline's seconds"
    if ratio is None or pairs < needed:
        return _unknown(name, words, ratio, pairs, needed)
    holds, final = ratio.high <= 1 + margin, ratio.low > 1 + margin
    words += f", {1 + margin:g} allowed"
    return Clause(name, holds, words, final, "" if holds else "a faster recipe" if final else MORE_SEEDS)


def inference_clause(ratio: Interval | None, pairs: int, needed: int, margin: float) -> Clause:
    """Against the documented baseline alone: how long a model is trained does not change what it takes."""
    words = f"{_ratio(ratio)} of the baseline's joules a generated token, one text at a time"
    if ratio is None or pairs < needed:
        return _unknown("inference", words, ratio, pairs, needed)
    holds, final = ratio.high <= 1 + margin, ratio.low > 1 + margin
    words += f", {1 + margin:g} allowed"
    mend = "" if holds else "a recipe whose model generates for less" if final else MORE_SEEDS
    return Clause("inference", holds, words, final, mend)


def against_no_arm(documented: Clause, name: str, became: FittedBaseline) -> Clause:
    """The clause against the fitted baseline where no such arm runs, from that against the documented one."""
    if became is FittedBaseline.DOCUMENTED:
        words = f"the documented length is the fitted one: {documented.words}"
    elif became is FittedBaseline.NEVER_REACHES:
        words = (
            "the baseline reaches the target at no length that was tried, so that none is fitted; against "
            f"its documented one: {documented.words}"
        )
    else:
        words = "the baseline's own length is not fitted, so that the saving may be only a shorter schedule"
        return Clause(name, None, words, mend="fitting the baseline's length")
    return Clause(name, documented.holds, words, documented.final, documented.mend)


def loss_clause(
    gap: Interval | None, test_part: bool, margin: float, metric: Metric = METRICS[LOSS]
) -> Clause:
    """Named after what is measured."""
    name, many = metric.name, metric.either("losses", "accuracies")
    if not test_part:
        words = f"the data have no test part, so that only the {many} by which runs were chosen are known"
        return Clause(name, False, words, final=True, mend="a text with a test part")
    if gap is None:
        return Clause(name, None, f"how the test {many} differ is not known", mend=f"more test {many}")
    low, high = sorted((metric.shown_gap(gap.low), metric.shown_gap(gap.high)))
    words = (
        f"test {name} {metric.shown_gap(gap.estimate):+.4f}{metric.either(' nats', '')} against the "
        f"documented baseline's ({low:+.4f} to {high:+.4f}), {metric.shown_gap(margin):g} allowed"
    )
    holds = gap.high <= margin
    final = gap.low > margin
    return Clause(name, holds, words, final, "" if holds else "a longer recipe" if final else MORE_SEEDS)


def problem_clause(facts: VerdictFacts) -> Clause:
    metric, ngram = facts.metric, facts.ngram_loss
    target = f"{metric.shown(facts.target_loss):g}"
    counting = "" if ngram is None else f"{metric.shown(ngram):.4f}"
    if ngram is None:
        words = f"what counting n-grams reaches is not known, so that {target} may need no language model"
    elif facts.target_loss < ngram:
        better = metric.either("below", "above")
        words = f"{target} lies {better} what counting n-grams reaches ({counting})"
        return Clause("problem", True, words)
    else:
        words = f"counting n-grams reaches {counting}, so that {target} needs no language model"
    if facts.looks_up:
        words += "; and this candidate looks the next token up"
        mend = f"a {metric.either('lower', 'higher')} target, or a candidate without tables"
        return Clause("problem", False, words, final=True, mend=mend)
    return Clause("problem", True, f"{words}; but this candidate is one that does not look tokens up")


def meter_clause(runs: Sequence[ConfirmedRun], facts: VerdictFacts) -> Clause:
    if facts.meter_kind == Kind.MODELLED:
        words = "the joules are modelled, which no saving of a real device follows from"
        return Clause("meter", False, words, final=True, mend="a meter that measures or estimates")
    doubts = sorted({flag for run in runs for flag in run.flags} & INTEGRITY_FLAGS)
    if doubts:
        count = sum(bool(INTEGRITY_FLAGS & set(run.flags)) for run in runs)
        named = "; ".join(f"{flag}: {meaning(flag)}" for flag in doubts)
        words = f"the joules of {count} of {len(runs)} runs are in doubt ({named})"
        return Clause("meter", False, words, final=True, mend="a confirmation without these flags")
    return Clause("meter", True, f"the joules are {facts.meter_kind}")


def enough_pairs(settings: ConfirmSettings) -> int:
    """A claim takes as many measured pairs as its first look has seeds."""
    return settings.seeds


def _unknown(name: str, words: str, ratio: Interval | None, pairs: int, needed: int) -> Clause:
    if ratio is None and pairs >= needed:
        words += ": all pairs are equal to the last bit, or a value is not above 0, as no meter's are"
    else:
        words += f" by {pairs} measured pairs, too few: a claim takes {needed}"
    return Clause(name, None, words, mend="more measured pairs")


def _ratio(ratio: Interval | None) -> str:
    if ratio is None:
        return "an unknown part"
    return f"{ratio.estimate:.4g} ({ratio.low:.4g} to {ratio.high:.4g})"
