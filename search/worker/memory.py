"""Peak memory of a run on a CPU, from the peak resident set of its process, interpreter included.

A process that has trained keeps pages that it has freed, and a peak would remember every run before. So
before a run everything that is free goes back to the system (garbage, malloc's free pages, mapped pages of
data), and the kernel's mark is reset. Where that cannot be done, or leaves more than was there before the
first run, the peak is unknown.

Measured with glibc 2.36 on Linux 6.18: one configuration, run alone, after itself, and after one of 200 times
its parameters, peaked at 361 to 365 MB (without this at 362 to 791), the large one at 796 to 818. What
remains differs by where malloc puts things.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): "reset the peak resident set size"
# What may be left over from the runs before: libraries keep small caches of their own.
LEFT_OVER = 0.02


def release_free_memory() -> bool:
    """Return unused memory to the system; False where the C library cannot."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # glibc's own
        return False
    return True


def unmap_pages(arrays: Sequence[npt.NDArray[np.generic]]) -> None:
    """Forget which pages of mapped files were read; reading one maps it again."""
    for array in arrays:
        mapped = _mapping(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _mapping(array: object) -> mmap.mmap | None:
    while isinstance(array, np.ndarray):
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def resident_bytes(key: str, status: Path = STATUS) -> int | None:
    """VmRSS (now) or VmHWM (the peak since the reset); None where the system does not say."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)
    except (OSError, ValueError, IndexError):
        return None


class PeakMemory(Protocol):
    """The peak memory of a run. `worn`: earlier runs left so much behind that the next one's cannot be told
    in this process."""

    worn: bool

    def reset(self) -> None:
        """Start counting the peak anew."""
        ...

    def bytes(self) -> int | None:
        """The peak since the reset; None where it is unknown."""
        ...


class CudaPeak:
    """The most that torch had allocated on one GPU."""

    worn = False

    def __init__(self, index: int) -> None:
        self._index = index

    def reset(self) -> None:
        gc.collect()
        torch.cuda.reset_peak_memory_stats(self._index)

    def bytes(self) -> int | None:
        return int(torch.cuda.max_memory_allocated(self._index))


class PeakOfRanks:
    """The sum of what the processes that train together held at most, each in its own time. Their process is
    new for each run."""

    worn = False

    def __init__(self) -> None:
        self._peaks: dict[int, int] = {}
        self._processes = 0

    def take(self, peaks_bytes: Sequence[int | None]) -> None:
        """What each has held so far; None where it did not look."""
        self._processes = len(peaks_bytes)
        self._peaks |= {rank: peak for rank, peak in enumerate(peaks_bytes) if peak is not None}

    def reset(self) -> None:
        self._peaks, self._processes = {}, 0

    def bytes(self) -> int | None:
        """None where one of them is unknown."""
        known = self._processes and len(self._peaks) == self._processes
        return sum(self._peaks.values()) if known else None


class CpuPeak:
    """The peak resident set of this process. Made before its first run."""

    def __init__(
        self,
        arrays: Sequence[npt.NDArray[np.generic]] = (),
        release: Callable[[], bool] = release_free_memory,
        status: Path = STATUS,
        clear: Path = CLEAR,
    ) -> None:
        self._arrays, self._release, self._status, self._clear = arrays, release, status, clear
        self._floor_bytes: int | None = None
        self._known = False
        self.worn = False
        self.reset()

    def reset(self) -> None:
        """Start counting anew. The first time says what a process holds that has not run anything."""
        self._known = self.worn = False
        unmap_pages(self._arrays)
        released = self._release()
        now_bytes = resident_bytes("VmRSS", self._status)
        try:
            self._clear.write_text(RESET_PEAK, encoding="utf-8")
        except OSError:
            return
        if not released or now_bytes is None:
            return
        self._floor_bytes = self._floor_bytes or now_bytes
        self._known = now_bytes <= (1.0 + LEFT_OVER) * self._floor_bytes
        self.worn = not self._known

    def bytes(self) -> int | None:
        """The peak since the reset; None where the reset failed."""
        return resident_bytes("VmHWM", self._status) if self._known else None
