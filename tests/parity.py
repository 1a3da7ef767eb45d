"""Whether a variant computes what its reference, the same mathematics written out plainly, computes in fp64.

Allowed is twice (gradients: three times) the error that the plain code makes in the same number format, and
the format's eps relative to the exact value, which is taken as `FLOOR` at least (what goes in is of size 1).
Errors are root mean squares. Here are the check, and how it is made of a norm, an MLP and a loss.
"""

import contextlib
import functools
import math

import pytest
import torch
from this_cpu import CPU
from torch.func import functional_call

from model.capabilities import Capabilities, find_modules
from model.config import ModelConfig, RunConfig
from model.loss.head import Head
from model.runnable import missing, unrunnable
from model.tables import LOSSES, MLPS, NORMS, TABLES

FLOOR = 0.2
# What leaves are stored in, whether autocast is on, and the format whose eps is allowed.
FORMATS = {
    "fp32": (torch.float32, False, torch.float32),
    "bf16": (torch.bfloat16, False, torch.bfloat16),
    "bf16 autocast": (torch.float32, True, torch.bfloat16),
}


def casting(wanted, device="cpu"):
    return torch.autocast(device, dtype=torch.bfloat16) if wanted else contextlib.nullcontext()


# --- the check


def rms(x):
    return float(x.detach().double().square().mean().sqrt())


def outcome(function, leaves, upstream, dtype, autocast=False):
    """[output, gradient of each leaf] in fp64 of `function`; leaves that are floats become `dtype`."""
    inputs = [x.to(dtype).detach().requires_grad_() if x.is_floating_point() else x for x in leaves]
    with casting(autocast, inputs[0].device.type):
        out = function(*inputs)
    torch.autograd.backward(out, upstream.to(out.dtype))
    floats = [x for x in inputs if x.is_floating_point()]
    zeros = [torch.zeros_like(x) if x.grad is None else x.grad for x in floats]
    return [x.detach().double() for x in (out, *zeros)]


def error_ratio(function, plain, leaves, name, floor=FLOOR):
    """The worst of output and gradients: error against fp64 as a share of what is allowed. Above 1, or
    infinite where something is not a number or has another shape, means a wrong variant."""
    dtype, autocast, format_ = FORMATS[name]
    leaves = [x.to(dtype) if x.is_floating_point() else x for x in leaves]
    with torch.no_grad():
        shape = plain(*leaves).shape
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(leaves[0].device, dtype)
    exact = outcome(plain, leaves, upstream, torch.float64)
    reference = outcome(plain, leaves, upstream, dtype, autocast)
    ours = outcome(function, leaves, upstream, dtype, autocast)
    worst = 0.0
    for i, (got, same_format, truth) in enumerate(zip(ours, reference, exact, strict=True)):
        if got.shape != truth.shape or not bool(got.isfinite().all()):
            return math.inf
        slack = torch.finfo(format_).eps * max(rms(truth), floor)
        allowed = (2 if i == 0 else 3) * rms(same_format - truth) + slack
        worst = max(worst, rms(got - truth) / allowed)
    return worst


def random_tensors(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


# --- norms


# The second has values so small that eps counts.
NORM_INPUTS = [((2, 7, 24), 1.0), ((3, 5, 48), 1e-3), ((1, 1, 5), 30.0)]


def norm_tensors(size, scale):
    x, weight, bias = random_tensors(size, size[-1:], size[-1:])
    return x * scale + 0.3 * scale, {"weight": 1 + 0.3 * weight, "bias": bias}


def norm_error_ratio(module, plain, name, size, scale, eps, device="cpu"):
    x, all_parameters = norm_tensors(size, scale)
    named = {key: all_parameters[key] for key, _ in module.named_parameters()}

    def function(x, *values):
        return functional_call(module, dict(zip(named, values, strict=True)), (x,))

    def expected(x, *values):
        return plain(x, eps, **dict(zip(named, values, strict=True)))

    return error_ratio(function, expected, [v.to(device) for v in (x, *named.values())], name)


def norm_row_error_ratio(row, name, size, scale, eps, device="cpu"):
    config = ModelConfig(n_embd=size[-1], n_head=1, bias=True, norm=row, norm_eps=eps)
    plain = NORMS[row].load_reference()
    return norm_error_ratio(NORMS[row].load()(config), plain, name, size, scale, eps, device)


# --- MLPs


def plain_linear(x, weight, bias=None):
    y = x @ weight.T
    return y if bias is None else y + bias


def mlp_error_ratio(module, activation, name, size, device="cpu"):
    named = dict(module.named_parameters())
    x, *values = random_tensors(size, *[p.shape for p in named.values()])
    values = [v / v.size(-1) ** 0.5 if v.dim() == 2 else v for v in values]

    def function(x, *values):
        return functional_call(module, dict(zip(named, values, strict=True)), (x,))

    def plain(x, *values):
        w = dict(zip(named, values, strict=True))
        h = activation(plain_linear(x, w["c_fc.weight"], w.get("c_fc.bias")))
        return plain_linear(h, w["c_proj.weight"], w.get("c_proj.bias"))

    return error_ratio(function, plain, [t.to(device) for t in (x, *values)], name)


def mlp_row_error_ratio(row, name, size, ratio, bias, device="cpu"):
    config = ModelConfig(n_embd=size[-1], n_head=1, mlp=row, mlp_ratio=ratio, bias=bias)
    return mlp_error_ratio(MLPS[row].load()(config), MLPS[row].load_reference(), name, size, device)


MLP_INPUTS = [((2, 7, 24), 2.5), ((1, 1, 16), 4.0), ((3, 33, 8), 1.0)]


# --- losses


# (N, C, V): more logits than states, fewer, a prime number of tokens, one token
TOKENS = [(29, 8, 65), (12, 32, 7), (101, 4, 100), (1, 8, 11)]


def loss_error_ratio(loss, plain, name, size, softcap, table, device="cpu"):
    """`plain`: the reference of `loss`, which has its signature."""
    N, C, V = size
    generator = torch.Generator().manual_seed(2)
    x, weight, bigrams = random_tensors((N, C), (V, C), (max(1, V // 2), V))
    targets = torch.randint(V, (N,), generator=generator).to(device)
    rows = torch.randint(bigrams.size(0), (N,), generator=generator).to(device)
    leaves = [x, weight, bigrams] if table else [x, weight]

    def times_tokens(compute):  # so that gradients are of size 1
        def function(x, weight, bigrams=None):
            return N * compute(x, weight, bigrams).to(torch.promote_types(x.dtype, torch.float32))

        return function

    def of_leaves(compute):
        def function(x, weight, bigrams):
            return compute(x, targets, Head(weight, softcap, bigrams, None if bigrams is None else rows))

        return times_tokens(function)

    return error_ratio(of_leaves(loss), of_leaves(plain), [v.to(device) for v in leaves], name)


def loss_row_error_ratio(row, name, size, softcap, table, device="cpu"):
    loss = LOSSES[row]
    return loss_error_ratio(loss.load(), loss.load_reference(), name, size, softcap, table, device)


def offered_with(row, device):
    """(softcap, table) that this loss can do; the plain one of nanoGPT at least."""
    heads = [(softcap, table) for softcap in (0.0, 2.0) for table in (False, True)]
    runs = [
        RunConfig(model=ModelConfig(loss=row, logit_softcap=cap, lookup_table="bigram" if t else "none"))
        for cap, t in heads
    ]
    return [head for head, run in zip(heads, runs, strict=True) if unrunnable(run, device) is None]


# --- where rows run


def on_cpu(path, table):
    return [name for name in table if missing(path, name, CPU) is None]


def on_gpu(path):
    """A test of `row`, for each row of the table of `path` that runs on a GPU; marked as `gpu`, and skipped
    where there is none, or none that runs that row. `test_gpu_tests.py` sees to it that no row is left out.
    """
    rows = [name for name, row in TABLES[path].items() if "cuda" in row.devices]

    def marked(test):
        @functools.wraps(test)
        def of_a_row(row):
            need_gpu_for(path, row)
            test(row)

        return pytest.mark.gpu(table=path)(pytest.mark.parametrize("row", rows)(of_a_row))

    return marked


def need_gpu_for(path, name):
    """Skip where there is no GPU, or none that runs this row."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    major, minor = torch.cuda.get_device_capability()
    here = Capabilities(
        "cuda",
        torch.cuda.get_device_name(),
        torch.__version__,
        torch.cuda.is_bf16_supported(),
        None,
        10 * major + minor,
        find_modules(),
    )
    if reason := missing(path, name, here):
        pytest.skip(reason)
