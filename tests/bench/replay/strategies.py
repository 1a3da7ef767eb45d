"""What the replay benchmark compares: a row is a sampler with its settings and a rule for ending runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search.run.request import RunRequest
from search.sampling.samplers import SamplerSection
from search.study.search_settings import SearchSettings

if TYPE_CHECKING:
    from replay.problems import Problem


@dataclass(frozen=True)
class Strategy:
    """`settings` are paths of the configuration with their values. `to_the_target`: no run is ended for
    another; it ends at the target or with its schedule."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    to_the_target: bool = False

    def settings(self, problem: Problem, seed: int, n_trials: int) -> SearchSettings:
        config = copy.deepcopy(problem.config)
        config.study.seed, config.budget.n_trials = seed, n_trials
        if self.name != SHIPPED:  # what a row does not ask for is off, and not what ships
            config.sampler, config.budget.forecast = SamplerSection(), None
            config.budget.replicates = 1
        for path, value in self.values.items():
            part, name = path.split(".")
            assert hasattr(getattr(config, part), name), path
            setattr(getattr(config, part), name, value)
        return SearchSettings(config, problem.space, problem.world.vocab_size)

    def changed(self, request: RunRequest) -> RunRequest:
        return replace(request, rivals=()) if self.to_the_target else request


def sampler(name: str, **settings: Any) -> dict[str, Any]:
    return {"sampler.name": name} | {f"sampler.{key}": value for key, value in settings.items()}


# Optuna's own defaults: its TPE takes one dimension at a time, and nothing is ended early.
OPTUNA_DEFAULT = "optuna's default: tpe, univariate, to the target"
# What a study did before it had a sampler of its own, at commit 82f63e5.
BEFORE = "before: tpe, multivariate, by groups"
# What a study does where nothing else is asked for: the configuration of the problem as it is.
SHIPPED = "shipped: cei, at the end, forecast 0.05, replicates"
# These learn nothing: they try the same whichever runs are ended.
INDIFFERENT = ("random", "qmc")
_CEI = sampler("cei", n_startup_trials=20, teach="at_the_end")
STRATEGIES: list[Strategy] = [
    Strategy(OPTUNA_DEFAULT, sampler("tpe", multivariate=False), to_the_target=True),
    Strategy(BEFORE, sampler("tpe")),
    Strategy(SHIPPED),
    Strategy("cei, at the end, forecast 0.05", _CEI | {"budget.forecast": 0.05}),
    Strategy(
        "cei, at the end, forecast 0.05, 10 by chance first",
        sampler("cei", teach="at_the_end") | {"budget.forecast": 0.05},
    ),
    Strategy("cei, at the end, forecast 0.1", _CEI | {"budget.forecast": 0.1}),
    Strategy("cei, at the end, forecast 0.02", _CEI | {"budget.forecast": 0.02}),
    Strategy("cei, at the end", _CEI),
    Strategy("cei, at the end, to the target", _CEI, to_the_target=True),
    Strategy("cei, as ended, forecast 0.05", sampler("cei", n_startup_trials=20) | {"budget.forecast": 0.05}),
    Strategy("tpe, univariate", sampler("tpe", multivariate=False)),
    Strategy("tpe, multivariate", sampler("tpe", group=False)),
    Strategy("tpe, by groups, forecast 0.05", sampler("tpe") | {"budget.forecast": 0.05}),
    Strategy("tpe, by groups, at the end", sampler("tpe", teach="at_the_end")),
    Strategy("nsga2", sampler("nsga2")),
    Strategy("nsga3", sampler("nsga3")),
    Strategy("random", sampler("random")),
    Strategy("random, to the target", sampler("random"), to_the_target=True),
    Strategy("qmc", sampler("qmc")),
    Strategy("qmc, to the target", sampler("qmc"), to_the_target=True),
    Strategy("gp", sampler("gp")),
    Strategy("gp, at the end", sampler("gp", teach="at_the_end")),
]
