"""What a configuration's step is counted as, and what torch really runs in one step of it on a CPU."""

from __future__ import annotations

import contextlib
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.config import (
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TrainConfig,
)
from model.gpt import GPT
from model.tables import OPTIMIZERS
from model.tables import PRECISIONS as PRECISION_ROWS
from model.work import (
    step_work,
)

VOCAB = 65
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 48}
UNFUSED = ("manual", "sdpa_math", "sliding_window")
ON_A_CPU = tuple(name for name, row in PRECISION_ROWS.items() if "cpu" in row.devices)
GROUPED = {"n_head": 4, "n_kv_head": 2}


def run_config(model=None, train=None, **optimizer):
    return RunConfig(
        model=ModelConfig(**{**SMALL, **(model or {})}),
        train=TrainConfig(**{"batch_size": 4, **(train or {})}),
        optimizer=OptimizerConfig(**optimizer),
    )


def take_a_step(config, watch):
    """One real optimizer step on the CPU under `watch`, the second of its run: the states exist."""
    torch.manual_seed(0)
    network = GPT(config.model, VOCAB)
    precision = PRECISION_ROWS[config.train.precision].load()
    precision.prepare(network)
    optimizer = OPTIMIZERS[config.optimizer.name].load()(config.optimizer, network)
    tokens = torch.randint(VOCAB, (config.train.batch_size, config.model.block_size))
    for context in (contextlib.nullcontext(), watch):
        with context:
            for _ in range(config.train.grad_accum):
                with precision.forward("cpu"):
                    loss = network.loss(tokens, tokens)
                torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return watch


class Operands(TorchDispatchMode):
    """Bytes of every kernel's operands and results, and operations of the matmuls by the type they run in."""

    def __init__(self):
        super().__init__()
        self.bytes_moved = 0
        self.matmul_flops = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = str(function)
        if not function.is_view and name not in ("aten.detach.default", "aten._unsafe_view.default"):
            tensors = [one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)]
            self.bytes_moved += sum(one.numel() * one.element_size() for one in tensors)
        if name in ("aten.mm.default", "aten.addmm.default", "aten.bmm.default", "aten.baddbmm.default"):
            left = args[-2]
            self.matmul_flops[str(left.dtype)] += 2 * left.shape[-1] * result.numel()
        return result


def flops_of(precision, **model):
    return step_work(run_config(model, {"precision": precision}), VOCAB).matmul_flops
