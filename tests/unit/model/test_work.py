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
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from model.gpt import GPT, count_parameters
from model.schedule import batch_shape, plateaus
from model.tables import OPTIMIZERS, TABLES
from model.tables import PRECISIONS as PRECISION_ROWS
from model.work import (
    UncountedWork,
    Work,
    evaluation_work,
    parameter_count,
    plateau_steps,
    setup_work,
    step_work,
)
from model.work.network import visible_share
from model.work.optimizers import OPTIMIZER_WORK

VOCAB = 65
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 48}
UNFUSED = ("manual", "sdpa_math", "sliding_window")
ON_A_CPU = tuple(name for name, row in PRECISION_ROWS.items() if "cpu" in row.devices)
GROUPED = {"n_head": 4, "n_kv_head": 2}


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
    precision = PRECISION_ROWS[config.train.precision].load()
    precision.prepare(network)
    optimizer = OPTIMIZERS[config.optimizer.name].load()(config.optimizer, network)
    tokens = torch.randint(VOCAB, (config.train.batch_size, config.model.block_size))
    for context in (contextlib.nullcontext(), watch):
        with context:
            for _ in range(config.train.grad_accum):
                with precision.forward("cpu"):
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
        if name in ("aten.mm.default", "aten.addmm.default", "aten.bmm.default", "aten.baddbmm.default"):
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


@pytest.mark.parametrize("model", [{}, {**GROUPED, "mlp": "swiglu"}, {"loss": "chunked"}], ids=str)
def test_the_operations_of_an_evaluation_are_those_of_a_forward_pass_alone(model):
    config = run_config(model)
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


EVALUATED_ALIKE = [
    ({"norm": "rmsnorm_liger", "mlp": "swiglu_liger"}, {"norm": "rmsnorm", "mlp": "swiglu"}),
    ({"loss": "chunked"}, {"loss": "plain"}),
    ({"loss": "liger"}, {"loss": "plain"}),
    ({"attention": "manual"}, {"attention": "flex"}),
]
WINDOWS = [  # blocks that are full or not, one of them alone, a window longer than the context
    {},
    GROUPED,
    {"attention_window": 16},
    {**GROUPED, "attention_window": 16},
    {**GROUPED, "attention_window": 10, "dropout": 0.1},
    {"attention_window": 48},
    {"attention_window": 1000},
]


@pytest.mark.parametrize(("one", "other"), EVALUATED_ALIKE, ids=str)
def test_an_evaluation_runs_the_plain_kernels_whatever_the_training_runs(one, other):
    assert evaluation_work(run_config(one), VOCAB, 999) == evaluation_work(run_config(other), VOCAB, 999)
    assert step_work(run_config(one), VOCAB) != step_work(run_config(other), VOCAB)


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


def flops_of(precision, **model):
    return step_work(run_config(model, {"precision": precision}), VOCAB).matmul_flops


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


def test_weights_in_bf16_halve_what_the_optimizer_moves():
    fp32, bf16 = (
        OPTIMIZER_WORK["adamw"](run_config(train={"precision": name}), VOCAB)
        for name in ("fp32", "bf16_weights")
    )
    assert fp32.bytes_moved == 2 * bf16.bytes_moved
    assert fp32.flops == bf16.flops


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


RAMPS = ScheduleConfig(
    warmup_steps=0,
    batch_ramp_fraction=0.5,
    batch_ramp_from=0.25,
    context_ramp_fraction=0.8,
    context_ramp_from=0.5,
)


def ramped(schedule=RAMPS):
    config = run_config({"attention": "manual"}, {"max_steps": 20, "batch_size": 8})
    config.schedule = schedule
    return config


def test_a_step_of_a_smaller_batch_and_context_is_that_of_a_run_that_has_them():
    small = run_config({"attention": "manual", "positions": "rope", "block_size": 24}, {"batch_size": 2})
    large = run_config({"attention": "manual", "positions": "rope"}, {"batch_size": 8})

    assert step_work(large, VOCAB, 2, 24) == step_work(small, VOCAB)


@given(st.integers(0, 40))
def test_the_steps_of_a_run_are_divided_among_its_plateaus(steps):
    config = ramped()
    counts = plateau_steps(config, steps)

    assert [one for one, _ in counts] == list(plateaus(config))
    assert len(counts) > 2
    shapes = [shape for one, n in counts for shape in [(one.batch_size, one.context)] * n]
    assert shapes == [batch_shape(step, config) for step in range(steps)]


VARIANTS = [
    (path, name) for path, table in TABLES.items() if not path.startswith("schedule.") for name in table
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


@pytest.mark.parametrize("path", sorted({path for path, _ in VARIANTS if "compile" not in path}))
def test_the_work_of_an_unknown_variant_is_an_error_and_not_zero(path):
    with pytest.raises(UncountedWork, match=f"{path}=nosuch is not modelled; add its row to model/work/"):
        step_work(with_variant(path, "nosuch"), VOCAB)


# Keys that change which numbers are computed and not how many. Any other must be read by model/work/.
FREE = {
    "model": {"zero_init_projections", "norm_eps"},
    "optimizer": {
        *("lr", "beta1", "beta2", "eps", "weight_decay", "muon_lr", "muon_momentum", "muon_weight_decay"),
        *("embedding_lr_ratio", "table_lr_ratio", "head_lr_ratio", "vector_lr_ratio", "muon_scale"),
    },
    "train": {"max_steps", "compile", "compile_mode", "compile_scope"},
}
COUNTED = {
    "model": {
        *("n_layer", "n_head", "n_embd", "block_size", "mlp_ratio", "dropout", "bias", "tied_head"),
        *(
            "attention",
            "attention_window",
            "mlp",
            "norm",
            "loss",
            "positions",
            "n_kv_head",
            "qk_norm",
            "logit_softcap",
        ),
        *("logit_softcap", "embedding_skip", "value_embedding", "smear"),
        *("lookup_table", "lookup_rows"),
    },
    "optimizer": {"name", "grad_clip", "kernel", "muon_split_qkv", "ns_steps", "ns_dtype"},
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
