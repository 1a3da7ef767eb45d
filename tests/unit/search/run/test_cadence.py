from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.config import RunConfig
from model.progress import EvaluationResult
from search.run.cadence import evaluation_cost_steps, steps_to_early_edge, steps_until_evaluation

losses = st.floats(min_value=0.5, max_value=12.0)
shares = st.floats(0.01, 1.0)
looks_before = st.lists(
    st.builds(EvaluationResult, st.integers(1, 100_000), losses, st.floats(0.0, 0.1), shares),
    max_size=8,
    unique_by=lambda look: look.step,
).map(sorted)


def straight(start: float, slope: float, *steps: int, share: float = 1.0) -> list[EvaluationResult]:
    return [EvaluationResult(step, start - slope * step, 0.0, share) for step in steps]


# --- one decision


@given(
    looks_before, losses, st.integers(1, 500), st.floats(0.1, 500), st.sampled_from([0, math.nan, math.inf])
)
def test_the_wait_is_at_most_the_longest_unless_evaluating_would_outlast_training(
    looks: list[EvaluationResult], target: float, longest: int, whole_cost: float, last: float
) -> None:
    if last and looks:  # the latest loss may be no number
        looks = [*looks[:-1], looks[-1]._replace(loss=last)]
    steps = steps_until_evaluation(looks, target, longest, whole_cost)
    assert isinstance(steps, int)
    assert steps >= 1
    spent = whole_cost * (1 + sum(look.share for look in looks))
    after = (looks[-1].step if looks else 0) + steps
    assert steps <= longest or after - 1 < spent + 1e-6
    assert spent <= after + 1e-6


@given(looks_before, losses, st.integers(1, 500), st.floats(0.1, 500))
def test_the_same_looks_give_the_same_steps(
    looks: list[EvaluationResult], target: float, longest: int, whole_cost: float
) -> None:
    first = steps_until_evaluation(looks, target, longest, whole_cost)
    assert first == steps_until_evaluation(list(looks), target, longest, whole_cost)


def test_the_first_look_comes_when_training_has_taken_as_long_as_it_may() -> None:
    assert steps_until_evaluation([], 2.0, 250, 36.3) == 37
    assert steps_until_evaluation([], 2.0, 250, 0.2) == 1
    assert steps_until_evaluation([], 2.0, 10, 36.3) == 37


def test_evaluations_are_dense_near_the_target_and_sparse_far_from_it() -> None:
    looks = straight(4.0, 0.001, 800, 900, 1000, share=0.02)
    near, far = (steps_until_evaluation(looks, 3.0 - gap, 250, 20) for gap in (0.01, 2.0))
    assert near == 19
    assert far == 200


@given(
    slope=st.floats(1e-5, 1e-2),
    gaps=st.lists(st.floats(0.001, 5.0), min_size=2, max_size=2).map(sorted),
    whole=st.booleans(),
)
def test_evaluations_get_no_sparser_as_the_target_comes_nearer(
    slope: float, gaps: list[float], whole: bool
) -> None:
    looks = straight(4.0, slope, 500, 700, 900, 1000, share=1.0 if whole else 0.02)
    near, far = (steps_until_evaluation(looks, looks[-1].loss - gap, 1000, 1) for gap in gaps)
    assert near <= far


@given(slope=st.floats(1e-4, 1e-2), beyond=st.integers(20, 200), scatter=st.floats(0, 0.02))
def test_a_forecast_stops_at_its_early_edge(slope: float, beyond: int, scatter: float) -> None:
    """Never beyond the crossing of the line itself, and the more the looks scatter the earlier."""
    looks = straight(4.0, slope, 600, 700, 800, 900, 1000)
    target = 4.0 - slope * (1000 + beyond)
    edge = steps_to_early_edge(looks, target)
    assert edge <= beyond
    rough = [look._replace(stderr=scatter, share=0.1) for look in looks]
    assert steps_to_early_edge(rough, target) <= edge + 1e-6


def test_a_plain_trend_is_followed_nearly_all_the_way() -> None:
    looks = straight(40.0, 0.01, *range(500, 1001, 50))
    assert 90 < steps_to_early_edge(looks, 29.0) < 100


def test_a_forecast_needs_two_losses_that_are_numbers() -> None:
    assert steps_to_early_edge([], 2.0) == math.inf
    assert steps_to_early_edge(straight(4.0, 0.001, 100), 2.0) == math.inf
    lost = EvaluationResult(200, math.nan, 0.0, 1.0)
    assert steps_to_early_edge([*straight(4.0, 0.001, 100), lost], 2.0) == math.inf


def test_a_loss_that_surely_rises_never_reaches_the_target() -> None:
    assert steps_to_early_edge(straight(3.0, -0.01, 100, 150, 200), 2.0) == math.inf


def test_near_the_target_a_loss_that_does_not_fall_is_still_looked_at_often() -> None:
    """It strays by more than what is missing, and may be below at the next look."""
    looks = [EvaluationResult(step, 2.002, 0.0, 1.0) for step in (900, 950, 1000)]
    assert steps_until_evaluation(looks, 2.0, 250, 1) == 19


def test_before_the_first_whole_evaluation_looks_are_sparser_than_after_it() -> None:
    looks = straight(3.0, 0.0001, 800, 900, 1000, share=0.02)
    assert steps_until_evaluation(looks, 1.0, 250, 20) == 200
    looks[0] = looks[0]._replace(share=1.0)
    assert steps_until_evaluation(looks, 1.0, 250, 20) == 19
    assert steps_until_evaluation(looks, 1.0, 250, 60) == 30  # this one would cost more than a tenth


def test_where_a_look_costs_many_steps_they_come_seldom_away_from_the_target() -> None:
    looks = straight(3.0, 0.0001, 50, 60, share=0.5)
    assert steps_until_evaluation(looks, 1.0, 250, 10) == 50


def test_over_the_budget_evaluations_are_no_nearer_than_a_twentieth_of_the_steps() -> None:
    looks = straight(3.0, 0.0002, *range(500, 1001, 100))
    target = looks[-1].loss - 0.001
    assert steps_until_evaluation(looks, target, 250, 10) == 19
    assert steps_until_evaluation(looks, target, 250, 40) == 50


def test_an_evaluation_costs_a_third_of_training_on_as_many_tokens() -> None:
    config = RunConfig.from_mapping(
        {"train": {"batch_size": 10, "grad_accum": 2}, "model": {"block_size": 32}}
    )
    assert evaluation_cost_steps(config, validation_tokens=640 * 30) == pytest.approx(10.0)


# --- whole runs, simulated


@dataclass(frozen=True)
class Kind:
    """A kind of run: its length, its validation windows, a whole evaluation's cost in steps, and how far its
    loss strays between neighbouring steps while the learning rate is at its peak."""

    steps: int
    windows: int
    whole_cost: float
    stray: float


# nanoGPT's CPU recipe (two minutes), the same for longer, a fast run of eleven seconds, the demo, a GPU.
MINUTES = Kind(2000, 1742, 48.4, 0.006)
LONG = Kind(5000, 1742, 48.4, 0.005)
SECONDS = Kind(280, 1742, 36.3, 0.012)
DEMO = Kind(300, 256, 7.1, 0.007)
GPU = Kind(5000, 1742, 2.3, 0.004)


def learning_curve(kind: Kind, rng: random.Random) -> tuple[list[float], list[float]]:
    """(trend, loss) after each step: a power law, a further drop as the learning rate decays, and noise that
    is correlated over some steps and falls with the rate."""
    shape = rng.choice(["cosine", "linear", "trapezoid"])
    power, floor, top = rng.uniform(0.25, 0.7), rng.uniform(1.2, 2.0), rng.uniform(3.0, 4.5)
    early, cooldown = rng.uniform(0.002, 0.03), rng.uniform(0.2, 0.6)
    drop = rng.uniform(0.02, 0.25) if shape == "trapezoid" else rng.uniform(0.0, 0.15)
    trend, noisy, noise = [], [], 0.0
    for step in range(1, kind.steps + 1):
        x = step / kind.steps
        rate = {
            "cosine": 0.1 + 0.45 * (1 + math.cos(math.pi * x)),
            "linear": 1 - 0.9 * x,
            "trapezoid": min(1.0, 0.1 + 0.9 * (1 - x) / cooldown),
        }[shape]
        loss = floor + (top - floor) * (1 + x / early) ** -power - drop * (1 - rate) / 0.9
        noise = 0.7 * noise + math.sqrt(1 - 0.7**2) * rng.gauss(0, 1)
        trend.append(loss)
        noisy.append(loss + kind.stray * rate * noise * (1 + 3 * math.exp(-20 * x)))
    return trend, noisy


# Measured on recorded runs of nanoGPT's CPU recipe: the standard deviation of the loss over windows, and of
# its difference between two evaluations of one run 50 to 400 steps apart.
OVER_WINDOWS, OVER_DIFFERENCES = 0.2, 0.05


@dataclass
class Simulated:
    """A run on its way to `target`, with what `model.evaluate` would see of it, window by window in the mean:
    an evaluation ends early after as many windows as put three standard errors between it and the target."""

    kind: Kind
    loss: Sequence[float]
    target: float
    rng: random.Random
    looks: list[EvaluationResult] = field(default_factory=list)

    def go(self, longest: int = 250) -> Simulated:
        step = 0
        while step < self.kind.steps and not self.reached:
            step += steps_until_evaluation(self.looks, self.target, longest, self.kind.whole_cost)
            step = min(step, self.kind.steps)
            self.looks.append(self._look(step))
        return self

    def _look(self, step: int) -> EvaluationResult:
        n, loss = self.kind.windows, self.loss[step - 1]
        aided = any(look.whole for look in self.looks)
        spread = OVER_DIFFERENCES if aided else OVER_WINDOWS
        above = max(0.0, loss - self.target)
        needed = self.rng.uniform(0.7, 1.4) * n / (1 + n * (above / (3 * spread)) ** 2)
        windows = max(32, math.ceil(needed / 16) * 16)
        if (
            windows >= n
            or loss <= self.target
            or step == self.kind.steps
            or (not aided and windows > 0.1 * n)
        ):
            return EvaluationResult(step, loss, OVER_WINDOWS / math.sqrt(n), 1.0)
        stderr = spread * math.sqrt(1 / windows - 1 / n)
        seen = max(self.rng.gauss(loss, stderr), self.target + 3 * stderr)
        return EvaluationResult(step, seen, stderr, windows / n)

    @property
    def reached(self) -> bool:
        return bool(self.looks) and self.looks[-1].loss <= self.target

    @property
    def interval(self) -> float:
        """Of the crossing, as a share of the steps until it."""
        before = self.looks[-2].step if len(self.looks) > 1 else 0
        return 1 - before / self.looks[-1].step

    @property
    def cost(self) -> float:
        """Of all evaluations, as a share of the steps."""
        return self.kind.whole_cost * sum(look.share for look in self.looks) / self.looks[-1].step


def simulate(kind: Kind, n: int = 150) -> list[Simulated]:
    """Runs of many curves, each to a target that it crosses between half and nearly all of its length."""
    runs = []
    for seed in range(n):
        rng = random.Random(seed)
        trend, loss = learning_curve(kind, rng)
        target = trend[int(rng.uniform(0.5, 0.98) * kind.steps)]
        runs.append(Simulated(kind, loss, target, rng).go())
    return [run for run in runs if run.reached]


def share_of(runs: list[Simulated], holds: Sequence[bool]) -> float:
    return sum(holds) / len(runs)


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[int(q * len(values))]


def test_in_runs_of_many_minutes_the_interval_is_two_percent_and_evaluation_costs_a_tenth() -> None:
    runs = simulate(LONG)
    assert len(runs) >= 145
    assert share_of(runs, [run.interval <= 0.02 for run in runs]) >= 0.95
    assert share_of(runs, [run.cost <= 0.10 for run in runs]) >= 0.95
    assert max(run.interval for run in runs) <= 0.10
    assert max(run.cost for run in runs) <= 0.15


def test_in_runs_of_two_minutes_the_interval_is_two_percent_and_evaluation_costs_an_eighth() -> None:
    """Three and a half whole evaluations, most of them at the crossing, weigh more in a shorter run."""
    runs = simulate(MINUTES)
    assert len(runs) >= 145
    assert share_of(runs, [run.interval <= 0.02 for run in runs]) >= 0.8
    assert quantile([run.interval for run in runs], 0.95) <= 0.055
    assert max(run.interval for run in runs) <= 0.25
    assert quantile([run.cost for run in runs], 0.5) <= 0.125
    assert quantile([run.cost for run in runs], 0.95) <= 0.20


def test_in_runs_of_seconds_evaluation_never_outlasts_training() -> None:
    runs = simulate(SECONDS)
    assert max(run.cost for run in runs) <= 1.0
    assert quantile([run.interval for run in runs], 0.5) <= 0.03
    assert quantile([run.interval for run in runs], 0.9) <= 0.15


def test_in_the_demo_evaluation_costs_a_third_at_most_and_the_interval_is_a_twentieth() -> None:
    runs = simulate(DEMO)
    assert quantile([run.cost for run in runs], 0.8) <= 0.34
    assert quantile([run.interval for run in runs], 0.9) <= 0.05


def test_where_an_evaluation_is_cheap_the_interval_is_two_percent_for_next_to_nothing() -> None:
    runs = simulate(GPU, n=80)
    assert share_of(runs, [run.interval <= 0.02 for run in runs]) >= 0.95
    assert max(run.interval for run in runs) <= 0.10
    assert max(run.cost for run in runs) <= 0.02


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(20, 400),
    windows=st.integers(2, 2000),
    whole_cost=st.floats(0.1, 400),
    stray=st.floats(0, 0.1),
    longest=st.integers(1, 300),
    at=st.floats(0.05, 1.0),
)
def test_no_run_evaluates_for_longer_than_it_trains_but_for_its_last_evaluation(
    seed: int, steps: int, windows: int, whole_cost: float, stray: float, longest: int, at: float
) -> None:
    """The one at the last step comes whatever it costs."""
    kind, rng = Kind(steps, windows, whole_cost, stray), random.Random(seed)
    trend, loss = learning_curve(kind, rng)
    run = Simulated(kind, loss, trend[int(at * (steps - 1))], rng).go(longest)
    assume(len(run.looks) > 1)
    before_last = run.looks[:-1]
    assert whole_cost * sum(look.share for look in before_last) <= before_last[-1].step + 1e-6
    assert run.cost <= 1.0 + 1e-6 or run.looks[-1].step == steps
