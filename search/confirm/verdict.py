"""The verdict on one candidate, clause by clause: a pure function of the runs that confirmed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.confirm.clauses import (
    MORE_SEEDS,
    Clause,
    VerdictFacts,
    against_no_arm,
    energy_clause,
    enough_pairs,
    inference_clause,
    loss_clause,
    meter_clause,
    problem_clause,
    reach_clause,
    time_clause,
)
from search.confirm.evidence import (
    Evidence,
    energy_of,
    gap_of_test_losses,
    gather,
    inference_of,
    missing,
    ratios,
    time_of,
)
from search.confirm.intervals import (
    RATIO_LEVEL,
    REACH_LEVEL,
    Interval,
    clopper_pearson,
    mean_below,
    seeds_for,
)
from search.confirm.rounds import ConfirmedRun
from search.confirm.settings import ConfirmSettings
from search.record.confirmation import DOCUMENTED, FITTED

WOULD_DECIDE = "What would decide it: "


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
    corrected for looks and candidates: reach is claimed below 0.01. `inference_ratio` is of the joules of a
    generated token. `uneven` counts the rounds whose sides saw different load. `decided`: more seeds change
    nothing. `why` says in words what fails and what would decide it.
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
    inference_ratio: Interval | None = None

    @property
    def would_decide(self) -> str:
        """Of `why`, what would decide the verdict; empty where it does not say."""
        return self.why.partition(WOULD_DECIDE)[2]

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


def judge(
    candidate: str, runs: Sequence[ConfirmedRun], facts: VerdictFacts, settings: ConfirmSettings
) -> Verdict:
    """The verdict on `candidate` after as many rounds as have a run of it and of every baseline.

    `runs` are those of all arms: the noise of end losses is pooled over them. Of several attempts of a round
    the one that counts is taken (`rounds`).
    """
    evidence = gather(candidate, runs, facts, settings)
    n, losses = len(evidence.rounds), [run.loss for run in evidence.own]
    reach_level = evidence.level(REACH_LEVEL)
    test = mean_below(losses, facts.target_loss, reach_level, evidence.noise)
    misses = sum(not loss <= facts.target_loss for loss in losses)
    energy, time, gap = ratios(evidence, energy_of), ratios(evidence, time_of), gap_of_test_losses(evidence)
    inference = ratios(evidence, inference_of)[DOCUMENTED]
    clauses = (
        reach_clause(test, misses, n, facts.target_loss, facts.metric),
        *_against(evidence, "energy", energy),
        *_against(evidence, "time", time),
        *_of_itself(evidence, gap),
        *_of_inference(evidence, inference),
    )
    kind = _kind(n, clauses, energy[DOCUMENTED], settings)
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
        inference_ratio=inference,
        looks=max(0, n - settings.seeds + 1),
        level=evidence.level(RATIO_LEVEL),
        uneven=sum(bool(one.uneven) for one in evidence.rounds),
        decided=_decided(n, kind, clauses, settings),
        why=_why(kind, n, clauses, evidence),
    )


def _against(evidence: Evidence, what: str, by_arm: dict[str, Interval | None]) -> tuple[Clause, Clause]:
    """The clauses on energy or time, against the documented baseline and against the fitted one."""
    value = energy_of if what == "energy" else time_of
    needed = enough_pairs(evidence.settings)

    def clause(other: str) -> Clause:
        name, pairs = f"{what}_{other}", len(evidence.pairs(other, value))
        if what == "energy":
            return energy_clause(name, by_arm[other], other, pairs, needed)
        return time_clause(name, by_arm[other], other, pairs, needed, evidence.settings.time_margin)

    documented = clause(DOCUMENTED)
    if FITTED in by_arm:
        return documented, clause(FITTED)
    return documented, against_no_arm(documented, f"{what}_{FITTED}", evidence.facts.fitted_baseline)


def _of_itself(evidence: Evidence, gap: Interval | None) -> tuple[Clause, Clause, Clause]:
    """The clauses on the test loss, the problem and the meter."""
    test_part = all(run.test_loss is not None for run in evidence.own)
    return (
        loss_clause(gap, test_part, evidence.settings.loss_margin, evidence.facts.metric),
        problem_clause(evidence.facts),
        meter_clause([run for one in evidence.rounds for run in one.runs.values()], evidence.facts),
    )


def _of_inference(evidence: Evidence, ratio: Interval | None) -> tuple[Clause, ...]:
    """None where nobody asked for it."""
    settings = evidence.settings
    if not settings.inference:
        return ()
    pairs = len(evidence.pairs(DOCUMENTED, inference_of))
    return (inference_clause(ratio, pairs, enough_pairs(settings), settings.inference_margin),)


def _kind(
    seeds: int, clauses: Sequence[Clause], energy: Interval | None, settings: ConfirmSettings
) -> VerdictKind:
    if seeds < settings.seeds:
        return VerdictKind.UNPROVEN
    if all(clause.holds for clause in clauses):
        return VerdictKind.SAVES
    known = next(clause for clause in clauses if clause.name == f"energy_{DOCUMENTED}").holds is not None
    if energy is not None and known:
        if 1 / (1 + settings.tie) < energy.low and energy.high < 1 + settings.tie:
            return VerdictKind.TIE
        if energy.low > 1:
            return VerdictKind.COSTS
    return VerdictKind.UNPROVEN


def _decided(seeds: int, kind: VerdictKind, clauses: Sequence[Clause], settings: ConfirmSettings) -> bool:
    if seeds < settings.seeds:
        return False
    hopeless = any(clause.final for clause in clauses)
    return kind is not VerdictKind.UNPROVEN or hopeless or seeds >= settings.max_seeds


def _why(kind: VerdictKind, seeds: int, clauses: Sequence[Clause], evidence: Evidence) -> str:
    """One sentence or two: what the verdict rests on, or what fails and what would decide it."""
    if kind is VerdictKind.SAVES:
        return "every clause holds"
    if seeds < evidence.settings.seeds:
        return f"{seeds} of {evidence.settings.seeds} seeds have run, too few for a verdict"
    failing = [clause for clause in clauses if not clause.holds]
    words = "; ".join(f"{clause.name}: {clause.words}" for clause in failing)
    if kind is VerdictKind.COSTS:
        return f"it takes more energy than the documented baseline; {words}"
    return f"{words}. {WOULD_DECIDE}{', and '.join(_mends(failing, evidence))}"


def _mends(failing: Sequence[Clause], evidence: Evidence) -> list[str]:
    """What would decide the clauses; of more seeds, about how many by the present spread of the clause that
    takes the most."""
    mends = dict.fromkeys(clause.mend for clause in failing if clause.mend != MORE_SEEDS)
    short = [clause for clause in failing if clause.mend == MORE_SEEDS]
    if not short:
        return list(mends)
    needed = [seeds_for(*missing(clause.name, evidence)) for clause in short]
    known = [seeds for seeds in needed if seeds is not None]
    about = "far more than 200" if len(known) < len(needed) else f"about {max(*known, _next(evidence))}"
    by_length = ("reach", evidence.facts.metric.name)
    longer = ", or a longer recipe" if any(clause.name in by_length for clause in short) else ""
    return [f"{about} seeds by the present spread{longer}", *mends]


def _next(evidence: Evidence) -> int:
    return len(evidence.rounds) + 1
