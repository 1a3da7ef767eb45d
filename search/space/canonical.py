"""One form for all configurations that train the same thing: what is compared before anything is run twice.

A setting that nothing reads, given the others, is left out; one that stands for another is replaced by what
it means. Two forms are equal where every step of the training is the same, up to the twelfth digit of a
setting; decays of one or two steps, where all schedules coincide, are told apart all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.config import ConfigError, ModelConfig, OptimizerConfig, RunConfig, with_current_keys
from model.schedule import averaged_from, learning_rate, plateaus, share_in_steps
from model.tables import idle_settings

# The evaluation is the instrument and the data the problem: neither may be searched.
SEARCHABLE = ("model", "optimizer", "schedule", "train", "device")
DIGITS = 12
_OF_MUON = (
    *("muon_lr", "muon_momentum", "muon_weight_decay", "muon_scale", "muon_split_qkv"),
    *("ns_steps", "ns_dtype"),
)


def config_key(config: Mapping[str, Any], vocab_size: int | None = None) -> str:
    """Equal for configurations that train the same thing; the seed and the instrument do not count.

    `vocab_size`, where it is known, gives the rows of a lookup table with `lookup_rows: null`.
    """
    written = with_current_keys({part: config[part] for part in SEARCHABLE if part in config})
    try:
        form: Mapping[str, Any] = canonical(RunConfig.from_mapping(written), vocab_size)
    except ConfigError:  # of another version: as it is written
        form = written
    return json.dumps(plain(form), sort_keys=True)


def canonical(config: RunConfig, vocab_size: int | None = None) -> dict[str, Any]:
    """What the training reads and what its GPUs are held to, and nothing else."""
    return {
        "model": _model(config.model, vocab_size),
        "optimizer": _optimizer(config.optimizer, config.model),
        "rate": _rate(config),
        "momentum": _momentum(config),
        "averaged_from": _averaged_from(config),
        "shapes": [(one.first_step, one.batch_size, one.context) for one in plateaus(config)],
        "train": _train(config),
        "device": {name: value for name, value in asdict(config.device).items() if value is not None},
    }


def _model(model: ModelConfig, vocab_size: int | None) -> dict[str, Any]:
    form = asdict(model) | {
        "n_kv_head": model.kv_heads,
        "mlp_ratio": model.mlp_width,
        "attention_window": min(model.attention_window, model.block_size),
    }
    form = _without(form, *idle_settings(model))
    if model.lookup_table == "none":
        return _without(form, "lookup_rows")
    if vocab_size is None:
        return form
    rows = model.lookup_table_rows(vocab_size)
    # A row is (last + vocab_size x the one before) modulo rows: here the token before drops out.
    name = "bigram" if vocab_size % rows == 0 else model.lookup_table
    return form | {"lookup_rows": rows, "lookup_table": name}


def _optimizer(optimizer: OptimizerConfig, model: ModelConfig) -> dict[str, Any]:
    """Without the rates of parameters that this model does not have."""
    idle: tuple[str, ...] = () if optimizer.name == "muon" else _OF_MUON
    if model.lookup_table == "none":
        idle += ("table_lr_ratio",)
    if model.tied_head:
        idle += ("head_lr_ratio",)
    if not _has_vectors(model):
        idle += ("vector_lr_ratio",)
    return _without(asdict(optimizer), *idle)


def _has_vectors(model: ModelConfig) -> bool:
    """Whether any parameter has fewer than two dimensions."""
    weighted = not model.norm.endswith("_weightless")
    return weighted or model.bias or model.embedding_skip or model.value_embedding or model.smear


def _train(config: RunConfig) -> dict[str, Any]:
    form = _without(asdict(config.train), "batch_size")  # see `shapes`
    return form if config.train.compile else _without(form, "compile_mode", "compile_scope")


def _rate(config: RunConfig) -> dict[str, Any]:
    """The learning rate over the steps of the run, as a share of its peak."""
    schedule, max_steps, decay_steps = config.schedule, config.train.max_steps, config.decay_steps
    warmup_steps = min(schedule.warmup_steps, max_steps)
    if schedule.warmup_steps >= max_steps:  # it never peaks
        return {"warmup_steps": schedule.warmup_steps}
    if decay_steps <= warmup_steps:
        return {"warmup_steps": warmup_steps, "then": schedule.min_lr_ratio}
    if _stays_at_its_peak(config):
        return {"warmup_steps": warmup_steps, "then": 1.0}
    form = {
        "warmup_steps": warmup_steps,
        "name": schedule.name,
        "decay_steps": decay_steps,
        "min_lr_ratio": schedule.min_lr_ratio,
    }
    if schedule.name != "trapezoid":
        return form
    if schedule.cooldown_fraction == 1.0 and schedule.cooldown_shape == "linear":
        return form | {"name": "linear"}
    return form | {"cooldown": [schedule.cooldown_fraction, schedule.cooldown_shape]}


def _stays_at_its_peak(config: RunConfig) -> bool:
    """No schedule rises, so its last step tells."""
    return _share_of_peak(config.train.max_steps - 1, config) == 1.0


def _share_of_peak(step: int, config: RunConfig) -> float:
    return learning_rate(step, 1.0, config.schedule, config.decay_steps)


def _momentum(config: RunConfig) -> dict[str, Any] | None:
    """How Muon's momentum changes over the steps of the run; None where it stays."""
    schedule, optimizer = config.schedule, config.optimizer
    if optimizer.name != "muon" or optimizer.muon_momentum == 0.0 or schedule.momentum_from == 1.0:
        return None
    form: dict[str, Any] = {}
    if rise := share_in_steps(schedule.momentum_warmup_fraction, config):
        form["rises_until"] = rise
    if fall := share_in_steps(schedule.momentum_cooldown_fraction, config):
        start = config.decay_steps - fall
        if _trains(start + 1, config):
            form["falls"] = [start, fall]
    return form | {"from": schedule.momentum_from} if form else None


def _averaged_from(config: RunConfig) -> int | None:
    """The first step after which weights are averaged; None where the mean is the weights at the end."""
    start = averaged_from(config)
    return start if start is not None and _trains(start + 1, config) else None


def _trains(step: int, config: RunConfig) -> bool:
    """Whether weights move in this step of the run or in one after it. No schedule rises after its warm-up,
    in which the rate is above 0."""
    return step < config.train.max_steps and _share_of_peak(step, config) > 0.0


def _without(form: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in form.items() if name not in names}


def plain(value: Any) -> Any:
    """A value as it is compared: 4 and 4.0 are one value, and so are 0.3 and the sum of three tenths."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
