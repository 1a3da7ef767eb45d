"""The peak memory of a run does not remember the runs before, or is unknown."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from search.worker.memory import CpuPeak, PeakOfRanks, release_free_memory, resident_bytes, unmap_pages

MB = 1 << 20
ORDERS = ("s", "ss", "ls", "sls", "lls")

SCRIPT = """
import json, sys, torch
from search.worker.memory import CpuPeak
torch.set_num_threads(1)

def run(megabytes):
    kept, pieces = [], 64
    for turn in range(4):  # gone and come again, small beside large, as activations are
        kept = [torch.ones(megabytes * 2**18 // pieces) for _ in range(pieces)]
        small = [torch.ones(100) for _ in range(2000)]
    cycle = [kept]
    cycle.append(cycle)  # only the collector of garbage finds it

run(1)
peak = CpuPeak()
found = []
for letter in sys.argv[1]:
    peak.reset()
    run({"s": 20, "l": 500}[letter])
    found.append(peak.bytes())
print(json.dumps(found))
"""


def peaks(order: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, order], capture_output=True, text=True, check=True)
    found: list[int] = json.loads(done.stdout)
    return found


def test_the_peak_of_ranks_is_their_sum_and_unknown_where_one_is() -> None:
    peak = PeakOfRanks()
    assert peak.bytes() is None
    peak.take([5 * MB, None])
    assert peak.bytes() is None
    peak.take([None, 7 * MB])
    peak.take([6 * MB, None])
    assert peak.bytes() == 13 * MB
    peak.reset()
    assert peak.bytes() is None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux resets a peak")
def test_the_same_run_has_the_same_peak_in_any_order() -> None:
    by_letter: dict[str, list[int]] = {"s": [], "l": []}
    for order in ORDERS:
        for letter, found in zip(order, peaks(order), strict=True):
            by_letter[letter].append(found)
    for found in by_letter.values():
        assert max(found) < 1.15 * min(found), by_letter  # malloc's gaps lie differently; else it doubles
    assert min(by_letter["l"]) > max(by_letter["s"]) + 400 * MB


class Process:
    """A process whose memory is told by a test."""

    def __init__(self, tmp_path: Path) -> None:
        self.status, self.clear = tmp_path / "status", tmp_path / "clear_refs"
        self.holds(100 * MB, 100 * MB)

    def holds(self, now: int, peak: int) -> None:
        self.status.write_text(f"Name:\tpython\nVmHWM:\t{peak // 1024} kB\nVmRSS:\t{now // 1024} kB\n")

    def peak(self, release: Callable[[], bool] = lambda: True) -> CpuPeak:
        return CpuPeak((), release, self.status, self.clear)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_the_peak_is_what_the_kernel_says_after_it_was_told_to_forget(process: Process) -> None:
    peak = process.peak()
    peak.reset()
    assert process.clear.read_text() == "5"
    process.holds(100 * MB, 250 * MB)
    assert (peak.bytes(), peak.worn) == (250 * MB, False)


def test_a_process_that_kept_what_runs_before_it_used_is_worn_and_its_peak_unknown(process: Process) -> None:
    peak = process.peak()
    process.holds(130 * MB, 250 * MB)
    peak.reset()
    assert (peak.bytes(), peak.worn) == (None, True)
    process.holds(101 * MB, 250 * MB)
    peak.reset()
    assert (peak.bytes(), peak.worn) == (250 * MB, False)


@pytest.mark.parametrize("lacks", ["malloc_trim", "clear_refs", "status"])
def test_a_system_that_cannot_reset_the_peak_does_not_know_it(
    process: Process, lacks: str, tmp_path: Path
) -> None:
    if lacks == "clear_refs":
        process.clear = tmp_path / "missing" / "clear_refs"
    if lacks == "status":
        process.status = tmp_path / "missing"
    peak = process.peak(release=lambda: lacks != "malloc_trim")
    peak.reset()
    assert (peak.bytes(), peak.worn) == (None, False), "a new process would not know it either"


def test_pages_of_mapped_data_are_let_go(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"\1" * 64 * MB)
    array = np.asarray(np.memmap(path, dtype=np.uint16, mode="r"))[100:]
    before = resident_bytes("VmRSS") or 0
    assert int(array.sum()) > 0
    read = resident_bytes("VmRSS") or 0
    unmap_pages([array, np.ones(3)])
    after = resident_bytes("VmRSS") or 0
    assert read - before > 48 * MB
    assert read - after > 48 * MB
    assert int(array[-1]) == 257, "they are read again when they are wanted"
    assert hasattr(mmap, "MADV_DONTNEED")


def test_free_memory_goes_back() -> None:
    assert release_free_memory() is (sys.platform == "linux")
    assert torch.ones(3).sum() == 3
