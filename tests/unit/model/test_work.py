from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from model.config import (
    PRECISIONS,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TrainConfig,
)
from model.gpt import GPT, count_parameters
from model.optim import OPTIMIZERS
from model.variants import tables
from model.work import (
    UncountedWork,
    Work,
    evaluation_work,
    parameter_count,
    seen_share,
    setup_work,
    step_work,
)

VOCAB = 65
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 48}
UNFUSED = ("manual", "sdpa_math")


def run_config(model=None, train=None, **optimizer):
    return RunConfig(
        model=ModelConfig(**{**SMALL, **(model or {})}),
        train=TrainConfig(**{"batch_size": 4, **(train or {})}),
        optimizer=OptimizerConfig(**optimizer),
    )


def take_a_step(config, watch):
    """One real optimizer step on the CPU under `watch`, the second of its run: the states exist."""
    torch.manual_seed(0)
    network = GPT(config.model, VOCAB)
    optimizer = OPTIMIZERS[config.optimizer.name].load()(config.optimizer, network)
    tokens = torch.randint(VOCAB, (config.train.batch_size, config.model.block_size))
    for context in (contextlib.nullcontext(), watch):
        with context:
            for _ in range(config.train.grad_accum):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.train.precision == "bf16"):
                    loss = network.loss(tokens, tokens)
                torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return watch


class Operands(TorchDispatchMode):
    """Bytes of every kernel's operands and results, and operations of the matmuls by the type they run in."""

    def __init__(self):
        super().__init__()
        self.bytes_moved = 0
        self.matmul_flops = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = str(function)
        if not function.is_view and name not in ("aten.detach.default", "aten._unsafe_view.default"):
            tensors = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)]
            self.bytes_moved += sum(one.numel() * one.element_size() for one in tensors)
        if name in ("aten.mm.default", "aten.addmm.default", "aten.bmm.default"):
            left = args[-2]
            self.matmul_flops[str(left.dtype)] += 2 * left.shape[-1] * result.numel()
        return result


@pytest.mark.parametrize("attention", UNFUSED)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_layer": 1, "n_head": 1, "n_embd": 24, "block_size": 7},
        {"n_head": 8, "mlp_ratio": 1.5},
        {"bias": True, "tied_head": False, "dropout": 0.1},
        {"n_layer": 3, "n_embd": 32, "block_size": 200},
    ],
    ids=str,
)
def test_the_operations_of_matmuls_are_those_that_torch_counts(attention, changes):
    config = run_config({**changes, "attention": attention}, {"batch_size": 3})
    counted = take_a_step(config, FlopCounterMode(display=False)).get_total_flops()

    assert step_work(config, VOCAB).matmul_flops == {"fp32": counted}


@pytest.mark.parametrize("attention", UNFUSED)
def test_in_bf16_each_matmul_is_counted_at_the_precision_that_it_runs_in(attention):
    config = run_config({"attention": attention}, {"precision": "bf16"})
    seen = take_a_step(config, Operands()).matmul_flops

    names = {"torch.bfloat16": "bf16", "torch.float32": "fp32"}
    assert step_work(config, VOCAB).matmul_flops == {names[dtype]: flops for dtype, flops in seen.items()}


def test_the_operations_of_an_evaluation_are_those_of_a_forward_pass_alone():
    config = run_config()
    config.evaluation = EvaluationConfig(context=32)
    network = GPT(config.model, VOCAB).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the counter knows no fused CPU kernel
        network(torch.randint(VOCAB, (5, 32)))

    work = evaluation_work(config, VOCAB, tokens=5 * 32)

    assert work.matmul_flops == pytest.approx({"fp32": counter.get_total_flops()}, rel=1e-12)


def test_an_evaluation_runs_in_fp32_whatever_the_training_runs_in():
    halves = evaluation_work(run_config(train={"precision": "bf16"}), VOCAB, 1000)

    assert halves == evaluation_work(run_config(), VOCAB, 1000)


def test_an_evaluation_is_proportional_to_its_tokens():
    one, many = (evaluation_work(run_config(), VOCAB, tokens) for tokens in (1, 12_345))

    assert many.bytes_moved == pytest.approx(12_345 * one.bytes_moved)
    assert many.flops == pytest.approx(one.times(12_345).flops)


def test_a_model_of_a_shorter_block_is_evaluated_in_its_own_blocks():
    short = run_config({"block_size": 16})
    exact = run_config({"block_size": 16})
    exact.evaluation = EvaluationConfig(context=16)

    assert evaluation_work(short, VOCAB, 640) == evaluation_work(exact, VOCAB, 640)


@pytest.mark.parametrize(("block_size", "share"), [(48, 1.0), (128, 0.75), (1024, 17 / 32)])
def test_fused_attention_skips_tiles_and_computes_the_scores_again(block_size, share):
    def flops(attention):
        return step_work(run_config({"attention": attention, "block_size": block_size}), VOCAB).matmul_flops[
            "fp32"
        ]

    scores = 2 * 6 * 2 * 4 * block_size**2 * SMALL["n_embd"]  # 2 layers, 6 matmuls, 4 sequences
    assert flops("sdpa_flash") - flops("manual") == pytest.approx(scores * (7 / 6 * share - 1))


@given(st.integers(1, 100_000))
def test_the_share_of_scores_that_is_seen_lies_between_a_half_and_all(context):
    assert 0.5 < seen_share(context) <= 1.0


@given(
    st.builds(
        lambda head_width, n_head, **rest: ModelConfig(n_embd=head_width * n_head, n_head=n_head, **rest),
        head_width=st.integers(1, 8),
        n_head=st.integers(1, 4),
        n_layer=st.integers(1, 3),
        block_size=st.integers(1, 16),
        mlp_ratio=st.floats(0.1, 6),
        bias=st.booleans(),
        tied_head=st.booleans(),
    ),
    st.integers(2, 80),
)
@settings(max_examples=30)
def test_parameters_are_those_of_the_model_that_is_built(model, vocab_size):
    assert parameter_count(model, vocab_size) == count_parameters(model, vocab_size)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("attention", [*UNFUSED, "sdpa_flash"])
def test_the_bytes_are_those_of_the_operands_of_the_eager_kernels(attention, precision):
    config = run_config({"attention": attention}, {"precision": precision})
    seen = take_a_step(config, Operands()).bytes_moved

    assert step_work(config, VOCAB).bytes_moved == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize(
    ("model", "train"),
    [({"bias": True, "tied_head": False, "dropout": 0.1}, {}), ({}, {"grad_accum": 3}), ({"n_head": 8}, {})],
    ids=str,
)
def test_the_bytes_follow_bias_head_dropout_accumulation_and_heads(model, train):
    config = run_config({**model, "attention": "manual"}, train)
    seen = take_a_step(config, Operands()).bytes_moved

    assert step_work(config, VOCAB).bytes_moved == pytest.approx(seen, rel=0.05)


@pytest.mark.parametrize(("attention", "tensors"), [("manual", 13 + 6), ("sdpa_math", 7 + 6)])
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


def test_fused_adamw_moves_13_tensors_less_than_the_loop():
    config = run_config(kernel="fused")
    loop, fused = (step_work(run_config(kernel=kernel), VOCAB) for kernel in ("forloop", "fused"))

    assert loop.bytes_moved - fused.bytes_moved == 13 * 4 * parameter_count(config.model, VOCAB)
    assert loop.flops == fused.flops


def test_without_clipping_the_gradients_are_neither_read_nor_scaled():
    clipped, free = (step_work(run_config(grad_clip=clip), VOCAB) for clip in (1.0, 0.0))

    parameters = parameter_count(run_config().model, VOCAB)
    assert clipped.bytes_moved - free.bytes_moved == 3 * 4 * parameters
    assert clipped.elementwise_ops - free.elementwise_ops == 3 * parameters


def test_micro_batches_repeat_the_network_and_not_the_optimizer():
    one, three = (step_work(run_config(train={"grad_accum": count}), VOCAB) for count in (1, 3))
    assert three.matmul_flops["fp32"] == 3 * one.matmul_flops["fp32"]
    assert three.bytes_moved < 3 * one.bytes_moved


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


def test_setting_up_writes_weights_twice_and_two_moments():
    assert setup_work(run_config(), VOCAB).bytes_moved == 16 * parameter_count(run_config().model, VOCAB)


def test_compiling_changes_nothing_that_is_counted():
    assert step_work(run_config(train={"compile": True}), VOCAB) == step_work(run_config(), VOCAB)


VARIANTS = [
    (path, name) for path, table in tables().items() if not path.startswith("schedule.") for name in table
]


def with_variant(path, name):
    config = run_config()
    section, _, key = path.partition(".")
    setattr(getattr(config, section), key, name)
    return config


@pytest.mark.parametrize(("path", "name"), VARIANTS)
def test_the_work_of_every_variant_is_known(path, name):
    work = step_work(with_variant(path, name), VOCAB)
    assert work.bytes_moved > 0
    assert min(work.flops.values()) > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_work_of_every_precision_is_known(precision):
    assert step_work(run_config(train={"precision": precision}), VOCAB).bytes_moved > 0


@pytest.mark.parametrize("path", [*{path: 0 for path, _ in VARIANTS}, "train.precision"])
def test_the_work_of_an_unknown_variant_is_an_error_and_not_zero(path):
    with pytest.raises(UncountedWork, match=f"{path}=nosuch is not modelled; add its row to model/work.py"):
        step_work(with_variant(path, "nosuch"), VOCAB)


# Keys that change which numbers are computed and not how many. Any other must be read by model/work.py.
FREE = {
    "optimizer": {
        *("lr", "beta1", "beta2", "eps", "weight_decay"),
    },
    "train": {"max_steps", "compile"},
}
COUNTED = {
    "model": {
        *("n_layer", "n_head", "n_embd", "block_size", "mlp_ratio", "dropout", "bias", "tied_head"),
        *("attention", "mlp", "norm", "loss"),
    },
    "optimizer": {"name", "grad_clip", "kernel"},
    "train": {"batch_size", "grad_accum", "precision"},
}


@pytest.mark.parametrize("section", [ModelConfig, OptimizerConfig, TrainConfig])
def test_every_key_of_a_configuration_is_counted_or_costs_nothing(section):
    name = section.__name__.removesuffix("Config").lower()
    assert {one.name for one in fields(section)} == COUNTED[name] | FREE.get(name, set())


def test_work_adds_up_by_precision():
    total = Work({"bf16": 1.0}, 5.0, 7.0) + Work({"bf16": 2.0, "fp32": 3.0}, 1.0, 1.0)

    assert total == Work({"bf16": 3.0, "fp32": 3.0}, 6.0, 8.0)
    assert total.flops == {"bf16": 3.0, "fp32": 9.0}
    assert total.times(2) == total + total
