"""`python -m search.exam.environment`: the first step of an exam. A line a fact; for what is missing, what to
do.

A process of its own, since it opens the device. Writes environment.json; exit status 1 where something is
missing without which nothing can be measured.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from model.data import DataError, load
from search.config.checks import check_run
from search.config.composition import start, to_config
from search.config.schema import StudyConfig
from search.console.leaving import end_with, leaving_at_once
from search.errors import NO_RESULT, MeterUnavailable
from search.exam.folder import ExamFolder
from search.exam.settings import parted
from search.files.paths import absolute, cache_dir
from search.files.whole_file import write_atomically

if TYPE_CHECKING:
    from search.worker.device import Device

LEAST_FREE_GB = 5.0


@dataclass(frozen=True)
class Fact:
    """`do`: what to do about what is missing, empty where nothing is. `needed`: nothing can be measured
    without it."""

    name: str
    says: str
    do: str = ""
    needed: bool = False

    @property
    def line(self) -> str:
        return f"{self.name:<12} {self.says}" + (f"  ->  {self.do}" if self.do else "")


def program() -> int:
    settings, rest = parted(sys.argv[1:])

    def task(composed: DictConfig) -> int:
        config = to_config(composed)
        check_run(config)
        assert settings.folder is not None, "the exam names its folder"
        return _look(config, ExamFolder(absolute(settings.folder)))

    return start(task, "config", rest)


def _look(config: StudyConfig, folder: ExamFolder) -> int:
    facts: list[Fact] = []
    known: dict[str, Any] = {}
    for fact, says in _facts(config, folder.path):
        print(fact.line, flush=True)
        facts.append(fact)
        known |= says
    missing = [fact.name for fact in facts if fact.needed and fact.do]
    found = {"facts": [asdict(fact) for fact in facts], "missing": missing, **known}
    write_atomically(folder.environment_file, json.dumps(found, indent=1) + "\n")
    return NO_RESULT if missing else 0


def _facts(config: StudyConfig, folder: Path) -> Iterator[tuple[Fact, dict[str, Any]]]:
    yield Fact("python", f"{platform.python_version()} ({sys.executable})"), {}
    yield _tests(), {}
    yield _headers(), {}
    with leaving_at_once():
        import torch

        from model.config import ConfigError
        from search.worker.device import resolve
    cuda = torch.version.cuda or torch.version.hip or "none: a build for CPUs"
    yield Fact("torch", f"{torch.__version__}, CUDA {cuda}"), {}
    yield _kernels(), {}
    try:
        device = resolve(config.device)
    except ConfigError as error:
        yield Fact("device", "not there", str(error), needed=True), {}
    else:
        yield Fact("device", _described(device), needed=True), {"device": device.name, "type": device.type}
        yield from _meter(config, device)
    yield _disk(folder), {}
    yield _data(config), {}


def _tests() -> Fact:
    if find_spec("pytest") is None:
        return Fact("pytest", "not installed", "pip install 'joulesearch[dev]'; the step tests is left out")
    return Fact("pytest", "installed")


def _headers() -> Fact:
    """What torch.compile builds with."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    compiler = next((found for name in ("gcc", "cc", "clang") if (found := shutil.which(name))), None)
    lacking = [] if compiler else ["a C compiler (apt-get install build-essential)"]
    lacking += [] if header.is_file() else ["Python.h (apt-get install python3-dev)"]
    do = f"install {' and '.join(lacking)}; torch.compile on a GPU needs it" if lacking else ""
    return Fact("compiler", compiler or "none", do)


def _kernels() -> Fact:
    lacking = [name for name in ("triton", "liger_kernel") if find_spec(name) is None]
    if lacking:
        do = "pip install 'joulesearch[kernels]'; rows that need it are left out"
        return Fact("kernels", f"without {' and '.join(lacking)}", do)
    return Fact("kernels", "triton and liger_kernel are installed")


def _described(device: Device) -> str:
    told = device.describe()
    if device.type != "cuda":
        return f"{device.name}, {told['cores']} cores, {told['threads']} used"
    memory = told["gpu_memory_bytes"] / 2**30
    return f"{device.name}, {memory:.0f} GiB, compute capability {told['compute_capability']}"


def _meter(config: StudyConfig, device: Device) -> Iterator[tuple[Fact, dict[str, Any]]]:
    from search.meter.choose import choose

    yield _nvml(), {}
    try:
        chosen = choose(config.meter, device)
    except MeterUnavailable as error:
        yield Fact("meter", "none", str(error), needed=True), {}
        return
    info, flags = chosen[0].info, chosen[0].meter.flags()
    gpus = info.settings.get("gpus") or ()
    says = f"{info.name} ({info.kind.value}): {info.chosen_because}"
    known = {
        "meter": {"name": info.name, "kind": info.kind.value},
        "gpus": [gpu.get("name") for gpu in gpus],
        "driver": next((gpu.get("driver_version") for gpu in gpus), None),
    }
    yield Fact("meter", says, needed=True), known
    for gpu in gpus:
        told = f"driver {gpu.get('driver_version')}, {gpu.get('name')} by {gpu.get('read_by')}"
        yield Fact("reads", f"{told}, limit {_watts(gpu.get('power_limit_w'))}"), {}
    hidden = [flag.value for flag in flags if flag in ("processes_not_identifiable", "throttling_unknown")]
    if hidden:
        do = "a container needs --pid=host to see the processes of others; joules are not touched by it"
        yield Fact("permissions", f"not told: {', '.join(hidden)}", do), {}
    for one in chosen:
        one.meter.close()


def _watts(limit_w: object) -> str:
    return f"{limit_w:g} W" if isinstance(limit_w, int | float) else "unknown"


def _nvml() -> Fact:
    from search.meter.gpu.nvml_devices import inventory

    try:
        gpus = inventory()
    except MeterUnavailable as error:
        return Fact("nvml", "cannot be used", str(error))
    return Fact("nvml", f"lists {', '.join(gpu.name for gpu in gpus)}")


def _disk(folder: Path) -> Fact:
    free_gb = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free / 1e9
    do = "" if free_gb >= LEAST_FREE_GB else f"make room: compiler caches want {LEAST_FREE_GB:g} GB"
    return Fact("disk", f"{free_gb:.1f} GB free", do)


def _data(config: StudyConfig) -> Fact:
    """Prepares it, by a download where it is not at hand."""
    try:
        corpus = load(config.data, cache_dir())
    except DataError as error:
        return Fact("data", f"{config.data.name} is not at hand", str(error), needed=True)
    return Fact("data", f"{corpus.name}, {len(corpus.train):,} tokens to train on", needed=True)


def main() -> None:
    end_with(program)


if __name__ == "__main__":
    main()
