"""The operations of a whole network, its parameters, and the rules of thumb that it follows."""

from __future__ import annotations

import pytest
from counted_work import GROUPED, ON_A_CPU, UNFUSED, VOCAB, Operands, run_config, take_a_step
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from model.config import (
    ModelConfig,
    RunConfig,
    TrainConfig,
)
from model.gpt import count_parameters
from model.work import (
    parameter_count,
    step_work,
)
from model.work.network import visible_share


@pytest.mark.parametrize("attention", UNFUSED)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_layer": 1, "n_head": 1, "n_embd": 24, "block_size": 7},
        {"n_head": 8, "mlp_ratio": 1.5},
        {"bias": True, "tied_head": False, "dropout": 0.1},
        {"n_layer": 3, "n_embd": 32, "block_size": 200},
        GROUPED,
        {"n_head": 4, "n_kv_head": 1, "qk_norm": True, "value_embedding": True},
        {"mlp": "swiglu", "mlp_ratio": 2.5, "tied_head": False},
        {"loss": "chunked", "n_embd": 16},
        {"loss": "chunked", "lookup_table": "bigram", "logit_softcap": 15.0},
        {"positions": "rope", "norm": "rmsnorm", "mlp": "relu2"},
    ],
    ids=str,
)
def test_the_operations_of_matmuls_are_those_that_torch_counts(attention, changes):
    config = run_config({**changes, "attention": attention}, {"batch_size": 3})
    counted = take_a_step(config, FlopCounterMode(display=False)).get_total_flops()

    assert step_work(config, VOCAB).matmul_flops == {"fp32": counted}


@pytest.mark.parametrize("precision", [name for name in ON_A_CPU if name != "fp32"])
@pytest.mark.parametrize("attention", UNFUSED)
def test_in_bf16_each_matmul_is_counted_at_the_precision_that_it_runs_in(attention, precision):
    config = run_config({"attention": attention}, {"precision": precision})
    seen = take_a_step(config, Operands()).matmul_flops

    names = {"torch.bfloat16": "bf16", "torch.float32": "fp32"}
    assert step_work(config, VOCAB).matmul_flops == {names[dtype]: flops for dtype, flops in seen.items()}


@given(st.integers(1, 100_000))
def test_the_share_of_scores_that_is_seen_lies_between_a_half_and_all(context):
    assert 0.5 < visible_share(context) <= 1.0


@given(
    st.builds(
        lambda head_width, n_head, **rest: ModelConfig(n_embd=head_width * n_head, n_head=n_head, **rest),
        head_width=st.sampled_from([2, 4, 6]),
        n_head=st.sampled_from([2, 4]),
        n_kv_head=st.sampled_from([None, 1, 2]),
        n_layer=st.integers(1, 3),
        block_size=st.integers(1, 16),
        mlp_ratio=st.floats(0.1, 6),
        bias=st.booleans(),
        tied_head=st.booleans(),
        positions=st.sampled_from(["learned", "rope", "none"]),
        norm=st.sampled_from(["layernorm", "layernorm_weightless", "rmsnorm", "rmsnorm_weightless"]),
        mlp=st.sampled_from(["gelu", "relu2", "swiglu"]),
        qk_norm=st.booleans(),
        embedding_skip=st.booleans(),
        value_embedding=st.booleans(),
        lookup_table=st.sampled_from(["none", "bigram", "trigram"]),
        lookup_rows=st.sampled_from([None, 7]),
        smear=st.booleans(),
    ),
    st.integers(2, 80),
)
@settings(max_examples=60)
def test_parameters_are_those_of_the_model_that_is_built(model, vocab_size):
    assert parameter_count(model, vocab_size) == count_parameters(model, vocab_size)


@pytest.mark.parametrize("attention", UNFUSED)
def test_elementwise_operations_do_not_depend_on_the_precision(attention):
    fp32, bf16 = (
        step_work(run_config({"attention": attention}, {"precision": precision}), VOCAB)
        for precision in ("fp32", "bf16")
    )
    assert fp32.elementwise_ops == bf16.elementwise_ops > 0
    assert bf16.bytes_moved < fp32.bytes_moved


def test_in_nanogpts_cpu_recipe_elementwise_operations_are_1_7_percent():
    work = step_work(RunConfig(), VOCAB)

    assert work.elementwise_ops / sum(work.flops.values()) == pytest.approx(0.017, abs=0.0005)


def test_in_gpt2_a_step_is_within_a_tenth_of_six_operations_a_parameter_and_token():
    """The usual rule, with 12 n_layer n_embd T a token for attention added (Chowdhery et al., PaLM)."""
    model = ModelConfig(n_layer=12, n_head=12, n_embd=768, block_size=1024, attention="manual")
    config = RunConfig(model=model, train=TrainConfig(batch_size=1))

    per_token = 6 * parameter_count(model, 50_304) + 12 * 12 * 768 * 1024
    assert step_work(config, 50_304).matmul_flops["fp32"] == pytest.approx(1024 * per_token, rel=0.1)
