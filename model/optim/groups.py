"""Which role each parameter plays, and the groups that an optimizer makes of the roles.

lookup_table  logits that are looked up by the last tokens, by name
embedding     every other nn.Embedding: of tokens, positions, values
head          the weight of `lm_head`, unless it is tied: then it is an embedding
vector        everything below two dimensions: norm weights, biases, scalars
hidden        every other matrix: attention and MLP
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from model.config import OptimizerConfig

Named = list[tuple[str, nn.Parameter]]

ROLES = ("hidden", "embedding", "lookup_table", "head", "vector")


def roles(module: nn.Module) -> dict[str, Named]:
    """Every trainable parameter once, by role, in the module's order; a role may be empty."""
    embeddings = {id(one.weight) for one in module.modules() if isinstance(one, nn.Embedding)}
    heads = {
        id(one.weight)
        for name, one in module.named_modules()
        if name.rpartition(".")[2] == "lm_head" and isinstance(one, nn.Linear)
    }

    def role(name: str, parameter: nn.Parameter) -> str:
        if id(parameter) in embeddings:
            return "lookup_table" if name == "lookup_table.weight" else "embedding"
        if id(parameter) in heads:
            return "head"
        return "vector" if parameter.dim() < 2 else "hidden"

    found: dict[str, Named] = {name: [] for name in ROLES}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            found[role(name, parameter)].append((name, parameter))
    sorted_ids = sorted(id(parameter) for named in found.values() for _, parameter in named)
    assert sorted_ids == sorted({id(p) for p in module.parameters() if p.requires_grad})
    return found


def adamw_groups(
    config: OptimizerConfig, module: nn.Module, among: Iterable[str] = ROLES
) -> list[dict[str, Any]]:
    """Parameter groups of the roles `among`: nanoGPT's two (matrices decay, vectors do not) where all
    learning-rate ratios are one. Roles of equal ratio and decay share a group: fewer kernels to launch."""
    settings = {
        "hidden": (1.0, config.weight_decay),
        "embedding": (config.embedding_lr_ratio, config.weight_decay),
        "lookup_table": (config.table_lr_ratio, config.weight_decay),
        "head": (config.head_lr_ratio, config.weight_decay),
        "vector": (config.vector_lr_ratio, 0.0),
    }
    found = roles(module)
    setting_of = {id(parameter): settings[role] for role in among for _, parameter in found[role]}
    groups: dict[tuple[float, float], list[torch.Tensor]] = {}
    for parameter in module.parameters():
        if id(parameter) in setting_of:
            groups.setdefault(setting_of[id(parameter)], []).append(parameter)
    return [
        {"params": members, "lr_ratio": lr_ratio, "weight_decay": weight_decay}
        for (lr_ratio, weight_decay), members in groups.items()
    ]
