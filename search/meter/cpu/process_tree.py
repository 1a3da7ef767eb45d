"""Core-seconds of this process and of all that it started: a total that never falls.

The kernel keeps the time of a living child, of a child that ended and was waited for, and, within that, of
the children that it had waited for itself. A child that ends between two of these readings is in neither or
in both, so a reading during which the family changed is taken again. The time of a child that nobody waits
for, or whose parent died before it, is in none of the kernel's totals any more: what was last read of it is
kept.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

MOST_READINGS = 5
# A living process' time comes in ticks of mostly 10 ms, that of one that ended in microseconds.
ROUNDING_S = 0.05


@dataclass(frozen=True)
class TreeReading:
    """`steady`: the family was the same before and after."""

    core_s: float
    steady: bool


def read_tree() -> TreeReading:
    """Core-seconds of this process, of its ended children, and of those that still run, theirs included."""
    ended_s = _ended_s()
    children = live_children()
    alive_s, all_read = 0.0, True
    for child in children:
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:  # it ended just now
            all_read = False
            continue
        alive_s += spent.user + spent.system + spent.children_user + spent.children_system
    steady = all_read and _ended_s() == ended_s and (not children or set(live_children()) == set(children))
    return TreeReading(time.process_time() + ended_s + alive_s, steady)


def live_children() -> list[psutil.Process]:
    """Looking for children walks every process there is; the kernel says in one call that there are none."""
    if sys.platform == "linux":
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return []
    pids = _pids_below(os.getpid())
    if pids is None:
        return psutil.Process().children(recursive=True)
    return [process for pid in pids if (process := _process(pid)) is not None]


def _pids_below(pid: int) -> list[int] | None:
    """From the kernel's own lists; None where it keeps none. A process that ends meanwhile is left out."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        lists = [
            Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="utf-8") for thread in threads
        ]
    except OSError:
        return [] if pid != os.getpid() else None
    children = [int(word) for words in lists for word in words.split()]
    return children + [found for child in children for found in _pids_below(child) or ()]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _ended_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


class ProcessTree:
    """Call it for the total. May be called from several threads."""

    def __init__(self, read: Callable[[], TreeReading] = read_tree) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._total_s = self._steady_s = self._lost_s = 0.0

    def __call__(self) -> float:
        with self._lock:
            now = self._settled()
            if now.steady:
                fallen_s = self._steady_s - now.core_s - self._lost_s
                if fallen_s > ROUNDING_S:
                    self._lost_s += fallen_s  # so that what is spent from now on counts in full
                self._steady_s = now.core_s + self._lost_s
            self._total_s = max(self._total_s, now.core_s + self._lost_s)
            return self._total_s

    def _settled(self) -> TreeReading:
        for _ in range(MOST_READINGS - 1):
            now = self._read()
            if now.steady:
                return now
        return self._read()


process_tree_core_s = ProcessTree()
