"""torch.compile of a training step's forward and backward pass: what it aims at, and how much of the model.

Inductor replays a graph of kernels (CUDA graphs) in two of its modes. Gradients then lie in the graph's own
memory, where the next micro-batch writes over them (PyTorch issue 169545): `model.variants` refuses those
modes with train.grad_accum above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from model.variants import Variant

if TYPE_CHECKING:
    from model.config import RunConfig
    from model.gpt import GPT, Block

_CUDA = frozenset({"cuda"})

DEFAULT = "default"
REDUCE_OVERHEAD = "reduce-overhead"
MAX_AUTOTUNE = "max-autotune"
MAX_AUTOTUNE_NO_GRAPHS = "max-autotune-no-cudagraphs"

COMPILE_MODES = {
    DEFAULT: Variant("model.compiling:DEFAULT", "one kernel for what can be fused: torch's default"),
    REDUCE_OVERHEAD: Variant(
        "model.compiling:REDUCE_OVERHEAD", "the same kernels, replayed as CUDA graphs", devices=_CUDA
    ),
    MAX_AUTOTUNE: Variant(
        "model.compiling:MAX_AUTOTUNE", "tries kernels for each matmul, then CUDA graphs", devices=_CUDA
    ),
    # On a CPU, which has no graphs to replay, this is the one name of it.
    MAX_AUTOTUNE_NO_GRAPHS: Variant(
        "model.compiling:MAX_AUTOTUNE_NO_GRAPHS", "tries kernels for each matmul"
    ),
}
CUDA_GRAPHS = frozenset({REDUCE_OVERHEAD, MAX_AUTOTUNE})

COMPILE_SCOPES = {
    "model": Variant("model.compiling:whole_model", "forward pass and loss are one graph"),
    "block": Variant(
        "model.compiling:each_block", "one graph for every block, compiled once for all of them"
    ),
    "mlp": Variant(
        "model.compiling:each_mlp", "one graph for norm and MLP of every block; the rest is eager"
    ),
}


def import_compiler() -> None:
    """Import most of what torch.compile imports on first use. That costs seconds, and more where Python has
    not kept its own compiled files yet."""
    import_module("torch._inductor.compile_fx")
    import_module("torch._inductor.codegen.cpp")
    import_module("torch.utils.cpp_extension")


def replays_graphs(config: RunConfig) -> bool:
    return config.train.compile and config.train.compile_mode in CUDA_GRAPHS


def passes_to_warm_up(config: RunConfig) -> int:
    """CUDA graphs run once eagerly, once recording, and replay from the third pass on."""
    return 3 if replays_graphs(config) else 2


def begin_pass(config: RunConfig) -> None:
    """Say, before each forward pass, that what CUDA graphs gave in the last one is not needed any more."""
    if replays_graphs(config):
        import torch

        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


Function = Callable[..., Any]
Compile = Callable[[Function], Function]


class Scope(Protocol):
    """Compiles its part of `model` by `compile_`; returns the loss function to call from now on."""

    def __call__(self, model: GPT, compute_loss: Function, compile_: Compile) -> Function: ...


def whole_model(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    return compile_(compute_loss)


def each_block(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    from model.gpt import through_block

    compiled = compile_(through_block)
    for block in model.blocks:
        cast("Block", block).through_block = compiled
    return compute_loss


def each_mlp(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    from model.gpt import through_mlp

    compiled = compile_(through_mlp)
    for block in model.blocks:
        cast("Block", block).through_mlp = compiled
    return compute_loss
