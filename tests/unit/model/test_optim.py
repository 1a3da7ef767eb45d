"""Optimizers and step kernels against plain fp64 references, and wrong ones that the same checks refuse."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from this_cpu import compiles, needs_compiler
from torch import nn

from model.config import ConfigError, ModelConfig, OptimizerConfig, RunConfig
from model.gpt import GPT
from model.optim.adamw import adamw_update
from model.optim.groups import ROLES, roles
from model.optim.muon import (
    QUINTIC,
    MuonRule,
    keep_operator_norm,
    match_adamw,
    muon_update,
    newton_schulz,
    rows_of_parts,
)
from model.tables import KERNELS, OPTIMIZERS, TABLES

SMALL = {"n_layer": 2, "n_embd": 32, "n_head": 2, "block_size": 16}
VOCAB = 33


def small_gpt(**changes):
    torch.manual_seed(0)
    return GPT(ModelConfig(**{**SMALL, **changes}), VOCAB)


def optimizer_of(model, **changes):
    config = OptimizerConfig(**changes)
    return OPTIMIZERS[config.name].load()(config, model)


def give_gradients(model, seed):
    """The gradients of random tokens; the same for the same seed and weights."""
    tokens = torch.randint(VOCAB, (4, 17), generator=torch.Generator().manual_seed(seed))
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(model.loss(tokens[:, :-1], tokens[:, 1:]))


def weights_of(model):
    return [p.detach().clone() for p in model.parameters()]


# --- roles

VARIANTS = [
    {},
    {"tied_head": False},
    {"bias": True, "n_layer": 1},
    {"lookup_table": "bigram"},
    *({"mlp": name} for name, row in TABLES["model.mlp"].items() if "cpu" in row.devices),
    *({"norm": name} for name, row in TABLES["model.norm"].items() if "cpu" in row.devices),
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_parameter_has_exactly_one_role(changes):
    model = small_gpt(**changes)
    found = roles(model)
    assert tuple(found) == ROLES
    named = [one for members in found.values() for one in members]
    assert sorted(name for name, _ in named) == sorted(name for name, _ in model.named_parameters())
    assert {id(p) for _, p in named} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_hidden_are_the_matrices_of_the_blocks_and_vectors_have_less_than_two_dimensions(changes):
    model = small_gpt(**changes)
    found = roles(model)
    in_blocks = {id(p) for p in model.blocks.parameters() if p.dim() == 2}
    assert {id(p) for _, p in found["hidden"]} == in_blocks
    assert {id(p) for _, p in found["vector"]} == {id(p) for p in model.parameters() if p.dim() < 2}


def test_a_tied_head_is_an_embedding_and_an_untied_one_a_head():
    tied, untied = roles(small_gpt()), roles(small_gpt(tied_head=False))
    assert tied["head"] == []
    assert [name for name, _ in untied["head"]] == ["lm_head.weight"]
    assert len(untied["embedding"]) == len(tied["embedding"]) == 2


def test_a_bigram_table_is_a_table_and_other_lookups_are_embeddings():
    found = roles(small_gpt(lookup_table="bigram", value_embedding=True))
    assert [name for name, _ in found["lookup_table"]] == ["lookup_table.weight"]
    assert [name for name, _ in found["embedding"]] == ["wte.weight", "wpe.weight", "values.weight"]


def test_a_table_inside_a_block_is_an_embedding_and_what_does_not_train_has_no_role():
    module = nn.ModuleDict({"blocks": nn.ModuleList([nn.Embedding(3, 4), nn.Linear(4, 4)])})
    module["blocks"][1].bias.requires_grad_(False)
    found = {role: [name for name, _ in named] for role, named in roles(module).items()}
    assert found == {
        "hidden": ["blocks.1.weight"],
        "embedding": ["blocks.0.weight"],
        "lookup_table": [],
        "head": [],
        "vector": [],
    }


# --- groups and rates


def test_without_ratios_the_groups_are_nanogpts_two_in_the_order_of_the_model():
    model = small_gpt(bias=True, tied_head=False)
    decaying, others = optimizer_of(model).param_groups
    for group, members, decay in (
        (decaying, [p for p in model.parameters() if p.dim() >= 2], 0.1),
        (others, [p for p in model.parameters() if p.dim() < 2], 0.0),
    ):
        assert [id(p) for p in group["params"]] == [id(p) for p in members]
        assert group["weight_decay"] == decay


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_role_trains_at_its_ratio_of_the_rate(name):
    model = small_gpt(tied_head=False, lookup_table="bigram")
    ratios = {"embedding_lr_ratio": 3.0, "table_lr_ratio": 20.0, "head_lr_ratio": 0.5, "vector_lr_ratio": 7.0}
    optimizer = optimizer_of(model, name=name, lr=0.004, muon_lr=0.02, **ratios)
    optimizer.set_lr(0.002)

    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {
        "hidden": 0.01 if name == "muon" else 0.002,
        "embedding": 0.006,
        "lookup_table": 0.04,
        "head": 0.001,
        "vector": 0.014,
    }
    for role, named in roles(model).items():
        assert [rate_of[id(p)] for _, p in named] == pytest.approx([expected[role]] * len(named), rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_parameter_is_in_exactly_one_group(name, kernel):
    model = small_gpt(bias=True, tied_head=False)
    optimizer = optimizer_of(model, name=name, kernel=kernel, head_lr_ratio=2.0)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_at_a_ratio_of_one_the_rate_is_passed_on_exactly(name):
    optimizer = optimizer_of(small_gpt(), name=name, muon_lr=1e-3)
    for lr in (1e-3, 0.1 + 0.2, 1e-3 / 101):
        optimizer.set_lr(lr)
        assert {group["lr"] for group in optimizer.param_groups} == {lr}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_gone_after_zero_grad(name):
    model = small_gpt()
    optimizer = optimizer_of(model, name=name)
    give_gradients(model, seed=0)
    optimizer.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in model.parameters())


# --- AdamW against its formula

HYPER = {"beta1": 0.8, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.5}


def exact_adamw(start, gradients, rates, decay):
    """Loshchilov and Hutter's algorithm 2 in fp64: p <- p - lr wd p - lr m / (sqrt(v) + eps)."""
    p, m, v = start.double(), 0.0, 0.0
    for step, (gradient, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        g = gradient.double()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        update = (m / (1 - 0.8**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-3)
        p = p - lr * decay * p - lr * update
    return p


RATES = [0.01 * (1 + step % 3) for step in range(20)]


def linear_and_gradients(dtype):
    torch.manual_seed(0)
    module = nn.Linear(3, 4).to(dtype)
    return module, [[torch.randn_like(p) for _ in RATES] for p in module.parameters()]


def adamw_error(step_of, dtype=torch.float32):
    """The largest error of a weight after 20 steps against fp64. `step_of(module)` gives (set_lr, step)."""
    module, gradients = linear_and_gradients(dtype)
    expected = [
        exact_adamw(p.detach(), gs, RATES, 0.5 if p.dim() == 2 else 0.0)
        for p, gs in zip(module.parameters(), gradients, strict=True)
    ]
    step = step_of(module)
    for i, lr in enumerate(RATES):
        for parameter, gs in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gs[i]
        step(lr)
    return max(
        float((p.detach() - e).abs().max()) for p, e in zip(module.parameters(), expected, strict=True)
    )


def configured(kernel):
    def step_of(module):
        optimizer = optimizer_of(module, kernel=kernel, **HYPER)

        def step(lr):
            optimizer.set_lr(lr)
            optimizer.step()

        return step

    return step_of


def formula(update):
    """An update like `adamw_update`, run without a compiler."""

    def step_of(module):
        parameters = list(module.parameters())
        moments = [[torch.zeros_like(p) for p in parameters] for _ in range(2)]
        done = [torch.zeros(()) for _ in parameters]

        @torch.no_grad()
        def step(lr):
            for i, p in enumerate(parameters):
                decay = 0.5 if p.dim() == 2 else 0.0
                state = ([moments[0][i]], [moments[1][i]])
                update([(([p], [p.grad]), state, (torch.tensor(lr), done[i]), (0.8, 0.9, 1e-3, decay))])

        return step

    return step_of


FP32_ERROR = 2e-6  # weights of size one after 20 steps of at most 0.03


@pytest.mark.parametrize("kernel", ["forloop", "foreach", "fused"])
def test_adamw_follows_its_formula_and_decays_matrices_only(kernel):
    assert adamw_error(configured(kernel)) < FP32_ERROR
    assert adamw_error(configured(kernel), torch.float64) < 1e-12


def test_the_update_that_is_compiled_follows_adamws_formula():
    assert adamw_error(formula(adamw_update)) < FP32_ERROR


def wrong_adamw(bias_correction=True, decay_scaled=True, decay_vectors=False, eps_inside=False):
    def update(groups):
        for ([p], [g]), ([m], [v]), (lr, done), (b1, b2, eps, decay) in groups:
            done += 1
            m.lerp_(g, 1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            c1, c2 = (1 - b1**done, 1 - b2**done) if bias_correction else (1, 1 - b2**done)
            decay = 0.5 if decay_vectors else decay
            p.mul_(1 - (lr * decay if decay_scaled else 0.01 * decay))
            p.sub_(lr * (m / c1) / ((v / c2 + eps).sqrt() if eps_inside else (v / c2).sqrt() + eps))

    return update


def test_the_wrong_adamws_below_are_right_where_nothing_is_wrong():
    assert adamw_error(formula(wrong_adamw())) < FP32_ERROR


@pytest.mark.parametrize(
    "wrong",
    [{"bias_correction": False}, {"decay_scaled": False}, {"decay_vectors": True}, {"eps_inside": True}],
    ids=str,
)
def test_a_wrong_adamw_is_far_from_the_formula(wrong):
    assert adamw_error(formula(wrong_adamw(**wrong))) > 5 * FP32_ERROR


def weights_after(steps=20, **changes):
    model = small_gpt(**changes.pop("model", {}))
    optimizer = optimizer_of(model, **changes)
    for step in range(steps):
        give_gradients(model, seed=step)
        optimizer.set_lr(1e-3 * (1 + step % 3))
        optimizer.step()
    return weights_of(model)


def relative_difference(ours, plain):
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, plain, strict=True) if b.norm() > 0)


@pytest.mark.parametrize("kernel", ["foreach", "fused"])
def test_an_adamw_kernel_trains_as_the_loop_does(kernel):
    difference = relative_difference(weights_after(kernel=kernel), weights_after(kernel="forloop"))
    assert difference == 0 if kernel == "foreach" else difference < 2e-5


def test_a_run_without_ratios_is_torchs_own_adamw_bit_for_bit():
    model = small_gpt(bias=True)
    plain = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
        foreach=False,
    )
    for step in range(5):
        give_gradients(model, seed=step)
        for group in plain.param_groups:
            group["lr"] = 1e-3 * (1 + step % 3)
        plain.step()
    assert relative_difference(weights_after(5, model={"bias": True}), weights_of(model)) == 0


# --- Newton-Schulz


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

MUON_RULE = MuonRule(0.9, 0.3, 5, torch.float64, keep_operator_norm, batched=False)
MUON_SHAPES = {"c_attn.weight": (24, 8), "c_proj.weight": (8, 8), "c_fc.weight": (32, 8), "out": (8, 32)}


def exact_muon(start, gradients, parts, rates):
    """One matrix in fp64: classic heavy-ball momentum (the running mean times a constant, which cancels),
    Nesterov, the polynomial by SVD, Keller Jordan's scale by rows over columns."""
    weight, momentum = start.clone(), torch.zeros_like(start)
    for gradient, lr in zip(gradients, rates, strict=True):
        momentum = 0.9 * momentum + gradient
        direction = gradient + 0.9 * momentum
        updates = [
            math.sqrt(max(1.0, part.size(0) / part.size(1))) * exact_newton_schulz(part, 5)
            for part in direction.split(parts or [start.size(0)])
        ]
        weight = weight - lr * 0.3 * weight - lr * torch.cat(updates)
    return weight


def muon_error(update):
    """The largest error of a weight after 6 steps in fp64 of `update`, which is called as `muon_update`."""
    generator = torch.Generator().manual_seed(2)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = [draw(shape) for shape in MUON_SHAPES.values()]
    parts = [rows_of_parts(name, shape) for name, shape in MUON_SHAPES.items()]
    gradients = [[draw(shape) for _ in range(6)] for shape in MUON_SHAPES.values()]
    expected = [exact_muon(*one, RATES[:6]) for one in zip(weights, gradients, parts, strict=True)]
    momenta = [torch.zeros_like(one) for one in weights]
    for step in range(6):
        update(weights, [one[step] for one in gradients], momenta, parts, RATES[step])
    return max(float((ours - e).abs().max()) for ours, e in zip(weights, expected, strict=True))


def with_rule(**changes):
    rule = dataclasses.replace(MUON_RULE, **changes)
    return lambda weights, gradients, momenta, parts, lr: muon_update(
        weights, gradients, momenta, parts, lr, rule
    )


@pytest.mark.parametrize("batched", [False, True])
def test_muon_follows_its_formula(batched):
    assert muon_error(with_rule(batched=batched)) < 1e-9


def with_a_rate_in_a_tensor(weights, gradients, momenta, parts, lr):
    muon_update(weights, gradients, momenta, parts, torch.tensor(lr, dtype=torch.float64), MUON_RULE)


def test_a_rate_in_a_tensor_is_the_same_rate():
    assert muon_error(with_a_rate_in_a_tensor) < 1e-9


def transposed(update):
    """Every matrix the other way round: rows and columns change places in the scale."""

    def call(weights, gradients, momenta, parts, lr):
        update([w.mT for w in weights], [g.mT for g in gradients], [m.mT for m in momenta], [None] * 4, lr)

    return call


def without_momentum(weights, gradients, momenta, parts, lr):
    muon_update(weights, gradients, [torch.zeros_like(one) for one in momenta], parts, lr, MUON_RULE)


def without_nesterov(weights, gradients, momenta, parts, lr):
    for gradient, momentum in zip(gradients, momenta, strict=True):
        momentum.lerp_(gradient, 0.1)
    rule = dataclasses.replace(MUON_RULE, momentum=0.0)
    muon_update(weights, momenta, [torch.zeros_like(one) for one in momenta], parts, lr, rule)


def not_split(weights, gradients, momenta, parts, lr):
    muon_update(weights, gradients, momenta, [None] * 4, lr, MUON_RULE)


@pytest.mark.parametrize(
    "wrong",
    [
        transposed(with_rule()),
        without_momentum,
        without_nesterov,
        not_split,
        with_rule(momentum=0.95),
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


# --- compiled


@pytest.mark.slow  # generates code for each kind of update
@compiles
@needs_compiler
def test_a_compiled_step_warms_up_without_a_trace_and_then_never_recompiles():
    # Muon holds both compiled updates. One small layer: the compiler takes its time for every parameter.
    shape = {"n_layer": 1, "n_embd": 16, "n_head": 1, "block_size": 16}
    common = {"name": "muon", "ns_dtype": "fp32", "vector_lr_ratio": 2.0}
    torch.compiler.reset()
    try:
        model = small_gpt(**shape)
        optimizer = optimizer_of(model, kernel="compiled", **common)
        before = weights_of(model)
        give_gradients(model, seed=9)
        optimizer.warm_up()
        assert relative_difference(weights_of(model), before) == 0
        torch.compiler.set_stance("fail_on_recompile")
        for step in range(6):
            give_gradients(model, seed=step)
            optimizer.set_lr(1e-3 * (1 + step % 3))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    finally:
        torch.compiler.set_stance("default")
        torch.compiler.reset()
    plain = weights_after(6, model=shape, **common)
    assert relative_difference(weights_of(model), plain) < 1e-4


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_the_compiled_kernel_asks_for_a_warm_up(kernel):
    model = small_gpt()
    optimizer = optimizer_of(model, kernel=kernel)
    assert optimizer.compiled == (kernel == "compiled")
    if not optimizer.compiled:
        optimizer.warm_up()
        assert all(group["lr"] == 1e-3 for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("kernel", "foreach", "fused"),
    [("forloop", False, False), ("foreach", True, False), ("fused", False, True)],
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_kernel_is_what_adamw_really_runs(name, kernel, foreach, fused):
    adamw = optimizer_of(small_gpt(), name=name, kernel=kernel).members[-1]
    assert (adamw.defaults["foreach"], adamw.defaults["fused"]) == (foreach, fused)


# --- the configuration


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((f"{role}_lr_ratio", bad) for role in ("embedding", "head", "vector") for bad in (0.0, -1.0)),
        *(("muon_lr", bad) for bad in (0.0, -0.1, math.inf)),
        *(("muon_momentum", bad) for bad in (-0.1, 1.0)),
        ("muon_weight_decay", -0.1),
        ("muon_scale", "spectral"),
        ("ns_steps", 0),
        ("ns_steps", 7),
        ("ns_dtype", "fp16"),
        ("ns_dtype", "fp8"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_its_name(key, value):
    with pytest.raises(ConfigError, match=f"^optimizer.{key} must be "):
        OptimizerConfig(**{key: value})
