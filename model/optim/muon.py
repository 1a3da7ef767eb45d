"""Muon: the momentum of every hidden matrix, orthogonalised; AdamW for everything else.

Keller Jordan's method (https://kellerjordan.github.io/posts/muon/). `torch.optim.Muon` computes the same, and
a test compares the two. torch's orthogonalises in bf16 alone, one matrix after another, a fused matrix of
queries, keys and values as if it were one, and takes no compiled step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.config import OptimizerConfig
from model.optim.adamw import adamw_of, load_kernel
from model.optim.groups import ROLES, Named, adamw_groups, roles
from model.optim.stepping import OptimizerSet
from model.tables import MUON_SCALES, NS_DTYPES

# The quintic of Keller Jordan's post: steepest at zero among those that keep singular values near one.
QUINTIC = (3.4445, -4.7750, 2.0315)
SMALLEST_NORM = 1e-7

Matrices = Sequence[Tensor]
Number = float | Tensor


@dataclass(frozen=True)
class MuonRule:
    """What a step does apart from its rate and momentum. `scale` (rows, columns) is the factor of an update;
    `batched`: matrices of one shape are orthogonalised together."""

    weight_decay: float
    ns_steps: int
    dtype: torch.dtype
    scale: Callable[[int, int], float]
    batched: bool


def muon(config: OptimizerConfig, module: nn.Module) -> OptimizerSet:
    """Raises ValueError for a hidden parameter that is no matrix."""
    hidden = roles(module)["hidden"]
    for name, parameter in hidden:
        if parameter.dim() != 2:
            raise ValueError(
                f"optimizer.name=muon orthogonalises matrices, and {name} has {parameter.dim()} dimensions; "
                "set optimizer.name=adamw"
            )
    rest = adamw_groups(config, module, among=[role for role in ROLES if role != "hidden"])
    members: list[torch.optim.Optimizer] = []
    if hidden:
        members.append(Muon(config, hidden))
    if rest:
        members.append(adamw_of(config, rest))
    return OptimizerSet(members, load_kernel(config).compiled)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum over named matrices. Its rate is that of `set_lr` times muon_lr / lr, its
    momentum that of `set_momentum` times muon_momentum."""

    def __init__(self, config: OptimizerConfig, named: Named) -> None:
        kernel = load_kernel(config)
        group: dict[str, Any] = {
            "params": [parameter for _, parameter in named],
            "lr_ratio": config.muon_lr / config.lr,
            "whole_momentum": config.muon_momentum,
        }
        super().__init__([group], {"lr": config.muon_lr, "momentum": config.muon_momentum})
        self._rows = {
            parameter: rows_of_parts(name, parameter.shape) if config.muon_split_qkv else None
            for name, parameter in named
        }
        self._rule = MuonRule(
            weight_decay=config.muon_weight_decay,
            ns_steps=config.ns_steps,
            dtype=NS_DTYPES[config.ns_dtype].load(),
            scale=MUON_SCALES[config.muon_scale].load(),
            batched=kernel.batched,
        )
        self._update: Callable[..., None] = muon_update
        if kernel.compiled:
            device = named[0][1].device
            self.param_groups[0]["lr"] = torch.tensor(config.muon_lr, dtype=torch.float32, device=device)
            self._update = torch.compile(muon_update, fullgraph=True, dynamic=False)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        matrices = [one for one in group["params"] if one.grad is not None]
        for one in matrices:
            if one not in self.state:
                self.state[one] = {"momentum": torch.zeros_like(one)}
        self._update(
            matrices,
            [one.grad for one in matrices],
            [self.state[one]["momentum"] for one in matrices],
            [self._rows[one] for one in matrices],
            group["lr"],
            group["momentum"],
            self._rule,
        )


def rows_of_parts(name: str, shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Rows of queries, keys and values in a fused `c_attn` weight, (C + 2 K, C): K channels of keys, fewer
    where queries share them. None for a matrix that is not fused."""
    rows, columns = shape
    if not name.endswith("c_attn.weight") or rows <= columns or (rows - columns) % 2:
        return None
    return columns, (rows - columns) // 2, (rows - columns) // 2


def muon_update(
    matrices: Matrices,
    gradients: Matrices,
    momenta: Matrices,
    rows: Sequence[tuple[int, ...] | None],
    lr: Number,
    momentum: Number,
    rule: MuonRule,
) -> None:
    """One step in place: w <- (1 - lr decay) w - lr scale NS(g + momentum (m - g)), where m is the running
    mean of the gradients g. `rows` are those of a fused matrix's parts, which are orthogonalised apart."""
    targets: list[Tensor] = []
    directions: list[Tensor] = []
    for matrix, gradient, mean, parts in zip(matrices, gradients, momenta, rows, strict=True):
        direction = _nesterov(gradient, mean, momentum)
        matrix.mul_(1 - lr * rule.weight_decay)
        targets += torch.split(matrix, list(parts)) if parts else [matrix]
        directions += torch.split(direction, list(parts)) if parts else [direction]
    orthogonal = _orthogonalise(directions, rule)
    for target, update in zip(targets, orthogonal, strict=True):
        scale = rule.scale(*target.shape)
        if isinstance(lr, Tensor):
            target.sub_(update.to(target.dtype) * (lr * scale))
        else:
            target.sub_(update, alpha=lr * scale)


def _nesterov(gradient: Tensor, mean: Tensor, momentum: Number) -> Tensor:
    """The direction, after `mean` has taken the gradient in."""
    if isinstance(momentum, Tensor):  # lerp wants it in the matrix's format, and bf16 rounds 0.95 to 0.949
        mean.add_((gradient - mean) * (1 - momentum))
        return gradient + (mean - gradient) * momentum
    mean.lerp_(gradient, 1 - momentum)
    return gradient.lerp(mean, momentum)


def _orthogonalise(directions: Matrices, rule: MuonRule) -> list[Tensor]:
    if not rule.batched:
        return [newton_schulz(one, rule.ns_steps, rule.dtype) for one in directions]
    positions: dict[tuple[int, ...], list[int]] = {}
    for position, one in enumerate(directions):
        positions.setdefault(tuple(one.shape), []).append(position)
    found: dict[int, Tensor] = {}
    for alike in positions.values():
        stack = torch.stack([directions[position].to(rule.dtype) for position in alike])
        together = newton_schulz(stack, rule.ns_steps, rule.dtype).unbind()
        found.update(zip(alike, together, strict=True))
    return [found[position] for position in range(len(directions))]


def newton_schulz(matrix: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """About U V^T of `matrix` = U S V^T, of shape (rows, columns) or (count, rows, columns), in `dtype`.

    Every step maps the singular values, at most one after dividing by the Frobenius norm, by
    a s + b s^3 + c s^5. Five steps bring those above 0.003 to between 0.68 and 1.21, three those above 0.03.
    """
    a, b, c = QUINTIC
    x = matrix.to(dtype)
    tall = matrix.size(-2) > matrix.size(-1)
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=SMALLEST_NORM)
    add_product = torch.addmm if matrix.dim() == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT
        x = add_product(x, add_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def keep_operator_norm(rows: int, columns: int) -> float:
    """Keller Jordan's: an update of equal size for every output, however wide the input."""
    return math.sqrt(max(1.0, rows / columns))


def match_adamw(rows: int, columns: int) -> float:
    """An update of AdamW's usual root mean square, 0.2 (Moonshot, arXiv 2502.16982): `muon_lr` is then of the
    size of `lr`."""
    return 0.2 * math.sqrt(max(rows, columns))
