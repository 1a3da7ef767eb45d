from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from model.config import ConfigError, RunConfig
from model.variants import Capabilities
from search.config.schema import StudyConfig
from search.space.canonical import SEARCHABLE, config_key
from search.space.model import Space, Suggest
from search.space.offer import never_varies, offered
from search.space.parse import parse_space
from search.space.paths import get_path, set_path

BASE: Mapping[str, Any] = StudyConfig().run_values()
HERE = Capabilities("cpu", "a processor", "2.11.0", bf16=True, compiler="/usr/bin/g++")


def parse(raw: Mapping[str, Any]) -> Space:
    return parse_space(raw, BASE)


def drawn_from(draw: Any) -> Suggest:
    """A suggester that takes any value a distribution holds, drawn by hypothesis."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return draw(st.sampled_from(distribution.choices))
        if isinstance(distribution, IntDistribution):
            count = (distribution.high - distribution.low) // distribution.step
            return distribution.low + distribution.step * draw(st.integers(0, count))
        assert isinstance(distribution, FloatDistribution)
        return draw(st.floats(distribution.low, distribution.high))

    return suggest


def always(**values: Any) -> Suggest:
    """A suggester of fixed values by the last part of a path; where none is given, the low end."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        name = path.rpartition(".")[2]
        if name in values:
            return values[name]
        return (
            distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low
        )  # type: ignore[attr-defined]

    return suggest


# ---- parsing: each mistake is one line that names the path


def int_entry(**keys: Any) -> dict[str, Any]:
    return {"type": "int", "low": 1, "high": 8, **keys}


def float_entry(**keys: Any) -> dict[str, Any]:
    return {"type": "float", "low": 0.001, "high": 0.1, **keys}


def choice_entry(*choices: Any, **keys: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **keys}


LR, LAYERS, HEADS, WIDTH, ATTENTION = (
    "optimizer.lr",
    "model.n_layer",
    "model.n_head",
    "model.n_embd",
    "model.attention",
)
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


# ---- drawing


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


def test_a_condition_that_can_never_hold_is_named() -> None:
    rate = float_entry(when={"optimizer.name": ["muon"]})
    never = {LAYERS: int_entry(when={"train.compile": [True]})}
    assert never_varies(parse(never)) == [
        "model.n_layer never varies: train.compile is never true, only false"
    ]
    chosen = {"optimizer.name": choice_entry("adamw", "muon"), "optimizer.muon_lr": rate}
    assert never_varies(parse(chosen)) == []
    narrowed = {"optimizer.name": choice_entry("adamw"), "optimizer.muon_lr": rate}
    (line,) = never_varies(parse(narrowed))
    assert line == "optimizer.muon_lr never varies: optimizer.name is never muon, only adamw"


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


DEMO = {
    "model": {
        "n_head": choice_entry(2, 4, 8),
        "n_embd": int_entry(low=96, high=192, step=32, multiple_of=HEADS),
    },
    "optimizer": {"lr": float_entry(log=True)},
    "schedule": {
        "name": choice_entry("cosine", "trapezoid"),
        "cooldown_fraction": float_entry(low=0.2, high=0.8, when={"schedule.name": ["trapezoid"]}),
    },
    "train": {"precision": choice_entry("fp32", "bf16"), "compile": choice_entry(False, True)},
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


def test_a_path_reads_what_it_wrote() -> None:
    config = copy.deepcopy(dict(BASE))
    set_path(config, LR, 0.5)
    assert get_path(config, LR) == 0.5


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


def test_a_configurations_key_does_not_depend_on_the_order_in_which_it_was_written() -> None:
    backwards = {part: dict(reversed(BASE[part].items())) for part in reversed(SEARCHABLE)}
    assert config_key(backwards) == config_key(BASE)


def test_a_configurations_key_ignores_the_seed_and_the_instrument() -> None:
    config = copy.deepcopy(dict(BASE)) | {"seed": 7}
    config["evaluation"] = {"tokens": 128, "context": 8, "interval": 3}
    assert config_key(config) == config_key(BASE)


@pytest.mark.parametrize(
    ("path", "value"),
    [(LR, 0.002), (LAYERS, 3), ("schedule.warmup_steps", 7), ("train.precision", "bf16")],
)
def test_a_configurations_key_changes_with_whatever_is_trained(path: str, value: Any) -> None:
    config = copy.deepcopy(dict(BASE))
    set_path(config, path, value)
    assert config_key(config) != config_key(BASE)


def test_a_whole_number_written_as_a_fraction_is_the_same_configuration() -> None:
    space = parse({"model.mlp_ratio": choice_entry(2, 3, 4)})
    assert BASE["model"]["mlp_ratio"] == 4.0
    assert config_key(space.config({"model.mlp_ratio": 4})) == config_key(BASE)


# ---- what runs here


def test_a_device_that_can_do_everything_is_offered_everything() -> None:
    space = parse(DEMO)
    assert offered(space, HERE) == (space, [])


def test_choices_that_cannot_run_here_are_left_out_and_named() -> None:
    small = replace(HERE, compiler=None, bf16=False)
    space, left_out = offered(parse(DEMO), small)
    kept = {entry.path: entry.choices for entry in space.entries if entry.choices}
    assert kept["train.compile"] == (False,)
    assert kept["train.precision"] == ("fp32",)
    assert kept[HEADS] == (2, 4, 8)
    assert len(left_out) == 2
    assert any("train.compile" in line and "compiler" in line for line in left_out)
    assert any("train.precision=bf16" in line and HERE.device_name in line for line in left_out)
    assert "bf16" in parse(DEMO).describe()["train.precision"]["choices"]


def test_a_gpu_needs_no_compiler_of_its_own() -> None:
    assert offered(parse(DEMO), replace(HERE, device_type="cuda", compiler=None))[1] == []


def test_the_space_that_is_offered_is_still_drawn_from_as_before() -> None:
    space, _ = offered(parse(DEMO), replace(HERE, compiler=None))
    params = space.sample(always())
    assert params["train.compile"] is False
    RunConfig.from_mapping(space.config(params))


def test_an_entry_of_which_nothing_runs_here_is_refused() -> None:
    space = parse({"train.compile": choice_entry(True)})
    with pytest.raises(ConfigError, match=r"space\.train\.compile has no choice that runs here.*compiler"):
        offered(space, replace(HERE, compiler=None))


def test_the_refusal_gives_the_reasons_of_that_entry_alone() -> None:
    space = parse({"train.precision": choice_entry("fp32", "bf16"), "train.compile": choice_entry(True)})
    with pytest.raises(ConfigError) as caught:
        offered(space, replace(HERE, compiler=None, bf16=False))
    assert "precision" not in str(caught.value)
