"""Combinations of variants as this machine offers them: each trains, whatever it is joined with, and
compiled it never compiles again."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from this_cpu import CPU, compiles

from model.config import RunConfig
from model.data.corpus import Corpus
from model.runnable import missing, unrunnable
from model.tables import TABLES
from model.train import train

COMBINATIONS = 200
STEPS = 10
VOCAB = 23
SWITCHES = ("qk_norm", "tied_head", "zero_init_projections", "embedding_skip", "value_embedding", "smear")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    tokens = np.random.default_rng(0).integers(0, VOCAB, 4000).astype(np.uint16)
    return Corpus(
        name="random",
        sha256="0" * 64,
        tokenizer="chars",
        vocabulary=tuple(map(chr, range(VOCAB))),
        train=tokens[:3000],
        validation=tokens[3000:],
        validation_bytes_per_token=1.0,
    )


def drawn(seed: int, compiled: bool = False) -> RunConfig:
    """A combination of everything that this machine offers."""
    chance = random.Random(seed)
    while True:
        values: dict[str, dict[str, object]] = {
            "model": {
                "n_layer": 2,
                "n_head": 4,
                "n_kv_head": chance.choice([None, 1, 2]),
                "n_embd": 32,
                "block_size": 16,
                "mlp_ratio": chance.choice([1.0, 2.5]),
                "dropout": chance.choice([0.0, 0.1]),
                "bias": chance.random() < 0.5,
                "logit_softcap": chance.choice([0.0, 15.0]),
                "lookup_table": chance.choice(["none", "none", "bigram", "trigram"]),
                **{name: chance.random() < 0.5 for name in SWITCHES},
            },
            "optimizer": {"lr": 3e-3, "ns_steps": chance.choice([1, 3])},
            "schedule": {
                "warmup_steps": 2,
                "batch_ramp_from": chance.choice([1.0, 0.25]),
                "batch_ramp_fraction": 0.5,
                "context_ramp_from": chance.choice([1.0, 0.5]),
                "context_ramp_fraction": 0.5,
                "momentum_from": chance.choice([1.0, 0.8]),
                "momentum_warmup_fraction": 0.5,
                "momentum_cooldown_fraction": 0.3,
                "average_fraction": chance.choice([0.0, 0.4]),
            },
            "train": {"batch_size": 4, "max_steps": STEPS, "compile": compiled},
            "evaluation": {"tokens": 64, "context": 16},
        }
        for path, rows in TABLES.items():
            section, key = path.split(".")
            offered = [name for name in rows if missing(path, name, CPU) is None]
            if path == "optimizer.kernel":
                offered.remove("compiled")  # it has a test of its own: a compilation takes seconds
            values[section][key] = chance.choice(offered)
        if compiled:
            values["train"]["compile_mode"] = "default"  # the others differ in the code that is generated
        config = RunConfig.from_mapping(values)
        if unrunnable(config, "cpu") is None:
            return config


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n >= 40 else []) for n in range(COMBINATIONS)]
)
def test_a_combination_that_is_offered_trains_ten_steps(seed: int, corpus: Corpus) -> None:
    losses = [
        progress.loss
        for progress in train(drawn(seed), corpus, torch.device("cpu"))
        if progress.loss is not None
    ]
    assert len(losses) == 1
    assert np.isfinite(losses[0])
    assert losses[0] < np.log(VOCAB) + 2.0


def _marks(number: int) -> list[pytest.MarkDecorator]:
    """Of a combination to compile, which takes seconds."""
    return [pytest.mark.slow] if number < 80 else [pytest.mark.slow, pytest.mark.many]


@compiles
@pytest.mark.parametrize("seed", [pytest.param(n, marks=_marks(n)) for n in range(COMBINATIONS)])
def test_a_compiled_combination_trains_like_the_eager_one_and_never_compiles_again(
    seed: int, corpus: Corpus
) -> None:
    """Traced and differentiated as ever, but with no code generated, which would take seconds more: whether a
    graph breaks or is traced again does not depend on that. A second trace raises (`fail_on_recompile`)."""
    config = drawn(seed, compiled=True)
    run = list(train(config, corpus, torch.device("cpu"), compile_backend="aot_eager"))
    assert run[0].phase == "compile"
    assert run[-1].step == STEPS
    assert run[-1].compiled is not None
    assert run[-1].compiled.graphs >= 1
    assert run[-1].compiled.graph_breaks == 0
    eager = list(
        train(replace(config, train=replace(config.train, compile=False)), corpus, torch.device("cpu"))
    )
    assert run[-1].loss == pytest.approx(eager[-1].loss, rel=0.02)


def test_every_variant_of_this_machine_is_among_them() -> None:
    configs = [drawn(seed) for seed in range(COMBINATIONS)]
    for path, rows in TABLES.items():
        section, key = path.split(".")
        seen = {getattr(getattr(config, section), key) for config in configs}
        offered = {name for name in rows if missing(path, name, CPU) is None}
        assert offered - seen <= {"compiled"}


def test_every_name_in_a_shipped_space_is_a_row_of_its_table() -> None:
    for path in sorted((Path(__file__).parents[3] / "conf" / "space").glob("*.yaml")):
        space = yaml.safe_load(path.read_text()) or {}
        for table, rows in TABLES.items():
            section, key = table.split(".")
            entry = (space.get(section) or {}).get(key)
            if entry is not None:
                assert set(entry["choices"]) <= set(rows), path
