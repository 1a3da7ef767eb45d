"""Each mistake in a space costs one line that names its path, and what is right may be spelt in two ways."""

from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.distributions import (
    FloatDistribution,
)
from space_entries import ATTENTION, HEADS, LAYERS, LR, WIDTH, choice_entry, float_entry, int_entry, parse

from model.config import ConfigError

MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a misspelt path": ({"optimizer.lrr": float_entry()}, "optimizer.lrr", "did you mean optimizer.lr?"),
    "a path of nothing known": ({"zzz": float_entry()}, "zzz", "paths start with model, optimizer"),
    "the instrument": ({"evaluation.interval": int_entry()}, "evaluation.interval", "cannot be searched"),
    "the seed": ({"seed": int_entry()}, "seed", "cannot be searched"),
    "a whole section": ({"model": int_entry()}, "space.model", "cannot be searched"),
    "no type": ({LR: {"low": 0.1, "high": 0.2}}, LR, "needs a type: int, float or categorical"),
    "no type, but another mapping": ({LR: {"when": {}}}, LR, "must be int, float or categorical, got None"),
    "an empty entry": ({LR: {}}, LR, "must be int, float or categorical, got None"),
    "an unknown type": ({LR: float_entry(type="loguniform")}, LR, "got 'loguniform'"),
    "a list of values": (
        {LAYERS: [1, 2, 3]},
        LAYERS,
        "like {type: categorical, choices: [1, 2, 3]}, got [1, 2",
    ),
    "a list of values below its part": (
        {"model": {"n_layer": [1, 2, 3]}},
        LAYERS,
        "must be an entry like {type: categorical, choices: [1, 2, 3]}",
    ),
    "words below their part": ({"train": {"precision": ["bf16"]}}, "train.precision", 'choices: ["bf16"]}'),
    "a value for a whole part": ({"model": 3}, "model", "must be a group of entries like {n_layer:"),
    "the instrument, by parts": (
        {"evaluation": {"interval": int_entry()}},
        "evaluation.interval",
        "cannot be searched: evaluation is the instrument, the same for every trial",
    ),
    "the problem": ({"data": {"tokenizer": choice_entry("chars")}}, "space.data", "data is the problem"),
    "the problem's target": ({"target_loss": float_entry()}, "target_loss", "the same for every trial"),
    "the seed, and why": ({"seed": int_entry()}, "seed", "seed is drawn anew for every trial"),
    "the meter, without a type": ({"meter": {"idle_s": 3}}, "meter", "meter is the instrument"),
    "a part that there is not": ({"modle": {"n_layer": [1]}}, "modle", "there is no modle"),
    "a bare value": ({LR: 0.1}, LR, "must be an entry like {type: int"),
    "an unknown key": ({LR: float_entry(lo=0.1)}, LR, "unknown key 'lo'; float takes high, log, low"),
    "choices of a number": ({LR: float_entry(choices=[0.1])}, LR, "unknown key 'choices'"),
    "a low of choices": ({ATTENTION: choice_entry("sdpa", low=1)}, ATTENTION, "unknown key 'low'"),
    "multiple_of of a float": ({LR: float_entry(multiple_of=HEADS)}, LR, "unknown key 'multiple_of'"),
    "low above high": ({LAYERS: int_entry(low=9)}, LAYERS, "low=9 is above high=8"),
    "no high": ({LAYERS: {"type": "int", "low": 1}}, LAYERS, "high must be a number, got None"),
    "a low that is text": ({LAYERS: int_entry(low="1")}, LAYERS, "low must be a number, got '1'"),
    "a low that is true": ({LAYERS: int_entry(low=True)}, LAYERS, "low must be a number, got True"),
    "an endless high": ({LR: float_entry(high=math.inf)}, LR, "high must be a number, got inf"),
    "half a layer": ({LAYERS: int_entry(low=1.5)}, LAYERS, "low must be a whole number, got 1.5"),
    "log from zero": ({LR: float_entry(low=0.0, log=True)}, LR, "low must be above 0, got 0"),
    "log from below zero": ({LR: float_entry(low=-1.0, log=True)}, LR, "low must be above 0, got -1"),
    "log that is no bool": ({LR: float_entry(log="yes")}, LR, "log must be true or false, got 'yes'"),
    "log with step": ({LAYERS: int_entry(log=True, step=2)}, LAYERS, "log with step"),
    "log with multiple_of": ({WIDTH: int_entry(log=True, multiple_of=HEADS)}, WIDTH, "log with step or"),
    "a step of zero": ({LAYERS: int_entry(step=0)}, LAYERS, "step must be a number above 0, got 0"),
    "a step below zero": ({LR: float_entry(step=-0.1)}, LR, "step must be a number above 0, got -0.1"),
    "a step that is true": ({LAYERS: int_entry(step=True)}, LAYERS, "step must be a number above 0"),
    "half a step": ({LAYERS: int_entry(step=1.5)}, LAYERS, "step must be a whole number, got 1.5"),
    "a float range on whole numbers": ({LAYERS: float_entry(low=1.0, high=3.0)}, LAYERS, "use type: int"),
    "a range on text": ({ATTENTION: int_entry()}, ATTENTION, "is no number; use type: categorical"),
    "a range on a bool": (
        {"train.compile": int_entry()},
        "train.compile",
        "is no number; use type: categorical",
    ),
    "no choices": ({ATTENTION: choice_entry()}, ATTENTION, "list of one or more values, got []"),
    "choices left out": ({ATTENTION: {"type": "categorical"}}, ATTENTION, "one or more values, got None"),
    "choices that are one text": (
        {ATTENTION: {"type": "categorical", "choices": "sdpa"}},
        ATTENTION,
        "must be a list",
    ),
    "a choice twice": ({ATTENTION: choice_entry("sdpa", "manual", "sdpa")}, ATTENTION, "names a value twice"),
    "a number among texts": ({ATTENTION: choice_entry("sdpa", 3)}, ATTENTION, "must be a name"),
    "a text among numbers": ({LAYERS: choice_entry(1, "2")}, LAYERS, "must be a whole number"),
    "a bool among numbers": ({LAYERS: choice_entry(1, True)}, LAYERS, "must be a whole number"),
    "half a layer as a choice": ({LAYERS: choice_entry(1, 2.5)}, LAYERS, "must be a whole number"),
    "a number for a bool": (
        {"train.compile": choice_entry(0, 1)},
        "train.compile",
        "must be true or false",
    ),
    "a choice that no table knows": ({ATTENTION: choice_entry("sdpa", "flsh")}, ATTENTION, "got 'flsh'"),
    "a value that cannot be": ({"model.dropout": float_entry(high=1.0)}, "model.dropout", "below 1, got 1.0"),
    "multiple_of a path of nothing": (
        {WIDTH: int_entry(multiple_of="model.heads")},
        WIDTH,
        "did you mean model.n_head?",
    ),
    "when of a path of nothing": (
        {LR: float_entry(when={"optimizer.nme": ["adamw"]})},
        LR,
        "did you mean optimizer.name?",
    ),
    "when without values": ({LR: float_entry(when={"optimizer.name": []})}, LR, "one or more values"),
    "a range without a multiple": (
        {WIDTH: int_entry(low=65, high=66, multiple_of=HEADS), HEADS: choice_entry(8)},
        WIDTH,
        "no value from 65 to 66 that is a multiple of 8",
    ),
    "widths that heads do not divide": (
        {WIDTH: int_entry(low=126, high=128)},
        WIDTH,
        "a multiple of model.n_head",
    ),
    "entries that need themselves": ({WIDTH: int_entry(multiple_of=WIDTH)}, WIDTH, "in a circle"),
    "entries that need each other": (
        {
            LR: float_entry(when={ATTENTION: ["sdpa"]}),
            ATTENTION: choice_entry("sdpa", "manual", when={LR: [0.001]}),
        },
        LR,
        "in a circle",
    ),
}


@pytest.mark.parametrize(("raw", "path", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_costs_one_line_that_names_the_path(raw: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    message = str(caught.value)
    assert "\n" not in message
    assert path in message
    assert words in message


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({LR: float_entry(when=None)}, id="when is null"),
        pytest.param({LR: float_entry(when="optimizer.name")}, id="when is text"),
        pytest.param({LAYERS: choice_entry(None, 2)}, id="null among numbers"),
        pytest.param({"schedule.decay_steps": choice_entry("many")}, id="text where null stands"),
        pytest.param({WIDTH: int_entry(multiple_of=ATTENTION)}, id="multiple_of text"),
        pytest.param({WIDTH: int_entry(multiple_of="model.dropout")}, id="multiple_of a fraction"),
        pytest.param({WIDTH: int_entry(multiple_of=32)}, id="multiple_of a number"),
        pytest.param({LR: float_entry(type=["float"])}, id="type is a list"),
        pytest.param({LAYERS: int_entry(step=math.inf)}, id="an endless step"),
        pytest.param({LR: float_entry(step=math.nan)}, id="a step that is no number"),
        pytest.param({"train.batch_size": choice_entry(math.inf)}, id="an endless choice"),
        pytest.param({ATTENTION: choice_entry(["sdpa"], "manual")}, id="a choice that is a list"),
        pytest.param(
            {LAYERS: int_entry(), "model": {"n_layer": int_entry(high=2)}}, id="one path, two spellings"
        ),
        pytest.param({LR: float_entry(when={"schedule.name": ["trapezoidd"]})}, id="when never holds"),
        pytest.param({"schedule.decay_steps": float_entry(low=9.5, high=20.5)}, id="fractions of a step"),
        pytest.param(
            {HEADS: int_entry(low=6), WIDTH: int_entry(low=96, high=97, multiple_of=HEADS)},
            id="no multiple in the middle",
        ),
        pytest.param({"model.mlp_ratio": choice_entry(2, 2.0)}, id="one number, two spellings"),
    ],
)
def test_a_mistake_of_a_rarer_kind_costs_one_line_too(raw: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(raw)


def test_a_step_that_does_not_divide_a_float_range_ends_at_the_last_step_below_high() -> None:
    space = parse({LR: float_entry(low=0.1, high=1.0, step=0.25)})
    distribution = space.distributions({LR: 0.1})[LR]
    assert distribution == FloatDistribution(0.1, 0.85, step=0.25)


@pytest.mark.filterwarnings("error")
def test_a_float_range_that_its_step_divides_ends_at_high_whatever_the_sum_of_steps_is() -> None:
    space = parse({LR: float_entry(low=0.8, high=0.95, step=0.05)})
    assert 0.8 + 3 * 0.05 > 0.95
    assert space.distributions({LR: 0.8})[LR] == FloatDistribution(0.8, 0.95, step=0.05)


# ---- spellings


def test_nested_and_dotted_keys_mean_the_same() -> None:
    dotted = {
        LR: float_entry(log=True),
        WIDTH: int_entry(low=64, high=128, multiple_of=HEADS),
        HEADS: choice_entry(2, 4),
    }
    nested = {
        "optimizer": {"lr": float_entry(log=True)},
        "model": {"n_embd": int_entry(low=64, high=128, multiple_of=HEADS), "n_head": choice_entry(2, 4)},
    }
    assert parse(nested).describe() == parse(dotted).describe()
    assert [entry.path for entry in parse(nested).entries] == [entry.path for entry in parse(dotted).entries]


def test_an_entry_comes_after_those_that_it_needs_however_they_are_written() -> None:
    space = parse({WIDTH: int_entry(low=64, high=128, multiple_of=HEADS), HEADS: choice_entry(2, 4)})
    assert [entry.path for entry in space.entries] == [HEADS, WIDTH]
