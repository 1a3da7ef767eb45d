"""A step of nanoGPT's recipe by our reference against the same step by nanoGPT's own code, in turn in one
process: a baseline that is slower than the original would be a straw man.

JOULESEARCH_NANOGPT is a folder with nanoGPT's `model.py`. On a GPU it is the recipe for GPUs, compiled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
import pytest
import torch
from replay.composing import composed

from model.config import RunConfig
from model.data import load
from model.data.corpus import Corpus
from model.train import train
from search.files.paths import cache_dir

VARIABLE = "JOULESEARCH_NANOGPT"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS, STEPS = 9, 15 if DEVICE.type == "cpu" else 150

pytestmark = [pytest.mark.bench]


@pytest.fixture
def nanogpt() -> ModuleType:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} is unset; set it to a folder with nanoGPT's model.py")
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def steps_of(nanogpt: ModuleType, config: RunConfig, corpus: Corpus) -> Iterator[None]:
    """Training as nanoGPT does it: batches stacked on the host, a loss read every ten steps."""
    shape, optimizer_config, size = config.model, config.optimizer, config.train.batch_size
    module = nanogpt.GPT(
        nanogpt.GPTConfig(
            block_size=shape.block_size,
            vocab_size=corpus.vocab_size,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.n_embd,
            dropout=shape.dropout,
            bias=shape.bias,
        )
    ).to(DEVICE)
    betas = (optimizer_config.beta1, optimizer_config.beta2)
    optimizer = module.configure_optimizers(
        optimizer_config.weight_decay, optimizer_config.lr, betas, DEVICE.type
    )
    network = torch.compile(module) if config.train.compile else module
    bf16 = torch.autocast(DEVICE.type, torch.bfloat16, enabled=config.train.precision == "bf16")
    tokens = np.asarray(corpus.train)
    step = 0
    while True:
        starts = torch.randint(len(tokens) - shape.block_size, (size,)).tolist()
        rows = [torch.from_numpy(tokens[at : at + shape.block_size + 1].astype(np.int64)) for at in starts]
        x, y = torch.stack([row[:-1] for row in rows]), torch.stack([row[1:] for row in rows])
        if DEVICE.type == "cuda":
            x, y = (part.pin_memory().to(DEVICE, non_blocking=True) for part in (x, y))
        with bf16:
            loss = network(x, y)[1]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), optimizer_config.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 10 == 0:
            assert math.isfinite(loss.item())
        yield


def now_s() -> float:
    """CPU-seconds of this process, or of a GPU the clock once its queue is empty."""
    if DEVICE.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def taken_s(step: Callable[[], object]) -> float:
    began_s = now_s()
    for _ in range(STEPS):
        step()
    return now_s() - began_s


def test_our_reference_against_nanogpts_own_code(nanogpt: ModuleType) -> None:
    study = f"+study=shakespeare_char_{'gpu' if DEVICE.type == 'cuda' else 'cpu'}"
    overrides = [study, "train.max_steps=1000000", "data=shakespeare"]
    config = composed(overrides).run_config()
    corpus = load(composed(overrides).data, cache_dir())
    ours = train(config, corpus, DEVICE, lambda looks: 10**6)
    theirs = steps_of(nanogpt, config, corpus)
    with contextlib.closing(ours):
        for _ in range(20):
            next(ours), next(theirs)
        ratios = [taken_s(lambda: next(ours)) / taken_s(lambda: next(theirs)) for _ in range(ROUNDS)]
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    print(
        f"\n{where}: a step of our reference takes {median(ratios):.3f} of nanoGPT's own "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )
    assert all(math.isfinite(ratio) for ratio in ratios)
