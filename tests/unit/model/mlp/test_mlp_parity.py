"""Every MLP computes what the reference of its row computes in fp64: `parity` says how exactly."""

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    MLP_INPUTS,
    mlp_error_ratio,
    mlp_row_error_ratio,
    on_cpu,
    on_gpu,
)

from model.config import ModelConfig
from model.mlp.reference import swiglu
from model.tables import MLPS


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("size", "ratio"), MLP_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.mlp", MLPS))
def test_an_mlp_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, ratio, bias):
    assert mlp_row_error_ratio(row, name, size, ratio, bias) <= 1


@on_gpu("model.mlp")
def test_an_mlp_on_a_gpu_is_as_exact_as_the_plain_one(row):
    ratios = [mlp_row_error_ratio(row, n, *case, True, "cuda") for n in FORMATS for case in MLP_INPUTS]
    assert max(ratios) <= 1, ratios


@pytest.mark.parametrize(
    ("row", "wrong", "name"),
    [
        *[("gelu", lambda h: F.relu(h), name) for name in FORMATS],
        ("gelu", lambda h: F.gelu(h, approximate="tanh"), "fp32"),  # in bf16 nobody could tell
        *[("relu2", lambda h: h * h, name) for name in FORMATS],
        *[("relu2", lambda h: F.relu(h), name) for name in FORMATS],
        *[("swiglu", lambda h: swiglu(h.roll(h.size(-1) // 2, -1)), name) for name in FORMATS],
        *[
            ("swiglu", lambda h: torch.sigmoid(h.chunk(2, -1)[0]) * h.chunk(2, -1)[1], name)
            for name in FORMATS
        ],
    ],
)
def test_a_wrong_activation_is_far_outside_what_is_allowed(row, wrong, name):
    module = MLPS[row].load()(ModelConfig(n_embd=24, n_head=1, mlp=row, mlp_ratio=2.5))
    assert mlp_error_ratio(module, wrong, name, (2, 7, 24)) > 3
