"""A stand-in for libnvidia-ml.so.1: a GPU whose counter is a clock times watts, with faults to order.

`build` compiles `nvml_standin.c` once; a process that has the folder in LD_LIBRARY_PATH from its start gets
it as NVML. It is steered by environment variables, read at every call, so that a test may change them while
it runs:

    STANDIN_NVML_GPUS            how many GPUs (1)
    STANDIN_NVML_NAMES           their names, separated by ';'; the last one repeats ("Stand-in GPU")
    STANDIN_NVML_WATTS           power of each GPU, a constant (70); the counter is CLOCK_MONOTONIC times it
    STANDIN_NVML_TICK_MS         how often the counter moves (20; 0: always)
    STANDIN_NVML_POWER_FACTOR    power readings are this times what the counter counts (1)
    STANDIN_NVML_FAULT           no_counter, no_instant (only averaged power), no_power, zero, frozen, reset,
                                 lost, mig, no_driver, no_side_readings; no_permission (to set anything),
                                 not_settable, deaf (what is set is accepted and does not happen); several are
                                 separated by ','
    STANDIN_NVML_FAULT_GPU       the index that has the fault (all)
    STANDIN_NVML_RESET_AFTER     with reset: the counter starts again after so many reads (1)
    STANDIN_NVML_PIDS            processes on each GPU, separated by ','; "self" is the caller ("")
    STANDIN_NVML_EVENT_REASONS   the clocks event reasons, a number (0)
    STANDIN_NVML_HELD_POWER, STANDIN_NVML_HELD_THERMAL  the share of time that clocks are held down (0)
    STANDIN_NVML_SM_MHZ, STANDIN_NVML_MEMORY_MHZ  (both 1000)
    STANDIN_NVML_LIMIT_W, STANDIN_NVML_DEFAULT_LIMIT_W  (both 100)
    STANDIN_NVML_LEAST_LIMIT_W, STANDIN_NVML_MOST_LIMIT_W  what a limit can be set to (50, 300)
    STANDIN_NVML_ENFORCED_W      whatever is set, no more than this is enforced (no bound)
    STANDIN_NVML_STATE           a file that keeps what was set, for all processes (each for itself)
    STANDIN_NVML_TEMPERATURE_C   of GPU 0; each further one is a degree warmer (40)

The clocks that can be fixed are 300 to 1500 MHz by 15.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("nvml_standin.c")


def compiler() -> str | None:
    """The C compiler of this machine, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compiles the stand-in into `folder` and returns `folder`, for LD_LIBRARY_PATH. Raises RuntimeError
    where there is no compiler or it fails."""
    cc = compiler()
    if cc is None:
        raise RuntimeError("no C compiler (cc, gcc, clang) to build the NVML stand-in with")
    library = folder / "libnvidia-ml.so.1"
    command = [cc, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return folder


def uuid(index: int) -> str:
    """The UUID of the stand-in's GPU number `index`."""
    return f"GPU-{index:08d}-57a9-4d11-b000-000000000000"


class Setting(NamedTuple):
    """What was set of a GPU; 0 where nothing was, or it was put back to that."""

    limit_mw: int
    least_mhz: int
    most_mhz: int


_SETTING = struct.Struct("3I")


def setting(state: Path, index: int = 0) -> Setting:
    """What the file of STANDIN_NVML_STATE keeps of the GPU number `index`."""
    held = state.read_bytes() if state.exists() else b""
    begin = index * _SETTING.size
    return Setting(*_SETTING.unpack(held[begin : begin + _SETTING.size].ljust(_SETTING.size, b"\0")))


def write_setting(state: Path, limit_mw: int, index: int = 0) -> None:
    """As if somebody had set the GPU's power limit."""
    with state.open("r+b" if state.exists() else "w+b") as file:
        file.seek(index * _SETTING.size)
        file.write(_SETTING.pack(limit_mw, 0, 0))
