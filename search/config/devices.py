"""Which devices a study trains on at once, as `devices` and `launcher` say it. Pure.

Each GPU is a slot of the study: a worker process that sees no other one, with its own lock and its own meter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from model.config import ConfigError
from search.config.schema import NO_LAUNCHER, RAY, StudyConfig
from search.meter.settings import MeterSection

AUTO, ALL, CPU = "auto", "all", "cpu"
# The meters that read one GPU's run, whatever the other GPUs do.
OF_ONE_GPU = ("auto", "nvml", "roofline", "simulated")
_FORMS = "auto, all, cpu, or a list such as [cuda:0, cuda:1]"


@dataclass(frozen=True)
class Devices:
    """`gpus`: indices as CUDA counts them, or UUIDs, in the order of the slots; none where `device` says what
    trains, or where it is `every` visible GPU. `cpu`: the CPU trains."""

    gpus: tuple[str, ...] = ()
    every: bool = False
    cpu: bool = False

    @property
    def are_gpus(self) -> bool:
        return self.every or bool(self.gpus)


def parse_devices(value: object) -> Devices:
    """Raises ConfigError for what is no device, or is named twice."""
    entries = value if isinstance(value, list | tuple) else [value]
    if value == AUTO:
        return Devices()
    if value == ALL:
        return Devices(every=True)
    if list(entries) == [CPU]:
        return Devices(cpu=True)
    if not entries:
        raise ConfigError(f"devices must be {_FORMS}; got an empty list")
    gpus = tuple(_gpu(entry, entries) for entry in entries)
    for entry in (entry for entry in entries if list(entries).count(entry) > 1):
        raise ConfigError(f"devices names {entry} twice, and a GPU trains one run at a time; name it once")
    return Devices(gpus)


def _gpu(entry: object, entries: Sequence[object]) -> str:
    if entry == CPU:
        raise ConfigError(
            f"devices={_shown(entries)} mixes the CPU with GPUs, whose joules do not compare; type "
            "devices=cpu, or the GPUs alone"
        )
    if isinstance(entry, str) and (index := re.fullmatch(r"cuda:(0|[1-9][0-9]*)", entry)):
        return index[1]
    if isinstance(entry, str) and re.fullmatch(r"GPU-[0-9a-f][0-9a-f-]*", entry):
        return entry
    hint = f"; did you mean cuda:{entry}?" if re.fullmatch(r"[0-9]+", str(entry)) else ""
    raise ConfigError(f"devices must be {_FORMS}; a GPU is cuda:INDEX or its UUID, got {entry!r}{hint}")


def _shown(entries: Sequence[object]) -> str:
    return f"[{','.join(map(str, entries))}]"


def check_devices(config: StudyConfig, most_processes: int) -> None:
    """Raises ConfigError where `devices` does not go with the rest. `most_processes`: of a run of the
    study."""
    devices, device = parse_devices(config.devices), config.device
    typed = config.devices if isinstance(config.devices, str) else _shown(config.devices)
    if devices == Devices():
        return
    if device.id is not None:
        raise ConfigError(f"devices={typed} and device.id={device.id} both say what trains; leave one out")
    if devices.cpu and device.name == "cuda":
        raise ConfigError(f"devices={typed} and device=cuda contradict each other; leave one out")
    if not devices.are_gpus:
        return
    if device.name == "cpu" and config.meter.name != "nvml":
        raise ConfigError(
            f"devices={typed} are GPUs, and device=cpu trains on the CPU; type device=auto (or, to try out a "
            "study whose runs a GPU's meter reads while the CPU trains, meter=nvml)"
        )
    if device.slots > 1:
        raise ConfigError(
            f"device.slots={device.slots} divides a CPU, and devices={typed} are GPUs, which train one run "
            "each at a time; type device.slots=1"
        )
    check_one_gpu_a_run(config, most_processes, f"devices={typed} trains each run on one GPU")


def check_one_gpu_a_run(
    config: StudyConfig, most_processes: int, because: str, meters: Sequence[str] = OF_ONE_GPU
) -> None:
    """Raises ConfigError where a run needs more than one GPU, or a meter cannot read that one alone."""
    if most_processes > 1:
        raise ConfigError(
            f"{because}, and train.processes is up to {most_processes} here; type train.processes=1 and take "
            "it out of the space, or train on several GPUs with devices=auto"
        )
    meter: MeterSection = config.meter
    if meter.gpus is not None:
        raise ConfigError(f"{because}, which is the one that is charged; type meter.gpus=null")
    for name in (meter.name, *meter.also):
        if name not in meters:
            raise ConfigError(
                f"{because}, and meter {name} cannot tell them apart; type a meter of {', '.join(meters)}"
            )


def check_launcher(config: StudyConfig, most_processes: int) -> None:
    """Raises ConfigError where the launcher does not go with the rest. `most_processes`: of a run of the
    study."""
    launcher, device = config.launcher, config.device
    if launcher.name != RAY:
        return
    if launcher.ray_slots is not None and launcher.ray_slots < 1:
        raise ConfigError(f"launcher.ray_slots must be 1 or more, or null, got {launcher.ray_slots}")
    if not launcher.ray_address.strip():
        raise ConfigError("launcher.ray_address must be HOST:PORT, or auto for this machine's cluster")
    for key, value, default in (
        ("devices", config.devices, AUTO),
        ("device.id", device.id, None),
        ("device.slots", device.slots, 1),
    ):
        if value != default:
            raise ConfigError(
                f"{key}={value} chooses devices of this machine, and with launcher=ray the cluster does; "
                f"type {key}={'null' if default is None else default}, and launcher.ray_slots=N for so many "
                "trials at once"
            )
    meters = (*OF_ONE_GPU, "cpu_time") if device.name == "cpu" else OF_ONE_GPU
    check_one_gpu_a_run(config, most_processes, "launcher=ray trains each run on one GPU", meters)


def check_one_run(config: StudyConfig) -> None:
    """Raises ConfigError where a single run is to be launched as a study is."""
    if config.devices != AUTO:
        raise ConfigError(
            f"devices={config.devices} is for studies, and this is one run; type device=cpu, or device=cuda "
            "device.id=0"
        )
    if config.launcher.name != NO_LAUNCHER:
        raise ConfigError(
            f"launcher={config.launcher.name} is for studies, and this is one run; type launcher=none"
        )


def with_devices(config: StudyConfig) -> StudyConfig:
    """The configuration whose `device` is of the kind that `devices` names. Raises ConfigError."""
    devices = parse_devices(config.devices)
    if devices.cpu:
        return replace(config, device=replace(config.device, name="cpu"))
    if devices.are_gpus and config.device.name == "auto":
        return replace(config, device=replace(config.device, name="cuda"))
    return config
