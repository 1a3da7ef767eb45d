from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.config.schema import SAMPLERS as SAMPLER_NAMES
from search.config.schema import SamplerSection, StudyConfig
from search.sampling.proposal import SAMPLERS, derived_seed, propose
from search.space.canonical import config_key
from search.space.model import Params, Space
from search.space.parse import parse_space

# TPE's `group` is experimental; the command line mutes the same warning.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

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
every_sampler = pytest.mark.parametrize("sampler", SAMPLER_NAMES)


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


def test_every_sampler_that_a_study_may_name_has_a_row() -> None:
    assert set(SAMPLERS) == set(SAMPLER_NAMES)


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


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
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


@given(st.lists(st.tuples(*[st.integers(0, 2**31 - 1)] * 3), min_size=2, max_size=2, unique=True))
def test_different_parts_give_different_seeds(parts: list[tuple[int, int, int]]) -> None:
    first, second = (derived_seed(*numbers) for numbers in parts)
    assert first != second
    assert all(0 <= seed < 2**31 for seed in (first, second))


def test_a_seed_depends_on_the_order_and_the_number_of_its_parts() -> None:
    seeds = {derived_seed(*parts) for parts in [(1, 2), (2, 1), (1,), (2,), (1, 2, 0, 1), (12,)]}
    assert len(seeds) == 6
    assert derived_seed(1, 2) == derived_seed(1, 2)
