"""A variant is a small function in a file of its own; its row says where it is and where it can run.

Rows name their function as "module:function" and load it on use, so that a configuration can be checked
against the tables without importing torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.config import RunConfig

ALL_DEVICES = frozenset({"cpu", "cuda"})


@dataclass(frozen=True)
class Variant:
    """One row of a table. `target` is "module:function"; `devices` are the torch device types that it runs
    on."""

    target: str
    summary: str
    devices: frozenset[str] = ALL_DEVICES

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Capabilities:
    """What a device and its software can do, as far as variants care.

    `compiler` is the path of the C++ compiler that torch.compile needs on a CPU, or None.
    """

    device_type: str
    device_name: str
    torch_version: str
    bf16: bool
    compiler: str | None

    @property
    def can_compile(self) -> bool:
        return self.device_type == "cuda" or self.compiler is not None


def find_compiler() -> str | None:
    """The C++ compiler that TorchInductor would call, or None."""
    return next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)


def missing(path: str, value: object, capabilities: Capabilities) -> str | None:
    """Why `value` of the configuration path `path` cannot run here, or None where it can (or no table knows
    it)."""
    table = tables().get(path)
    if table is not None:
        row = table.get(str(value))
        if row is not None and capabilities.device_type not in row.devices:
            return f"{path}={value} does not run on {capabilities.device_type}"
    if path == "train.compile" and value is True and not capabilities.can_compile:
        return "train.compile=true needs a C++ compiler (g++ or clang++), and none is on the PATH"
    if path == "train.precision" and value == "bf16" and not capabilities.bf16:
        return f"train.precision=bf16 is not supported by {capabilities.device_name}"
    return None


def unrunnable(config: RunConfig, device_type: str) -> str | None:
    """Why values that run by themselves do not run together on this device, or None."""
    if config.model.attention == "sdpa_flash":
        if device_type == "cpu" and config.model.dropout > 0:
            return "model.attention=sdpa_flash has no dropout on a CPU; set model.dropout=0"
        if device_type == "cuda" and config.train.precision == "fp32":
            return "model.attention=sdpa_flash has no fp32 on a GPU; set train.precision=bf16"
    return None


def tables() -> Mapping[str, Mapping[str, Variant]]:
    """Every table of variants by the configuration path that chooses from it."""
    from model.attention import ATTENTION
    from model.loss import LOSSES
    from model.mlp import MLPS
    from model.norm import NORMS
    from model.optim import KERNELS, OPTIMIZERS
    from model.schedule import SCHEDULES

    return {
        "model.attention": ATTENTION,
        "model.mlp": MLPS,
        "model.norm": NORMS,
        "model.loss": LOSSES,
        "optimizer.name": OPTIMIZERS,
        "optimizer.kernel": KERNELS,
        "schedule.name": SCHEDULES,
    }
