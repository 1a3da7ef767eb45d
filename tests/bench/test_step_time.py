"""A step of nanoGPT's documented CPU shape by each kernel, in CPU-seconds: ratios to the reference's.

Every round takes some steps of both in turn, so that a busy machine slows both alike.
"""

import contextlib
import math
import time
from statistics import median

import pytest
import torch
from this_cpu import compiles

from model.config import RunConfig
from model.data import load
from model.data.config import DataConfig
from model.runnable import missing, unrunnable
from model.train import train
from search.config.schema import DeviceSection
from search.files.paths import cache_dir
from search.worker.device import resolve

ROUNDS, STEPS = 6, 15
FASTEST = {"model": {"attention": "manual"}, "optimizer": {"kernel": "fused"}}
VARIANTS = {
    "fp32, sdpa, forloop": {},  # the reference against itself: the noise
    "fused": {"optimizer": {"kernel": "fused"}},
    "foreach": {"optimizer": {"kernel": "foreach"}},
    "manual": {"model": {"attention": "manual"}},
    "sdpa_math": {"model": {"attention": "sdpa_math"}},
    "chunked": {"model": {"loss": "chunked"}},
    "manual, fused": FASTEST,
    "compiled, fused": {"train": {"compile": True}, "optimizer": {"kernel": "fused"}},
    "blocks compiled, fused": {
        "train": {"compile": True, "compile_scope": "block"},
        "optimizer": {"kernel": "fused"},
    },
    "bf16, sdpa, fused": {"train": {"precision": "bf16"}, "optimizer": {"kernel": "fused"}},
    "bf16, manual, fused": {"train": {"precision": "bf16"}, **FASTEST},
}

pytestmark = [pytest.mark.bench, compiles]


def configured(values):
    train_values = {"max_steps": 10**6, **values.get("train", {})}
    evaluation = {"tokens": 128, "interval": 10**6}
    return RunConfig.from_mapping({**values, "train": train_values, "evaluation": evaluation})


def runs_here(config, capabilities):
    precision = missing("train.precision", config.train.precision, capabilities)
    compiled = missing("train.compile", config.train.compile, capabilities)
    return precision is None and compiled is None and unrunnable(config, "cpu") is None


def steps_s(run):
    """CPU-seconds a step."""
    began_s = time.process_time()
    for _ in range(STEPS):
        next(run)
    return (time.process_time() - began_s) / STEPS


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_against_the_reference(name):
    device = resolve(DeviceSection(name="cpu"))
    if not runs_here(configured(VARIANTS[name]), device.capabilities()):
        pytest.skip(f"{name} is not offered by {device.name}")
    corpus = load(DataConfig(), cache_dir())
    ours, reference = (
        train(configured(values), corpus, torch.device("cpu"), lambda looks: 10**6)
        for values in (VARIANTS[name], {})
    )
    with contextlib.closing(ours), contextlib.closing(reference):
        for _ in range(6):
            next(ours), next(reference)
        ratios = [steps_s(ours) / steps_s(reference) for _ in range(ROUNDS)]
    print(
        f"\n{name:24s} {median(ratios):.3f} of the reference's step ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    assert all(math.isfinite(ratio) for ratio in ratios)
