"""Every variant computes what the plain reference computes, and every table can be used."""

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F

from model.attention import ATTENTION
from model.config import ModelConfig, OptimizerConfig, RunConfig
from model.gpt import GPT
from model.optim import KERNELS, OPTIMIZERS
from model.variants import Capabilities, Variant, find_compiler, missing, tables

ROWS = [(path, name) for path, table in tables().items() for name in table]


# --- attention

ATTENTION_ON_CPU = [name for name, row in ATTENTION.items() if "cpu" in row.devices]
PRECISIONS = {
    "fp32": (torch.float32, contextlib.nullcontext),
    "bf16": (torch.bfloat16, contextlib.nullcontext),
    "bf16 autocast": (torch.bfloat16, lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
}
SHAPES = [(2, 3, 64, 32), (1, 2, 1, 8), (3, 1, 17, 5), (2, 2, 33, 48), (1, 1, 129, 16)]  # (B, H, T, D)


def exact_attention(q, k, v, causal, dropout_p):
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / q.size(-1) ** 0.5
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True)) * causal
    return torch.einsum("bhts,bhsd->bhtd", weights / weights.sum(dim=-1, keepdim=True), v)


def rms(x):
    return float(x.square().mean().sqrt())


def attention_error_ratio(attend, precision, shape):
    """The worst of output and gradients by q, k and v: error against fp64, as a share of what is allowed.

    Allowed is twice (gradients: three times) the error that `manual` makes in the same dtype, and the dtype's
    eps relative to the exact value, which is taken as 0.2 at least (the inputs are of size 1). Errors are
    root mean squares. Above 1, or infinite where something is not a number, means a wrong kernel.
    """
    dtype, context = PRECISIONS[precision]
    generator = torch.Generator().manual_seed(0)
    q, k, v, upstream = (torch.randn(shape, generator=generator).to(dtype) for _ in range(4))
    causal = torch.ones(shape[2], shape[2], dtype=torch.bool).tril()

    def outcome(kernel, dtype, context=contextlib.nullcontext):
        inputs = [x.to(dtype).detach().clone().requires_grad_() for x in (q, k, v)]
        with context():
            out = kernel(*inputs, causal, 0.0)
        assert out.dtype == dtype
        out.backward(upstream.to(dtype))
        zero = torch.zeros(shape)
        return [x.detach().double() for x in (out, *(zero if i.grad is None else i.grad for i in inputs))]

    exact = outcome(exact_attention, torch.float64)
    reference = outcome(ATTENTION["manual"].load(), dtype, context)
    ratios = []
    for i, (ours, plain, truth) in enumerate(
        zip(outcome(attend, dtype, context), reference, exact, strict=True)
    ):
        allowed = (2 if i == 0 else 3) * rms(plain - truth) + torch.finfo(dtype).eps * max(rms(truth), 0.2)
        ratios.append(rms(ours - truth) / allowed)
    return max(ratios) if all(map(math.isfinite, ratios)) else math.inf


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ATTENTION_ON_CPU)
def test_attention_and_its_gradients_are_as_exact_as_the_plain_ones(name, precision, shape):
    assert attention_error_ratio(ATTENTION[name].load(), precision, shape) <= 1


def without_scale(q, k, v, causal, dropout_p):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)


def scaled_by_width(q, k, v, causal, dropout_p):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0 / q.size(-1))


def not_causal(q, k, v, causal, dropout_p):
    return F.scaled_dot_product_attention(q, k, v)


def one_token_ahead(q, k, v, causal, dropout_p):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=causal.roll(-1, 0).logical_or(causal))


def blind_to_keys_backward(q, k, v, causal, dropout_p):
    return F.scaled_dot_product_attention(q, k.detach(), v, is_causal=True)


def not_a_number_in_one_place(q, k, v, causal, dropout_p):
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.index_fill(2, torch.tensor([out.size(2) - 1]), math.nan)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "wrong",
    [
        without_scale,
        scaled_by_width,
        not_causal,
        one_token_ahead,
        blind_to_keys_backward,
        not_a_number_in_one_place,
    ],
)
def test_a_wrong_attention_is_far_outside_what_is_allowed(wrong, precision):
    assert attention_error_ratio(wrong, precision, (2, 3, 64, 32)) > 5


@pytest.mark.parametrize("name", [name for name in ATTENTION_ON_CPU if name != "sdpa_flash"])
def test_attention_dropout_drops_a_share_of_the_weights_and_keeps_their_mean(name):
    torch.manual_seed(0)
    T, p = 64, 0.25
    q = k = torch.zeros(50, 4, T, 8)  # so that every visible weight of the last row is 1 / T
    v = torch.eye(T).expand(50, 4, T, T)[..., :8].contiguous()
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    last = ATTENTION[name].load()(q, k, v, causal, p)[:, :, -1]
    assert float((last == 0).float().mean()) == pytest.approx(p, abs=0.06)
    assert float(last.mean()) == pytest.approx(1 / T, rel=0.08)


# --- optimizer kernels


def parameters_after(kernel, steps=20):
    """(parameters at the start, parameters after `steps` of AdamW) of a small GPT on random tokens."""
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=2, n_embd=32, n_head=2, block_size=16), 33)
    config = OptimizerConfig(kernel=kernel)
    optimizer = OPTIMIZERS[config.name].load()(config, model)
    start = [p.detach().clone() for p in model.parameters()]
    for _ in range(steps):
        tokens = torch.randint(33, (4, 17))
        torch.autograd.backward(model.loss(tokens[:, :-1], tokens[:, 1:]))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return start, [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_optimizer_kernel_ends_where_the_loop_over_parameters_ends(kernel):
    start, expected = parameters_after("forloop")
    _, got = parameters_after(kernel)
    for before, ours, plain in zip(start, got, expected, strict=True):
        assert float((plain - before).norm()) > 1e-3 * float(plain.norm())  # or there is little to compare
        assert float((ours - plain).norm()) <= 2e-5 * float(plain.norm())


@pytest.mark.parametrize(
    ("kernel", "foreach", "fused"),
    [("forloop", False, False), ("foreach", True, False), ("fused", False, True)],
)
def test_a_kernel_is_what_the_optimizer_really_runs(kernel, foreach, fused):
    optimizer = OPTIMIZERS["adamw"].load()(OptimizerConfig(kernel=kernel), torch.nn.Linear(2, 2))
    assert (optimizer.defaults["foreach"], optimizer.defaults["fused"]) == (foreach, fused)


def test_adamw_follows_its_formula_and_decays_matrices_only():
    """Loshchilov and Hutter's algorithm 2 in fp64: p <- p - lr wd p - lr m / (sqrt(v) + eps)."""
    config = OptimizerConfig(lr=0.01, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.5)
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 4).double()
    expected = [(p.detach().clone(), 0.5 if p.dim() == 2 else 0.0) for p in module.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p, _ in expected]
    optimizer = OPTIMIZERS["adamw"].load()(config, module)
    for step in range(1, 6):
        for i, parameter in enumerate(module.parameters()):
            parameter.grad = torch.randn_like(parameter)
            m = 0.8 * moments[i][0] + 0.2 * parameter.grad
            v = 0.9 * moments[i][1] + 0.1 * parameter.grad**2
            moments[i] = m, v
            p, decay = expected[i]
            update = (m / (1 - 0.8**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-6)
            expected[i] = p - 0.01 * decay * p - 0.01 * update, decay
        optimizer.step()
    for parameter, (p, _) in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), p, rtol=1e-10, atol=1e-10)


def test_every_parameter_is_in_exactly_one_group():
    model = GPT(ModelConfig(n_layer=1, n_embd=8, n_head=2, bias=True), 11)
    optimizer = OPTIMIZERS["adamw"].load()(OptimizerConfig(), model)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


# --- the tables


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_every_row_of_every_table_loads(path, name):
    row = tables()[path][name]
    assert row.load() is not None
    assert row.summary
    assert row.devices


@pytest.mark.parametrize("path", tables())
def test_the_default_of_a_configuration_path_is_a_row_of_its_table(path):
    section, field = path.split(".")
    assert getattr(getattr(RunConfig(), section), field) in tables()[path]


def test_a_row_is_loaded_from_its_module_by_name():
    assert Variant("math:sqrt", "square root").load() is math.sqrt


# --- what cannot run here

EVERYTHING = Capabilities("cpu", "a CPU", "2.13.0", bf16=True, compiler="/usr/bin/g++")
NO_COMPILER = Capabilities("cpu", "a CPU", "2.13.0", bf16=True, compiler=None)
NO_BF16 = Capabilities("cpu", "an old CPU", "2.13.0", bf16=False, compiler="/usr/bin/g++")
CUDA_NO_COMPILER = Capabilities("cuda", "a GPU", "2.13.0", bf16=True, compiler=None)
UNKNOWN_DEVICE = Capabilities("abacus", "wooden beads", "2.13.0", bf16=True, compiler="/usr/bin/g++")


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_a_row_is_missing_exactly_where_its_devices_say_so(path, name):
    row = tables()[path][name]
    assert (missing(path, name, EVERYTHING) is None) == ("cpu" in row.devices)
    assert missing(path, name, UNKNOWN_DEVICE) == f"{path}={name} does not run on abacus"


def test_compiling_on_a_cpu_needs_a_compiler():
    assert missing("train.compile", True, EVERYTHING) is None
    assert missing("train.compile", False, NO_COMPILER) is None
    why = missing("train.compile", True, NO_COMPILER)
    assert why is not None
    assert "train.compile" in why
    assert "C++ compiler" in why


def test_compiling_on_a_gpu_needs_no_cpp_compiler():
    assert missing("train.compile", True, CUDA_NO_COMPILER) is None


def test_bf16_needs_a_device_that_has_it():
    assert missing("train.precision", "bf16", EVERYTHING) is None
    assert missing("train.precision", "fp32", NO_BF16) is None
    assert (
        missing("train.precision", "bf16", NO_BF16) == "train.precision=bf16 is not supported by an old CPU"
    )


def test_nothing_is_said_of_a_path_that_no_table_knows():
    assert missing("optimizer.lr", 1e-3, NO_BF16) is None


def test_the_compiler_is_the_one_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    compiler = tmp_path / "clang++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert find_compiler() == str(compiler)
