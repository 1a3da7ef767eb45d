"""AdamW and its kernels against a plain fp64 reference, and wrong ones that the same checks refuse."""

import pytest
import torch
from parity import on_gpu
from small_gpt import (
    RATES,
    give_gradients,
    optimizer_of,
    relative_difference,
    small_gpt,
    weights_after,
    weights_of,
)
from this_cpu import compiles
from torch import nn

from model.optim.adamw import adamw_update

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


def linear_and_gradients(dtype, device):
    torch.manual_seed(0)
    module = nn.Linear(3, 4).to(dtype)
    gradients = [[torch.randn_like(p).to(device) for _ in RATES] for p in module.parameters()]
    return module.to(device), gradients


def adamw_error(step_of, dtype=torch.float32, device="cpu"):
    """The largest error of a weight after 20 steps against fp64. `step_of(module)` gives (set_lr, step)."""
    module, gradients = linear_and_gradients(dtype, device)
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


@compiles
@on_gpu("optimizer.kernel")
def test_adamw_on_a_gpu_follows_its_formula_by_every_kernel(row):
    """Twice the error is allowed, for what a GPU's compiler makes of a root and a power."""
    assert adamw_error(configured(row), device="cuda") < 2 * FP32_ERROR


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
