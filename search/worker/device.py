"""The device that a run uses: which one, what it can do, its memory, and what must be locked for it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from model.capabilities import Capabilities, find_compiler, find_modules
from model.config import ConfigError
from model.data.corpus import Corpus
from search.config.cores import usable_cores
from search.config.schema import DeviceSection
from search.errors import USAGE_ERROR
from search.meter.base import MeterSpec, Siblings
from search.worker.locks import CPU
from search.worker.memory import CpuPeak, CudaPeak, PeakMemory

FIRST = "0"  # the GPU that trains where none is named


@dataclass(frozen=True)
class Device:
    """`type` is torch's ("cpu", "cuda"). `gpu` is a logical CUDA index or a UUID, None on a CPU. `others` are
    the indices of further GPUs, on which runs of several processes train too."""

    type: str
    name: str
    gpu: str | None = None
    index: int = 0
    others: tuple[int, ...] = ()
    siblings: Siblings = field(default_factory=Siblings, compare=False)

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.type, self.index) if self.type == "cuda" else torch.device("cpu")

    @property
    def uuid(self) -> str:
        """What the device is known by."""
        return self.uuids[0]

    @property
    def uuids(self) -> tuple[str, ...]:
        """What is locked for a run: all GPUs that a run of the study may train on."""
        if self.type != "cuda":
            return (CPU,)
        found = (torch.cuda.get_device_properties(index).uuid for index in (self.index, *self.others))
        return tuple(f"GPU-{uuid}" for uuid in found)

    @property
    def gpus(self) -> tuple[str, ...]:
        """In the order in which ranks train on them."""
        return () if self.gpu is None else (self.gpu, *map(str, self.others))

    @property
    def rocm(self) -> bool:
        """Whether torch's "cuda" means AMD's GPUs here."""
        return torch.version.hip is not None

    def synchronize(self) -> None:
        if self.type == "cuda":
            torch.cuda.synchronize(self.index)

    def work(self, seconds: float) -> None:
        """Keep the device busy, all GPUs of it, with arithmetic that nobody needs."""
        side = 4096 if self.type == "cuda" else 512
        devices = [self.torch_device, *(torch.device(self.type, index) for index in self.others)]
        squares = [torch.ones(side, side, device=device) for device in devices]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            products = [torch.mm(square, square) for square in squares]
            for product in products:
                product[0, 0].item()  # waits for it

    def capabilities(self) -> Capabilities:
        if self.type == "cuda":
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            properties = torch.cuda.get_device_properties(self.index)
            capability = 10 * properties.major + properties.minor
        else:
            bf16, capability = cpu_calculates_in_bf16(), None
        return Capabilities(
            self.type,
            self.name,
            torch.__version__,
            bf16,
            find_compiler(),
            capability,
            find_modules(),
            self.most_processes(),
        )

    def most_processes(self) -> int:
        """How many can train one model together: a GPU each, or the threads of this process each on cores of
        their own. A GPU that is named trains alone."""
        if self.type == "cuda":
            return torch.cuda.device_count() if self.index == 0 and self.gpu == FIRST else 1
        return max(1, usable_cores().threads // torch.get_num_threads())

    def memory(self, corpus: Corpus) -> PeakMemory:
        """Counts the peak of each run from now on. On a CPU, of the whole process."""
        if self.type == "cuda":
            return CudaPeak(self.index)
        return CpuPeak((corpus.train, corpus.validation, corpus.test))

    def describe(self) -> dict[str, Any]:
        """For provenance: what makes two numbers comparable."""
        described: dict[str, Any] = {
            "device": self.name,
            "device_uuid": self.uuid,
            # Not its name: reports are sent to others.
            "host": hashlib.sha256(platform.node().encode()).hexdigest()[:12],
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": f"{platform.system()} {platform.release()}",
        }
        if self.others:
            described["device_uuids"] = list(self.uuids)
        if self.type == "cuda":
            properties = torch.cuda.get_device_properties(self.index)
            described["gpu_memory_bytes"] = int(properties.total_memory)
            described["compute_capability"] = f"{properties.major}.{properties.minor}"
        return described


def lock_names(device: Device, meters: Iterable[MeterSpec]) -> frozenset[str]:
    """What a run must hold: the device that trains, and each that a meter reads. Packages and cores are one
    machine's CPU."""
    read = {name for spec in meters for name in spec.devices}
    return frozenset({*device.uuids} | {name if name.startswith("GPU-") else CPU for name in read})


def resolve(section: DeviceSection, processes: int = 1) -> Device:
    """The device that a configuration asks for, with as many GPUs as `processes` train on, or as there are.
    Sets torch's threads. Raises ConfigError where there is none."""
    torch.set_num_threads(section.threads)
    kind = section.name
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu":
        return Device("cpu", cpu_name())
    if not torch.cuda.is_available():
        raise ConfigError(
            "device=cuda, but torch sees no GPU here; type device=cpu, or install a CUDA build of torch"
        )
    index = _cuda_index(section.id)
    others = () if section.id is not None else tuple(range(1, min(processes, torch.cuda.device_count())))
    return Device("cuda", torch.cuda.get_device_name(index), section.id or FIRST, index, others)


def _cuda_index(wanted: str | None) -> int:
    count = torch.cuda.device_count()
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(count)]
    for index, uuid in enumerate(uuids):
        if wanted is None or wanted == str(index) or (wanted.startswith("GPU-") and uuid.startswith(wanted)):
            return index
    raise ConfigError(
        f"device.id must be an index below {count} or a UUID of {', '.join(uuids)}, got {wanted!r}"
    )


def cpu_calculates_in_bf16() -> bool:
    """Whether matmuls in bf16 have kernels of their own on this CPU. Without (no AVX-512, on x86) a step of
    nanoGPT's CPU recipe took 7 times as long as in fp32. torch has no public word on it (2.13)."""
    mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def main() -> int:
    """`python -m search.worker.device`: whether there is the device that standard input asks for, as JSON.
    If not, why."""
    try:
        resolve(DeviceSection(**json.load(sys.stdin)))
    except ConfigError as error:
        print(error)
        return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
