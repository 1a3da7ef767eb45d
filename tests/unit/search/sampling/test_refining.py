"""Local refinement: a few settings of one of the best trials changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, create_trial

from search.sampling.refining import LENGTH, LONGER, SHORTER, RefiningSampler, child, neighbour
from search.space.model import holds

DIMENSIONS = {
    "model.n_layer": IntDistribution(1, 4),
    "optimizer.lr": FloatDistribution(1e-3, 1e-1, log=True),
    "optimizer.muon_momentum": FloatDistribution(0.7, 0.95, step=0.05),
    "model.mlp": CategoricalDistribution(["gelu", "relu2", "swiglu"]),
    "model.qk_norm": CategoricalDistribution([False, True]),
    LENGTH: IntDistribution(100, 400, log=True),
}
PARENT = {
    "model.n_layer": 2,
    "optimizer.lr": 0.01,
    "optimizer.muon_momentum": 0.8,
    "model.mlp": "gelu",
    "model.qk_norm": False,
    LENGTH: 200,
}


def finished(gap: float, energy_j: float, **changed: Any) -> FrozenTrial:
    return create_trial(
        params=PARENT | changed,
        distributions=DIMENSIONS,
        values=[energy_j, energy_j / 5],
        system_attrs={"constraints": [gap], "constraints:loss_gap": gap},
    )


def drawn(history: list[FrozenTrial], index: int, seed: int = 0, startup: int = 3) -> dict[str, Any]:
    sampler = RefiningSampler(RandomSampler(seed=seed), DIMENSIONS, startup, index, seed)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.add_trials(history)
    trial = study.ask(DIMENSIONS)
    return dict(trial.params)


def differences(params: dict[str, Any], parent: dict[str, Any] = PARENT) -> set[str]:
    return {path for path in DIMENSIONS if params[path] != parent[path]}


@given(st.integers(0, 2**31), st.floats(-0.5, 0.5))
def test_a_child_differs_in_one_to_three_settings_and_lies_in_the_space(seed: int, gap: float) -> None:
    found = child(PARENT, gap, DIMENSIONS, np.random.default_rng(seed))
    assert 1 <= len(differences(found) - {LENGTH}) <= 3
    assert all(holds(DIMENSIONS[path], value) for path, value in found.items())


@pytest.mark.parametrize("path", [path for path in DIMENSIONS if path != LENGTH])
def test_a_neighbour_is_another_value(path: str) -> None:
    rng = np.random.default_rng(0)
    assert all(neighbour(PARENT[path], DIMENSIONS[path], rng) != PARENT[path] for _ in range(50))


def test_a_childs_schedule_is_as_long_as_its_parents_gap_asks_for() -> None:
    rng = np.random.default_rng(0)
    lengths = {
        gap: np.mean([child(PARENT, gap, DIMENSIONS, rng)[LENGTH] for _ in range(200)]) / PARENT[LENGTH]
        for gap in (-0.3, -0.02, 0.0, 0.02, 0.3)
    }
    assert list(lengths.values()) == sorted(lengths.values())
    assert lengths[0.0] == pytest.approx(1.0, abs=0.02)
    assert lengths[-0.3] == pytest.approx(SHORTER, abs=0.02)
    assert lengths[0.3] == pytest.approx(LONGER, abs=0.02)


def test_every_other_draw_is_a_child_of_one_of_the_best_that_reached_the_target() -> None:
    best = finished(-0.01, 5.0, **{"model.n_layer": 4, "model.mlp": "swiglu"})
    dear = [finished(-0.01, 50.0 + number, **{"optimizer.lr": 0.09}) for number in range(9)]
    missed = [finished(0.2, 1.0, **{"optimizer.lr": 0.002}) for _ in range(9)]
    history = [*dear, best, *missed]
    children = [drawn(history, index=11, seed=seed) for seed in range(20)]
    near = [len(differences(one, PARENT | {"model.n_layer": 4, "model.mlp": "swiglu"})) for one in children]
    assert sum(count <= 4 for count in near) >= 3
    assert all(one["optimizer.lr"] > 0.005 for one in children)
    assert drawn(history, index=10) != drawn(history, index=11)


def test_where_nothing_reached_the_target_the_nearest_are_its_parents() -> None:
    near = finished(0.01, 40.0, **{"model.n_layer": 4})
    history = [near, near, near, *(finished(0.5, 1.0) for _ in range(9))]
    assert all(drawn(history, 11, seed)["model.n_layer"] >= 2 for seed in range(10))
    assert sum(drawn(history, 11, seed)["model.n_layer"] == 4 for seed in range(10)) >= 4


def test_before_enough_trials_everything_is_left_to_the_other_sampler() -> None:
    alone = optuna.create_study(directions=["minimize"] * 2, sampler=RandomSampler(seed=5)).ask(DIMENSIONS)
    assert drawn([finished(-0.1, 5.0)] * 2, index=11, seed=5, startup=3) == alone.params
