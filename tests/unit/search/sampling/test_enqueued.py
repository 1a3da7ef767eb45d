from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ConfigError
from search.config.schema import StudyConfig
from search.sampling.enqueued import checked_params, complete_proposal
from search.sampling.proposal import agrees, cannot_run, nothing_runs, propose
from search.sampling.samplers import SAMPLERS, SamplerSection
from search.space.canonical import config_key
from search.space.model import Space
from search.space.parse import parse_space

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASE = StudyConfig().run_values()
SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "optimizer.weight_decay": {"type": "float", "low": 0.0, "high": 0.6, "step": 0.1},
        "model.n_head": {"type": "categorical", "choices": [2, 4, 8]},
        "model.n_embd": {"type": "int", "low": 64, "high": 256, "step": 8, "multiple_of": "model.n_head"},
        "model.qk_norm": {"type": "categorical", "choices": [False, True]},
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
POINT: dict[str, Any] = {
    "optimizer.lr": 0.01,
    "optimizer.weight_decay": 0.3,
    "model.n_head": 4,
    "model.n_embd": 96,
    "model.qk_norm": True,
    "schedule.name": "cosine",
}


def test_a_whole_point_is_run_as_it_was_asked_for() -> None:
    found = complete_proposal(checked_params(POINT, SPACE), SPACE)
    assert found is not None
    assert found.params == POINT


def test_numbers_are_taken_as_the_space_writes_them() -> None:
    asked = checked_params(POINT | {"model.n_embd": 96.0, "model.n_head": 4.0, "optimizer.lr": 0.01}, SPACE)
    assert repr(asked["model.n_embd"]) == "96"
    assert repr(asked["model.n_head"]) == "4"
    found = complete_proposal(asked | {"optimizer.weight_decay": 0.1 + 0.2}, SPACE)
    assert found is not None
    assert found.params["optimizer.weight_decay"] == 0.3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"optimizer.lrr": 0.01}, "the space has no optimizer.lrr; did you mean optimizer.lr?"),
        ({"x": 1}, "the space has no x"),
        ({"optimizer.lr": 0.5}, "optimizer.lr must be a number from 0.001 to 0.1, got 0.5"),
        ({"optimizer.lr": "0.01"}, "optimizer.lr must be a number"),
        ({"optimizer.lr": float("nan")}, "optimizer.lr must be a number"),
        ({"optimizer.lr": None}, "optimizer.lr must be a number"),
        ({"model.n_head": 3}, "model.n_head must be one of [2, 4, 8], got 3"),
        ({"model.n_head": True}, "model.n_head must be one of"),
        ({"model.qk_norm": 1}, "model.qk_norm must be one of [False, True], got 1"),
        ({"model.n_embd": 96.5}, "model.n_embd must be a whole number"),
        ({"model.n_embd": 100}, "model.n_embd=100 is no value of"),
        ({"optimizer.weight_decay": 0.25}, "optimizer.weight_decay=0.25 is no value of"),
        ({"schedule.cooldown_fraction": 0.5}, "only set where schedule.name is one of ['trapezoid']"),
        ({"schedule.name": ["cosine"]}, "schedule.name must be one of"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        complete_proposal(checked_params(POINT | changed, SPACE), SPACE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def completed(fixed: dict[str, Any], sampler: str = "tpe", space: Space = SPACE, index: int = 0) -> Any:
    section = SamplerSection(name=sampler, n_startup_trials=3)
    return propose(space, section, 0, index, history(), 2, set(), fixed=fixed)


def history() -> list[optuna.trial.FrozenTrial]:
    made = []
    for index in range(8):
        params = POINT | {"optimizer.lr": 0.002 + index * 0.01}
        made.append(
            optuna.trial.create_trial(
                values=[1.0 + index, 2.0],
                params=params,
                distributions=SPACE.distributions(params),
                system_attrs={"constraints:loss_gap": -0.1},
            )
        )
    return made


# A hundred asks of the Gaussian process take minutes.
LONG = [pytest.mark.slow, pytest.mark.many]


@pytest.mark.parametrize(
    "sampler", [pytest.param(name, marks=LONG if name == "gp" else []) for name in SAMPLERS]
)
@given(kept=st.sets(st.sampled_from(sorted(POINT)), min_size=1), index=st.integers(0, 50))
def test_what_is_not_asked_for_the_sampler_chooses(sampler: str, kept: set[str], index: int) -> None:
    fixed = {path: POINT[path] for path in kept}
    found = completed(fixed, sampler, index=index)
    assert found is not None
    assert {path: found.params[path] for path in kept} == fixed
    assert agrees(SPACE, found.params, fixed)
    assert "fixed_params" not in found.system_attrs


def test_a_value_that_only_some_choices_allow_makes_them() -> None:
    found = completed({"schedule.cooldown_fraction": 0.5})
    assert found.params["schedule.name"] == "trapezoid"
    narrow = parse_space(
        {
            "model.n_head": {"type": "categorical", "choices": [2, 16]},
            "model.n_embd": {"type": "int", "low": 64, "high": 256, "step": 2, "multiple_of": "model.n_head"},
        },
        BASE,
    )
    for index in range(6):
        assert completed({"model.n_embd": 66}, "random", narrow, index).params["model.n_head"] == 2


def test_the_same_inputs_complete_it_the_same_way() -> None:
    assert completed({"model.n_head": 8}) == completed({"model.n_head": 8})


# ---- a space in which nothing runs


def reason(raw: dict[str, Any], **base: Any) -> str:
    values = StudyConfig().run_values()
    for path, value in base.items():
        part, name = path.split("__")
        values[part][name] = value
    return nothing_runs(parse_space(raw, values), cannot_run, config_key)


def choices(*values: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(values)}


def number(low: float, high: float) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high}


def test_a_space_in_which_something_runs_is_fine() -> None:
    assert nothing_runs(SPACE, cannot_run, config_key) == ""


@pytest.mark.parametrize(
    ("raw", "base", "words"),
    [
        ({"model.attention": choices("flex")}, {}, "model.attention=flex writes out all its scores"),
        (
            {
                "model.attention": choices("sdpa_flash"),
                "optimizer.lr": {"type": "float", "low": 0.1, "high": 1},
            },
            {"model__dropout": 0.1},
            "no configuration of the space runs here: model.attention=sdpa_flash has no dropout on a CPU",
        ),
        ({"model.n_kv_head": choices(3)}, {}, "model.n_kv_head=3 must divide"),
        ({"model.block_size": choices(48, 24)}, {}, "evaluation.context=64 must be a multiple of"),
        (
            {"optimizer.lr": choices(1e-3)},
            {},
            "the only configuration of the space that runs here is the baseline",
        ),
        ({"model.n_kv_head": choices(None, 4)}, {}, "is the baseline; widen the space"),
        ({"model.n_kv_head": choices(None, 3)}, {}, "is the baseline; of the others: model.n_kv_head=3"),
        ({"optimizer.muon_lr": number(0.1, 1.0)}, {}, "is the baseline; widen"),
        ({"model.dropout": number(0.0, 0.0)}, {}, "is the baseline; widen"),
    ],
)
def test_a_space_in_which_nothing_new_runs_says_why(
    raw: dict[str, Any], base: dict[str, Any], words: str
) -> None:
    said = reason(raw, **base)
    assert words in said
    assert "\n" not in said
