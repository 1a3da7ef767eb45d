from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.config.schema import StudyConfig
from search.sampling.ask import ask
from search.sampling.proposal import derived_seed, propose
from search.sampling.samplers import SAMPLERS, Draw, SamplerSection
from search.space.canonical import config_key
from search.space.model import Params, Space
from search.space.parse import parse_space

BASE = StudyConfig().run_values()
STARTUP = 5
TINY = parse_space(
    {
        "model.attention": {"type": "categorical", "choices": ["manual", "sdpa"]},
        "train.batch_size": {"type": "categorical", "choices": [4, 8, 12]},
    },
    BASE,
)
CONDITIONAL = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "model.n_head": {"type": "categorical", "choices": [2, 4, 8]},
        "model.n_embd": {"type": "int", "low": 64, "high": 256, "step": 8, "multiple_of": "model.n_head"},
        "schedule.name": {"type": "categorical", "choices": ["cosine", "trapezoid"]},
        "schedule.cooldown_fraction": {
            "type": "float",
            "low": 0.2,
            "high": 0.8,
            "when": {"schedule.name": ["trapezoid"]},
        },
    },
    BASE,
)
SLOW_TO_ASK = pytest.param("gp", marks=pytest.mark.slow)
every_sampler = pytest.mark.parametrize(
    "sampler", [SLOW_TO_ASK if name == "gp" else name for name in SAMPLERS]
)


def proposed(
    space: Space,
    sampler: str,
    index: int = 0,
    seed: int = 0,
    history: Sequence[FrozenTrial] = (),
    visited: frozenset[str] | set[str] = frozenset(),
) -> Params | None:
    section = SamplerSection(name=sampler, n_startup_trials=STARTUP)
    proposal = propose(space, section, seed, index, history, 2, visited)
    return None if proposal is None else proposal.params


def finished(space: Space, params: Params, gap: float, *values: float) -> FrozenTrial:
    """A trial as the storage keeps it, with both spellings of its constraint."""
    return create_trial(
        state=TrialState.COMPLETE,
        params=params,
        distributions=space.distributions(params),
        values=values,
        system_attrs={"constraints": [gap], "constraints:loss_gap": gap},
    )


def past(count: int, seed: int = 0) -> list[FrozenTrial]:
    """Trials at random, of which those with a small learning rate reached the target and were cheap."""
    generator = random.Random(seed)

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return generator.choice(distribution.choices)
        return distribution.to_external_repr(distribution.low)  # type: ignore[attr-defined]

    trials = []
    for _ in range(count):
        params = CONDITIONAL.sample(suggest) | {"optimizer.lr": 10 ** generator.uniform(-3, -1)}
        rate = params["optimizer.lr"]
        trials.append(finished(CONDITIONAL, params, rate - 0.01, 1000 * rate, 100 * rate))
    return trials


@every_sampler
def test_the_same_inputs_give_the_same_proposal(sampler: str) -> None:
    first = proposed(CONDITIONAL, sampler, index=12, history=past(12))
    assert first is not None
    assert first == proposed(CONDITIONAL, sampler, index=12, history=past(12))


@every_sampler
def test_the_index_and_the_seed_change_the_proposal(sampler: str) -> None:
    drawn = [
        proposed(CONDITIONAL, sampler, index=index, seed=seed, history=past(12))
        for index, seed in [(12, 0), (13, 0), (12, 1)]
    ]
    keys = {config_key(CONDITIONAL.config(params)) for params in drawn if params is not None}
    assert len(keys) == 3


@every_sampler
def test_no_configuration_is_proposed_twice_until_the_space_is_exhausted(sampler: str) -> None:
    visited: set[str] = set()
    history: list[FrozenTrial] = []
    while (params := proposed(TINY, sampler, len(history), history=history, visited=visited)) is not None:
        key = config_key(TINY.config(params))
        assert key not in visited
        visited.add(key)
        history.append(finished(TINY, params, -0.1, float(params["train.batch_size"]), 1.0))
    assert len(visited) == 2 * 3


def test_a_space_without_dimensions_has_one_configuration() -> None:
    nothing = parse_space({}, BASE)
    assert proposed(nothing, "random") == {}
    assert proposed(nothing, "random", visited={config_key(BASE)}) is None


@every_sampler
@pytest.mark.parametrize("count", [1, STARTUP, 30])
def test_any_history_gives_a_proposal_that_lies_in_the_space(sampler: str, count: int) -> None:
    params = proposed(CONDITIONAL, sampler, index=count, history=past(count))
    assert params is not None
    assert ("schedule.cooldown_fraction" in params) == (params["schedule.name"] == "trapezoid")
    assert params["model.n_embd"] % params["model.n_head"] == 0
    finished(CONDITIONAL, params, 0.0, 1.0, 1.0)  # optuna checks that the values lie in their distributions


@pytest.mark.parametrize("sampler", ["cei", "tpe", SLOW_TO_ASK, "nsga2", "nsga3"])
def test_a_sampler_that_learns_proposes_something_else_once_it_has_seen_trials(sampler: str) -> None:
    """The history is what a study leaves: proposals with what their sampler noted."""
    section = SamplerSection(name=sampler, n_startup_trials=STARTUP)
    history: list[FrozenTrial] = []
    for index in range(4 * STARTUP):
        proposal = propose(CONDITIONAL, section, 0, index, history, 2, set())
        assert proposal is not None
        cost = proposal.params["model.n_embd"] * proposal.params["optimizer.lr"]
        trial = finished(CONDITIONAL, proposal.params, -1.0, cost, cost + 1.0)
        history.append(
            create_trial(
                params=trial.params,
                distributions=trial.distributions,
                values=trial.values,
                system_attrs=trial.system_attrs | dict(proposal.system_attrs),
            )
        )
    indices = range(30, 34)
    blind = [proposed(CONDITIONAL, sampler, index) for index in indices]
    informed = [proposed(CONDITIONAL, sampler, index, history=history) for index in indices]
    assert blind != informed


def test_tpe_leans_to_where_trials_were_cheap_and_reached_the_target() -> None:
    def rates(history: Sequence[FrozenTrial]) -> list[float]:
        drawn = [proposed(CONDITIONAL, "tpe", index, history=history) for index in range(40, 56)]
        return sorted(params["optimizer.lr"] for params in drawn if params is not None)

    assert rates(past(40))[8] < rates(())[8]


def test_a_history_leaves_chance_as_it_was() -> None:
    assert proposed(CONDITIONAL, "random", 30, history=past(30)) == proposed(CONDITIONAL, "random", 30)


def test_proposing_leaves_the_history_untouched() -> None:
    history = past(12)
    proposed(CONDITIONAL, "tpe", 12, history=history)
    assert [(trial.params, trial.system_attrs) for trial in history] == [
        (trial.params, trial.system_attrs) for trial in past(12)
    ]


@every_sampler
def test_no_sampler_leaves_a_dimension_to_chance_once_it_learns(sampler: str) -> None:
    """Optuna's own logs it and goes on, where dimensions come and go with the values of others."""
    section = SamplerSection(name=sampler, n_startup_trials=STARTUP)
    outside = create_trial(
        values=[1.0, 1.0], system_attrs={"constraints": [-0.1], "constraints:loss_gap": -0.1}
    )
    proposal = propose(CONDITIONAL, section, 0, 12, [outside, *past(12)], 2, set())
    assert proposal is not None
    assert proposal.warnings == ()


def test_a_sampler_that_leaves_a_dimension_to_chance_says_so() -> None:
    heads, width = "model.n_head", "model.n_embd"
    space = parse_space(
        {
            heads: {"type": "categorical", "choices": [3, 4]},
            width: {"type": "int", "low": 60, "high": 90, "multiple_of": heads},
        },
        BASE,
    )
    history = [finished(space, {heads: n, width: n * k}, -0.1, k, n) for n in (3, 4) for k in (20, 21, 22)]
    warned = ask(space, SamplerSection(name="gp", n_startup_trials=STARTUP), Draw(0), history, 2).warnings
    assert len(warned) == 1
    assert f"`{width}` is sampled independently using `RandomSampler`" in warned[0]
    assert "Trial#" not in warned[0]
    assert "suppress" not in warned[0]


def test_tpe_of_all_dimensions_together_takes_them_as_fixed_ones_unless_it_groups_them() -> None:
    draws = {
        (multivariate, group): propose(
            CONDITIONAL, SamplerSection("tpe", STARTUP, multivariate, group), 0, 20, past(20), 2, set()
        )
        for multivariate, group in [(True, True), (True, False), (False, False)]
    }
    assert all(proposal is not None and not proposal.warnings for proposal in draws.values())
    assert len({str(proposal and proposal.params) for proposal in draws.values()}) == 3


def test_a_quasi_random_study_fills_every_dimension_evenly() -> None:
    """Of the first 16 points of a scrambled Sobol sequence, one lies in each sixteenth of a dimension."""
    rates = [proposed(CONDITIONAL, "qmc", index, history=past(index)) for index in range(16)]
    sixteenths = {int((math.log10(params["optimizer.lr"]) + 3) / 2 * 16) for params in rates if params}
    assert sixteenths == set(range(16))


def test_a_grid_takes_every_point_once_in_an_order_of_the_studys_seed() -> None:
    def order(seed: int) -> list[str]:
        visited: list[str] = []
        while (params := proposed(TINY, "grid", len(visited), seed, visited=set(visited))) is not None:
            visited.append(config_key(TINY.config(params)))
        return visited

    assert sorted(order(0)) == sorted(order(1))
    assert order(0) != order(1)
    assert len(order(0)) == 6


@given(st.lists(st.tuples(*[st.integers(0, 2**31 - 1)] * 3), min_size=2, max_size=2, unique=True))
def test_different_parts_give_different_seeds(parts: list[tuple[int, int, int]]) -> None:
    first, second = (derived_seed(*numbers) for numbers in parts)
    assert first != second
    assert all(0 <= seed < 2**31 for seed in (first, second))


def test_a_seed_depends_on_the_order_and_the_number_of_its_parts() -> None:
    seeds = {derived_seed(*parts) for parts in [(1, 2), (2, 1), (1,), (2,), (1, 2, 0, 1), (12,)]}
    assert len(seeds) == 6
    assert derived_seed(1, 2) == derived_seed(1, 2)
