"""An exam as a person does it: a whole one in slices, each carried to a fresh folder, against a stand-in for
NVML on a CPU; a kill in between; and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import run

from search.errors import MORE
from search.exam.cases import REFERENCE
from search.exam.folder import ExamFolder
from search.exam.plan import State, StepName
from search.files.paths import root
from tests import nvml_standin

pytestmark = pytest.mark.slow

STUDY = ("device=cpu", "meter=nvml", "budget.n_trials=5")
QUICK = (
    "exam.meter_seconds=2",
    "exam.window_s=0.6",
    "exam.warm_s=0.1",
    "exam.tables=[model.attention,model.norm]",
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if nvml_standin.compiler() is None:
        pytest.skip("no C compiler to build the NVML stand-in with")
    return nvml_standin.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def exam(tiny: Callable[..., list[str]], library: Path) -> Callable[..., list[str]]:
    """The command of an exam of a tiny study; its machine has the stand-in's GPU."""

    def command(folder: Path, *more: str) -> list[str]:
        typed = tiny(*STUDY)
        return [
            *("env", f"LD_LIBRARY_PATH={library}", sys.executable, "-m", "search.exam"),
            *(*typed[3:], f"exam.folder={folder}", *QUICK, *more),
        ]

    return command


def records(folder: ExamFolder) -> list[dict[str, Any]]:
    (path,) = folder.path.glob("*/records.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def whole_runs(folder: ExamFolder) -> list[str]:
    """What each run that came to its end trained, in order."""
    return [json.dumps(one["params"], sort_keys=True) for one in records(folder) if not one["interrupted"]]


def kernels(folder: ExamFolder) -> Counter[str]:
    form = folder.read_variants()
    assert form is not None
    return Counter(one.case for one in form.measured if one.case != REFERENCE)


def killed_after(command: Sequence[str], seen: Callable[[], bool]) -> None:
    """Start it, and `kill -9` it once something is seen."""
    process = subprocess.Popen(command, cwd=root(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    try:
        while not seen():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_an_exam_in_slices_on_several_machines_is_the_exam_in_one_go(
    exam: Callable[..., list[str]], tmp_path: Path
) -> None:
    straight = ExamFolder(tmp_path / "straight")
    done = run([*exam(straight.path, "exam.skip=[meter,variants]", "exam.minutes=20")])
    assert done.returncode == 0, done.stdout + done.stderr

    first = ExamFolder(tmp_path / "first")
    killed_after(exam(first.path), lambda: first.variants_file.exists() and sum(kernels(first).values()) >= 2)
    lost_at_most_the_running_one = kernels(first)
    sliced = ("exam.slice_minutes=1", "exam.let_end_s=10", "exam.stop_s=5")
    machines = [first, *(ExamFolder(tmp_path / f"machine{n}") for n in range(30))]
    here, status = first, MORE
    for number, there in enumerate(machines):
        resume = () if number == 0 else (f"exam.resume={tmp_path / 'pack'}",)
        done = run(exam(there.path, *sliced, f"exam.pack={tmp_path / 'pack'}", *resume))
        here, status = there, done.returncode
        if status != MORE:
            break
        assert "The same command goes on" in done.stdout
    assert status == 0, done.stdout + done.stderr
    assert number >= 2, "it was to be carried at least twice"

    assert whole_runs(here) == whole_runs(straight)
    assert max(kernels(here).values()) == 1
    assert lost_at_most_the_running_one <= kernels(here)
    form = here.read_exam()
    assert form is not None
    assert {step: one.state for step, one in form.steps.items()} == {
        step: State.SKIPPED if step is StepName.TESTS else State.DONE for step in StepName
    }
    variants = here.read_variants()
    assert variants is not None
    assert variants.left == 0
    assert all(one.energy_j is None or one.energy_j > 0 for one in variants.measured)
    for words in ("verdict:", "counter over integrated power", "own overhead", "a step of the baseline"):
        assert words in done.stdout


def test_going_on_with_another_model_is_refused_in_one_line(
    exam: Callable[..., list[str]], tmp_path: Path
) -> None:
    folder = ExamFolder(tmp_path / "exam")
    only = ("exam.only=[environment,meter]",)
    assert run(exam(folder.path, *only)).returncode == 0
    done = run(exam(folder.path, *only), STANDIN_NVML_NAMES="Another GPU")
    assert done.returncode == 2
    assert "was begun on" in done.stderr
    assert "Another GPU" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_plan_does_nothing(exam: Callable[..., list[str]], tmp_path: Path) -> None:
    done = run(exam(tmp_path / "exam", "exam.plan=true"))
    assert done.returncode == 0
    assert all(step in done.stdout for step in StepName)
    assert not (tmp_path / "exam").exists()
    assert os.listdir(tmp_path) == []
