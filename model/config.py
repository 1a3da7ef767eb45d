"""What a training run is made of, as plain dataclasses that check themselves.

They import no torch: a configuration can be checked, hashed and shown where no accelerator may be touched.
The defaults are nanoGPT's documented CPU recipe for characters (README of karpathy/nanoGPT, "I only have a
macbook").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args, get_type_hints

PRECISIONS = ("fp32", "bf16")


class ConfigError(ValueError):
    """A configuration that cannot be meant. The text is one line: what was expected, what came, what to
    type."""


@dataclass
class DataConfig:
    """Which text to learn.

    `name` is a row of `model.data.DATASETS`. `path` is the file that the `text` data set reads.
    """

    name: str = "shakespeare"
    path: str | None = None


@dataclass
class ModelConfig:
    """The network's shape and its variants. The MLP is `mlp_ratio * n_embd` wide; `block_size` is the
    context."""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 64
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    bias: bool = False
    tied_head: bool = True
    attention: str = "sdpa"
    mlp: str = "gelu"
    norm: str = "layernorm"
    loss: str = "plain"

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "block_size"):
            _need(getattr(self, name) >= 1, f"model.{name}", "1 or more", getattr(self, name))
        _need(self.mlp_ratio > 0, "model.mlp_ratio", "more than 0", self.mlp_ratio)
        _need(0 <= self.dropout < 1, "model.dropout", "0 or more and below 1", self.dropout)
        _need(
            self.n_embd % self.n_head == 0,
            "model.n_embd",
            f"a multiple of model.n_head={self.n_head}",
            self.n_embd,
        )
        _need_row("model", self, ("attention", "mlp", "norm", "loss"))

    @property
    def mlp_width(self) -> int:
        return max(1, round(self.mlp_ratio * self.n_embd))


@dataclass
class OptimizerConfig:
    """The optimizer and the kernel of its step. Weight decay acts on matrices only, as in nanoGPT."""

    name: str = "adamw"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    kernel: str = "forloop"

    def __post_init__(self) -> None:
        _need(self.lr > 0, "optimizer.lr", "more than 0", self.lr)
        for name in ("beta1", "beta2"):
            _need(0 <= getattr(self, name) < 1, f"optimizer.{name}", "from 0 to below 1", getattr(self, name))
        _need(self.eps > 0, "optimizer.eps", "more than 0", self.eps)
        _need(self.weight_decay >= 0, "optimizer.weight_decay", "0 or more", self.weight_decay)
        _need(self.grad_clip >= 0, "optimizer.grad_clip", "0 (no clipping) or more", self.grad_clip)
        _need_row("optimizer", self, ("name", "kernel"))


@dataclass
class ScheduleConfig:
    """Learning rate over steps: warm-up, then decay to `min_lr_ratio` of the peak over the schedule's length.

    `decay_steps` null means `train.max_steps`. `cooldown_fraction` is the decaying part of a `trapezoid`.
    """

    name: str = "cosine"
    warmup_steps: int = 100
    decay_steps: int | None = None
    min_lr_ratio: float = 0.1
    cooldown_fraction: float = 0.5

    def __post_init__(self) -> None:
        _need(self.warmup_steps >= 0, "schedule.warmup_steps", "0 or more", self.warmup_steps)
        _need(
            self.decay_steps is None or self.decay_steps >= 1,
            "schedule.decay_steps",
            "1 or more",
            self.decay_steps,
        )
        _need(0 <= self.min_lr_ratio <= 1, "schedule.min_lr_ratio", "from 0 to 1", self.min_lr_ratio)
        _need(
            0 < self.cooldown_fraction <= 1,
            "schedule.cooldown_fraction",
            "above 0, at most 1",
            self.cooldown_fraction,
        )
        _need_row("schedule", self, ("name",))


@dataclass
class TrainConfig:
    """How long, how much at once, how exact. `batch_size` counts sequences; `grad_accum` micro-batches a
    step."""

    batch_size: int = 12
    grad_accum: int = 1
    max_steps: int = 2000
    precision: str = "fp32"
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "grad_accum", "max_steps"):
            _need(getattr(self, name) >= 1, f"train.{name}", "1 or more", getattr(self, name))
        _need_choice("train.precision", self.precision, PRECISIONS)


@dataclass
class EvaluationConfig:
    """The instrument: the first `tokens` of the validation split (null: all), as many whole windows of
    `context` as there are, in fp32.

    `interval` is the most steps between two evaluations; near the target they get denser.
    """

    tokens: int | None = None
    context: int = 64
    interval: int = 250

    def __post_init__(self) -> None:
        _need(self.context >= 1, "evaluation.context", "1 or more", self.context)
        _need(self.interval >= 1, "evaluation.interval", "1 or more", self.interval)
        _need(
            self.tokens is None or self.tokens >= 2 * self.context,
            "evaluation.tokens",
            f"null, or at least two windows ({2 * self.context})",
            self.tokens,
        )


@dataclass
class RunConfig:
    """Everything that decides what one run computes. Two runs of equal RunConfig and data are the same
    run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 1337

    @property
    def decay_steps(self) -> int:
        return self.schedule.decay_steps or self.train.max_steps

    @property
    def tokens_per_step(self) -> int:
        return self.train.batch_size * self.train.grad_accum * self.model.block_size

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> RunConfig:
        """From nested plain values. Raises ConfigError for an unknown key or a value that cannot be meant."""
        parts: dict[str, type[Any]] = {
            "model": ModelConfig,
            "optimizer": OptimizerConfig,
            "schedule": ScheduleConfig,
            "train": TrainConfig,
            "evaluation": EvaluationConfig,
        }
        unknown = set(values) - set(parts) - {"seed"}
        if unknown:
            raise ConfigError(f"unknown part {sorted(unknown)[0]!r}; a run has {', '.join(parts)} and seed")
        built: dict[str, Any] = {
            name: _build(kind, name, values.get(name, {})) for name, kind in parts.items()
        }
        seed = values.get("seed", 1337)
        if type(seed) is not int or seed < 0:
            raise ConfigError(f"seed must be a whole number from 0 on, got {seed!r}")
        return RunConfig(seed=seed, **built)


TYPE_NAMES: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a name",
    type(None): "null",
}

T = TypeVar("T")


def _build(kind: type[T], name: str, values: Mapping[str, Any]) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} must hold keys and values, got {values!r}")
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown key {name}.{key}; {name} has {', '.join(sorted(hints))}")
        types = get_args(hints[key]) or (hints[key],)
        if type(value) not in types and not (float in types and type(value) is int):
            names = " or ".join(TYPE_NAMES[one] for one in types)
            raise ConfigError(f"{name}.{key} must be {names}, got {value!r}")
    return kind(**values)


def _need(holds: bool, path: str, expected: str, value: object) -> None:
    if not holds or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"{path} must be {expected}, got {value}")


def _need_choice(path: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{path} must be one of {', '.join(choices)}, got {value!r}")


def _need_row(section: str, config: object, names: Iterable[str]) -> None:
    from model.variants import tables

    for name in names:
        path = f"{section}.{name}"
        _need_choice(path, getattr(config, name), tables()[path])
