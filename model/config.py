"""What a training run is made of, as plain dataclasses that check themselves.

They import no torch: a configuration can be checked, hashed and shown where no accelerator may be touched.
The defaults are nanoGPT's documented CPU recipe for characters (README of karpathy/nanoGPT, "I only have a
macbook").
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_type_hints

from model.metric import LOSS, METRICS, Metric
from model.tables import COMPILE_MODES, MUON_SCALES, NS_DTYPES, TABLES

COOLDOWN_SHAPES = ("linear", "sqrt")
LOOKUP_TABLES = ("none", "bigram", "trigram")  # by how many last tokens choose a row
MAX_SEED = 2**63 - 1  # the largest that 64 bits hold, as torch and pandas keep it
RAMP_STARTS = (1.0, 0.5, 0.25, 0.125, 0.0625)


# Old keys and their new names: read in old files, and refused in a configuration.
_RENAMED = {
    "model.bigram_table": "model.lookup_table",
    "model.table_order": "model.lookup_table",
    "model.bigram_rows": "model.lookup_rows",
}


class ConfigError(ValueError):
    """An invalid configuration. The text is one line: what was expected, what came, what to type."""


@dataclass
class ModelConfig:
    """The network's shape and its variants.

    n_kv_head              heads of keys and values, each for n_head / n_kv_head of queries; null: n_head
    block_size             the context
    mlp_ratio              the MLP is this times n_embd wide
    positions, norm, mlp, attention, loss    rows of the tables of `model.tables`
    attention_window       how many tokens, itself included, each one sees; read by attention=sliding_window
    norm_eps               added to the mean square in every norm
    qk_norm                queries and keys are divided by their root mean square, head by head
    tied_head              the head is the token embedding
    zero_init_projections  the matrices that end attention and MLP start at zero: blocks pass on their input
    logit_softcap          keeps logits below it, as softcap tanh(logits / softcap); 0: no cap
    embedding_skip         each block takes a learned mix of its input and the embedding
    value_embedding        each token has learned values that are added to those that attention sums up
    lookup_table           learned logits are added to the head's: bigram has a row for each last token,
                           trigram for each last two tokens
    lookup_rows            the rows of the lookup table, shared by contexts of equal remainder; null: one each
    smear                  a learned share of the embedding before is added to each embedding
    """

    n_layer: int = 4
    n_head: int = 4
    n_kv_head: int | None = None
    n_embd: int = 128
    block_size: int = 64
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    bias: bool = False
    positions: str = "learned"
    norm: str = "layernorm"
    norm_eps: float = 1e-5
    qk_norm: bool = False
    mlp: str = "gelu"
    attention: str = "sdpa"
    attention_window: int = 32
    loss: str = "plain"
    tied_head: bool = True
    zero_init_projections: bool = False
    logit_softcap: float = 0.0
    embedding_skip: bool = False
    value_embedding: bool = False
    lookup_table: str = "none"
    lookup_rows: int | None = None
    smear: bool = False

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "block_size", "attention_window"):
            need(getattr(self, name) >= 1, f"model.{name}", "1 or more", getattr(self, name))
        for name in ("n_kv_head", "lookup_rows"):
            value = getattr(self, name)
            need(value is None or value >= 1, f"model.{name}", "null, or 1 or more", value)
        need(self.mlp_ratio > 0, "model.mlp_ratio", "more than 0", self.mlp_ratio)
        need(0 <= self.dropout < 1, "model.dropout", "0 or more and below 1", self.dropout)
        need_choice("model.lookup_table", self.lookup_table, LOOKUP_TABLES)
        need(self.norm_eps > 0, "model.norm_eps", "more than 0", self.norm_eps)
        need(self.logit_softcap >= 0, "model.logit_softcap", "0 (no cap) or more", self.logit_softcap)
        need(
            self.n_embd % self.n_head == 0,
            "model.n_embd",
            f"a multiple of model.n_head={self.n_head}",
            self.n_embd,
        )
        _need_row("model", self, ("attention", "mlp", "norm", "loss", "positions"))

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head

    def lookup_table_rows(self, vocab_size: int) -> int:
        """Rows of the lookup table, 0 where there is none."""
        if self.lookup_table == "none":
            return 0
        return self.lookup_rows or vocab_size ** LOOKUP_TABLES.index(self.lookup_table)

    @property
    def looks_up(self) -> bool:
        """Whether part of the model maps the last tokens to the next one by looking them up.

        A lookup table does so outright, and smearing gives it, or the head, pairs of tokens without
        attention. They buy a loss that counting would buy too, so fronts are shown with and without them. A
        value embedding is looked up as well, but by single tokens, and what it holds only counts through
        attention.
        """
        return self.lookup_table != "none" or self.smear

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def mlp_width(self) -> int:
        return max(1, round(self.mlp_ratio * self.n_embd))


@dataclass
class OptimizerConfig:
    """The optimizer and the kernel of its step. Weight decay acts on matrices only, as in nanoGPT.

    `lr` is the peak rate of AdamW's parameters; the ratios multiply it for embeddings, the lookup table, an
    untied head, and vectors (norm weights, biases). The rest is for the matrices inside the blocks under
    `name: muon`. `muon_lr` is their peak rate; `muon_scale` says how an update grows with its matrix
    (original: Keller Jordan's; match_rms_adamw: Moonshot's, with a `muon_lr` of AdamW's size);
    `muon_split_qkv` orthogonalises queries, keys and values apart; `ns_steps` Newton-Schulz steps are done in
    `ns_dtype`.
    """

    name: str = "adamw"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    kernel: str = "forloop"
    embedding_lr_ratio: float = 1.0
    table_lr_ratio: float = 1.0
    head_lr_ratio: float = 1.0
    vector_lr_ratio: float = 1.0
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    muon_weight_decay: float = 0.0
    muon_scale: str = "original"
    muon_split_qkv: bool = True
    ns_steps: int = 5
    ns_dtype: str = "bf16"

    def __post_init__(self) -> None:
        for name in (
            "lr",
            "embedding_lr_ratio",
            "table_lr_ratio",
            "head_lr_ratio",
            "vector_lr_ratio",
            "muon_lr",
        ):
            need(getattr(self, name) > 0, f"optimizer.{name}", "more than 0", getattr(self, name))
        for name in ("beta1", "beta2", "muon_momentum"):
            need(0 <= getattr(self, name) < 1, f"optimizer.{name}", "from 0 to below 1", getattr(self, name))
        need(self.eps > 0, "optimizer.eps", "more than 0", self.eps)
        for name in ("weight_decay", "muon_weight_decay"):
            need(getattr(self, name) >= 0, f"optimizer.{name}", "0 or more", getattr(self, name))
        need(1 <= self.ns_steps <= 6, "optimizer.ns_steps", "from 1 to 6", self.ns_steps)
        need_choice("optimizer.ns_dtype", self.ns_dtype, NS_DTYPES)
        need_choice("optimizer.muon_scale", self.muon_scale, MUON_SCALES)
        need(self.grad_clip >= 0, "optimizer.grad_clip", "0 (no clipping) or more", self.grad_clip)
        _need_row("optimizer", self, ("name", "kernel"))


@dataclass
class ScheduleConfig:
    """Learning rate over steps: warm-up, then decay to `min_lr_ratio` of the peak over the schedule's length.

    `decay_steps` null means `train.max_steps`. `cooldown_fraction` is the decaying part of a `trapezoid`,
    `cooldown_shape` linear or sqrt. A ramp starts at `..._ramp_from` times `train.batch_size` or
    `model.block_size` and doubles, in plateaus of equal length, until it is whole after `..._ramp_fraction`
    of the schedule's length. There is no ramp from 1, or with a fraction of 0.

    Muon's momentum rises in a straight line from `momentum_from` times `optimizer.muon_momentum` to the whole
    over the first `momentum_warmup_fraction` of the schedule's length, and falls back over the last
    `momentum_cooldown_fraction`. Over the last `average_fraction` the mean of the weights after each step is
    kept, and is the model from then on: it is evaluated, returned and saved. Training goes on from the
    weights themselves.
    """

    name: str = "cosine"
    warmup_steps: int = 100
    decay_steps: int | None = None
    min_lr_ratio: float = 0.1
    cooldown_fraction: float = 0.5
    cooldown_shape: str = "linear"
    batch_ramp_fraction: float = 0.0
    batch_ramp_from: float = 1.0
    context_ramp_fraction: float = 0.0
    context_ramp_from: float = 1.0
    momentum_from: float = 1.0
    momentum_warmup_fraction: float = 0.0
    momentum_cooldown_fraction: float = 0.0
    average_fraction: float = 0.0

    def __post_init__(self) -> None:
        need(self.warmup_steps >= 0, "schedule.warmup_steps", "0 or more", self.warmup_steps)
        need(
            self.decay_steps is None or self.decay_steps >= 1,
            "schedule.decay_steps",
            "1 or more",
            self.decay_steps,
        )
        need(0 <= self.min_lr_ratio <= 1, "schedule.min_lr_ratio", "from 0 to 1", self.min_lr_ratio)
        need(
            0 < self.cooldown_fraction <= 1,
            "schedule.cooldown_fraction",
            "above 0, at most 1",
            self.cooldown_fraction,
        )
        need_choice("schedule.cooldown_shape", self.cooldown_shape, COOLDOWN_SHAPES)
        for ramp in ("batch_ramp", "context_ramp"):
            fraction, start = getattr(self, f"{ramp}_fraction"), getattr(self, f"{ramp}_from")
            need(0 <= fraction <= 1, f"schedule.{ramp}_fraction", "from 0 to 1", fraction)
            one_of = "one of " + ", ".join(str(share) for share in RAMP_STARTS)
            need(start in RAMP_STARTS, f"schedule.{ramp}_from", one_of, start)
        need(0 < self.momentum_from <= 1, "schedule.momentum_from", "above 0, at most 1", self.momentum_from)
        for name in ("momentum_warmup_fraction", "momentum_cooldown_fraction", "average_fraction"):
            need(0 <= getattr(self, name) <= 1, f"schedule.{name}", "from 0 to 1", getattr(self, name))
        need(
            self.momentum_warmup_fraction + self.momentum_cooldown_fraction <= 1,
            "schedule.momentum_cooldown_fraction",
            f"at most 1 together with schedule.momentum_warmup_fraction={self.momentum_warmup_fraction}",
            self.momentum_cooldown_fraction,
        )
        _need_row("schedule", self, ("name",))


@dataclass
class TrainConfig:
    """How long to train, on how much at once, and in which precision. `batch_size` counts sequences,
    `grad_accum` micro-batches a step. `compile` generates kernels for forward and backward pass, of as much
    of the model as `compile_scope` says, in torch's `compile_mode`.

    `processes`: how many processes train the model together (DistributedDataParallel), each on its share of
    every step: one GPU each, or `device.threads` cores. The batch of a step stays `batch_size` times
    `grad_accum` sequences; one of the two must divide by it.
    """

    batch_size: int = 12
    grad_accum: int = 1
    max_steps: int = 2000
    precision: str = "fp32"
    compile: bool = False
    compile_mode: str = "default"
    compile_scope: str = "model"
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "grad_accum", "max_steps", "processes"):
            need(getattr(self, name) >= 1, f"train.{name}", "1 or more", getattr(self, name))
        _need_row("train", self, ("precision", "compile_mode", "compile_scope"))


@dataclass
class DeviceConfig:
    """What each GPU of a run is held to while it trains; null leaves it as it was found. The training reads
    none of it: whoever starts the run sets it, and afterwards puts back what it found.

    power_limit_w  the power limit, in watts
    sm_clock_mhz   the one clock of the multiprocessors, in MHz
    """

    power_limit_w: float | None = None
    sm_clock_mhz: int | None = None

    def __post_init__(self) -> None:
        for name in ("power_limit_w", "sm_clock_mhz"):
            value = getattr(self, name)
            need(value is None or value > 0, f"device.{name}", "null, or more than 0", value)

    @property
    def holds(self) -> bool:
        """Whether anything of a GPU is to be set."""
        return self.power_limit_w is not None or self.sm_clock_mhz is not None


# Tokens per forward pass of an evaluation, by device. It is part of the instrument: small on a CPU so that
# activations stay in cache (of 512 to 8192 tokens, 1024 and 2048 took the least time; 4096 a sixth more).
EVALUATION_TOKENS_PER_PASS = {"cpu": 1024, "cuda": 65536}


# Of an accuracy, where `evaluation.stride` does not say. On a model of 64 tokens each prediction then sees
# three quarters of its context or more, for four times the work of windows side by side.
ACCURACY_STRIDE = 16


@dataclass
class EvaluationConfig:
    """How the validation part is evaluated: its first `tokens` (null: all), in fp32.

    `stride` null: in whole windows of `context` tokens side by side. A number: as a stream, in windows as
    long as the model's block, each of which scores the `stride` tokens that follow those of the window before
    it; then `context` plays no part. An accuracy is always that of a stream, by default of
    `ACCURACY_STRIDE`. `interval` is the most steps between two evaluations; near the target they get denser.
    """

    tokens: int | None = None
    context: int = 64
    stride: int | None = None
    interval: int = 250

    def __post_init__(self) -> None:
        need(self.context >= 1, "evaluation.context", "1 or more", self.context)
        need(self.stride is None or self.stride >= 1, "evaluation.stride", "null, or 1 or more", self.stride)
        need(self.interval >= 1, "evaluation.interval", "1 or more", self.interval)
        need(
            self.tokens is None or self.tokens >= 2 * self.context,
            "evaluation.tokens",
            f"null, or at least two windows ({2 * self.context})",
            self.tokens,
        )


class EvaluationWindows(NamedTuple):
    """The windows of an evaluation of `tokens` tokens (None: all): each sees `context` tokens and scores
    `stride` predictions, those that no window before it scores. Where both are equal they lie side by side.
    """

    tokens: int | None
    context: int
    stride: int

    def scored(self, available: int) -> int:
        """How many predictions are scored of a part of `available` tokens: whole windows of what there is, or
        is asked for."""
        return (self.tokens or available - 1) // self.stride * self.stride

    @property
    def passed_per_scored(self) -> float:
        """How many tokens go through the model for each prediction that is scored."""
        return self.context / self.stride


@dataclass
class RunConfig:
    """Everything that decides what one run computes, and what its GPUs are held to meanwhile. Two runs of
    equal RunConfig and data are the same run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 1337
    target_metric: str = LOSS

    @property
    def metric(self) -> Metric:
        """What its evaluations measure."""
        return METRICS[self.target_metric]

    @property
    def windows(self) -> EvaluationWindows:
        stride = self.evaluation.stride or (ACCURACY_STRIDE if self.metric.is_error_rate else None)
        if stride is None:
            return EvaluationWindows(self.evaluation.tokens, self.evaluation.context, self.evaluation.context)
        return EvaluationWindows(self.evaluation.tokens, self.model.block_size, stride)

    @property
    def decay_steps(self) -> int:
        return self.schedule.decay_steps or self.train.max_steps

    @property
    def compiles(self) -> bool:
        """Whether anything of the run is compiled, so that it has a compile phase."""
        return self.train.compile or self.optimizer.kernel == "compiled"

    @property
    def replays_cuda_graphs(self) -> bool:
        return self.train.compile and COMPILE_MODES[self.train.compile_mode].cuda_graphs

    def value_of(self, path: str) -> Any:
        """The value of a configuration path such as model.norm."""
        section, name = path.split(".")
        return getattr(getattr(self, section), name)

    @property
    def tokens_per_step(self) -> int:
        return self.train.batch_size * self.train.grad_accum * self.model.block_size

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> RunConfig:
        """From nested plain values. Raises ConfigError for an unknown key or an invalid value."""
        parts: dict[str, type[Any]] = {
            "model": ModelConfig,
            "optimizer": OptimizerConfig,
            "schedule": ScheduleConfig,
            "train": TrainConfig,
            "device": DeviceConfig,
            "evaluation": EvaluationConfig,
        }
        unknown = set(values) - set(parts) - {"seed", "target_metric"}
        if unknown:
            raise ConfigError(
                f"unknown part {sorted(unknown)[0]!r}; a run has {', '.join(parts)}, seed and target_metric"
            )
        built: dict[str, Any] = {
            name: _build(kind, name, values.get(name, {})) for name, kind in parts.items()
        }
        seed = values.get("seed", 1337)
        check_seed("seed", seed)
        metric = values.get("target_metric", LOSS)
        need_choice("target_metric", metric, METRICS)
        return RunConfig(seed=seed, target_metric=metric, **built)


def current_path(path: str) -> str:
    """The name that a configuration path of any version has in this one."""
    return _RENAMED.get(path, path)


def renamed(path: str) -> str | None:
    """What to type in the place of a key of an earlier version, or None."""
    if path not in _RENAMED:
        return None
    now = _RENAMED[path]
    value = "NUMBER" if now == "model.lookup_rows" else " or ".join(LOOKUP_TABLES)
    return f"{path} is {now} now; type {now}={value}"


def with_current_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that any version wrote, or a part of one, with the keys of this one."""
    model = config.get("model")
    if not isinstance(model, Mapping):
        return dict(config)
    kept = {key: value for key, value in model.items() if f"model.{key}" not in _RENAMED}
    if "bigram_rows" in model:
        kept["lookup_rows"] = model["bigram_rows"]
    if {"bigram_table", "table_order"} & set(model):
        name = "trigram" if model.get("table_order") == 3 else "bigram"
        kept["lookup_table"] = name if model.get("bigram_table") else "none"
    return {**config, "model": kept}


def check_seed(path: str, seed: object) -> None:
    """Raises ConfigError unless the value `seed` of the configuration path `path` is a seed."""
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"{path} must be a whole number from 0 to {MAX_SEED}, got {seed!r}")


TYPE_NAMES: Mapping[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a name",
    type(None): "null",
}

T = TypeVar("T")


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    """Of a dataclass; reading them takes longer than all the rest."""
    return get_type_hints(kind)


def _build(kind: type[T], name: str, values: Mapping[str, Any]) -> T:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} must hold keys and values, got {values!r}")
    hints = _hints(cast(Hashable, kind))
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(
                renamed(f"{name}.{key}") or f"unknown key {name}.{key}; {name} has {', '.join(sorted(hints))}"
            )
        types = get_args(hints[key]) or (hints[key],)
        if type(value) not in types and not (float in types and type(value) is int):
            names = " or ".join(TYPE_NAMES[one] for one in types)
            raise ConfigError(f"{name}.{key} must be {names}, got {value!r}")
    return kind(**values)


def need(holds: bool, path: str, expected: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path} must be a finite number, {expected}, got {value}")
    if not holds:
        raise ConfigError(f"{path} must be {expected}, got {value}")


def need_choice(path: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{path} must be one of {', '.join(choices)}, got {value!r}")


def _need_row(section: str, config: object, names: Iterable[str]) -> None:
    for name in names:
        path = f"{section}.{name}"
        need_choice(path, getattr(config, name), TABLES[path])
