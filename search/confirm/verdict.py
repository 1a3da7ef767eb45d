"""The verdict on one candidate, clause by clause: a pure function of the runs that confirmed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.confirm.clauses import (
    MORE_SEEDS,
    Clause,
    VerdictFacts,
    against_no_arm,
    energy_clause,
    enough_pairs,
    loss_clause,
    meter_clause,
    problem_clause,
    reach_clause,
    time_clause,
)
from search.confirm.intervals import (
    RATIO_LEVEL,
    REACH_LEVEL,
    Interval,
    Spread,
    clopper_pearson,
    difference,
    level_of_look,
    mean_below,
    paired_ratio,
    pooled_spread,
    seeds_for,
)
from search.confirm.rounds import DOCUMENTED, FITTED, ConfirmedRun, Round, rounds
from search.confirm.settings import ConfirmSettings
from search.record.meter_info import Kind


class VerdictKind(StrEnum):
    """What a confirmation ends in."""

    SAVES = "SAVES"  # every clause holds
    TIE = "TIE"  # the energy is known to differ by less than confirm.tie
    COSTS = "COSTS"  # it takes more energy than the documented baseline
    UNPROVEN = "UNPROVEN"


@dataclass(frozen=True)
class Verdict:
    """Ratios and differences are candidate over, or minus, baseline; their intervals are 95 % ones for all
    looks and candidates together, and None where not known. The fitted ones are None where that baseline did
    not run. `level` is what this look has of their error, on each side.

    `reach_share` is the share of seeds that reached the target, with its 95 % interval. `p_reach` is
    corrected for looks and candidates: reach is claimed below 0.01. `uneven` counts the rounds whose sides
    saw different load. `decided`: more seeds change nothing. `why` says in words what fails and what would
    decide it.
    """

    arm: str
    kind: VerdictKind
    clauses: tuple[Clause, ...]
    seeds: int
    misses: int
    reach_share: Interval | None
    mean_loss: float
    p_reach: float | None
    energy_ratio: Interval | None
    energy_ratio_fitted: Interval | None
    time_ratio: Interval | None
    time_ratio_fitted: Interval | None
    loss_difference: Interval | None
    looks: int
    level: float
    uneven: int
    decided: bool
    why: str

    def clause(self, name: str) -> Clause:
        return next(clause for clause in self.clauses if clause.name == name)

    @property
    def failing(self) -> tuple[Clause, ...]:
        """The clauses that do not hold, or of which it is not known."""
        return tuple(clause for clause in self.clauses if not clause.holds)

    @property
    def hopeless(self) -> bool:
        """Whether a clause fails that more seeds cannot mend."""
        return any(clause.final for clause in self.clauses)


@dataclass(frozen=True)
class _Evidence:
    """The rounds of one candidate beside its baselines, and what they were measured with."""

    arm: str
    arms: tuple[str, ...]
    rounds: tuple[Round, ...]
    noise: Spread | None  # of end losses, pooled over all arms
    test_noise: Spread | None  # of test losses
    facts: VerdictFacts
    settings: ConfirmSettings

    @property
    def own(self) -> list[ConfirmedRun]:
        return [one.runs[self.arm] for one in self.rounds]

    def level(self, level: float) -> float:
        return level_of_look(len(self.rounds), level, self.settings, self.facts.n_candidates)

    def pairs(self, other: str, value: Callable[[ConfirmedRun], float | None]) -> list[tuple[float, float]]:
        """`value` of both sides, of the rounds in which both have it."""
        both = [(value(one.runs[self.arm]), value(one.runs[other])) for one in self.rounds]
        return [(mine, theirs) for mine, theirs in both if mine is not None and theirs is not None]


def judge(
    candidate: str, runs: Sequence[ConfirmedRun], facts: VerdictFacts, settings: ConfirmSettings
) -> Verdict:
    """The verdict on `candidate` after as many rounds as have a run of it and of every baseline.

    `runs` are those of all arms: the noise of end losses is pooled over them. Of several attempts of a round
    the one that counts is taken (`rounds`).
    """
    arms = (candidate, DOCUMENTED, *((FITTED,) if any(run.arm == FITTED for run in runs) else ()))
    latest = _latest(runs)
    noise, test_noise = _pooled(latest, _loss), _pooled(latest, _test_loss)
    evidence = _Evidence(candidate, arms, rounds(runs, arms), noise, test_noise, facts, settings)
    n, own = len(evidence.rounds), evidence.own
    reach_level = evidence.level(REACH_LEVEL)
    losses = [run.loss for run in own]
    test = mean_below(losses, facts.target_loss, reach_level, noise)
    misses = sum(not loss <= facts.target_loss for loss in losses)
    energy, time = [_ratios(evidence, value) for value in (_energy_j, _time_s)]
    gap = _test_gap(evidence)
    clauses = (
        reach_clause(test, misses, n, facts.target_loss),
        *_against(evidence, "energy", energy),
        *_against(evidence, "time", time),
        loss_clause(gap, all(run.test_loss is not None for run in own), settings.loss_margin),
        problem_clause(facts),
        meter_clause([run for one in evidence.rounds for run in one.runs.values()], facts),
    )
    kind = _kind(n, clauses, energy[DOCUMENTED], settings)
    decided = _decided(n, kind, clauses, settings)
    return Verdict(
        arm=candidate,
        kind=kind,
        clauses=clauses,
        seeds=n,
        misses=misses,
        reach_share=clopper_pearson(n - misses, n, RATIO_LEVEL),
        mean_loss=test.mean,
        p_reach=None if test.p is None else min(1.0, test.p * REACH_LEVEL / reach_level),
        energy_ratio=energy[DOCUMENTED],
        energy_ratio_fitted=energy.get(FITTED),
        time_ratio=time[DOCUMENTED],
        time_ratio_fitted=time.get(FITTED),
        loss_difference=gap,
        looks=max(0, n - settings.seeds + 1),
        level=evidence.level(RATIO_LEVEL),
        uneven=sum(bool(one.uneven) for one in evidence.rounds),
        decided=decided,
        why=_why(kind, n, clauses, evidence),
    )


def _loss(run: ConfirmedRun) -> float | None:
    return run.loss


def _test_loss(run: ConfirmedRun) -> float | None:
    return run.test_loss


def _energy_j(run: ConfirmedRun) -> float | None:
    return run.energy_j if run.has_energy else None


def _time_s(run: ConfirmedRun) -> float | None:
    return run.time_s


def _latest(runs: Sequence[ConfirmedRun]) -> list[ConfirmedRun]:
    """The latest attempt of every arm and round."""
    latest = {(run.arm, run.round): run for run in sorted(runs, key=lambda run: run.attempt)}
    return list(latest.values())


def _pooled(runs: Sequence[ConfirmedRun], value: Callable[[ConfirmedRun], float | None]) -> Spread | None:
    """The spread of `value` over all runs, other candidates' too, arm by arm."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        if (one := value(run)) is not None:
            groups.setdefault(run.arm, []).append(one)
    return pooled_spread(groups.values())


def _ratios(evidence: _Evidence, value: Callable[[ConfirmedRun], float | None]) -> dict[str, Interval | None]:
    """By baseline that ran. Modelled joules are counts: equal ones are known exactly."""
    exact = value is _energy_j and evidence.facts.meter_kind == Kind.MODELLED
    level = evidence.level(RATIO_LEVEL)
    found: dict[str, Interval | None] = {}
    for other in evidence.arms[1:]:
        pairs = evidence.pairs(other, value)
        mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found[other] = paired_ratio(mine, theirs, level, exact)
    return found


def _test_gap(evidence: _Evidence) -> Interval | None:
    pairs = evidence.pairs(DOCUMENTED, _test_loss)
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return difference(mine, theirs, evidence.level(RATIO_LEVEL), evidence.test_noise)


def _against(evidence: _Evidence, what: str, ratios: dict[str, Interval | None]) -> tuple[Clause, Clause]:
    """The clauses on energy or time, against the documented baseline and against the fitted one."""
    value = _energy_j if what == "energy" else _time_s
    needed = enough_pairs(evidence.settings)

    def clause(other: str) -> Clause:
        name, pairs = f"{what}_{other}", len(evidence.pairs(other, value))
        if what == "energy":
            return energy_clause(name, ratios[other], other, pairs, needed)
        return time_clause(name, ratios[other], other, pairs, needed, evidence.settings.time_margin)

    documented = clause(DOCUMENTED)
    if FITTED in ratios:
        return documented, clause(FITTED)
    return documented, against_no_arm(documented, f"{what}_{FITTED}", evidence.facts.fitted_baseline)


def _kind(
    seeds: int, clauses: Sequence[Clause], energy: Interval | None, settings: ConfirmSettings
) -> VerdictKind:
    if seeds < settings.seeds:
        return VerdictKind.UNPROVEN
    if all(clause.holds for clause in clauses):
        return VerdictKind.SAVES
    known = next(clause for clause in clauses if clause.name == f"energy_{DOCUMENTED}").holds is not None
    if energy is not None and known:
        if energy.low > 1:
            return VerdictKind.COSTS
        if 1 / (1 + settings.tie) < energy.low and energy.high < 1 + settings.tie:
            return VerdictKind.TIE
    return VerdictKind.UNPROVEN


def _decided(seeds: int, kind: VerdictKind, clauses: Sequence[Clause], settings: ConfirmSettings) -> bool:
    if seeds < settings.seeds:
        return False
    hopeless = any(clause.final for clause in clauses)
    return kind is not VerdictKind.UNPROVEN or hopeless or seeds >= settings.max_seeds


def _why(kind: VerdictKind, seeds: int, clauses: Sequence[Clause], evidence: _Evidence) -> str:
    """One sentence or two: what the verdict rests on, or what fails and what would decide it."""
    if kind is VerdictKind.SAVES:
        return "every clause holds"
    if seeds < evidence.settings.seeds:
        return f"{seeds} of {evidence.settings.seeds} seeds have run, too few for a verdict"
    failing = [clause for clause in clauses if not clause.holds]
    words = "; ".join(f"{clause.name}: {clause.words}" for clause in failing)
    if kind is VerdictKind.COSTS:
        return f"it takes more energy than the documented baseline; {words}"
    mends = list(dict.fromkeys(_mend(clause, evidence) for clause in failing))
    return f"{words}. What would decide it: {', and '.join(mends)}"


def _mend(clause: Clause, evidence: _Evidence) -> str:
    """What would decide a clause; of more seeds, about how many by the present spread."""
    if clause.mend != MORE_SEEDS:
        return clause.mend
    gap, spread, level = _missing(clause.name, evidence)
    seeds = seeds_for(gap, spread, level)
    longer = ", or a longer recipe" if clause.name in ("reach", "loss") else ""
    if seeds is None:
        return f"far more than 200 seeds by the present spread{longer}"
    return f"about {max(seeds, len(evidence.rounds) + 1)} seeds by the present spread{longer}"


def _missing(name: str, evidence: _Evidence) -> tuple[float, float, float]:
    """How far the estimate of a clause lies from its limit, the spread of one pair, and the level."""
    if name == "reach":
        losses = [run.loss for run in evidence.own]
        gap = evidence.facts.target_loss - math.fsum(losses) / len(losses)
        return gap, evidence.noise.sd if evidence.noise else 0.0, evidence.level(REACH_LEVEL)
    level = evidence.level(RATIO_LEVEL)
    if name == "loss":
        gaps = [mine - theirs for mine, theirs in evidence.pairs(DOCUMENTED, _test_loss)]
        limit = evidence.settings.loss_margin
    else:
        what, other = name.split("_")
        value = _energy_j if what == "energy" else _time_s
        other = other if other in evidence.arms else DOCUMENTED
        gaps = [math.log(mine / theirs) for mine, theirs in evidence.pairs(other, value)]
        limit = 0.0 if what == "energy" else math.log1p(evidence.settings.time_margin)
    spread = pooled_spread([gaps])
    return limit - math.fsum(gaps) / len(gaps), spread.sd if spread else 0.0, level
