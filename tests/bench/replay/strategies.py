"""What the replay benchmark compares: a row is a sampler with its settings and a rule for ending runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search.run.request import RunRequest
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
# These learn nothing: they try the same whichever runs are ended.
INDIFFERENT = ("random", "qmc")
STRATEGIES: list[Strategy] = [
    Strategy(OPTUNA_DEFAULT, sampler("tpe", multivariate=False), to_the_target=True),
    Strategy("random, to the target", sampler("random"), to_the_target=True),
    Strategy("random", sampler("random")),
    Strategy("qmc, to the target", sampler("qmc"), to_the_target=True),
    Strategy("qmc", sampler("qmc")),
    Strategy("tpe, multivariate, by groups", sampler("tpe")),
    Strategy("tpe, multivariate", sampler("tpe", group=False)),
    Strategy("tpe, univariate", sampler("tpe", multivariate=False)),
    Strategy("nsga2", sampler("nsga2")),
    Strategy("nsga3", sampler("nsga3")),
    Strategy("gp", sampler("gp")),
    Strategy("gp, at the end", sampler("gp", teach="at_the_end")),
    Strategy("tpe, multivariate, at the end", sampler("tpe", group=False, teach="at_the_end")),
    Strategy("refine", sampler("refine")),
    Strategy("refine, at the end", sampler("refine", teach="at_the_end")),
    Strategy("cei", sampler("cei")),
    Strategy("cei, at the end", sampler("cei", teach="at_the_end")),
    Strategy("cei, at the end, forecast", sampler("cei", teach="at_the_end") | {"budget.forecast": 0.05}),
]
