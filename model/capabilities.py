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
    """

    device_type: str
    device_name: str
    torch_version: str
    bf16: bool
    compiler: str | None
    compute_capability: int | None = None
    modules: Sequence[str] = ()
    processes: int = 1

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
