"""Muon and its Newton-Schulz iteration against plain fp64 references, which wrong ones fail."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_gpt import (
    RATES,
    give_gradients,
    optimizer_of,
    relative_difference,
    small_gpt,
    weights_after,
    weights_of,
)
from torch import nn

from model.config import OptimizerConfig, RunConfig
from model.optim.groups import roles
from model.optim.muon import (
    QUINTIC,
    MuonRule,
    keep_operator_norm,
    match_adamw,
    muon_update,
    newton_schulz,
    rows_of_parts,
)
from model.tables import OPTIMIZERS


def spectrum(rows, columns, smallest, seed=0):
    """(U, S, V^T) with singular values spread from one down to `smallest`, fp64."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(rows, columns)
    u, _ = torch.linalg.qr(torch.randn(rows, rank, generator=generator, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(columns, rank, generator=generator, dtype=torch.float64))
    return u, torch.logspace(0, math.log10(smallest), rank, dtype=torch.float64), v.T


def exact_newton_schulz(matrix, steps):
    """The same polynomial of the singular values alone, by an fp64 SVD."""
    a, b, c = QUINTIC
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ vt


SHAPES = [(8, 8), (24, 8), (8, 24), (1, 5), (5, 1), (33, 17)]


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_newton_schulz_is_its_polynomial_of_the_singular_values(shape, steps):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = exact_newton_schulz(matrix, steps)
    torch.testing.assert_close(newton_schulz(matrix, steps, torch.float64), expected, rtol=1e-9, atol=1e-9)
    for dtype, allowed in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        error = (newton_schulz(matrix, steps, dtype).double() - expected).norm() / expected.norm()
        assert error < allowed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("steps", "smallest"), [(3, 0.2), (5, 0.02)])
@pytest.mark.parametrize("shape", [(32, 32), (64, 24), (24, 64)], ids=str)
def test_singular_values_of_an_update_lie_in_the_known_band(shape, steps, smallest, dtype):
    u, s, vt = spectrum(*shape, smallest)
    update = newton_schulz(u @ torch.diag(s) @ vt, steps, dtype).double()
    values = torch.linalg.svdvals(update)
    assert 0.66 < float(values.min()) <= float(values.max()) < 1.23


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(32, 32), (64, 24), (24, 64)], ids=str)
def test_an_update_points_where_the_polar_factor_points(shape, dtype):
    u, s, vt = spectrum(*shape, 0.02)
    update = newton_schulz(u @ torch.diag(s) @ vt, 5, dtype).double()
    polar = u @ vt
    assert float((update * polar).sum() / (update.norm() * polar.norm())) > 0.97
    raw = u @ torch.diag(s) @ vt
    assert float((raw * polar).sum() / (raw.norm() * polar.norm())) < 0.8


@given(
    count=st.integers(1, 4),
    shape=st.sampled_from(SHAPES),
    steps=st.integers(1, 6),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(max_examples=40, deadline=None)
def test_a_batch_of_matrices_is_each_for_itself_and_their_size_is_forgotten(count, shape, steps, size):
    stack = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = newton_schulz(stack * size, steps, torch.float64)
    for ours, matrix in zip(together, stack, strict=True):
        expected = newton_schulz(matrix, steps, torch.float64)
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_a_gradient_of_zero_stays_zero():
    assert not newton_schulz(torch.zeros(4, 6), 5, torch.float32).any()


# --- Muon against its formula

MUON_RULE = MuonRule(0.3, 5, torch.float64, keep_operator_norm, batched=False)
MUON_SHAPES = {"c_attn.weight": (24, 8), "c_proj.weight": (8, 8), "c_fc.weight": (32, 8), "out": (8, 32)}


def exact_muon(start, gradients, parts, rates, momenta):
    """One matrix in fp64: the running mean of the gradients, Nesterov, the polynomial by SVD, Keller Jordan's
    scale by rows over columns."""
    weight, mean = start.clone(), torch.zeros_like(start)
    for gradient, lr, momentum in zip(gradients, rates, momenta, strict=True):
        mean = momentum * mean + (1 - momentum) * gradient
        direction = (1 - momentum) * gradient + momentum * mean
        updates = [
            math.sqrt(max(1.0, part.size(0) / part.size(1))) * exact_newton_schulz(part, 5)
            for part in direction.split(parts or [start.size(0)])
        ]
        weight = weight - lr * 0.3 * weight - lr * torch.cat(updates)
    return weight


def muon_error(update, momenta=(0.9,) * 6):
    """The largest error of a weight after 6 steps in fp64 of `update`, which is called as `muon_update`
    without its rule, at a momentum a step."""
    generator = torch.Generator().manual_seed(2)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = [draw(shape) for shape in MUON_SHAPES.values()]
    parts = [rows_of_parts(name, shape) for name, shape in MUON_SHAPES.items()]
    gradients = [[draw(shape) for _ in range(6)] for shape in MUON_SHAPES.values()]
    expected = [exact_muon(*one, RATES[:6], momenta) for one in zip(weights, gradients, parts, strict=True)]
    means = [torch.zeros_like(one) for one in weights]
    for step in range(6):
        update(weights, [one[step] for one in gradients], means, parts, RATES[step], momenta[step])
    return max(float((ours - e).abs().max()) for ours, e in zip(weights, expected, strict=True))


def with_rule(**changes):
    rule = dataclasses.replace(MUON_RULE, **changes)
    return lambda *arguments: muon_update(*arguments, rule)


@pytest.mark.parametrize("batched", [False, True])
def test_muon_follows_its_formula(batched):
    assert muon_error(with_rule(batched=batched)) < 1e-9


CHANGING = (0.5, 0.7, 0.9, 0.9, 0.8, 0.6)


def test_muon_follows_its_formula_at_a_momentum_that_changes():
    assert muon_error(with_rule(), CHANGING) < 1e-9


def with_tensors(weights, gradients, means, parts, lr, momentum):
    lr, momentum = (torch.tensor(one, dtype=torch.float64) for one in (lr, momentum))
    muon_update(weights, gradients, means, parts, lr, momentum, MUON_RULE)


def test_a_rate_and_a_momentum_in_tensors_are_the_same_rate_and_momentum():
    assert muon_error(with_tensors, CHANGING) < 1e-9


def test_a_momentum_in_a_tensor_is_not_rounded_to_the_format_of_the_weights():
    gradient = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    means = []
    for momentum in (0.95, torch.tensor(0.95)):
        mean = torch.zeros_like(gradient)
        muon_update([torch.zeros_like(gradient)], [gradient], [mean], [None], 0.1, momentum, MUON_RULE)
        means.append(mean.double())
    assert relative_difference(means[1:], means[:1]) < 1e-3  # 1 - 0.95 in bf16 would be 1.6 % too large


def transposed(update):
    """Every matrix the other way round: rows and columns change places in the scale."""

    def call(weights, gradients, means, parts, *numbers):
        turned = ([one.mT for one in tensors] for tensors in (weights, gradients, means))
        update(*turned, [None] * 4, *numbers)

    return call


def without_momentum(weights, gradients, means, parts, lr, momentum):
    forgotten = [torch.zeros_like(one) for one in means]
    muon_update(weights, gradients, forgotten, parts, lr, momentum, MUON_RULE)


def without_nesterov(weights, gradients, means, parts, lr, momentum):
    for gradient, mean in zip(gradients, means, strict=True):
        mean.lerp_(gradient, 1 - momentum)
    muon_update(weights, means, [torch.zeros_like(one) for one in means], parts, lr, 0.0, MUON_RULE)


def not_split(weights, gradients, means, parts, lr, momentum):
    muon_update(weights, gradients, means, [None] * 4, lr, momentum, MUON_RULE)


def with_another_momentum(weights, gradients, means, parts, lr, momentum):
    muon_update(weights, gradients, means, parts, lr, 0.95, MUON_RULE)


@pytest.mark.parametrize(
    "wrong",
    [
        transposed(with_rule()),
        without_momentum,
        without_nesterov,
        not_split,
        with_another_momentum,
        with_rule(weight_decay=0.0),
        with_rule(ns_steps=4),
        with_rule(scale=match_adamw),
    ],
)
def test_a_wrong_muon_is_far_from_the_formula(wrong):
    assert muon_error(wrong) > 1e-3


@pytest.mark.parametrize(("scale", "theirs"), [("original", "original"), ("match_rms_adamw",) * 2])
def test_in_bf16_one_matrix_at_a_time_muon_is_torchs_own_bit_for_bit(scale, theirs):
    """`torch.optim.Muon` (2.13) with the same settings."""

    def train(make):
        model = small_gpt()
        optimizer = make(model)
        for step in range(4):
            give_gradients(model, seed=step)
            optimizer.step()
        return [p.detach() for _, p in roles(model)["hidden"]]

    def torchs(model):
        matrices = [p for _, p in roles(model)["hidden"]]
        return torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn=theirs)

    def ours(model):
        config = OptimizerConfig(
            name="muon", muon_lr=0.02, muon_weight_decay=0.1, muon_scale=scale, muon_split_qkv=False
        )
        return OPTIMIZERS["muon"].load()(config, model).members[0]

    assert relative_difference(train(ours), train(torchs)) == 0


def test_muon_trains_hidden_matrices_and_adamw_the_rest():
    muon, adamw = weights_after(3, name="muon"), weights_after(3)
    model = small_gpt()
    hidden = {id(p) for _, p in roles(model)["hidden"]}
    lr = RunConfig().optimizer.lr
    for start, after in zip(model.parameters(), muon, strict=True):
        if id(start) not in hidden:  # AdamW moves no weight by much more than its rate
            assert 0 < float((after - start.detach()).abs().max()) < 10 * lr
    assert relative_difference(muon, adamw) > 0.01


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kernel", ["foreach", "fused"])
def test_a_muon_kernel_trains_as_the_loop_does(kernel, dtype):
    """bf16 rounds otherwise in a batch, by 1 in 256; the updates are about a tenth of the weights here."""
    ours, plain = (weights_after(5, name="muon", ns_dtype=dtype, kernel=k) for k in (kernel, "forloop"))
    assert relative_difference(ours, plain) < {"fp32": 1e-3, "bf16": 3e-2}[dtype]


@given(rows=st.integers(1, 512), columns=st.integers(1, 512))
def test_the_scale_of_an_update_follows_its_shape(rows, columns):
    root_mean_square = 1 / math.sqrt(max(rows, columns))  # of U V^T
    assert match_adamw(rows, columns) * root_mean_square == pytest.approx(0.2)
    assert keep_operator_norm(rows, columns) == max(1.0, math.sqrt(rows / columns))


def test_queries_keys_and_values_of_a_fused_matrix_are_its_parts():
    assert rows_of_parts("blocks.0.attn.c_attn.weight", (24, 8)) == (8, 8, 8)
    assert rows_of_parts("blocks.0.attn.c_attn.weight", (12, 8)) == (8, 2, 2)  # queries share keys
    assert rows_of_parts("blocks.0.attn.c_proj.weight", (8, 8)) is None
    assert rows_of_parts("blocks.0.mlp.c_fc.weight", (32, 8)) is None


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_the_parts_of_a_fused_matrix_are_as_long_as_the_heads_of_the_network(kv_heads):
    model = small_gpt(n_head=4, n_kv_head=kv_heads)
    weight = model.blocks[0].attn.c_attn.weight
    assert rows_of_parts("blocks.0.attn.c_attn.weight", weight.shape) == (32, 8 * kv_heads, 8 * kv_heads)


def test_muon_refuses_a_hidden_parameter_that_is_no_matrix():
    with pytest.raises(ValueError, match=r"0\.weight has 3 dimensions; set optimizer.name=adamw"):
        optimizer_of(nn.Sequential(nn.Conv1d(2, 2, 3)), name="muon")


@pytest.mark.parametrize("module", [nn.Linear(3, 3, bias=False), nn.LayerNorm(3)], ids=["hidden", "vectors"])
def test_muon_trains_a_model_that_has_only_one_kind_of_parameter(module):
    optimizer = optimizer_of(module, name="muon")
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = weights_of(module)
    optimizer.step()
    assert all((a != b).any() for a, b in zip(weights_of(module), before, strict=True))
