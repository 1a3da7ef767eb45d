"""Which candidates go on, what runs next, and when a confirmation ends: pure functions of its runs.

Giving a candidate up needs no correction for repeated looks, since it claims nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from search.confirm.clauses import VerdictFacts
from search.confirm.intervals import Interval, MeanBelow, mean_below, paired_ratio, pooled_spread
from search.confirm.rounds import ConfirmedRun, Pending, Round, pending, rounds
from search.confirm.settings import ConfirmSettings
from search.confirm.verdict import Verdict, VerdictKind, judge
from search.record.confirmation import DOCUMENTED
from search.record.meter_info import Kind

# A candidate leaves from this many rounds on: of two, a spread says next to nothing.
FIRST_LEAVING = 3
LEAVING_LEVEL = 0.05


@dataclass(frozen=True)
class Race:
    """Where a confirmation stands. `left` says of each candidate that gets no more seeds why; `pending` is
    what runs next, None at the end, and `why` says why it ended. `rounds` are those that count. At the end a
    candidate that saves is the `leader`, however cheap another one seems, and whether or not it got all
    seeds."""

    rounds: tuple[Round, ...]
    standing: tuple[str, ...]
    left: Mapping[str, str]
    verdicts: Mapping[str, Verdict]
    leader: str | None
    pending: Pending | None
    why: str


@dataclass(frozen=True)
class Standing:
    """The candidates still in after some rounds, and why others are not."""

    candidates: tuple[str, ...]
    left: Mapping[str, str] = field(default_factory=dict)


def race(
    runs: Sequence[ConfirmedRun],
    facts: Mapping[str, VerdictFacts],
    baselines: Collection[str],
    settings: ConfirmSettings,
    study_seed: int,
    spent_j: float = 0.0,
) -> Race:
    """Round by round from the first. `facts` are of every candidate, in the order of their rank; `baselines`
    are the arms beside them. Rounds count from 0. `spent_j`: of `settings.energy_j`, the joules so far."""
    standing, verdicts = Standing(tuple(facts)), judged((), facts, settings)
    done: list[Round] = []
    for number in count():
        why = why_it_ends(done, standing, verdicts, facts, settings)
        if why:
            return _race(done, standing, verdicts, facts, None, why)
        arms = (*baselines, *standing.candidates)
        next_up = pending(runs, arms, number, study_seed, settings.repeats)
        if next_up is not None:
            over = settings.over_budget(spent_j)
            return _race(done, standing, verdicts, facts, None if over else next_up, over)
        done += rounds([run for run in runs if run.round == number], arms)
        verdicts = judged(done, facts, settings)
        standing = after_round(done, standing, verdicts, facts)
    raise AssertionError("rounds end")


def judged(
    done: Sequence[Round], facts: Mapping[str, VerdictFacts], settings: ConfirmSettings
) -> dict[str, Verdict]:
    """The verdict on every candidate of `facts`."""
    runs = [run for one in done for run in one.runs.values()]
    return {arm: judge(arm, runs, facts[arm], settings) for arm in facts}


def after_round(
    done: Sequence[Round],
    standing: Standing,
    verdicts: Mapping[str, Verdict],
    facts: Mapping[str, VerdictFacts],
) -> Standing:
    """Who is still in after the last of these rounds.

    A candidate leaves where its mean end loss lies above the target, or its energy above the documented
    baseline's, each at one-sided 95 %; where its verdict cannot become SAVES; and where another one, which
    reaches the target by its own verdict's clause and fails none, takes less energy at one-sided 95 %. One
    that is cheaper and may still miss sends nobody away: the cheaper of two is often the one that is too
    short. The last one stays until the end.
    """
    if len(done) < FIRST_LEAVING or len(standing.candidates) < 2:
        return standing
    tests = _against_target(standing.candidates, done, facts)
    reasons = {arm: _why_it_leaves(arm, done, verdicts, tests, facts[arm]) for arm in standing.candidates}
    leaving = {arm: reason for arm, reason in reasons.items() if reason}
    if len(leaving) == len(standing.candidates):
        del leaving[leader(standing, verdicts, facts)]
    stay = tuple(arm for arm in standing.candidates if arm not in leaving)
    return Standing(stay, {**standing.left, **leaving})


def why_it_ends(
    done: Sequence[Round],
    standing: Standing,
    verdicts: Mapping[str, Verdict],
    facts: Mapping[str, VerdictFacts],
    settings: ConfirmSettings,
) -> str:
    """Why no further round runs, empty while one does."""
    if not standing.candidates:
        return "there is no candidate"
    if len(done) < settings.seeds:
        return ""
    if len(done) >= settings.max_seeds:
        return f"all {settings.max_seeds} seeds have run"
    first = verdicts[leader(standing, verdicts, facts)]
    if first.decided:
        state = "cannot save" if first.kind is VerdictKind.UNPROVEN else first.kind
        return f"the leading candidate is decided after {len(done)} seeds: {state}"
    return ""


def leader(
    standing: Standing,
    verdicts: Mapping[str, Verdict],
    facts: Mapping[str, VerdictFacts],
) -> str:
    """The cheapest candidate of those whose verdict can still become SAVES and whose mean end loss is below
    the target; of all where there is none."""

    def rank(arm: str) -> tuple[bool, bool, float]:
        verdict = verdicts[arm]
        ratio = verdict.energy_ratio
        cost = ratio.estimate if ratio is not None else math.inf
        return verdict.hopeless, not verdict.mean_loss < facts[arm].target_loss, cost

    return min(standing.candidates, key=rank)


def _why_it_leaves(
    arm: str,
    done: Sequence[Round],
    verdicts: Mapping[str, Verdict],
    tests: Mapping[str, MeanBelow],
    facts: VerdictFacts,
) -> str:
    """`tests` are of the candidates still in, `facts` those of this one."""
    after = f"after {len(done)} seeds"
    lower = tests[arm].lower
    if lower is not None and lower > facts.target_loss:
        metric = facts.metric
        worse = metric.either("above", "below")
        return f"{after} its mean end {metric.name} lies {worse} the target with 95 % confidence"
    against = _energy_ratio(arm, DOCUMENTED, done, facts)
    if against is not None and against.low > 1:
        return f"{after} it takes more energy than the documented baseline with 95 % confidence"
    final = next((clause for clause in verdicts[arm].clauses if clause.final), None)
    if final is not None:
        return f"{after} it can no longer save: {final.name}: {final.words}"
    for other in tests:
        if other != arm and _nothing_fails(verdicts[other]):
            ratio = _energy_ratio(arm, other, done, facts)
            if ratio is not None and ratio.low > 1:
                return f"{after} {other}, which reaches the target, takes less energy with 95 % confidence"
    return ""


def _nothing_fails(verdict: Verdict) -> bool:
    """Whether it reaches the target, and no other clause is known to fail."""
    fails = any(clause.holds is False for clause in verdict.clauses)
    return bool(verdict.clause("reach").holds) and not fails


def _losses(arm: str, done: Sequence[Round]) -> list[float]:
    return [one.runs[arm].loss for one in done if arm in one.runs]


def _against_target(
    arms: Collection[str], done: Sequence[Round], facts: Mapping[str, VerdictFacts]
) -> dict[str, MeanBelow]:
    """The end losses of every arm against the target, each end of the interval at one-sided 95 %."""
    pooled = pooled_spread(_losses(arm, done) for arm in {arm for one in done for arm in one.runs})
    return {
        arm: mean_below(_losses(arm, done), facts[arm].target_loss, LEAVING_LEVEL, pooled) for arm in arms
    }


def _energy_ratio(arm: str, other: str, done: Sequence[Round], facts: VerdictFacts) -> Interval | None:
    pairs = [
        (mine.energy_j, theirs.energy_j)
        for one in done
        if (mine := one.runs[arm]).has_energy and (theirs := one.runs[other]).has_energy
    ]
    mine_j = [mine for mine, _ in pairs if mine is not None]
    theirs_j = [theirs for _, theirs in pairs if theirs is not None]
    return paired_ratio(mine_j, theirs_j, LEAVING_LEVEL, exact=facts.meter_kind == Kind.MODELLED)


def _race(
    done: Sequence[Round],
    standing: Standing,
    verdicts: Mapping[str, Verdict],
    facts: Mapping[str, VerdictFacts],
    next_up: Pending | None,
    why: str,
) -> Race:
    saving = tuple(arm for arm in facts if verdicts[arm].kind is VerdictKind.SAVES)
    in_front = replace(standing, candidates=saving) if saving and next_up is None else standing
    first = leader(in_front, verdicts, facts) if standing.candidates else None
    return Race(tuple(done), standing.candidates, standing.left, verdicts, first, next_up, why)
