"""Liger's kernels compute what the plain mathematics does, as `parity` checks it, without a GPU.

`make kernels` runs these, in a process of their own: under TRITON_INTERPRET=1 Triton compiles nothing. What
a compiler makes of a kernel is for the tests marked gpu. Left out for the minutes that they take here: the
kernel of rmsnorm for 32,768 tokens or more, and more than 32,768 logits a token.
"""

import os

import pytest
import torch
from parity import (
    FORMATS,
    MLP_INPUTS,
    NORM_INPUTS,
    TOKENS,
    error_ratio,
    loss_error_ratio,
    loss_row_error_ratio,
    mlp_row_error_ratio,
    norm_row_error_ratio,
    offered_with,
    random_tensors,
)

from model.loss.reference import cross_entropy
from model.mlp.reference import swiglu
from model.norm import rmsnorm_liger
from model.norm.reference import rmsnorm
from model.tables import LOSSES, MLPS, NORMS

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs Triton's interpreter; type: make kernels", allow_module_level=True)

NOT_INSTALLED = "needs triton and liger-kernel; type: make kernels"
triton = pytest.importorskip("triton", reason=NOT_INSTALLED)
tl = pytest.importorskip("triton.language", reason=NOT_INSTALLED)
pytest.importorskip("liger_kernel", reason=NOT_INSTALLED)
interpreted_triton = pytest.importorskip("interpreted_triton", reason=NOT_INSTALLED)
interpreted_triton.complete()


@triton.jit
def multiply(left_ptr, right_ptr, out_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(left_ptr + at) * tl.load(right_ptr + at))


@pytest.mark.parametrize("to", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("of", [torch.bfloat16, torch.float32])
def test_products_are_rounded_as_torch_rounds_them(of, to):
    left, right = (x.to(of) for x in random_tensors((1024,), (1024,)))
    out = torch.empty(1024, dtype=to)
    multiply[(1,)](left, right, out, BLOCK=1024)
    assert torch.equal(out, (left * right).to(to))


def served_by_liger(table):
    return [name for name, row in table.items() if "liger_kernel" in row.modules]


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
@pytest.mark.parametrize(("size", "scale"), NORM_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", served_by_liger(NORMS))
def test_a_norm_of_ligers_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, scale, eps):
    assert norm_row_error_ratio(row, name, size, scale, eps) <= 1


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("size", "ratio"), MLP_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", served_by_liger(MLPS))
def test_an_mlp_of_ligers_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, ratio, bias):
    assert mlp_row_error_ratio(row, name, size, ratio, bias) <= 1


@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("size", TOKENS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", served_by_liger(LOSSES))
def test_a_loss_of_ligers_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, softcap):
    assert (softcap, False) in offered_with(row, "cuda")
    assert loss_row_error_ratio(row, name, size, softcap, table=False) <= 1


# --- beside the residual stream, which is handed the same gradient


def beside_itself_error_ratio(norm, name):
    x, weight = random_tensors((2, 7, 24), (24,))
    return error_ratio(
        lambda x, w: x + norm(x, w, 1e-5), lambda x, w: x + rmsnorm(x, 1e-5, w), [x, weight], name
    )


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_ligers_norm_leaves_the_gradient_that_it_is_handed_alone(name):
    assert beside_itself_error_ratio(rmsnorm_liger.kernel, name) <= 1


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_norm_that_writes_over_the_gradient_it_is_handed_is_far_outside_what_is_allowed(name):
    def in_place(x, weight, eps):
        from liger_kernel.transformers import functional

        return functional.liger_rms_norm(x, weight, eps, in_place=True)

    assert beside_itself_error_ratio(in_place, name) > 3


# --- wrong ones


@triton.jit
def gate_forward(gate_ptr, value_ptr, out_ptr, numel, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_ptr + at, mask=at < numel).to(tl.float32)
    value = tl.load(value_ptr + at, mask=at < numel).to(tl.float32)
    tl.store(out_ptr + at, gate * tl.sigmoid(gate) * value, mask=at < numel)


@triton.jit
def gate_backward(
    grad_ptr, gate_ptr, value_ptr, d_gate_ptr, d_value_ptr, numel, SLOPE: tl.constexpr, BLOCK: tl.constexpr
):
    """`SLOPE` counts that the sigmoid changes as well: d silu / dx = s + x s (1 - s)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    grad = tl.load(grad_ptr + at, mask=at < numel).to(tl.float32)
    gate = tl.load(gate_ptr + at, mask=at < numel).to(tl.float32)
    value = tl.load(value_ptr + at, mask=at < numel).to(tl.float32)
    s = tl.sigmoid(gate)
    slope = s + SLOPE * gate * s * (1 - s)
    tl.store(d_gate_ptr + at, grad * value * slope, mask=at < numel)
    tl.store(d_value_ptr + at, grad * gate * s, mask=at < numel)


class Gate(torch.autograd.Function):
    """silu(gate) value, in programs of 16 elements."""

    @staticmethod
    def forward(ctx, gate, value, slope):
        ctx.save_for_backward(gate, value)
        ctx.slope = slope
        out = torch.empty_like(gate)
        gate_forward[(triton.cdiv(gate.numel(), 16),)](gate, value, out, gate.numel(), BLOCK=16)
        return out

    @staticmethod
    def backward(ctx, grad):
        gate, value = ctx.saved_tensors
        grads = torch.empty_like(gate), torch.empty_like(value)
        gate_backward[(triton.cdiv(gate.numel(), 16),)](
            grad.contiguous(), gate, value, *grads, gate.numel(), SLOPE=ctx.slope, BLOCK=16
        )
        return *grads, None


def gate_error_ratio(slope, name):
    gate, value = random_tensors((5, 7), (5, 7))
    return error_ratio(
        lambda gate, value: Gate.apply(gate, value, slope),
        lambda gate, value: swiglu(torch.cat((gate, value), dim=-1)),
        [gate, value],
        name,
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_kernel_without_one_term_of_its_gradient_is_far_outside_what_is_allowed(name):
    assert gate_error_ratio(1, name) <= 1
    assert gate_error_ratio(0, name) > 5


@pytest.mark.parametrize("name", FORMATS)
def test_a_loss_by_kernels_that_cap_elsewhere_is_far_outside_what_is_allowed(name):
    def wrong(x, targets, head):
        return LOSSES["liger"].load()(x, targets, head._replace(softcap=2.5))

    assert loss_error_ratio(wrong, cross_entropy, name, (29, 8, 65), softcap=2.0, table=False) > 3
