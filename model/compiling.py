"""torch.compile of a training step's forward and backward pass: in which mode, and how much of the model.

Inductor replays a graph of kernels (CUDA graphs) in two of its modes. Gradients then lie in the graph's own
memory, where the next micro-batch writes over them (PyTorch issue 169545): `model.runnable` refuses those
modes with train.grad_accum above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

import torch

from model.config import RunConfig
from model.gpt import GPT, Block, through_block, through_mlp

DEFAULT = "default"
REDUCE_OVERHEAD = "reduce-overhead"
MAX_AUTOTUNE = "max-autotune"
MAX_AUTOTUNE_NO_GRAPHS = "max-autotune-no-cudagraphs"


def import_compiler() -> None:
    """Import most of what torch.compile imports on first use. That costs seconds, and more where Python has
    not kept its own compiled files yet."""
    import_module("torch._inductor.compile_fx")
    import_module("torch._inductor.codegen.cpp")
    import_module("torch.utils.cpp_extension")


def passes_to_warm_up(config: RunConfig) -> int:
    """How many passes compile everything: CUDA graphs run once eagerly, record once, and replay from then
    on."""
    return 3 if config.replays_cuda_graphs else 2


def begin_pass(config: RunConfig) -> None:
    """Call this before each forward pass: what CUDA graphs gave in the last one may be overwritten."""
    if config.replays_cuda_graphs:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


Function = Callable[..., Any]
Compile = Callable[[Function], Function]


class Scope(Protocol):
    """Compiles its part of `model` by `compile_`; returns the loss function to call from now on."""

    def __call__(self, model: GPT, compute_loss: Function, compile_: Compile) -> Function: ...


def whole_model(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    return compile_(compute_loss)


def each_block(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    compiled = compile_(through_block)
    for block in model.blocks:
        cast("Block", block).through_block = compiled
    return compute_loss


def each_mlp(model: GPT, compute_loss: Function, compile_: Compile) -> Function:
    compiled = compile_(through_mlp)
    for block in model.blocks:
        cast("Block", block).through_mlp = compiled
    return compute_loss
