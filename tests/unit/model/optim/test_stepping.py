"""A step as the configured kernel makes it, compiled or not."""

import pytest
import torch
from parity import on_gpu
from small_gpt import give_gradients, optimizer_of, relative_difference, small_gpt, weights_after, weights_of
from this_cpu import compiles, needs_compiler

from model.optim.stepping import OptimizerSet
from model.tables import KERNELS, OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_gone_after_zero_grad(name):
    model = small_gpt()
    optimizer = optimizer_of(model, name=name)
    give_gradients(model, seed=0)
    optimizer.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in model.parameters())


def test_the_momentum_is_a_share_of_muons_and_no_other_optimizer_reads_it():
    muon, adamw = optimizer_of(small_gpt(), name="muon", muon_momentum=0.8).members
    both = OptimizerSet([muon, adamw])
    others = [dict(group) for group in adamw.param_groups]
    assert muon.param_groups[0]["momentum"] == 0.8
    for share in (0.5, 1.0):
        both.set_momentum(share)
        assert [group["momentum"] for group in muon.param_groups] == [0.8 * share]
    assert all(a.keys() == b.keys() for a, b in zip(adamw.param_groups, others, strict=True))


def test_a_lower_momentum_trains_otherwise_and_a_whole_one_the_same_bit_for_bit():
    plain = weights_after(3, name="muon")
    whole, half = (weights_after(3, name="muon", momentum_share=share) for share in (1.0, 0.5))
    assert all(map(torch.equal, whole, plain))
    assert relative_difference(half, plain) > 1e-3


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
        optimizer.warm_up(momentum_changes=True)
        assert relative_difference(weights_of(model), before) == 0
        torch.compiler.set_stance("fail_on_recompile")
        for step in range(6):
            give_gradients(model, seed=step)
            optimizer.set_lr(1e-3 * (1 + step % 3))
            optimizer.set_momentum(0.9)
            optimizer.set_momentum(0.8)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    finally:
        torch.compiler.set_stance("default")
        torch.compiler.reset()
    plain = weights_after(6, model=shape, momentum_share=0.8, **common)
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


@on_gpu("optimizer.name")
def test_an_optimizer_trains_on_a_gpu_as_on_a_cpu(row):
    """Within 1e-3, as one kernel of Muon trains as another; the two optimizers are 10 times as far apart."""
    ours, plain = (weights_after(5, device, name=row, ns_dtype="fp32") for device in ("cuda", "cpu"))
    assert relative_difference(ours, plain) < 1e-3
