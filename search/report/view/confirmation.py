"""What each arm of a confirmation came to: values over the rounds that count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.confirm.rounds import ConfirmedRun
from search.confirm.state import ConfirmationState
from search.confirm.verdict import Verdict, VerdictKind
from search.record.confirmation import DOCUMENTED, FITTED


@dataclass(frozen=True)
class ArmResult:
    """`energy_j` and `time_s` are geometric means of what counts, None where not one run has them. Losses are
    means at the end of the schedule, in nats per token, inf where a run diverged. `seeds` of the rounds
    that count; `reached` of them came to the target."""

    arm: str
    of_trial: int
    steps: int
    seeds: tuple[int, ...]
    reached: int
    loss: float
    test_loss: float | None
    energy_j: float | None
    time_s: float | None
    flags: tuple[str, ...]
    left: str

    @property
    def is_baseline(self) -> bool:
        return self.arm in (DOCUMENTED, FITTED)


@dataclass(frozen=True)
class Pair:
    """One round by two arms: the ratio of their counted joules. `flags` are those of either side, `uneven`
    the load that only one of them saw."""

    seed: int
    ratio: float
    flags: tuple[str, ...]
    uneven: tuple[str, ...]


def verdict_so_far(state: ConfirmationState | None) -> Verdict | None:
    """Of the candidate that leads; None before the first round is complete."""
    verdict = None if state is None else state.verdict
    return verdict if verdict is not None and verdict.seeds else None


def over_budget(state: ConfirmationState) -> bool:
    """Whether `confirm.energy_j` ended it."""
    return state.next is None and "confirm.energy_j" in state.why


def claim_of(state: ConfirmationState | None) -> Verdict | None:
    """The verdict that stands: SAVES, TIE or COSTS; None where it is open or UNPROVEN."""
    verdict = verdict_so_far(state)
    return None if verdict is None or verdict.kind is VerdictKind.UNPROVEN else verdict


def verdicts(state: ConfirmationState | None) -> tuple[Verdict, ...]:
    """One a candidate that has run, the one that leads first and then by rank."""
    if state is None or state.race is None:
        return ()
    leader = state.race.leader
    return tuple(sorted(state.race.verdicts.values(), key=lambda verdict: verdict.arm != leader))


def saving_trials(state: ConfirmationState | None) -> frozenset[int]:
    """The trials whose verdict is SAVES."""
    if state is None:
        return frozenset()
    saving = (one.arm for one in verdicts(state) if one.kind is VerdictKind.SAVES)
    return frozenset(state.recipe(arm).of_trial for arm in saving)


def energy_pairs(state: ConfirmationState, arm: str, other: str) -> tuple[Pair, ...]:
    """`arm` over `other`, of the rounds that count in which both have joules that can be trusted."""
    found = []
    for one in () if state.race is None else state.race.rounds:
        mine, theirs = one.runs.get(arm), one.runs.get(other)
        if mine is None or theirs is None or not (mine.has_energy and theirs.has_energy):
            continue
        if mine.energy_j and theirs.energy_j:
            flags = tuple(sorted({*mine.flags, *theirs.flags}))
            uneven = tuple(sorted(mine.load_flags ^ theirs.load_flags))
            found.append(Pair(mine.seed, mine.energy_j / theirs.energy_j, flags, uneven))
    return tuple(found)


def arm_results(state: ConfirmationState, target_loss: float) -> tuple[ArmResult, ...]:
    """The baseline's arms first, then the candidates by their rank; empty before the first round."""
    if state.race is None:
        return ()
    runs = [run for one in state.race.rounds for run in one.runs.values()]
    arms = [DOCUMENTED, FITTED, *(one.arm for one in state.candidates)]
    return tuple(
        _result(state, arm, found, target_loss)
        for arm in arms
        if (found := [run for run in runs if run.arm == arm])
    )


def _result(
    state: ConfirmationState, arm: str, runs: Sequence[ConfirmedRun], target_loss: float
) -> ArmResult:
    losses = [run.loss for run in runs]
    tests = [run.test_loss for run in runs if run.test_loss is not None]
    assert state.race is not None
    return ArmResult(
        arm=arm,
        of_trial=state.recipe(arm).of_trial,
        steps=state.steps[arm],
        seeds=tuple(run.seed for run in runs),
        reached=sum(loss <= target_loss for loss in losses),
        loss=math.fsum(losses) / len(losses),
        test_loss=math.fsum(tests) / len(tests) if tests else None,
        energy_j=geometric_mean([run.energy_j for run in runs if run.has_energy]),
        time_s=geometric_mean([run.time_s for run in runs]),
        flags=tuple(sorted({flag for run in runs for flag in run.flags})),
        left=state.race.left.get(arm, ""),
    )


def geometric_mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None and value > 0]
    return math.exp(math.fsum(map(math.log, known)) / len(known)) if known else None


def confirmed_seeds(state: ConfirmationState, arm: str) -> tuple[int, ...]:
    """Of the rounds that count."""
    rounds = () if state.race is None else state.race.rounds
    return tuple(one.runs[arm].seed for one in rounds if arm in one.runs)


def confirmed_saving_j(state: ConfirmationState | None, target_loss: float) -> float | None:
    """What one run of the confirmed recipe saves against the documented baseline, by geometric means; below 0
    where it costs more, and 0 where it is not proven that it reaches the target for less. None while the
    verdict is open, or where joules are not known."""
    verdict = None if state is None else state.verdict
    if state is None or verdict is None or not verdict.decided:
        return None
    means_j = {one.arm: one.energy_j for one in arm_results(state, target_loss)}
    baseline_j, winner_j = means_j.get(DOCUMENTED), means_j.get(verdict.arm)
    if baseline_j is None or winner_j is None:
        return None
    saved_j = baseline_j - winner_j
    proven = verdict.clause("reach").holds and verdict.clause(f"energy_{DOCUMENTED}").holds
    return saved_j if proven else min(0.0, saved_j)
