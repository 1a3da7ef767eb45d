"""What a precision does to weights, matmuls and the process, and that evaluation sees none of it."""

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from parity import need_gpu_for, on_gpu
from this_cpu import needs_torch_for
from torch import nn

from model.config import ModelConfig
from model.gpt import GPT
from model.precision.formats import FP8, evaluable
from model.precision.fp8 import Fp8Linear, quantise
from model.tables import PRECISIONS

SMALL = ModelConfig(
    n_layer=2, n_embd=32, n_head=2, block_size=16, bias=True, positions="rope", norm="rmsnorm"
)


def prepared(precision):
    torch.manual_seed(0)
    model = GPT(SMALL, 16)
    PRECISIONS[precision].load().prepare(model)
    return model


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_stored_in_what_the_precision_says(precision):
    wanted = torch.bfloat16 if precision == "bf16_weights" else torch.float32
    model = prepared(precision)
    assert {t.dtype for t in (*model.parameters(), *model.buffers())} == {wanted}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_precision_moves_a_weight_by_more_than_its_rounding(precision):
    for one, other in zip(prepared("fp32").parameters(), prepared(precision).parameters(), strict=True):
        torch.testing.assert_close(other.float(), one, rtol=2**-8, atol=0)


def gradients(precision, device="cpu"):
    """Of a small network, in the type of its weights; one vector in fp32 on the CPU."""
    x, y = torch.randint(16, (2, 4, 16), generator=torch.Generator().manual_seed(0)).to(device)
    model, how = prepared(precision).to(device), PRECISIONS[precision].load()
    with how.both_passes():
        with how.forward(device):
            loss = model.loss(x, y)
        torch.autograd.backward(loss)
    assert all(p.grad.dtype == p.dtype for p in model.parameters())
    return torch.cat([p.grad.float().flatten() for p in model.parameters()]).cpu()


def apart_from_fp32(precision, device="cpu"):
    plain = gradients("fp32")
    return float((gradients(precision, device) - plain).norm() / plain.norm())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_come_in_the_type_of_their_weights_and_near_those_of_fp32(precision):
    needs_torch_for("train.precision", precision)
    apart = apart_from_fp32(precision)
    assert apart <= {"fp32": 0.0, "tf32": 1e-3, "fp8": 0.2}.get(precision, 0.05)
    if precision in ("bf16", "bf16_weights", "fp8"):
        assert apart > 1e-4  # it did something


@on_gpu("train.precision")
def test_gradients_on_a_gpu_are_near_those_of_fp32_on_a_cpu(row):
    """tf32 rounds what it multiplies by 2^-11 at most."""
    apart = apart_from_fp32(row, "cuda")
    assert apart <= {"fp32": 1e-5, "tf32": 4e-3, "fp8": 0.2}.get(row, 0.05)
    if row in ("bf16", "bf16_weights", "fp8"):
        assert apart > 1e-4  # it did something


class MatmulTypes(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (
            torch.ops.aten.mm.default,
            torch.ops.aten.addmm.default,
            torch.ops.aten._scaled_mm.default,
        ):
            self.seen.add(
                args[-1].dtype if args[-1:] and isinstance(args[-1], torch.Tensor) else args[0].dtype
            )
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_evaluation_computes_in_fp32_whatever_training_computes_in(precision):
    model = prepared(precision)
    with MatmulTypes() as types, torch.no_grad():
        evaluable(model).eval()(torch.randint(16, (2, 16)))
    assert types.seen == {torch.float32}


def test_a_model_in_fp32_is_evaluated_itself_and_one_in_bf16_as_a_copy_of_the_same_weights():
    plain, narrow = prepared("fp32"), prepared("bf16_weights")
    assert evaluable(plain) is plain
    wide = evaluable(narrow)
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}
    for one, other in zip(narrow.parameters(), wide.parameters(), strict=True):
        assert torch.equal(one.float(), other)
    assert wide.lm_head.weight is wide.wte.weight


@pytest.mark.parametrize(
    ("precision", "inside"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")]
)
def test_the_processs_setting_of_matmuls_holds_inside_and_is_given_back(precision, inside):
    before = torch.get_float32_matmul_precision()
    with contextlib.suppress(KeyError), PRECISIONS[precision].load().both_passes():
        assert torch.get_float32_matmul_precision() == inside
        raise KeyError
    assert torch.get_float32_matmul_precision() == before == "highest"


# --- fp8


def test_fp8_replaces_every_linear_of_the_blocks_and_nothing_else():
    model = GPT(SMALL, 16)
    names = {name for name, module in model.named_modules() if type(module) is nn.Linear}
    weights = {name: model.get_submodule(name).weight for name in names}
    FP8.prepare(model)
    replaced = {name for name, module in model.named_modules() if isinstance(module, Fp8Linear)}
    assert replaced == names - {"lm_head"}
    assert all(model.get_submodule(name).weight is weight for name, weight in weights.items())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_quantising_keeps_the_largest_value_and_rounds_the_others_by_the_formats_eps(dtype, size):
    x = size * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    q, scale = quantise(x, dtype)
    back = q.float() * scale
    largest = x.abs().argmax()
    assert float(back.flatten()[largest]) == pytest.approx(float(x.flatten()[largest]), rel=1e-5)
    assert float(q.float().abs().max()) == torch.finfo(dtype).max
    # below its smallest normal number the steps of a format stay the same
    step = torch.finfo(dtype).eps / 2 * x.abs().clamp(min=float(scale) * torch.finfo(dtype).smallest_normal)
    assert bool(((back - x).abs() <= step * (1 + 1e-3)).all())


def test_quantising_nothing_gives_nothing():
    q, scale = quantise(torch.zeros(16, 16), torch.float8_e4m3fn)
    assert not q.float().any()
    assert float(scale) > 0


def rounded(x, dtype):
    q, scale = quantise(x, dtype)
    return q.double() * scale.double()


def fp8_error(multiply, bias=True, device="cpu"):
    """The worst of output and gradients against the same products in fp64 of tensors rounded to 8 bits first,
    relative. Those products come back in bf16, so 2^-8 is exact."""
    needs_torch_for("train.precision", "fp8")
    x, w, upstream, b = (
        torch.randn(shape, generator=torch.Generator().manual_seed(i)).to(device)
        for i, shape in enumerate([(2, 24, 32), (48, 32), (2, 24, 48), (48,)])
    )
    layer = Fp8Linear(32, 48, bias=bias).to(device)
    layer.weight.data.copy_(w)
    if bias:
        layer.bias.data.copy_(b)
    leaf = x.clone().requires_grad_()
    y = multiply(layer, leaf)
    torch.autograd.backward(y, upstream.to(y.dtype))

    e4m3, e5m2 = torch.float8_e4m3fn, torch.float8_e5m2
    x8, w8 = rounded(x.flatten(0, 1), e4m3), rounded(w, e4m3)
    g8 = rounded(upstream.flatten(0, 1).to(y.dtype), e5m2)
    pairs = [
        (y.flatten(0, 1), x8 @ w8.T + (b.double() if bias else 0)),
        (leaf.grad.flatten(0, 1), g8 @ w8),
        (layer.weight.grad, g8.T @ x8),
    ]
    return max(float((a.detach().double() - exact).norm() / exact.norm()) for a, exact in pairs)


@pytest.mark.parametrize("bias", [True, False])
def test_an_fp8_layer_multiplies_what_was_rounded_to_8_bits(bias):
    assert fp8_error(lambda layer, x: layer(x), bias) < 2**-8


@pytest.mark.gpu
@pytest.mark.parametrize("bias", [True, False])
def test_an_fp8_layer_on_a_gpu_multiplies_what_was_rounded_to_8_bits(bias):
    need_gpu_for("train.precision", "fp8")
    assert fp8_error(lambda layer, x: layer(x), bias, "cuda") < 2**-8


class OneScale(torch.autograd.Function):
    """Gradients in e4m3, which has not their range."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return (rounded(x, torch.float8_e4m3fn) @ rounded(weight, torch.float8_e4m3fn).T).bfloat16()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        g8 = rounded(g, torch.float8_e4m3fn).float()
        return g8 @ w, g8.T @ x


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda layer, x: F.linear(x, layer.weight), id="not rounded"),
        pytest.param(
            lambda layer, x: OneScale.apply(x.flatten(0, 1), layer.weight).view(2, 24, 48), id="e4m3"
        ),
        pytest.param(lambda layer, x: layer(x) * 1.02, id="scale off"),
    ],
)
def test_a_wrong_fp8_layer_is_far_outside_what_is_allowed(wrong):
    assert fp8_error(wrong, bias=False) > 2 * 2**-8


def test_an_fp8_layer_evaluates_as_a_linear_layer():
    needs_torch_for("train.precision", "fp8")
    layer = Fp8Linear(32, 48)
    plain = nn.Linear(32, 48)
    plain.load_state_dict(copy.deepcopy(layer.state_dict()))
    x = torch.randn(4, 32)
    assert torch.equal(layer.eval()(x), plain(x))
    assert not torch.equal(layer.train()(x).float(), plain(x))
