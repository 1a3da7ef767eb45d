"""What a device and its software can do, as far as variants care."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from model.tables import TABLES


@dataclass(frozen=True)
class Capabilities:
    """What a device and its software can do, as far as variants care.

    `bf16`: whether it calculates in bf16 itself; by way of fp32 that takes several times as long. `compiler`
    is the path of the C++ compiler that torch.compile needs on a CPU, or None. `compute_capability` is a
    GPU's, 89 for 8.9, None where there is none or it is unknown. `modules` are the importable ones among
    those that rows ask for (`find_modules`). `processes`: how many can train one model together here.

    Of the GPUs that a run is charged for: the least and the most watts that the power limit of each can be
    set to (`power_limits_w`), and the clocks in MHz that all have (`sm_clocks_mhz`); empty where they cannot
    be set, and `held_not` says why where nothing can.
    """

    device_type: str
    device_name: str
    torch_version: str
    bf16: bool
    compiler: str | None
    compute_capability: int | None = None
    modules: Sequence[str] = ()
    processes: int = 1
    power_limits_w: Sequence[float] = ()
    sm_clocks_mhz: Sequence[int] = ()
    held_not: str = "no GPU is metered"

    @property
    def can_compile(self) -> bool:
        return self.device_type == "cuda" or self.compiler is not None


def find_compiler() -> str | None:
    """The C++ compiler that TorchInductor would call, or None."""
    return next((path for name in ("g++", "c++", "clang++") if (path := shutil.which(name))), None)


def find_modules() -> tuple[str, ...]:
    """The modules that some row asks for and that are installed here. Imports none of them."""
    wanted = {name for table in TABLES.values() for row in table.values() for name in row.modules}
    return tuple(sorted(name for name in wanted if find_spec(name) is not None))


POWER_LIMIT, SM_CLOCK = "device.power_limit_w", "device.sm_clock_mhz"


def cannot_hold(path: str, value: object, capabilities: Capabilities) -> str | None:
    """Why the GPUs of a run cannot be held to `value` of one of these two paths, or None. Null can always be
    had, and so can what this rule knows nothing of."""
    if path not in (POWER_LIMIT, SM_CLOCK) or not isinstance(value, int | float):
        return None
    if not (capabilities.power_limits_w if path == POWER_LIMIT else capabilities.sm_clocks_mhz):
        why = capabilities.held_not or "the GPU does not let it be set"
        return f"{path} cannot be set here: {why}; type {path}=null"
    if path == POWER_LIMIT:
        least, most = capabilities.power_limits_w
        if least <= value <= most:
            return None
        return f"{path}={value:g} is none that the GPU takes; type {least:g} to {most:g}, or null"
    if value in capabilities.sm_clocks_mhz:
        return None
    nearest = min(capabilities.sm_clocks_mhz, key=lambda mhz: abs(mhz - value))
    return f"{path}={value:g} is no clock of the GPU; type {path}={nearest}, the nearest, or null"
