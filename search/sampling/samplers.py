"""The samplers that a study may name, one row each: `sampler.name` is a key of `SAMPLERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.sampling.encoding import Settled
from search.sampling.saving import SavingSampler

# Names of versions before this one, in the configurations that they left.
_FORMER = {"nsgaii": "nsga2"}


@dataclass
class SamplerSection:
    """`n_startup_trials` are drawn at random before the sampler trusts what it has seen; an evolutionary
    sampler takes as many for a generation.

    `teach` says what a run teaches it: a key of `lessons.TEACH`.

    For `tpe`: `multivariate` looks at all dimensions together, `group` apart for each set of conditions.
    """

    name: str = "tpe"
    n_startup_trials: int = 10
    multivariate: bool = True
    group: bool = True
    teach: str = "as_ended"

    def __post_init__(self) -> None:
        self.name = _FORMER.get(self.name, self.name)


@dataclass(frozen=True)
class Draw:
    """Which draw of a study it is: a seed of its own, the study's, the place in its sequence, how often it
    was drawn before; and the fixed dimensions that it is drawn from, None for the space as it is. `settled`
    gives a point in those as a trial of it is shown (`encoding.settling`)."""

    seed: int
    study_seed: int = 0
    index: int = 0
    attempt: int = 0
    dimensions: Mapping[str, BaseDistribution] | None = None
    settled: Settled = dict


@dataclass(frozen=True)
class SamplerRow:
    """`fixed`: whether it needs the space as a fixed set of dimensions (`encoding`). `lists`: whether it
    takes the points of a space that can be listed, each once, in an order by chance. `most`: it is
    shown so many trials at most (`ask.learnt_from`)."""

    make: Callable[[SamplerSection, Draw], BaseSampler]
    fixed: Callable[[SamplerSection], bool] = lambda _: True
    lists: bool = False
    most: int | None = None


def _tpe(section: SamplerSection, draw: Draw) -> BaseSampler:
    return TPESampler(
        n_startup_trials=section.n_startup_trials,
        multivariate=section.multivariate,
        group=section.multivariate and section.group,
        seed=draw.seed,
    )


def _tpe_needs_fixed(section: SamplerSection) -> bool:
    """One dimension at a time, and group by group, it takes conditions as they are."""
    return section.multivariate and not section.group


def _gp(section: SamplerSection, draw: Draw) -> BaseSampler:
    return GPSampler(n_startup_trials=section.n_startup_trials, seed=draw.seed)


def _nsga2(section: SamplerSection, draw: Draw) -> BaseSampler:
    return NSGAIISampler(population_size=max(2, section.n_startup_trials), seed=draw.seed)


def _nsga3(section: SamplerSection, draw: Draw) -> BaseSampler:
    return NSGAIIISampler(population_size=max(2, section.n_startup_trials), seed=draw.seed)


class _SobolAt(QMCSampler):
    """One point of a scrambled Sobol sequence. Optuna's sampler counts points in its storage, and draws the
    first by chance; a study here knows the place itself."""

    def __init__(self, seed: int, index: int, dimensions: Mapping[str, BaseDistribution]) -> None:
        super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self._index = index
        self._dimensions = dict(sorted(dimensions.items()))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del study, trial
        return self._dimensions

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        del study, search_space
        return self._index


def _qmc(section: SamplerSection, draw: Draw) -> BaseSampler:
    del section
    return _SobolAt(draw.seed if draw.attempt else draw.study_seed, draw.index, draw.dimensions or {})


def _random(section: SamplerSection, draw: Draw) -> BaseSampler:
    del section
    return RandomSampler(seed=draw.seed)


def _cei(section: SamplerSection, draw: Draw) -> BaseSampler:
    return SavingSampler(draw.dimensions or {}, section.n_startup_trials, draw.index, draw.seed, draw.settled)


SAMPLERS: dict[str, SamplerRow] = {
    "tpe": SamplerRow(_tpe, fixed=_tpe_needs_fixed),
    "cei": SamplerRow(_cei, most=300),
    "gp": SamplerRow(_gp),
    "nsga2": SamplerRow(_nsga2),
    "nsga3": SamplerRow(_nsga3),
    "qmc": SamplerRow(_qmc),
    "random": SamplerRow(_random, fixed=lambda _: False),
    "grid": SamplerRow(_random, fixed=lambda _: False, lists=True),
}


def with_current_name(section: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings that any version wrote, with the sampler's name of this one."""
    return {**section, "name": _FORMER.get(section["name"], section["name"])}
