"""The operations and bytes of each variant are those of the kernels that torch runs."""

from __future__ import annotations

import pytest
from counted_work import GROUPED, ON_A_CPU, SMALL, VOCAB, Operands, flops_of, run_config, take_a_step

from model.tables import TABLES
from model.work import (
    evaluation_work,
    step_work,
)

WINDOWS = [  # blocks that are full or not, one of them alone, a window longer than the context
    {},
    GROUPED,
    {"attention_window": 16},
    {**GROUPED, "attention_window": 16},
    {**GROUPED, "attention_window": 10, "dropout": 0.1},
    {"attention_window": 48},
    {"attention_window": 1000},
]


@pytest.mark.parametrize(("block_size", "share"), [(48, 1.0), (128, 0.75), (1024, 17 / 32)])
def test_fused_attention_skips_tiles_and_computes_the_scores_again(block_size, share):
    def flops(attention):
        return step_work(run_config({"attention": attention, "block_size": block_size}), VOCAB).matmul_flops[
            "fp32"
        ]

    scores = 2 * 6 * 2 * 4 * block_size**2 * SMALL["n_embd"]  # 2 layers, 6 matmuls, 4 sequences
    assert flops("sdpa_flash") - flops("manual") == pytest.approx(scores * (7 / 6 * share - 1))


@pytest.mark.parametrize("precision", ON_A_CPU)
@pytest.mark.parametrize("attention", ["manual", "sdpa_math", "sdpa_flash"])
def test_the_bytes_are_those_of_the_operands_of_the_eager_kernels(attention, precision):
    config = run_config({"attention": attention}, {"precision": precision})
    seen = take_a_step(config, Operands()).bytes_moved

    # Indices and row statistics stay as wide as they are where everything else is halved.
    allowed = 0.02 if precision == "bf16_weights" else 0.01
    assert step_work(config, VOCAB).bytes_moved == pytest.approx(seen, rel=allowed)


@pytest.mark.parametrize("precision", ON_A_CPU)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_attention_within_a_window_moves_and_computes_by_its_blocks(window, precision):
    """At a batch next to which the mask, which all sequences share, is small."""
    train = {"precision": precision, "batch_size": 32}
    config = run_config({"attention": "sliding_window", **window}, train)
    seen = take_a_step(config, Operands())
    work = step_work(config, VOCAB)
    assert work.bytes_moved == pytest.approx(seen.bytes_moved, rel=0.06 if "dropout" in window else 0.04)
    assert sum(work.matmul_flops.values()) == pytest.approx(sum(seen.matmul_flops.values()))


def test_attention_within_a_window_grows_with_the_context_and_not_with_its_square():
    def attention_flops(kind, context):
        model = {"attention": kind, "attention_window": 32, "block_size": context}
        whole = step_work(run_config(model), VOCAB).matmul_flops["fp32"]
        return whole - 2 * 3 * 4 * context * (12 * 64**2 * 2 + VOCAB * 64)  # what is linear in the context

    assert attention_flops("sliding_window", 512) == 4 * attention_flops("sliding_window", 128)
    assert attention_flops("manual", 512) == 16 * attention_flops("manual", 128)
    short, long = (
        evaluation_work(
            run_config({"attention": kind, "attention_window": 8, "block_size": 512}), VOCAB, 4096
        ).matmul_flops["fp32"]
        for kind in ("sliding_window", "sdpa")
    )
    assert short < long, "an evaluation attends within the window as well"


@pytest.mark.parametrize(
    ("model", "train"),
    [({"bias": True, "tied_head": False, "dropout": 0.1}, {}), ({}, {"grad_accum": 3}), ({"n_head": 8}, {})],
    ids=str,
)
def test_the_bytes_follow_bias_head_dropout_accumulation_and_heads(model, train):
    config = run_config({**model, "attention": "manual"}, train)
    seen = take_a_step(config, Operands()).bytes_moved

    assert step_work(config, VOCAB).bytes_moved == pytest.approx(seen, rel=0.05)


EAGER = [
    GROUPED,
    {**GROUPED, "attention": "sdpa_math"},
    {**GROUPED, "attention": "sdpa_flash"},
    {"n_kv_head": 1, "value_embedding": True},
    {"value_embedding": True},
    {"mlp": "relu2"},
    {"mlp": "swiglu"},
    {"norm": "layernorm_weightless"},
    {"norm": "rmsnorm"},
    {"norm": "rmsnorm_weightless"},
    {"positions": "none"},
    {"positions": "rope"},
    {"qk_norm": True},
    {"qk_norm": True, "positions": "rope"},
    {"embedding_skip": True},
    {"smear": True},
    {"logit_softcap": 15.0},
    {"lookup_table": "bigram"},
    {"lookup_table": "bigram", "lookup_rows": 7, "tied_head": False},
    {"lookup_table": "trigram"},
    {"loss": "chunked", "n_embd": 16},
    {"loss": "chunked", "lookup_table": "bigram", "logit_softcap": 15.0},
]


@pytest.mark.parametrize("precision", ON_A_CPU)
@pytest.mark.parametrize("model", EAGER, ids=str)
def test_the_bytes_of_a_variant_are_those_of_its_eager_kernels(model, precision):
    config = run_config({"attention": "manual", **model}, {"precision": precision})
    seen = take_a_step(config, Operands()).bytes_moved

    assert step_work(config, VOCAB).bytes_moved == pytest.approx(seen, rel=0.05)


# What a variant adds to the plain model's bytes is a small part of them: by itself it is held to a quarter.
ADDED = [
    {"mlp": "relu2"},
    {"mlp": "swiglu"},
    {"norm": "rmsnorm"},
    {"norm": "rmsnorm_weightless"},
    {"positions": "rope"},
    {"qk_norm": True},
    {"embedding_skip": True},
    {"smear": True},
    {"value_embedding": True},
    {"logit_softcap": 15.0},
    {"lookup_table": "bigram"},
    {"loss": "chunked", "n_embd": 16},
]


@pytest.mark.parametrize("precision", ON_A_CPU)
@pytest.mark.parametrize("change", ADDED, ids=str)
def test_the_bytes_that_a_variant_adds_are_about_those_of_its_eager_kernels(change, precision):
    width = change.get("n_embd", SMALL["n_embd"])
    shapes = [{"attention": "manual", "n_embd": width}, {"attention": "manual", **change}]
    counted, seen = [], []
    for model in shapes:
        config = run_config(model, {"precision": precision})
        counted.append(step_work(config, VOCAB).bytes_moved)
        seen.append(take_a_step(config, Operands()).bytes_moved)

    assert counted[1] - counted[0] == pytest.approx(seen[1] - seen[0], rel=0.25)


@pytest.mark.parametrize("loss", TABLES["model.loss"])
def test_a_loss_in_parts_multiplies_as_much_as_one_at_once(loss):
    assert flops_of("fp32", loss=loss) == flops_of("fp32", loss="plain")


def test_tf32_multiplies_at_its_own_price_and_moves_what_fp32_does():
    tf32, fp32 = (step_work(run_config(train={"precision": name}), VOCAB) for name in ("tf32", "fp32"))

    assert tf32.matmul_flops == {"tf32": fp32.matmul_flops["fp32"]}
    assert tf32.bytes_moved == fp32.bytes_moved
    assert flops_of("tf32", attention="sdpa_math").keys() == {"tf32"}


def test_fp8_multiplies_the_blocks_matrices_in_8_bits_and_the_rest_in_bf16():
    model = run_config().model
    matrices = 12 * model.n_layer * model.n_embd**2
    fp8, bf16 = flops_of("fp8"), flops_of("bf16")

    assert fp8["fp8"] == 6 * matrices * 4 * model.block_size
    assert fp8["fp8"] + fp8["bf16"] == bf16["bf16"]
    assert (
        step_work(run_config(train={"precision": "fp8"}), VOCAB).bytes_moved
        == step_work(run_config(train={"precision": "bf16"}), VOCAB).bytes_moved
    )


@pytest.mark.parametrize("attention", ["sdpa_efficient", "sdpa_cudnn"])
def test_kernels_that_know_no_groups_repeat_keys_and_values_first(attention):
    def work(**model):
        return step_work(run_config(model), VOCAB)

    def beyond_flash(**model):
        return (
            work(attention=attention, **model).bytes_moved - work(attention="sdpa_flash", **model).bytes_moved
        )

    keys, repeated = (2 * 4 * 48 * width for width in (32, 64))  # k and v of 4 sequences
    layers, ways = 2, 2
    read_once_more = 3 * (repeated - keys)  # the kernel's reads and writes of all heads, both ways
    assert beyond_flash() == 0
    assert beyond_flash(**GROUPED) == layers * 4 * (ways * (keys + repeated) + read_once_more)


@pytest.mark.parametrize("key", ["zero_init_projections", "norm_eps"])
def test_initial_values_and_constants_are_free(key):
    value = {"zero_init_projections": True, "norm_eps": 0.5}[key]
    assert step_work(run_config({key: value}), VOCAB) == step_work(run_config(), VOCAB)


@pytest.mark.parametrize(("attention", "tensors"), [("manual", 5 + 6), ("sdpa_math", 7 + 6)])
def test_scores_are_moved_by_the_kernels_that_write_them_out_and_by_no_fused_one(attention, tensors):
    """`tensors`: elementwise reads and writes, and those of two matmuls with their gradients."""

    def beyond_fused(block_size):
        shape, batch = {"block_size": block_size, "n_head": 1}, {"batch_size": 512 // block_size}
        written, fused = (
            step_work(run_config({**shape, "attention": kernel}, batch), VOCAB).bytes_moved
            for kernel in (attention, "sdpa_flash")
        )
        return written - fused

    layers, tokens = 2, 512
    assert beyond_fused(256) - beyond_fused(64) == layers * tokens * (256 - 64) * tensors * 4
