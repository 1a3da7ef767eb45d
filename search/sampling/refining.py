"""Local refinement as one of Optuna's samplers: a few settings of one of the best trials changed, and the
length of its schedule set to what its target takes.

Every other draw is left to another sampler, so that the study does not end in the first valley. What a trial
is worth is taken from the history that it is shown: its first objective where it reached the target, else how
far it was from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.record.objective import CONSTRAINT
from search.sampling.encoding import nearest

# Parents are the best so many; of each, at most so many settings change; a range by a normal step with this
# standard deviation, as a share of it.
PARENTS, MOST_CHANGES, STEP = 3, 3, 0.15
# The schedule's length: a loss falls by so much with every e-fold of the steps; a child's is set at most so
# far from its parent's, as factors.
LENGTH, NATS_PER_E = "train.max_steps", 0.14
SHORTER, LONGER = 0.7, 1.2


class RefiningSampler(BaseSampler):
    """Draws of an even `index` are those of `other`, as are all of the first `n_startup_trials`."""

    def __init__(
        self,
        other: BaseSampler,
        dimensions: Mapping[str, BaseDistribution],
        n_startup_trials: int,
        index: int,
        seed: int,
    ) -> None:
        self._other = other
        self._dimensions = dict(sorted(dimensions.items()))
        self._n_startup_trials = n_startup_trials
        self._index = index
        self._rng = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._parents(study):
            return self._dimensions
        return self._other.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        parents = self._parents(study)
        if not parents:
            return self._other.sample_relative(study, trial, search_space)
        parent = parents[int(self._rng.integers(len(parents)))]
        return child(parent.params, gap_of(parent), self._dimensions, self._rng)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._other.sample_independent(study, trial, param_name, param_distribution)

    def _parents(self, study: Study) -> list[FrozenTrial]:
        """None where this draw is the other sampler's."""
        known = fully_known(study, self._dimensions)
        if self._index % 2 == 0 or len(known) < self._n_startup_trials:
            return []
        return sorted(known, key=_rank)[:PARENTS]


def fully_known(study: Study, dimensions: Mapping[str, BaseDistribution]) -> list[FrozenTrial]:
    """The trials with values and with a parameter in every dimension."""
    trials = study.get_trials(deepcopy=False)
    return [one for one in trials if one.values and set(one.params) >= set(dimensions)]


def gap_of(trial: FrozenTrial) -> float:
    """Its loss minus the target; 0 where the history does not say."""
    return float(trial.constraints.get(CONSTRAINT, 0.0))


def _rank(trial: FrozenTrial) -> tuple[bool, float]:
    gap = gap_of(trial)
    return (True, gap) if gap > 0 else (False, trial.values[0])


def child(
    params: Mapping[str, Any],
    gap: float,
    dimensions: Mapping[str, BaseDistribution],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The parent's parameters with one to `MOST_CHANGES` others, and the length that its gap asks for."""
    free = [path for path, one in dimensions.items() if path != LENGTH and not one.single()]
    count = min(len(free), int(rng.integers(1, MOST_CHANGES + 1)))
    changed = set(rng.choice(free, size=count, replace=False)) if count else set()
    found = {}
    for path, distribution in dimensions.items():
        value = params[path]
        if path in changed:
            value = neighbour(value, distribution, rng)
        elif path == LENGTH and isinstance(distribution, IntDistribution):
            factor = min(max(math.exp(gap / NATS_PER_E), SHORTER), LONGER) * math.exp(rng.normal(0.0, 0.03))
            value = nearest(value * factor, distribution)
        found[path] = value
    return found


def neighbour(value: Any, distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Another value: any other choice, or one nearby in a range."""
    if isinstance(distribution, CategoricalDistribution):
        others = [one for one in distribution.choices if one is not value and one != value]
        return others[int(rng.integers(len(others)))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    step, grid = float(rng.normal(0.0, STEP)), distribution.step or 0.0
    near = value * (high / low) ** step if distribution.log else value + step * (high - low)
    if abs(near - value) < grid:
        near = value + math.copysign(grid, step)
    found = nearest(near, distribution)
    return found if found != value else nearest(2 * value - near, distribution)  # at an end: the other way
