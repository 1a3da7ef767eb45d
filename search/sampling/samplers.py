"""The samplers that a study may name, one row each: `sampler.name` is a key of `SAMPLERS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler


@dataclass
class SamplerSection:
    """`n_startup_trials` are drawn at random before the sampler trusts what it has seen."""

    name: str = "tpe"
    n_startup_trials: int = 10


def _tpe(section: SamplerSection, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=section.n_startup_trials, multivariate=True, group=True, seed=seed)


def _nsgaii(section: SamplerSection, seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=max(2, section.n_startup_trials), seed=seed)


def _random(section: SamplerSection, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[SamplerSection, int], BaseSampler]] = {
    "tpe": _tpe,
    "nsgaii": _nsgaii,
    "random": _random,
}
