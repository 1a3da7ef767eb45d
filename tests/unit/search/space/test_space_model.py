"""What is drawn from a space is a configuration; a space describes itself, and may hold the base."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial
from space_entries import (
    ATTENTION,
    BASE,
    DEMO,
    HEADS,
    LAYERS,
    LR,
    WIDTH,
    always,
    choice_entry,
    drawn_from,
    float_entry,
    int_entry,
    parse,
)

from model.config import ConfigError, RunConfig
from search.space.parse import parse_space
from search.space.paths import set_path


@given(
    st.data(),
    st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]), min_size=1, unique=True),
    st.integers(1, 200),
    st.integers(0, 300),
    st.none() | st.sampled_from([1, 2, 16, 32]),
)
def test_every_width_that_is_drawn_is_divisible_by_its_heads(
    data: st.DataObject, heads: list[int], low: int, more: int, step: int | None
) -> None:
    grid = {} if step is None else {"step": step}
    raw = {HEADS: choice_entry(*heads), WIDTH: int_entry(low=low, high=low + more, multiple_of=HEADS, **grid)}
    grids = [math.lcm(count, step or 1) for count in heads]
    try:
        space = parse(raw)
    except ConfigError:
        assert any(low // count == (low + more) // count and low % count for count in grids)
        return
    params = space.sample(drawn_from(data.draw))
    assert params[WIDTH] % params[HEADS] == 0
    assert params[WIDTH] % (step or 1) == 0
    assert low <= params[WIDTH] <= low + more
    RunConfig.from_mapping(space.config(params))


def test_a_multiple_of_something_that_does_not_vary_takes_the_configured_value() -> None:
    space = parse({WIDTH: int_entry(low=62, high=70, multiple_of=HEADS)})
    assert BASE["model"]["n_head"] == 4
    assert space.distributions({WIDTH: 64})[WIDTH] == IntDistribution(64, 68, step=4)


def test_when_leaves_an_entry_out_where_it_does_not_hold() -> None:
    cooldown = "schedule.cooldown_fraction"
    space = parse(
        {
            cooldown: float_entry(low=0.2, high=0.8, when={"schedule.name": ["trapezoid", "linear"]}),
            "schedule.name": choice_entry("cosine", "linear", "trapezoid"),
        }
    )
    assert set(space.sample(always(name="cosine"))) == {"schedule.name"}
    assert set(space.sample(always(name="linear"))) == {"schedule.name", cooldown}
    assert set(space.sample(always(name="trapezoid"))) == {"schedule.name", cooldown}


def test_when_may_look_at_a_value_that_does_not_vary() -> None:
    kernels = choice_entry("forloop", "fused", when={"optimizer.name": ["adamw"]})
    assert set(parse({"optimizer.kernel": kernels}).sample(always())) == {"optimizer.kernel"}
    dense = int_entry(when={"train.compile": [True]})
    assert set(parse({LAYERS: dense}).sample(always())) == set()


def test_a_range_is_drawn_as_it_was_written() -> None:
    space = parse(
        {
            LR: float_entry(log=True),
            LAYERS: int_entry(low=1, high=8, step=3),
            ATTENTION: choice_entry("sdpa", "manual"),
        }
    )
    assert space.distributions({LR: 0.01, LAYERS: 4, ATTENTION: "sdpa"}) == {
        LR: FloatDistribution(0.001, 0.1, log=True),
        LAYERS: IntDistribution(1, 7, step=3),
        ATTENTION: CategoricalDistribution(("sdpa", "manual")),
    }


@given(st.data())
def test_whatever_is_drawn_is_a_configuration_and_knows_its_distributions(data: st.DataObject) -> None:
    space = parse(DEMO)
    params = space.sample(drawn_from(data.draw))
    RunConfig.from_mapping(space.config(params))
    create_trial(value=0.0, params=params, distributions=space.distributions(params))  # optuna checks them


# ---- configurations


def test_config_puts_every_value_in_its_place_and_changes_nothing_else() -> None:
    config = parse(DEMO).config({LR: 0.05, WIDTH: 96})
    assert config["optimizer"]["lr"] == 0.05
    assert config["model"]["n_embd"] == 96
    set_path(config, LR, BASE["optimizer"]["lr"])
    set_path(config, WIDTH, BASE["model"]["n_embd"])
    assert config == BASE


def test_config_leaves_the_base_untouched() -> None:
    base = copy.deepcopy(dict(BASE))
    space = parse_space(DEMO, base)
    space.config({LR: 0.05})["model"]["n_head"] = 1
    assert base == BASE


def test_the_base_is_a_point_of_the_space_where_it_lies_inside() -> None:
    assert parse(DEMO).base_params() == {
        HEADS: 4,
        WIDTH: 128,
        LR: 0.001,
        "schedule.name": "cosine",
        "train.precision": "fp32",
        "train.compile": False,
    }


@pytest.mark.parametrize(
    "raw",
    [
        {LR: float_entry(low=0.002)},
        {LR: float_entry(low=0.0001, high=0.0009)},
        {LR: float_entry(low=0.0004, high=0.0019, step=0.0005)},
        {LAYERS: int_entry(low=5)},
        {LAYERS: int_entry(low=1, high=8, step=2)},
        {ATTENTION: choice_entry("manual", "sdpa_math")},
        {LR: float_entry(), ATTENTION: choice_entry("manual")},
        {ATTENTION: choice_entry("manual"), LR: float_entry()},
    ],
    ids=[
        "below",
        "above",
        "off a float's grid",
        "below, whole",
        "off the grid",
        "no such choice",
        "the second of two",
        "the first of two",
    ],
)
def test_the_base_is_no_point_of_a_space_that_it_lies_outside_of(raw: dict[str, Any]) -> None:
    assert parse(raw).base_params() is None


@pytest.mark.parametrize(
    "raw", [{LR: float_entry(low=0.0005, high=0.002, step=0.0005)}, {LAYERS: int_entry(step=3)}]
)
def test_the_base_may_lie_on_a_grid(raw: dict[str, Any]) -> None:
    assert parse(raw).base_params() is not None


def test_a_base_of_null_lies_outside_a_range() -> None:
    assert BASE["schedule"]["decay_steps"] is None
    assert parse({"schedule.decay_steps": int_entry(low=100, high=300)}).base_params() is None


# ---- identity


def test_describe_changes_exactly_when_the_space_does() -> None:
    variants = [
        {LR: float_entry()},
        {LR: float_entry(log=True)},
        {LR: float_entry(low=0.002)},
        {LR: float_entry(high=0.2)},
        {LR: float_entry(when={"optimizer.kernel": ["forloop"]})},
        {LR: choice_entry(0.001, 0.1)},
        {LR: choice_entry(0.1, 0.001)},
        {LAYERS: int_entry()},
        {LAYERS: int_entry(step=2)},
        {WIDTH: int_entry(low=64, high=128, step=4)},
        {WIDTH: int_entry(low=64, high=128, multiple_of=HEADS)},
        {LR: float_entry(), LAYERS: int_entry()},
        {},
    ]
    described = [json.dumps(parse(raw).describe(), sort_keys=True) for raw in variants]
    assert len(set(described)) == len(variants)
    assert described == [json.dumps(parse(copy.deepcopy(raw)).describe(), sort_keys=True) for raw in variants]


def test_describe_shows_a_bound_of_zero() -> None:
    described = parse({"model.dropout": float_entry(low=0.0, high=0.3)}).describe()
    assert described == {"model.dropout": {"type": "float", "low": 0.0, "high": 0.3}}
