"""One or more torch optimizers stepped as one, at learning rates in fixed ratios and a momentum that may
change."""

from collections.abc import Sequence
from typing import Any

import torch


class OptimizerSet:
    """Optimizers of disjoint parameters, stepped one after another.

    Each group's rate is that of `set_lr` times the group's "lr_ratio" (1 where it has none). Its momentum,
    where it has a "whole_momentum", is `set_momentum`'s share of that. What changes under a compiled kernel
    is a tensor: it would compile again for every number.
    """

    def __init__(self, members: Sequence[torch.optim.Optimizer], compiled: bool = False) -> None:
        self.members = tuple(members)
        self.compiled = compiled
        self.param_groups: list[dict[str, Any]] = [
            group for member in members for group in member.param_groups
        ]

    def set_lr(self, lr: float) -> None:
        """`lr` is the schedule's rate for parameters of ratio one, whose peak is `optimizer.lr`."""
        for group in self.param_groups:
            _set(group, "lr", lr * group.get("lr_ratio", 1.0))

    def set_momentum(self, share: float) -> None:
        """Of the momentum of Muon's groups. Groups of other optimizers stay as they are."""
        for group in self.param_groups:
            if "whole_momentum" in group:
                _set(group, "momentum", share * group["whole_momentum"])

    def step(self) -> None:
        for member in self.members:
            member.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for member in self.members:
            member.zero_grad(set_to_none=set_to_none)

    def warm_up(self, momentum_changes: bool = False) -> None:
        """Compile the step on the gradients that a backward pass left, before the first true step.

        Steps at a rate of zero on gradients of zero, so parameters and moments end as they began. The next
        step needs a `set_lr` before it and fresh gradients. Without a compiled kernel nothing happens.
        `momentum_changes` says whether `set_momentum` will be called with another share than 1.
        """
        if not self.compiled:
            return
        for group in self.param_groups:
            if momentum_changes and "whole_momentum" in group:
                device = group["params"][0].device
                group["momentum"] = torch.tensor(group["momentum"], dtype=torch.float32, device=device)
        self.set_lr(0.0)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.zero_()
        for _ in range(2):
            self.step()
        for group in self.param_groups:
            if "steps_done" in group:
                group["steps_done"].zero_()


def _set(group: dict[str, Any], name: str, value: float) -> None:
    if isinstance(group[name], torch.Tensor):
        group[name].fill_(value)
    else:
        group[name] = value
