"""Groups of settings that an ablation puts back together, and which of them a recipe has changed.

A group goes back as a whole, since its settings make sense together: a rate of Muon needs Muon, a width must
be divisible by the number of heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from model.config import RunConfig, with_current_keys
from model.tables import TABLES
from search.confirm.length import at_length
from search.space.canonical import SEARCHABLE, config_key
from search.space.levers import by_function


class Group(StrEnum):
    """What an ablation puts back to the baseline's values at once."""

    SHAPE = "shape"
    BLOCK = "block"
    OPTIMIZER = "optimizer"
    BATCH = "batch"
    SCHEDULE = "schedule"
    PRECISION = "precision"
    KERNELS = "kernels"
    POWER = "power"

    @property
    def label(self) -> str:
        return _LABELS.get(self, self.value)


_LABELS = {
    Group.SCHEDULE: "schedule and length",
    Group.KERNELS: "kernels and compilation",
    Group.POWER: "power limit and clock",
}

# Every setting that a space may vary. Of a table's rows that compute the same function another rule holds:
# see `group_of`.
SETTINGS: Mapping[Group, tuple[str, ...]] = {
    Group.SHAPE: (
        *("model.n_layer", "model.n_head", "model.n_kv_head", "model.n_embd", "model.block_size"),
        "model.mlp_ratio",
    ),
    Group.BLOCK: (
        *("model.dropout", "model.bias", "model.positions", "model.norm", "model.norm_eps", "model.qk_norm"),
        *("model.mlp", "model.attention", "model.attention_window", "model.loss", "model.tied_head"),
        *("model.zero_init_projections", "model.logit_softcap", "model.embedding_skip"),
        *("model.value_embedding", "model.lookup_table", "model.lookup_rows", "model.smear"),
    ),
    Group.OPTIMIZER: (
        *("optimizer.name", "optimizer.lr", "optimizer.beta1", "optimizer.beta2", "optimizer.eps"),
        *("optimizer.weight_decay", "optimizer.grad_clip", "optimizer.embedding_lr_ratio"),
        *("optimizer.table_lr_ratio", "optimizer.head_lr_ratio", "optimizer.vector_lr_ratio"),
        *("optimizer.muon_lr", "optimizer.muon_momentum", "optimizer.muon_weight_decay"),
        *("optimizer.muon_scale", "optimizer.muon_split_qkv", "optimizer.ns_steps"),
        *("schedule.momentum_from", "schedule.momentum_warmup_fraction"),
        "schedule.momentum_cooldown_fraction",
    ),
    Group.BATCH: (
        *("train.batch_size", "train.grad_accum"),
        *("schedule.batch_ramp_fraction", "schedule.batch_ramp_from"),
        *("schedule.context_ramp_fraction", "schedule.context_ramp_from"),
    ),
    Group.SCHEDULE: (
        *("schedule.name", "schedule.warmup_steps", "schedule.decay_steps", "schedule.min_lr_ratio"),
        *("schedule.cooldown_fraction", "schedule.cooldown_shape", "schedule.average_fraction"),
        "train.max_steps",
    ),
    Group.PRECISION: ("train.precision", "optimizer.ns_dtype"),
    Group.KERNELS: (
        *("optimizer.kernel", "train.compile", "train.compile_mode", "train.compile_scope"),
        "train.processes",
    ),
    Group.POWER: ("device.power_limit_w", "device.sm_clock_mhz"),
}
_GROUPS = {path: group for group, paths in SETTINGS.items() for path in paths}
_WITH_KERNELS = frozenset({"model.attention", "model.loss", "model.mlp", "model.norm"})


@dataclass(frozen=True)
class Change:
    """A setting in which a recipe differs from the baseline."""

    path: str
    baseline: Any
    winner: Any


def group_of(path: str, winner: object, baseline: object) -> Group:
    """Two rows of a table that compute the same function differ only in their kernel: such a setting goes
    back with the kernels, and as part of the block where the functions differ."""
    if path in _WITH_KERNELS and path in TABLES and len(by_function(path, (winner, baseline))) == 1:
        return Group.KERNELS
    return _GROUPS[path]


def put_back(winner: Mapping[str, Any], baseline: Mapping[str, Any], group: Group) -> dict[str, Any]:
    """The winner's configuration with the baseline's values in `group`, at the winner's length: the warm-up
    and decay of a schedule that goes back keep the shares that they have in the baseline."""
    mine, theirs = _whole(winner), _at_length_of(_whole(baseline), winner)
    paths = [path for path in _GROUPS if group_of(path, _value(mine, path), _value(theirs, path)) is group]
    return {**winner, **_with_values(mine, theirs, paths)}


def changes(winner: Mapping[str, Any], baseline: Mapping[str, Any], group: Group) -> tuple[Change, ...]:
    """What of `group` differs and matters: settings that nothing reads are left out. Empty where the winner
    trains the same with the group put back."""
    mine, theirs = _whole(winner), _at_length_of(_whole(baseline), winner)
    if config_key(put_back(winner, baseline, group)) == config_key(mine):
        return ()
    return tuple(
        Change(path, _value(theirs, path), _value(mine, path))
        for path in _GROUPS
        if _value(mine, path) != _value(theirs, path)
        and group_of(path, _value(mine, path), _value(theirs, path)) is group
        and (_is_read(path, mine, theirs) or _is_read(path, theirs, mine))
    )


def _is_read(path: str, config: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the value of `other` at `path` would train something else."""
    return config_key(_with_values(config, other, [path])) != config_key(config)


def _whole(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every searchable setting; one that is not said has its default."""
    defaults, written = asdict(RunConfig()), with_current_keys(config)
    return {part: {**defaults[part], **written.get(part, {})} for part in SEARCHABLE}


def _at_length_of(config: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return at_length(config, _whole(other)["train"]["max_steps"])


def _value(config: Mapping[str, Any], path: str) -> Any:
    part, _, name = path.partition(".")
    return config[part][name]


def _with_values(
    config: Mapping[str, Any], source: Mapping[str, Any], paths: list[str]
) -> dict[str, dict[str, Any]]:
    """A copy with the values of `source` at `paths`."""
    copy = {part: dict(config[part]) for part in SEARCHABLE}
    for path in paths:
        part, _, name = path.partition(".")
        copy[part][name] = source[part][name]
    return copy
