"""What a study's configuration must hold before anything starts: each check raises ConfigError, in one line
that names the key, the value and what to type."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

from model.config import ConfigError, check_seed
from model.data import DATASETS
from model.runnable import not_together
from model.tables import MATMUL_FORMATS
from search.config.cores import Cores, usable_cores
from search.config.devices import check_devices, check_launcher
from search.config.schema import ALLOW, LAUNCHERS, REFUSE, StudyConfig
from search.files.paths import folder_name
from search.meter.choose import METERS
from search.meter.gpu.source import GPU_ENERGY
from search.meter.settings import MeterSection
from search.meter.simulated.program import Program
from search.record.ledger import CountedPhases
from search.record.objective import OBJECTIVES
from search.record.outcome import Role
from search.record.target import AUTO
from search.sampling.lessons import TEACH
from search.sampling.proposal import MOST_POINTS
from search.sampling.samplers import SAMPLERS
from search.space.model import Space
from search.space.offer import never_varies
from search.space.reach import most_processes

DEVICES = ("auto", "cpu", "cuda")
# The meters that read one run, whatever runs beside it.
TELL_RUNS_APART = ("cpu_time", "roofline", "simulated")
NAME_LENGTH = 120


def check_run(config: StudyConfig, cores: Cores | None = None) -> None:
    """Raises ConfigError where a setting that every run needs is invalid. `cores`: those that it will have,
    None for this process's."""
    _check_target(config)
    _number("target_margin", config.target_margin, at_least=0)
    _choice("data", config.data.name, DATASETS)
    check_meter(config.meter)
    _choice("device.name", config.device.name, DEVICES)
    _number("device.threads", config.device.threads, at_least=1)
    cores = cores or usable_cores()
    _check_threads(config.device.threads, cores)
    check_processes(config, config.train.processes, cores)
    _number("device.band_limit_s", config.device.band_limit_s, at_least=0)
    band = config.device.temperature_band_c
    if band is not None and not (len(band) == 2 and math.isfinite(band[0]) and band[0] < band[1]):
        raise ConfigError(f"device.temperature_band_c must be [low, high] in degrees Celsius, got {band}")
    _number("budget.hang_s", config.budget.hang_s, above=0)
    _number("budget.lease_s", config.budget.lease_s, above=5)
    _check_margin(config.budget.rival_margin)
    if config.budget.forecast is not None and not 0 < config.budget.forecast < 1:
        raise ConfigError(
            f"budget.forecast must be a chance above 0 and below 1, or null, got {config.budget.forecast}"
        )
    if not 0 <= config.budget.audit <= 1:
        raise ConfigError(f"budget.audit must be a share from 0 to 1, got {config.budget.audit}")
    _number("budget.replicates", config.budget.replicates, at_least=1)
    if not 0 <= config.budget.replicates_share <= 1:
        raise ConfigError(
            f"budget.replicates_share must be a share from 0 to 1, got {config.budget.replicates_share}"
        )
    for name in ("run_energy_j", "run_time_s", "run_tokens", "study_energy_j", "study_time_s", "uses"):
        value = getattr(config.budget, name)
        if value is not None:
            _number(f"budget.{name}", value, above=0)
    _check_held(config)
    check_inference(config)
    check_seed("seed", config.seed)
    for name in ("reports", "storage", "recipe", "output", "save"):
        if (place := getattr(config, name)) is not None and not place.strip():
            raise ConfigError(f"{name} must say where, got {place!r}; type {name}=PLACE, or leave it out")
    if reason := not_together(config.run_config()):
        raise ConfigError(reason)


def _check_target(config: StudyConfig) -> None:
    loss, accuracy = config.target_loss, config.target_accuracy
    if not config.metric.is_error_rate:
        if accuracy is not None:
            raise ConfigError(
                f"target_accuracy must be null with target_metric=loss, got {accuracy!r}; type "
                "target_metric=accuracy to reach it"
            )
        if isinstance(loss, str) and loss != AUTO:
            raise ConfigError(
                f"target_loss must be a number in nats per token, or auto for what the baseline ends at, got "
                f"{loss!r}"
            )
        if not isinstance(loss, str):
            _number("target_loss", loss, above=0)
    elif accuracy is None:
        raise ConfigError(
            "target_metric must be loss where there is no target_accuracy, got 'accuracy'; type "
            "target_accuracy=NUMBER above 0 and below 1, or target_accuracy=auto"
        )
    elif accuracy != AUTO and not (isinstance(accuracy, float) and 0 < accuracy < 1):
        raise ConfigError(
            "target_accuracy must be a share above 0 and below 1 (0.7: seven tokens of ten), or auto for "
            f"what the baseline ends at, got {accuracy!r}"
        )


def _check_held(config: StudyConfig) -> None:
    """A power limit or a clock is set of the GPUs that NVML meters. What a GPU cannot do is found on it."""
    device, meter = config.device, config.meter.name
    if not config.run_config().device.holds or meter == "nvml" or (meter == "auto" and device.name != "cpu"):
        return
    name = "sm_clock_mhz" if device.power_limit_w is None else "power_limit_w"
    raise ConfigError(
        f"device.{name}={getattr(device, name):g} is for NVIDIA GPUs that meter nvml reads, and this is "
        f"device={device.name} meter={meter}; type device=cuda meter=nvml, or device.{name}=null"
    )


def _check_margin(margin: float | str) -> None:
    if not isinstance(margin, str):
        _number("budget.rival_margin", margin, at_least=0)
    elif margin != AUTO:
        raise ConfigError(
            f"budget.rival_margin must be 0 or more (0.1: a tenth), or auto for what the study's seed noise "
            f"moves, got {margin!r}"
        )


def _check_threads(threads: int, cores: Cores) -> None:
    """Threads that share a core wait for each other, mostly spinning: 64 threads on two cores cost 100 times
    the joules of one."""
    if threads > cores.threads:
        raise ConfigError(
            f"device.threads={threads} is more than this process may use ({cores.describe()}); "
            f"type device.threads={cores.threads} or fewer"
        )


def check_processes(config: StudyConfig, most: int, cores: Cores | None = None) -> None:
    """Raises ConfigError where runs of up to `most` processes do not go with the device, its slots or its
    meter. Processes beyond the baseline's, of the space, are not offered where there are no cores for them.
    """
    cores, device = cores or usable_cores(), config.device
    if device.name == "cpu" and (own := config.train.processes) * device.threads > cores.threads:
        raise ConfigError(
            f"train.processes={own} times device.threads={device.threads} is more than this process may use "
            f"({cores.describe()}); type train.processes={max(1, cores.threads // device.threads)} or fewer"
        )
    if most > 1 and device.id is not None:
        raise ConfigError(
            f"device.id={device.id} is one GPU, and train.processes up to {most} trains on the first {most} "
            "that are visible; type device.id=null, and choose them by CUDA_VISIBLE_DEVICES"
        )
    gpus = config.meter.gpus
    if device.name != "cpu" and gpus is not None and len(gpus) < most:
        raise ConfigError(
            f"meter.gpus={','.join(gpus)} is fewer than the {most} GPUs that train.processes={most} trains "
            "on; type meter.gpus=null to charge those that train"
        )
    _check_slots(config, most, cores)


def _check_slots(config: StudyConfig, most: int, cores: Cores) -> None:
    """Slots have cores of their own, and meters that can tell their runs apart."""
    slots, threads = config.device.slots, config.device.threads
    _number("device.slots", slots, at_least=1)
    if slots == 1:
        return
    if slots * threads * most > cores.threads:
        processes = f" times train.processes={most}" if most > 1 else ""
        fewer = max(1, cores.threads // (threads * most))
        raise ConfigError(
            f"device.slots={slots} times device.threads={threads}{processes} is more than this process may "
            f"use ({cores.describe()}); type device.slots={fewer} or fewer"
        )
    for name in (config.meter.name, *config.meter.also):
        if name not in ("auto", *TELL_RUNS_APART):
            raise ConfigError(
                f"device.slots={slots} trains several runs at once, which meter {name} cannot tell apart; "
                f"type device.slots=1, or a meter of {', '.join(TELL_RUNS_APART)}"
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
            _choice("meter.roofline.pj_per_flop", precision, MATMUL_FORMATS)
            _number(f"meter.roofline.pj_per_flop.{precision}", value, above=0)
        if meter.roofline.compile_j is not None:
            _number("meter.roofline.compile_j", meter.roofline.compile_j, above=0)
    if "simulated" in (meter.name, *meter.also):
        Program.from_mapping(meter.simulated)


def check_inference(config: StudyConfig) -> None:
    """Raises ConfigError."""
    section = config.inference
    for size in section.batch_sizes:
        _number("inference.batch_sizes", size, at_least=1)
    _number("inference.prompt_tokens", section.prompt_tokens, at_least=1)
    _number("inference.tokens", section.tokens, at_least=1)
    _number("inference.window_s", section.window_s, above=0)
    _number("inference.limit_s", section.limit_s, at_least=section.window_s)
    hang_s = config.budget.hang_s
    if config.inference_plan(Role.CONFIRM) is not None and section.limit_s >= hang_s:
        raise ConfigError(
            f"inference.limit_s={section.limit_s:g} must be below budget.hang_s={hang_s:g}, after which a "
            "silent worker is replaced; type a shorter limit"
        )


def check_study(config: StudyConfig, cores: Cores | None = None) -> Space:
    """`check_run`, and everything that a study adds; returns its space. Raises ConfigError."""
    check_run(config, cores)
    check_name(config.study.name)
    _choice("launcher.name", config.launcher.name, LAUNCHERS)
    check_seed("study.seed", config.study.seed)
    _choice("study.on_change", config.study.on_change, (REFUSE, ALLOW))
    for folder in config.study.prior:
        if not folder.strip():
            raise ConfigError(f"study.prior must list folders such as reports/demo, got {folder!r}")
    for recipe in config.study.first:
        if not recipe.strip():
            raise ConfigError(f"study.first must list recipes such as reports/demo, got {recipe!r}")
    _number("budget.n_trials", config.budget.n_trials, at_least=1)
    _choice("sampler.name", config.sampler.name, SAMPLERS)
    _choice("sampler.teach", config.sampler.teach, TEACH)
    _number("sampler.n_startup_trials", config.sampler.n_startup_trials, at_least=1)
    _number("noise.runs", config.noise.runs, at_least=1)
    _number("noise.max_runs", config.noise.max_runs, at_least=1)
    if config.noise.runs > config.noise.max_runs:
        raise ConfigError(
            f"noise.runs={config.noise.runs} is more than noise.max_runs={config.noise.max_runs}; raise that "
            "too"
        )
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
    check_processes(config, most_processes(space), cores)
    check_devices(config, most_processes(space))
    check_launcher(config, most_processes(space))
    if SAMPLERS[config.sampler.name].lists and space.points(MOST_POINTS) is None:
        raise ConfigError(
            f"sampler={config.sampler.name} lists the space, and this one has a float without a step, or "
            f"more than {MOST_POINTS:,} points; type sampler=random"
        )
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
