"""The work of the optimizers' kernels is that of what torch runs."""

from __future__ import annotations

import contextlib

import pytest
import torch
from counted_work import GROUPED, SMALL, VOCAB, Operands, run_config, take_a_step
from torch.utils.flop_counter import FlopCounterMode

from model.config import (
    ModelConfig,
)
from model.gpt import GPT
from model.tables import OPTIMIZERS
from model.work import (
    parameter_count,
    step_work,
)
from model.work.optimizers import OPTIMIZER_WORK


def test_weights_in_bf16_halve_what_the_optimizer_moves():
    fp32, bf16 = (
        OPTIMIZER_WORK["adamw"](run_config(train={"precision": name}), VOCAB)
        for name in ("fp32", "bf16_weights")
    )
    assert fp32.bytes_moved == 2 * bf16.bytes_moved
    assert fp32.flops == bf16.flops


def test_fused_adamw_moves_13_tensors_less_than_the_loop():
    config = run_config(kernel="fused")
    loop, fused = (step_work(run_config(kernel=kernel), VOCAB) for kernel in ("forloop", "fused"))

    assert loop.bytes_moved - fused.bytes_moved == 13 * 4 * parameter_count(config.model, VOCAB)
    assert loop.flops == fused.flops


MUONS = [
    {},
    {"ns_steps": 3, "ns_dtype": "fp32"},
    {"muon_split_qkv": False, "kernel": "forloop"},
    {"ns_steps": 1, "muon_split_qkv": False, "ns_dtype": "fp32", "kernel": "foreach"},
    {"ns_steps": 2, "kernel": "fused"},
]


def muon_config(**optimizer):
    return run_config({"attention": "manual"}, name="muon", **{"kernel": "foreach", **optimizer})


@pytest.mark.parametrize("changes", MUONS, ids=str)
def test_the_operations_of_muons_matmuls_are_those_that_torch_counts(changes):
    config = muon_config(**changes)
    counted = take_a_step(config, FlopCounterMode(display=False)).get_total_flops()

    assert sum(step_work(config, VOCAB).matmul_flops.values()) == counted


def test_muons_matrices_are_those_of_grouped_heads_and_of_a_gated_mlp():
    config = muon_config()
    config.model = ModelConfig(**{**SMALL, **GROUPED, "attention": "manual", "mlp": "swiglu"})
    counted = take_a_step(config, FlopCounterMode(display=False)).get_total_flops()

    assert sum(step_work(config, VOCAB).matmul_flops.values()) == counted


@pytest.mark.parametrize("changes", MUONS, ids=str)
def test_the_bytes_of_muon_are_those_of_the_operands_of_its_kernels(changes):
    config, watch = muon_config(**{"kernel": "forloop", **changes}), Operands()
    network = GPT(config.model, VOCAB)
    optimizer = OPTIMIZERS["muon"].load()(config.optimizer, network)
    for context in (contextlib.nullcontext(), watch):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        with context:
            optimizer.step()

    assert OPTIMIZER_WORK["muon"](config, VOCAB).bytes_moved == pytest.approx(watch.bytes_moved, rel=0.02)


def test_muons_matmuls_are_counted_at_the_precision_of_its_iteration():
    bf16, fp32 = (step_work(muon_config(ns_dtype=dtype), VOCAB) for dtype in ("bf16", "fp32"))
    network = step_work(run_config({"attention": "manual"}), VOCAB).matmul_flops["fp32"]

    assert bf16.matmul_flops["fp32"] == network
    assert fp32.matmul_flops == {"fp32": network + bf16.matmul_flops["bf16"]}


def test_without_clipping_the_gradients_are_neither_read_nor_scaled():
    clipped, free = (step_work(run_config(grad_clip=clip), VOCAB) for clip in (1.0, 0.0))

    parameters = parameter_count(run_config().model, VOCAB)
    assert clipped.bytes_moved - free.bytes_moved == 3 * 4 * parameters
    assert clipped.elementwise_ops - free.elementwise_ops == 3 * parameters
