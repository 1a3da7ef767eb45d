"""What two slots of a CPU bring: the wall time of a study of equal trials, and the joules of a trial, as
ratios to one slot. Wants two cores that nothing else uses. Printed, not asserted."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import pytest
from conftest import run, tiny_study

from search.config.cores import usable_cores
from search.files.records import read_records
from search.record.outcome import Role
from search.record.record import Record

TIMES, TRIALS = 2, 13
# Nothing ends early, and no two trials differ in what a step takes.
EQUAL = (
    "~space.model",
    "~space.train",
    "target_loss=0.1",
    "budget.forecast=null",
    f"budget.n_trials={TRIALS}",
)
LONG = (
    "model.n_embd=64",
    "model.n_layer=2",
    "train.max_steps=2000",
    "train.batch_size=8",
    "evaluation.interval=1000",
)
pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores"),
]


def joules_of_trials(records: list[Record]) -> float:
    found = [record.counted_energy_j for record in records if record.role is Role.SEARCH]
    return median(energy_j for energy_j in found if energy_j is not None)


def test_two_slots_against_one(text_file: Path, tmp_path: Path) -> None:
    wall_s: dict[int, list[float]] = {1: [], 2: []}
    joules: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(TIMES):
        for slots in (1, 2):
            name = f"slots-{slots}-{turn}"
            command = tiny_study(
                text_file, name, f"reports={tmp_path}", f"device.slots={slots}", *EQUAL, *LONG
            )
            began = time.perf_counter()
            done = run(command)
            wall_s[slots].append(time.perf_counter() - began)
            assert done.returncode == 1, done.stdout + done.stderr  # nothing reaches the target
            records = read_records(tmp_path / name / "records.jsonl")[0]
            assert len(records) == TRIALS
            joules[slots].append(joules_of_trials(records))
            flags = sorted({flag for record in records for flag in record.flags})
            print(
                f"{slots} slots: {wall_s[slots][-1]:.1f} s, {joules[slots][-1]:.2f} J a trial, flags {flags}"
            )
    print(f"\nwall time of two slots over one: {median(wall_s[2]) / median(wall_s[1]):.2f}")
    print(f"joules of a trial, two slots over one: {median(joules[2]) / median(joules[1]):.3f}")
