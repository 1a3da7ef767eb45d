"""The schema of a study: every key that a person can set, its type, its default, and what it may hold.

Composition (Hydra) fills `StudyConfig`; `check` says in one line what cannot be meant. Defaults live in
`conf/`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import MISSING

from model.config import (
    ConfigError,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
    check_seed,
)
from model.data import DATASETS
from search.config.cores import Cores, usable_cores
from search.files.paths import folder_name
from search.meter.gpu.source import GPU_ENERGY
from search.meter.settings import MeterSection
from search.meter.simulated.program import Program
from search.record.limits import Limits
from search.record.objective import OBJECTIVES
from search.record.record import CountedPhases
from search.record.target import AUTO
from search.space.canonical import SEARCHABLE
from search.space.space import Space, never_varies, parse_space

SAMPLERS = ("tpe", "nsgaii", "random")
METERS = ("nvml", "rapl", "zeus", "cpu_time", "roofline", "simulated")
DEVICES = ("auto", "cpu", "cuda")
NAME_LENGTH = 120


@dataclass
class StudySection:
    """`name` is also the folder under `reports/`. The same `seed` gives the same study."""

    name: str = MISSING
    seed: int = 0
    description: str = ""


@dataclass
class BudgetSection:
    """What the study and each run may spend; null is no limit. `n_trials` counts every trial, failed ones
    too, but not the runs that only look for the target or repeat the baseline.

    `hang_s`: a worker that says nothing for so long is replaced, and its trial is CRASHED.
    """

    n_trials: int = 20
    study_energy_j: float | None = None
    run_energy_j: float | None = None
    run_time_s: float | None = None
    run_tokens: int | None = None
    hang_s: float = 600.0


@dataclass
class DeviceSection:
    """`id`: a CUDA index or a UUID, null for the first. `threads`: of torch on a CPU; one makes runs repeat
    exactly.

    `wait`: wait for a device that another study holds; false fails at once. `temperature_band_c`: [low, high]
    in degrees Celsius that every run starts from (cooled by waiting, warmed by work), null for none;
    `band_limit_s`: how long to try before a run starts outside it, flagged.
    """

    name: str = "auto"
    id: str | None = None
    threads: int = 1
    wait: bool = True
    temperature_band_c: list[float] | None = None
    band_limit_s: float = 300.0


@dataclass
class ObjectiveSection:
    names: list[str] = field(default_factory=lambda: ["energy_to_target_j", "time_to_target_s"])


@dataclass
class SamplerSection:
    """`n_startup_trials` are drawn at random before the sampler trusts what it has seen."""

    name: str = "tpe"
    n_startup_trials: int = 10


@dataclass
class NoiseSection:
    """How often the baseline runs, so that a study can say how far two runs of one configuration differ:
    `runs` times at least (1: not measured), and up to `max_runs` while one more run may differ by over
    `enough` (0.1: a tenth) and the best trial is not clear of that. These runs come on top of `n_trials`.
    """

    runs: int = 2
    max_runs: int = 4
    enough: float = 0.1


@dataclass
class StudyConfig:
    """The whole. `model`, `optimizer`, `schedule` and `train` are the baseline; `space` says what may
    vary; `reports` is the folder that studies are written to, null for the repository's own. `target_loss` is
    in nats per token, or `auto`: what the baseline ends at, plus `target_margin`."""

    study: StudySection = field(default_factory=StudySection)
    target_loss: float | int | str = 1.905
    target_margin: float = 0.01
    budget: BudgetSection = field(default_factory=BudgetSection)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 1337
    space: dict[str, Any] = field(default_factory=dict)
    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    sampler: SamplerSection = field(default_factory=SamplerSection)
    noise: NoiseSection = field(default_factory=NoiseSection)
    meter: MeterSection = field(default_factory=MeterSection)
    device: DeviceSection = field(default_factory=DeviceSection)
    reports: str | None = None
    storage: str = "auto"
    recipe: str | None = None
    output: str | None = None

    def run_values(self) -> dict[str, Any]:
        """The baseline's RunConfig as nested plain values."""
        parts = {part: asdict(getattr(self, part)) for part in (*SEARCHABLE, "evaluation")}
        return parts | {"seed": self.seed}

    def run_config(self) -> RunConfig:
        return RunConfig.from_mapping(self.run_values())

    def limits(self) -> Limits:
        return Limits(self.budget.run_energy_j, self.budget.run_time_s, self.budget.run_tokens)

    def parsed_space(self) -> Space:
        return parse_space(self.space, self.run_values())

    @property
    def counted_phases(self) -> CountedPhases:
        return CountedPhases(self.meter.counted_phases)


def check_run(config: StudyConfig) -> None:
    """Raises ConfigError for whatever one run needs and is not so."""
    _check_target(config.target_loss)
    _number("target_margin", config.target_margin, at_least=0)
    _choice("data", config.data.name, DATASETS)
    check_meter(config.meter)
    _choice("device.name", config.device.name, DEVICES)
    _number("device.threads", config.device.threads, at_least=1)
    _check_threads(config.device.threads, usable_cores())
    _number("device.band_limit_s", config.device.band_limit_s, at_least=0)
    band = config.device.temperature_band_c
    if band is not None and not (len(band) == 2 and math.isfinite(band[0]) and band[0] < band[1]):
        raise ConfigError(f"device.temperature_band_c must be [low, high] in degrees Celsius, got {band}")
    _number("budget.hang_s", config.budget.hang_s, above=0)
    for name in ("run_energy_j", "run_time_s", "run_tokens", "study_energy_j"):
        value = getattr(config.budget, name)
        if value is not None:
            _number(f"budget.{name}", value, above=0)
    check_seed("seed", config.seed)
    config.run_config()


def _check_target(target_loss: float | str) -> None:
    if isinstance(target_loss, str) and target_loss != AUTO:
        raise ConfigError(
            f"target_loss must be a number in nats per token, or auto for what the baseline ends at, got "
            f"{target_loss!r}"
        )
    if not isinstance(target_loss, str):
        _number("target_loss", target_loss, above=0)


def _check_threads(threads: int, cores: Cores) -> None:
    """Threads that share a core wait for each other, mostly spinning: 64 on two cores cost 100 times one's
    joules."""
    if threads > cores.threads:
        raise ConfigError(
            f"device.threads={threads} is more than this process may use ({cores.describe()}); "
            f"type device.threads={cores.threads} or fewer"
        )


def check_meter(meter: MeterSection) -> None:
    """Raises ConfigError."""
    _choice("meter.name", meter.name, ("auto", *METERS))
    for name in meter.also:
        _choice("meter.also", name, METERS)
    for name in (name for name in meter.also if meter.also.count(name) > 1 or name == meter.name):
        raise ConfigError(f"meter.also names {name}, which is read already; name each meter once")
    _choice("meter.counted_phases", meter.counted_phases, [policy.value for policy in CountedPhases])
    _number("meter.watts_per_core", meter.watts_per_core, above=0)
    _number("meter.static_w", meter.static_w, at_least=0)
    _number("meter.idle_s", meter.idle_s, at_least=0)
    _choice("meter.gpu_energy", meter.gpu_energy, GPU_ENERGY)
    if meter.gpus is not None and not meter.gpus:
        raise ConfigError("meter.gpus must name a GPU or more, or be null for the one that trains")
    if meter.gpus is not None and meter.name == "zeus":
        raise ConfigError("meter.gpus is for NVIDIA GPUs; meter=zeus reads the device that trains")
    if "roofline" in (meter.name, *meter.also):
        _number("meter.roofline.pj_per_byte", meter.roofline.pj_per_byte, above=0)
        for precision, value in meter.roofline.pj_per_flop.items():
            _choice("meter.roofline.pj_per_flop", precision, ("fp32", "tf32", "bf16", "fp8"))
            _number(f"meter.roofline.pj_per_flop.{precision}", value, above=0)
        if meter.roofline.compile_j is not None:
            _number("meter.roofline.compile_j", meter.roofline.compile_j, above=0)
    if "simulated" in (meter.name, *meter.also):
        Program.from_mapping(meter.simulated)


def check_study(config: StudyConfig) -> Space:
    """`check_run`, and everything that a study adds; returns its space. Raises ConfigError."""
    check_run(config)
    check_name(config.study.name)
    check_seed("study.seed", config.study.seed)
    _number("budget.n_trials", config.budget.n_trials, at_least=1)
    _choice("sampler.name", config.sampler.name, SAMPLERS)
    _number("sampler.n_startup_trials", config.sampler.n_startup_trials, at_least=1)
    _number("noise.runs", config.noise.runs, at_least=1)
    _number("noise.max_runs", config.noise.max_runs, at_least=config.noise.runs)
    _number("noise.enough", config.noise.enough, above=0)
    if not config.objective.names:
        raise ConfigError(f"objective.names must name one objective or more of {', '.join(OBJECTIVES)}")
    for name in config.objective.names:
        _choice("objective.names", name, OBJECTIVES)
    if len(set(config.objective.names)) < len(config.objective.names):
        raise ConfigError(f"objective.names names one twice: {', '.join(config.objective.names)}")
    if not config.space:
        raise ConfigError("the study has no space: nothing varies; see conf/space/demo.yaml for one")
    space = config.parsed_space()
    idle = never_varies(space)
    if len(idle) == len(space.entries):
        raise ConfigError(f"nothing in the space varies: {'; '.join(idle)}")
    return space


def check_name(name: str) -> None:
    """A study's name may hold any text that can be read on one line."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise ConfigError(f"study.name must be 1 to {NAME_LENGTH} printable characters, got {name!r}")
    if len(folder_name(name).encode()) > 240:
        raise ConfigError("study.name is too long for a folder's name; use fewer than 240 bytes")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """'path: theirs -> ours' for every leaf that differs, in order."""
    lines = []
    for key in sorted(set(ours) | set(theirs)):
        path, a, b = f"{prefix}{key}", ours.get(key), theirs.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{path}.")
        elif a != b:
            lines.append(f"{path}: {b!r} -> {a!r}")
    return lines


def _number(path: str, value: float, above: float | None = None, at_least: float | None = None) -> None:
    expected = f"above {above:g}" if above is not None else f"{at_least:g} or more"
    holds = value > above if above is not None else at_least is None or value >= at_least
    if not math.isfinite(value) or not holds:
        raise ConfigError(f"{path} must be a finite number {expected}, got {value}")


def _choice(path: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{path} must be one of {', '.join(choices)}, got {value!r}{hint}")
