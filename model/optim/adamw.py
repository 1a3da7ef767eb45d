"""AdamW with nanoGPT's weight decay: tensors of two or more dimensions decay, all others do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.config import OptimizerConfig
from model.optim.groups import adamw_groups
from model.optim.stepping import OptimizerSet
from model.tables import KERNELS


@dataclass(frozen=True)
class Kernel:
    """How a step runs over the parameters; `batched` is for Muon: matrices of one shape in one matmul."""

    foreach: bool = False
    fused: bool = False
    compiled: bool = False
    batched: bool = True


FORLOOP = Kernel(batched=False)
FOREACH = Kernel(foreach=True)
FUSED = Kernel(fused=True)
COMPILED = Kernel(compiled=True)


def adamw(config: OptimizerConfig, module: nn.Module) -> OptimizerSet:
    kernel = load_kernel(config)
    return OptimizerSet([adamw_of(config, adamw_groups(config, module))], kernel.compiled)


def load_kernel(config: OptimizerConfig) -> Kernel:
    kernel: Kernel = KERNELS[config.kernel].load()
    return kernel


def adamw_of(config: OptimizerConfig, groups: Sequence[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW of `groups`, at least one, with the configured kernel."""
    kernel = load_kernel(config)
    if kernel.compiled:
        return CompiledAdamW(config, groups)
    return torch.optim.AdamW(
        list(groups),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        foreach=kernel.foreach,
        fused=kernel.fused,
    )


class CompiledAdamW(torch.optim.Optimizer):
    """AdamW whose whole step is one compiled graph.

    torch's own `step` breaks the graph and, at a learning rate that is a number, compiles again whenever it
    changes (2.13). Here the rate is a tensor, and one counter of steps serves all parameters of a group.
    """

    def __init__(self, config: OptimizerConfig, groups: Sequence[dict[str, Any]]) -> None:
        super().__init__(list(groups), {"betas": (config.beta1, config.beta2), "eps": config.eps})
        for group in self.param_groups:
            device = group["params"][0].device
            group["lr"] = torch.tensor(config.lr, dtype=torch.float32, device=device)
            group["steps_done"] = torch.zeros((), dtype=torch.float32, device=device)
        self._update: Callable[..., None] = torch.compile(adamw_update, fullgraph=True, dynamic=False)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self._update([self._arguments(group) for group in self.param_groups])

    def _arguments(self, group: dict[str, Any]) -> "AdamWArguments":
        parameters = [one for one in group["params"] if one.grad is not None]
        for one in parameters:
            if one not in self.state:
                self.state[one] = {"m": torch.zeros_like(one), "v": torch.zeros_like(one)}
        return (
            (parameters, [one.grad for one in parameters]),
            ([self.state[one]["m"] for one in parameters], [self.state[one]["v"] for one in parameters]),
            (group["lr"], group["steps_done"]),
            (*group["betas"], group["eps"], group["weight_decay"]),
        )


AdamWArguments = tuple[
    tuple[list[Tensor], list[Tensor]],
    tuple[list[Tensor], list[Tensor]],
    tuple[Tensor, Tensor],
    tuple[float, float, float, float],
]


def adamw_update(groups: Sequence[AdamWArguments]) -> None:
    """Loshchilov and Hutter's algorithm 2 (arXiv 1711.05101) in place, as torch: the decay is scaled by the
    rate. A group is (parameters, gradients), (first, second moments), (rate, steps done), (beta1, beta2, eps,
    decay)."""
    for (parameters, gradients), (firsts, seconds), (lr, steps_done), (b1, b2, eps, decay) in groups:
        steps_done.add_(1)
        size = lr / (1 - b1**steps_done)
        root = (1 - b2**steps_done).sqrt()
        kept = 1 - lr * decay
        for p, g, m, v in zip(parameters, gradients, firsts, seconds, strict=True):
            m.lerp_(g, 1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            p.mul_(kept).sub_(size * m / (v.sqrt() / root + eps))
