"""Variants that compute the same function train the same network: from three seeds, within a seed's noise.

Each variant sees the batches that the reference sees from that seed, so its final loss may differ by rounding
alone, which training amplifies. Allowed is the spread of the reference's own losses over the seeds.
"""

from __future__ import annotations

import functools
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from this_cpu import CPU, compiles

from model.config import ModelConfig, RunConfig
from model.data.corpus import Corpus
from model.data.held_out import HeldOut
from model.runnable import missing
from model.tables import ATTENTION, COMPILE_SCOPES, KERNELS, LOSSES
from model.train import train

DEVICE = torch.device("cpu")
SEEDS = (1, 2, 3)
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "model": {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": 32},
        "train": {"batch_size": 8, "max_steps": 100},
        "schedule": {"warmup_steps": 10},
        "optimizer": {"lr": 3e-3},
        "evaluation": {"context": 32, "tokens": 4096},
    },
    # nanoGPT's documented shape, batch and schedule.
    "documented": {"train": {"max_steps": 120}, "evaluation": {"tokens": 4096}},
}
CASES = [
    *(("model", "attention", name) for name in ATTENTION),
    *(("model", "loss", name) for name in LOSSES),
    *(("optimizer", "kernel", name) for name in KERNELS),
    *(("train", "compile_scope", name) for name in COMPILE_SCOPES),
    ("train", "precision", "bf16"),
]
OFFERED = [case for case in CASES if missing(f"{case[0]}.{case[1]}", case[2], CPU) is None]

FAST = ("manual", "chunked", "bf16")

RUNS = [
    # Code generation takes most of a minute for three seeds.
    *(
        pytest.param("small", case, marks=() if case[2] in FAST else pytest.mark.slow)
        for case in OFFERED
        if case[1] != "compile_scope" and case[2] != "compiled"
    ),
    *(pytest.param("documented", case, marks=[pytest.mark.slow, pytest.mark.many]) for case in OFFERED),
]

pytestmark = compiles


@pytest.fixture(scope="module")
def corpus(text_file: Path) -> Corpus:
    return Corpus.from_text("english", text_file.read_text(encoding="utf-8"), HeldOut.WHOLE)


def configured(size: str, seed: int, section: str = "", key: str = "", value: object = None) -> RunConfig:
    values: dict[str, Any] = {part: dict(settings) for part, settings in SIZES[size].items()}
    if section:
        values.setdefault(section, {})[key] = value
    if value == "sliding_window":  # as wide as the context, where it is the same function
        values["model"]["attention_window"] = values["model"].get("block_size", ModelConfig.block_size)
    if key == "compile_scope":
        values["train"]["compile"] = True
    return RunConfig.from_mapping({**values, "seed": seed})


def last_loss(config: RunConfig, corpus: Corpus) -> float:
    losses = [p.loss for p in train(config, corpus, DEVICE, lambda looks: 10**9) if p.loss is not None]
    return losses[-1]


@pytest.fixture(scope="module")
def reference(corpus: Corpus) -> Any:
    """Final losses of the reference by seed, each size trained once."""

    @functools.cache
    def of(size: str) -> tuple[float, ...]:
        return tuple(last_loss(configured(size, seed), corpus) for seed in SEEDS)

    return of


@pytest.mark.parametrize(("size", "case"), RUNS, ids=str)
def test_a_variant_ends_where_the_reference_ends_within_the_noise_of_a_seed(
    size: str, case: tuple[str, str, str], corpus: Corpus, reference: Any
) -> None:
    expected = reference(size)
    losses = [last_loss(configured(size, seed, *case), corpus) for seed in SEEDS]
    apart = [ours - theirs for ours, theirs in zip(losses, expected, strict=True)]
    assert abs(mean(apart)) <= stdev(expected)
    assert max(map(abs, apart)) <= 3 * stdev(expected)


def test_a_wrong_variant_ends_elsewhere(corpus: Corpus, reference: Any) -> None:
    """One whose steps are half as long."""
    expected = reference("small")
    losses = [last_loss(configured("small", seed, "optimizer", "lr", 1.5e-3), corpus) for seed in SEEDS]
    assert abs(mean(losses) - mean(expected)) > stdev(expected)
