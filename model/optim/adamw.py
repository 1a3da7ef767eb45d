"""AdamW with nanoGPT's parameter groups: tensors of two or more dimensions decay, all others do not."""

from typing import Any

import torch
from torch import nn

from model.config import OptimizerConfig

FORLOOP: dict[str, bool] = {"foreach": False, "fused": False}
FOREACH: dict[str, bool] = {"foreach": True, "fused": False}
FUSED: dict[str, bool] = {"foreach": False, "fused": True}


def adamw(config: OptimizerConfig, module: nn.Module) -> torch.optim.Optimizer:
    from model.optim import KERNELS

    parameters = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        **KERNELS[config.kernel].load(),
    )
