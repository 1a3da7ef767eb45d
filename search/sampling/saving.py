"""The sampler that asks where a saving is to be expected, as one of Optuna's.

Two kinds of things are learnt from the history by Gaussian processes (`regression`): the logarithm of each
objective, and the constraint, which is a loss minus its target. A point is worth what it is expected to save
over the best that reached the target, times the probability that it reaches it (constrained expected
improvement: Schonlau, Welch and Jones 1998; Gardner et al. 2014). Until a trial has reached the target, that
probability counts alone. From `TRUSTED` trials on, the best is taken without its luck: what the processes
expect its configuration to take at the length at which they expect it to reach the target. Against a lucky
trial nothing else would be worth a run.

Looked at are points by chance, and those that differ in one or two settings from one of the best trials: far
from all trials the largest value of a thousand is where the model errs most. Every point is looked at with
several lengths of schedule, so that a length is found and not searched for. Points are looked at in the form
in which their trials are shown (`encoding.settling`). Otherwise one that differs from a trial in nothing but
what is not active would stay unknown, whatever its runs teach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from search.sampling.encoding import Settled, nearest
from search.sampling.history import gap_of
from search.sampling.regression import Array, fitted

# A gap above this teaches no more than this: how badly a run failed is of no use.
LARGEST_GAP = 0.5
# How many points are looked at: by chance, and around so many of the best trials.
BY_CHANCE, AROUND, PARENTS, MOST_CHANGES = 100, 500, 30, 2
# A range changes by a normal step with this standard deviation, as a share of it; or, so often, to anywhere.
STEP, ANYWHERE = 0.15, 0.5
# In numbers, a range goes from -END to END, and two choices are -CHOICE and CHOICE: half a range is as much
# as two choices are apart. Were it less, only choices would be tried, and rates would stay where they began.
END, CHOICE = 1.5, 0.75
LENGTH, LENGTHS = "train.max_steps", 8
# From so many trials on, the processes know more of a configuration than one run does; they are asked for it
# at so many lengths.
TRUSTED, FINE_LENGTHS = 150, 24
# Of so many draws, one is for another objective than the first.
OTHERS_EVERY = 5
# Until the target was reached: how much a saving counts beside the chance, in e-folds of it.
HASTE = 0.1
SMALLEST = 1e-300  # for logarithms


class SavingSampler(BaseSampler):
    """The first `n_startup_trials` are drawn at random. `settled` gives a point as a trial of it is shown
    (`encoding.settling`)."""

    def __init__(
        self,
        dimensions: Mapping[str, BaseDistribution],
        n_startup_trials: int,
        index: int,
        seed: int,
        settled: Settled = dict,
    ) -> None:
        self._dimensions = dict(sorted(dimensions.items()))
        self._n_startup_trials = n_startup_trials
        self._index = index
        self._settled = settled
        self._rng = np.random.default_rng(seed)
        self._by_chance = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del trial
        return self._dimensions if len(self._known(study)) >= self._n_startup_trials else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        del trial
        if not search_space:
            return {}
        known = self._known(study)
        objectives = len(known[0].values)
        others = objectives > 1 and self._index % OTHERS_EVERY == OTHERS_EVERY - 1
        objective = 1 + (self._index // OTHERS_EVERY) % (objectives - 1) if others else 0
        pending = [
            one.params
            for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if set(one.params) >= set(self._dimensions)
        ]
        return _Look(self._dimensions, known, pending, objective, self._rng, self._settled).best()

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._by_chance.sample_independent(study, trial, param_name, param_distribution)

    def _known(self, study: Study) -> list[FrozenTrial]:
        """The trials with values and with a parameter in every dimension."""
        trials = study.get_trials(deepcopy=False)
        return [one for one in trials if one.values and set(one.params) >= set(self._dimensions)]


class _Look:
    """One look for the best point."""

    def __init__(
        self,
        dimensions: Mapping[str, BaseDistribution],
        known: Sequence[FrozenTrial],
        pending: Sequence[Mapping[str, Any]],
        objective: int,
        rng: np.random.Generator,
        settled: Settled,
    ) -> None:
        self._dimensions = dimensions
        self._settled = settled
        self._rng = rng
        self._of = columns(dimensions)
        rows = as_rows([trial.params for trial in known], self._of)
        values = np.log([max(trial.values[objective], SMALLEST) for trial in known])
        gaps = np.array([min(gap_of(trial), LARGEST_GAP) for trial in known])
        self._value, self._gap = fitted(rows, values), fitted(rows, gaps)
        if pending:  # taken to end as is expected of them (Ginsbourger et al. 2010, the kriging believer)
            still = as_rows(pending, self._of)
            seen = self._value.seen(still)
            value, gap = self._value.mean(seen), self._gap.mean(seen)
            together = np.concatenate([rows, still])
            self._value = fitted(together, np.concatenate([values, value]))
            self._gap = fitted(together, np.concatenate([gaps, gap]))
        reached = gaps <= 0
        self._best = float(values[reached].min(initial=math.inf))
        if len(known) >= TRUSTED:
            least = self._without_luck(
                [one.params for one, there in zip(known, reached, strict=True) if there]
            )
            self._best = least if math.isfinite(least) else self._best
        order = np.argsort(np.where(reached, values - values.max(), gaps))
        self._parents = [known[place].params for place in order[:PARENTS]]
        self._lengths = lengths(dimensions.get(LENGTH), LENGTHS, rng.random())
        self._tried = [*(trial.params for trial in known), *(dict(params) for params in pending)]

    def best(self) -> dict[str, Any]:
        points = [*self._parents, *(self._by_chance() for _ in range(BY_CHANCE))]
        points += [self._near(self._parents) for _ in range(AROUND)]
        found = sorted(self._scored(points), key=itemgetter(0), reverse=True)
        return next((point for _, point in found if point not in self._tried), found[0][1])

    def _by_chance(self) -> dict[str, Any]:
        return self._settled({path: random_value(one, self._rng) for path, one in self._dimensions.items()})

    def _near(self, parents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        params = dict(parents[int(self._rng.integers(len(parents)))])
        free = [path for path, one in self._dimensions.items() if path != LENGTH and not one.single()]
        count = min(len(free), int(self._rng.integers(1, MOST_CHANGES + 1)))
        for path in self._rng.choice(free, size=count, replace=False) if count else ():
            params[path] = neighbour(params[path], self._dimensions[path], self._rng)
        return self._settled(params)

    def _scored(self, points: Sequence[dict[str, Any]]) -> list[tuple[float, dict[str, Any]]]:
        """Each point at the length that is worth most, with what that is."""
        worth = np.stack([self._worth(rows) for rows in self._at(points, self._lengths)], axis=1)
        if not self._lengths:
            return list(zip(worth[:, 0].tolist(), points, strict=True))
        return [
            (float(worth[number, place]), point | {LENGTH: self._lengths[place]})
            for number, (point, place) in enumerate(zip(points, worth.argmax(axis=1), strict=True))
        ]

    def _at(self, points: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> Iterator[Array]:
        """The points at each length of `steps`, or as they are where there is none: one array for all, which
        changes."""
        rows = as_rows(points, self._of)
        first = sum(len(column(points[0][path])) for path, column in self._of.items() if path < LENGTH)
        for length in steps:
            numbers = self._of[LENGTH](length)
            rows[:, first : first + len(numbers)] = numbers
            yield rows
        if not steps:
            yield rows

    def _without_luck(self, points: Sequence[Mapping[str, Any]]) -> float:
        """The least value that one of these points is expected to have where it is expected to reach the
        target; inf where none is."""
        least = math.inf
        for rows in self._at(points, lengths(self._dimensions.get(LENGTH), FINE_LENGTHS)) if points else ():
            seen = self._value.seen(rows)
            value, gap = self._value.mean(seen), self._gap.mean(seen)
            least = min(least, float(value[gap <= 0].min(initial=math.inf)))
        return least

    def _worth(self, rows: Array) -> Array:
        """ln of (the expected saving x the chance to reach the target)."""
        seen = self._value.seen(rows)
        value, spread = self._value.predict(seen)
        gap, gap_spread = self._gap.predict(seen)
        chance = np.log(np.maximum(ndtr(-gap / np.maximum(gap_spread, 1e-6)), SMALLEST))
        if math.isinf(self._best):
            return np.asarray(chance - HASTE * value)
        spread = np.maximum(spread, 1e-6)
        z = (self._best - value) / spread
        saving = spread * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
        return np.asarray(chance + np.log(np.maximum(saving, SMALLEST)))


def lengths(distribution: BaseDistribution | None, count: int, start: float = 0.5) -> list[int]:
    """So many, evenly by their logarithm; `start`: where in its part of the range each lies, from 0 to 1.
    None where the space has no range of lengths."""
    if not isinstance(distribution, IntDistribution):
        return []
    low, high = distribution.low, distribution.high
    shares = (np.arange(count) + start) / count
    return sorted({int(nearest(round(low * (high / low) ** share), distribution)) for share in shares})


def neighbour(value: Any, distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Another value: any other choice, or, of a range, one nearby or any."""
    if isinstance(distribution, CategoricalDistribution):
        others = [one for one in distribution.choices if one is not value and one != value]
        return others[int(rng.integers(len(others)))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if rng.random() < ANYWHERE and (anywhere := random_value(distribution, rng)) != value:
        return anywhere
    low, high = float(distribution.low), float(distribution.high)
    step, grid = float(rng.normal(0.0, STEP)), distribution.step or 0.0
    near = value * (high / low) ** step if distribution.log else value + step * (high - low)
    if abs(near - value) < grid:
        near = value + math.copysign(grid, step)
    found = nearest(near, distribution)
    return found if found != value else nearest(2 * value - near, distribution)  # at an end: the other way


def random_value(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, share = float(distribution.low), float(distribution.high), float(rng.random())
    value = low * (high / low) ** share if distribution.log else low + share * (high - low)
    return nearest(round(value) if isinstance(distribution, IntDistribution) else value, distribution)


Column = Callable[[Any], list[float]]


def columns(dimensions: Mapping[str, BaseDistribution]) -> dict[str, Column]:
    """For every dimension, its value as numbers around 0: a range with its square beside it, choices with a
    column each."""
    return {path: _column(one) for path, one in dimensions.items()}


def _column(distribution: BaseDistribution) -> Column:
    if distribution.single():
        return lambda value: []
    if isinstance(distribution, CategoricalDistribution):
        choices = list(distribution.choices)
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in choices):
            places = [2 * place / (len(choices) - 1) - 1 for place in range(len(choices))]
            rows = [[END * place] if len(choices) == 2 else _with_square(place) for place in places]
        else:
            kept = choices[1:] if len(choices) == 2 else choices
            rows = [[CHOICE if one == each else -CHOICE for each in kept] for one in choices]
        return lambda value: rows[choices.index(value)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        width = math.log(high / low)
        return lambda value: _with_square(2 * math.log(value / low) / width - 1)
    return lambda value: _with_square(2 * (value - low) / (high - low) - 1)


def _with_square(place: float) -> list[float]:
    """Of a place from -1 to 1. The square counts half: most of what a range does is a slope."""
    return [END * place, 0.5 * END * (1.5 * place * place - 0.5)]


def as_rows(points: Sequence[Mapping[str, Any]], dimensions: Mapping[str, Column]) -> Array:
    """Points x columns."""
    return np.array(
        [
            [number for path, column in dimensions.items() for number in column(point[path])]
            for point in points
        ]
    )
