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

from search.errors import INTERRUPTED, MORE
from search.exam.cases import REFERENCE
from search.exam.folder import ExamFolder
from search.exam.plan import State, StepName
from search.files.paths import root
from tests import nvml_standin

pytestmark = pytest.mark.slow

# Runs so long that the stand-in's counter moves many times in each.
STUDY = ("device=cpu", "meter=nvml", "budget.n_trials=4", "train.max_steps=1500", "target_loss=2.6")
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
    return [
        json.loads(line)
        for path in folder.path.glob("*/records.jsonl")
        for line in path.read_text().split("\n")[:-1]  # the last may be half written
    ]


def whole_runs(folder: ExamFolder) -> list[str]:
    """What each run that came to its end trained, in order."""
    return [json.dumps(one["params"], sort_keys=True) for one in records(folder) if not one["interrupted"]]


def kernels(folder: ExamFolder) -> Counter[str]:
    form = folder.read_variants()
    return Counter() if form is None else Counter(one.case for one in form.measured if one.case != REFERENCE)


def stopped_after(command: Sequence[str], number: int, seen: Callable[[], bool]) -> int:
    """Start it, and send it the signal once something is seen; its exit status."""
    process = subprocess.Popen(command, cwd=root(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 600
    try:
        while not seen():
            assert process.poll() is None, "it ended before it could be stopped"
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(number)
        return process.wait(timeout=300)
    finally:
        process.kill()
        process.wait()


@pytest.mark.many
def test_an_exam_killed_and_carried_to_fresh_folders_is_the_exam_in_one_go(
    exam: Callable[..., list[str]], tmp_path: Path
) -> None:
    straight = ExamFolder(tmp_path / "straight")
    done = run([*exam(straight.path, "exam.skip=[meter,variants]")])
    assert done.returncode == 0, done.stdout + done.stderr

    first, second, third = (ExamFolder(tmp_path / name) for name in ("first", "second", "third"))
    killed = exam(first.path)
    assert stopped_after(killed, signal.SIGKILL, lambda: sum(kernels(first).values()) >= 2) == -signal.SIGKILL
    before_the_kill = kernels(first)
    carried = exam(second.path, f"exam.resume={first.path}", f"exam.pack={tmp_path / 'pack'}")
    assert stopped_after(carried, signal.SIGINT, lambda: len(records(second)) >= 2) == INTERRUPTED
    assert before_the_kill <= kernels(second)
    at_the_stop = records(second)
    done = run(exam(third.path, f"exam.resume={tmp_path / 'pack'}"))
    assert done.returncode == 0, done.stdout + done.stderr

    assert whole_runs(third) == whole_runs(straight)
    assert records(third)[: len(at_the_stop)] == at_the_stop
    assert set(kernels(third).values()) == {1}
    assert kernels(third) == kernels(second)
    check_all_done(third, done.stdout)


def check_all_done(folder: ExamFolder, printed: str) -> None:
    """Every step is over, every kernel has its line, and the summary says so."""
    form, variants = folder.read_exam(), folder.read_variants()
    assert form is not None
    assert {step: one.state for step, one in form.steps.items()} == {
        step: State.SKIPPED if step is StepName.TESTS else State.DONE for step in StepName
    }
    assert variants is not None
    assert variants.left == 0
    assert all(one.energy_j is None or one.energy_j > 0 for one in variants.measured)
    for words in ("verdict:", "counter over integrated power", "own overhead", "a step of the baseline"):
        assert words in printed


def test_a_slice_ends_in_time_and_counts_no_kernel_that_it_cut_off(
    exam: Callable[..., list[str]], tmp_path: Path
) -> None:
    folder = ExamFolder(tmp_path / "exam")
    endless = ("exam.only=[environment,variants]", "exam.window_s=500", "exam.slice_minutes=1.5")
    began_s = time.monotonic()
    done = run(exam(folder.path, *endless, "exam.let_end_s=6", "exam.stop_s=5"))
    assert done.returncode == MORE, done.stdout + done.stderr
    assert "The same command goes on" in done.stdout
    assert time.monotonic() - began_s < 90 + 15
    variants = folder.read_variants()
    assert variants is None or (variants.running, variants.measured) == (None, ())


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
