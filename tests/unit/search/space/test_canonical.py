from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from space_entries import BASE, LAYERS, LR, choice_entry, parse

from model.config import RAMP_STARTS, ConfigError, RunConfig
from model.data.corpus import Corpus
from model.train import train
from search.config.schema import StudyConfig
from search.space.canonical import SEARCHABLE, config_key
from search.space.parse import parse_space
from search.space.paths import set_path

VOCAB = 11
SMALL: dict[str, Any] = {
    "model": {"n_layer": 1, "n_head": 2, "n_embd": 8, "block_size": 8, "norm": "rmsnorm_weightless"},
    "schedule": {"warmup_steps": 1},
    "train": {"max_steps": 5, "batch_size": 4},
    "evaluation": {"tokens": 32, "context": 8},
}


def small(**changes: Any) -> dict[str, Any]:
    """The small configuration with values at dotted paths, `__` for the dot."""
    config = copy.deepcopy(SMALL)
    for path, value in changes.items():
        part, name = path.split("__")
        config.setdefault(part, {})[name] = value
    return config


def key(config: dict[str, Any]) -> str:
    whole = StudyConfig().run_values()
    for part, values in config.items():
        for name, value in values.items():
            set_path(whole, f"{part}.{name}", value)
    return config_key(whole, VOCAB)


@cache
def corpus() -> Corpus:
    tokens = np.random.default_rng(0).integers(0, VOCAB, 600).astype(np.uint16)
    letters = tuple(chr(97 + index) for index in range(VOCAB))
    return Corpus("random", "0" * 64, "characters", letters, tokens[:500], tokens[500:], 1.0)


def trained(config: dict[str, Any]) -> tuple[list[float | None], list[bytes]]:
    """The losses of every step and the weights at the end, to the last bit."""
    training = train(RunConfig.from_mapping(config), corpus(), torch.device("cpu"))
    losses = []
    while True:
        try:
            progress = next(training)
        except StopIteration as end:
            return losses, [weight.detach().numpy().tobytes() for weight in end.value.parameters()]
        losses.append(progress.loss if progress.loss is not None else progress.train_loss)


def test_a_configuration_of_before_was_trained_by_one_process() -> None:
    whole = StudyConfig().run_values()
    before = copy.deepcopy(whole)
    del before["train"]["processes"]
    assert config_key(before, VOCAB) == config_key(whole, VOCAB)
    set_path(whole, "train.processes", 2)
    assert config_key(before, VOCAB) != config_key(whole, VOCAB)


MUON = {"optimizer__name": "muon"}
TRAPEZOID = {"schedule__name": "trapezoid"}
RISING = {"momentum_from": 0.5, "momentum_warmup_fraction": 0.4, "momentum_cooldown_fraction": 0.4}
SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model__n_kv_head": None}, {"model__n_kv_head": 2}),
    ({"model__mlp_ratio": 4}, {"model__mlp_ratio": 4.01}),
    ({}, {"model__lookup_rows": 7}),
    (
        {"model__lookup_table": "bigram"},
        {"model__lookup_table": "bigram", "model__lookup_rows": VOCAB},
    ),
    ({}, {"optimizer__table_lr_ratio": 5.0}),
    ({}, {"optimizer__head_lr_ratio": 5.0}),
    ({}, {"optimizer__vector_lr_ratio": 5.0}),
    (
        {},
        {
            "optimizer__muon_lr": 0.5,
            "optimizer__muon_momentum": 0.1,
            "optimizer__muon_weight_decay": 0.1,
            "optimizer__muon_scale": "match_rms_adamw",
            "optimizer__muon_split_qkv": False,
            "optimizer__ns_steps": 2,
            "optimizer__ns_dtype": "fp32",
        },
    ),
    ({"schedule__decay_steps": None}, {"schedule__decay_steps": 5}),
    ({}, {"schedule__cooldown_fraction": 0.2, "schedule__cooldown_shape": "sqrt"}),
    (
        {"schedule__name": "linear"},
        TRAPEZOID | {"schedule__cooldown_fraction": 1.0},
    ),
    (
        {"schedule__min_lr_ratio": 1.0, "schedule__name": "cosine"},
        {"schedule__min_lr_ratio": 1.0, "schedule__name": "linear", "schedule__decay_steps": 3},
    ),
    (
        {"schedule__warmup_steps": 9, "schedule__name": "cosine"},
        {"schedule__warmup_steps": 9, "schedule__name": "linear", "schedule__min_lr_ratio": 0.5},
    ),
    (
        TRAPEZOID | {"schedule__decay_steps": 100, "schedule__min_lr_ratio": 0.0},
        TRAPEZOID | {"schedule__decay_steps": 90, "schedule__cooldown_shape": "sqrt"},
    ),
    (
        {"schedule__decay_steps": 1, "schedule__name": "cosine"},
        {"schedule__decay_steps": 1, "schedule__name": "linear"},
    ),
    ({}, {"schedule__batch_ramp_fraction": 0.8}),
    ({}, {"schedule__batch_ramp_from": 0.5}),
    ({}, {"schedule__context_ramp_from": 0.5}),
    ({}, {"schedule__context_ramp_fraction": 0.5}),
    (
        {"schedule__batch_ramp_from": 0.5, "schedule__batch_ramp_fraction": 0.4},
        {"schedule__batch_ramp_from": 0.5, "schedule__batch_ramp_fraction": 0.41},
    ),
    ({}, {f"schedule__{name}": value for name, value in RISING.items()}),
    *(
        (MUON, MUON | {f"schedule__{name}": value for name, value in RISING.items() if name not in left_out})
        for left_out in ({"momentum_from"}, {"momentum_warmup_fraction", "momentum_cooldown_fraction"})
    ),
    (
        MUON | {"optimizer__muon_momentum": 0.0},
        MUON | {"optimizer__muon_momentum": 0.0, **{f"schedule__{k}": v for k, v in RISING.items()}},
    ),
    (
        MUON | {"schedule__momentum_from": 0.5, "schedule__momentum_warmup_fraction": 0.4},
        MUON | {"schedule__momentum_from": 0.5, "schedule__momentum_warmup_fraction": 0.41},
    ),
    (  # it falls after the last step
        MUON | {"schedule__decay_steps": 9},
        MUON
        | {
            "schedule__decay_steps": 9,
            "schedule__momentum_from": 0.5,
            "schedule__momentum_cooldown_fraction": 0.5,
        },
    ),
    ({}, {"schedule__average_fraction": 0.2}),  # the mean of one
    ({"schedule__average_fraction": 0.4}, {"schedule__average_fraction": 0.41}),
    (  # nothing moves any more
        {"schedule__decay_steps": 3, "schedule__min_lr_ratio": 0.0},
        {"schedule__decay_steps": 3, "schedule__min_lr_ratio": 0.0, "schedule__average_fraction": 0.3},
    ),
    ({}, {"train__compile_mode": "max-autotune-no-cudagraphs", "train__compile_scope": "mlp"}),
    ({"model__logit_softcap": 0}, {"model__logit_softcap": 0.0}),
    ({"optimizer__lr": 0.3}, {"optimizer__lr": 0.1 + 0.2}),
]
OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"model__n_kv_head": 1}),
    ({}, {"model__mlp_ratio": 3.0}),
    ({}, {"model__lookup_table": "bigram"}),
    ({"model__lookup_table": "bigram"}, {"model__lookup_table": "trigram"}),
    ({"model__lookup_table": "bigram"}, {"model__lookup_table": "bigram", "optimizer__table_lr_ratio": 2.0}),
    ({"model__tied_head": False}, {"model__tied_head": False, "optimizer__head_lr_ratio": 2.0}),
    ({"model__norm": "rmsnorm"}, {"model__norm": "rmsnorm", "optimizer__vector_lr_ratio": 2.0}),
    ({"model__bias": True}, {"model__bias": True, "optimizer__vector_lr_ratio": 2.0}),
    ({"model__smear": True}, {"model__smear": True, "optimizer__vector_lr_ratio": 2.0}),
    *((MUON, MUON | {f"optimizer__{name}": value}) for name, value in (("muon_lr", 0.5), ("ns_steps", 2))),
    (MUON, MUON | {"optimizer__muon_split_qkv": False}),
    ({}, {"optimizer__kernel": "foreach"}),
    ({}, {"model__attention": "manual"}),
    ({}, {"schedule__decay_steps": 4}),
    ({}, {"schedule__min_lr_ratio": 0.2}),
    (TRAPEZOID, TRAPEZOID | {"schedule__cooldown_fraction": 0.9}),
    (TRAPEZOID, TRAPEZOID | {"schedule__cooldown_shape": "sqrt"}),
    ({}, {"schedule__batch_ramp_from": 0.5, "schedule__batch_ramp_fraction": 0.4}),
    ({}, {"schedule__context_ramp_from": 0.5, "schedule__context_ramp_fraction": 0.4}),
    *(
        (
            MUON | {f"schedule__{k}": v for k, v in RISING.items()},
            MUON | {f"schedule__{k}": v for k, v in (RISING | {name: other}).items()},
        )
        for name, other in (
            ("momentum_from", 0.6),
            ("momentum_warmup_fraction", 0.6),
            ("momentum_cooldown_fraction", 0.6),
        )
    ),
    ({}, {"schedule__average_fraction": 0.4}),
    ({"schedule__average_fraction": 0.6}, {"schedule__average_fraction": 0.4}),
    ({}, {"schedule__warmup_steps": 2}),
    ({}, {"train__max_steps": 6}),
    ({}, {"train__grad_accum": 2}),
    ({"train__compile": True}, {"train__compile": True, "train__compile_scope": "mlp"}),
    ({"optimizer__lr": 0.3}, {"optimizer__lr": 0.3000001}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_training_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key(small(**one)) == key(small(**other))


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_has_one_key_trains_the_same_bit_for_bit(one: dict[str, Any], other: dict[str, Any]) -> None:
    if "optimizer__lr" in one:
        pytest.skip("a difference in the last digit: taken for one")
    assert trained(small(**one)) == trained(small(**other))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_configurations_that_differ_in_what_is_read_have_two_keys(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert key(small(**one)) != key(small(**other))


choices: dict[str, st.SearchStrategy[Any]] = {
    "model__n_kv_head": st.sampled_from([None, 1, 2]),
    "model__mlp_ratio": st.sampled_from([1, 1.0, 1.01, 2.0]),
    "model__bias": st.booleans(),
    "model__norm": st.sampled_from(["layernorm", "rmsnorm_weightless"]),
    "model__tied_head": st.booleans(),
    "model__lookup_table": st.sampled_from(["none", "bigram", "trigram"]),
    "model__lookup_rows": st.sampled_from([None, VOCAB, 7]),
    "optimizer__name": st.sampled_from(["adamw", "muon"]),
    "optimizer__muon_lr": st.sampled_from([0.01, 0.02]),
    "optimizer__ns_dtype": st.sampled_from(["fp32", "bf16"]),
    "optimizer__head_lr_ratio": st.sampled_from([1.0, 2.0]),
    "optimizer__vector_lr_ratio": st.sampled_from([1.0, 2.0]),
    "optimizer__table_lr_ratio": st.sampled_from([1.0, 2.0]),
    "schedule__name": st.sampled_from(["cosine", "linear", "trapezoid"]),
    "schedule__warmup_steps": st.sampled_from([0, 1, 4, 5, 9]),
    "schedule__decay_steps": st.sampled_from([None, 1, 3, 5, 9, 50]),
    "schedule__min_lr_ratio": st.sampled_from([0.0, 0.1, 1.0]),
    "schedule__cooldown_fraction": st.sampled_from([0.5, 1.0]),
    "schedule__cooldown_shape": st.sampled_from(["linear", "sqrt"]),
    "schedule__batch_ramp_from": st.sampled_from(RAMP_STARTS[:3]),
    "schedule__batch_ramp_fraction": st.sampled_from([0.0, 0.05, 0.4, 0.41, 1.0]),
    "schedule__context_ramp_from": st.sampled_from(RAMP_STARTS[:2]),
    "schedule__context_ramp_fraction": st.sampled_from([0.0, 0.5]),
    "schedule__momentum_from": st.sampled_from([1.0, 0.5]),
    "schedule__momentum_warmup_fraction": st.sampled_from([0.0, 0.4, 0.5]),
    "schedule__momentum_cooldown_fraction": st.sampled_from([0.0, 0.05, 0.4, 0.5]),
    "schedule__average_fraction": st.sampled_from([0.0, 0.05, 0.2, 0.4, 1.0]),
    "train__compile_scope": st.sampled_from(["model", "mlp"]),
}


@settings(max_examples=60)
@given(first=st.fixed_dictionaries(choices), data=st.data())
def test_whatever_is_set_one_key_means_one_training(first: dict[str, Any], data: st.DataObject) -> None:
    """Two configurations that differ in up to three settings."""
    changed = data.draw(st.lists(st.sampled_from(sorted(choices)), min_size=1, max_size=3, unique=True))
    second = first | {name: data.draw(choices[name]) for name in changed}
    assume(first != second)
    one, other = small(**first), small(**second)
    if key(one) == key(other):
        assert trained(one) == trained(other)


@settings(max_examples=60)
@given(first=st.fixed_dictionaries(choices), data=st.data())
def test_whatever_is_set_two_keys_mean_two_trainings(first: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(choices)))
    second = first | {name: data.draw(choices[name])}
    for config in (first, second):
        decay = (config["schedule__decay_steps"] or 5) - config["schedule__warmup_steps"]
        assume(decay not in (1, 2))  # where all schedules coincide
    one, other = small(**first), small(**second)
    if key(one) != key(other):
        assert trained(one) != trained(other)


def test_a_table_of_unknown_vocabulary_is_compared_as_it_is_written() -> None:
    one, other = StudyConfig().run_values(), StudyConfig().run_values()
    for config, rows in ((one, None), (other, 65)):
        config["model"] |= {"lookup_table": "bigram", "lookup_rows": rows}
    assert config_key(one) != config_key(other)
    assert config_key(one, 65) == config_key(other, 65)
    assert config_key(one, 66) != config_key(other, 66)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"bigram_table": False, "table_order": 3}, "none"),
        ({"bigram_table": True, "table_order": 2}, "bigram"),
        ({"bigram_table": True}, "bigram"),
        ({"bigram_table": True, "table_order": 3}, "trigram"),
    ],
)
def test_a_lookup_table_in_its_old_keys_is_the_one_in_the_new(before: dict[str, Any], now: str) -> None:
    config = StudyConfig().run_values()
    old = {**config, "model": {k: v for k, v in config["model"].items() if k != "lookup_table"} | before}
    assert config_key(old) == config_key({**config, "model": config["model"] | {"lookup_table": now}})


def test_a_configuration_of_another_version_is_compared_as_it_is_written() -> None:
    one = {"model": {"n_layer": 2, "rotary": True}, "train": {"batch_size": 8}}
    backwards = {"model": {"rotary": True, "n_layer": 2.0}, "train": {"batch_size": 8}}
    assert config_key(one) == config_key(backwards)
    with pytest.raises(ConfigError):
        RunConfig.from_mapping(one)
    assert config_key(one) != config_key(one | {"train": {"batch_size": 4}})


def test_a_configuration_that_lacks_a_setting_has_its_default() -> None:
    whole = StudyConfig().run_values()
    del whole["model"]["smear"]
    assert config_key(whole) == config_key(StudyConfig().run_values())


@given(low=st.integers(0, 20), steps=st.integers(0, 30), tenths=st.sampled_from([0.1, 0.05, 0.3, 0.001]))
def test_a_number_on_a_grid_is_the_one_that_a_person_would_write(low: int, steps: int, tenths: float) -> None:
    begin = low * tenths + 0.1
    begin = float(f"{begin:.6g}")
    entry = {"type": "float", "low": begin, "high": begin + 31 * tenths, "step": tenths}
    space = parse_space({"optimizer.muon_weight_decay": entry}, StudyConfig().run_values())
    added = begin
    for _ in range(steps):
        added += tenths
    (drawn,) = space.sample(lambda path, distribution: added).values()
    assert drawn == float(f"{begin + steps * tenths:.10g}")
    assert len(repr(drawn)) <= 7


def test_a_window_counts_where_attention_has_one_and_as_far_as_the_context_reaches() -> None:
    manual = {"model__attention": "manual"}
    assert key(small(**manual, model__attention_window=2)) == key(small(**manual, model__attention_window=5))
    window = {"model__attention": "sliding_window"}
    assert key(small(**window, model__attention_window=2)) != key(small(**window, model__attention_window=5))
    assert key(small(**window, model__attention_window=8)) == key(small(**window, model__attention_window=64))


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
