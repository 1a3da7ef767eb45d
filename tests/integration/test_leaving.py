"""Every program ends with a documented status and one line at most, whatever ends it, wherever it prints."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run

from search import errors
from search.files.paths import root, study_dir
from search.files.records import read_records

PROGRAMS = {
    "search": ["+study=demo", "study.name=test-leaving"],
    "search.train": [],
    "search.space": ["+study=demo"],
    "search.meter": [],
    "search.report": ["/no/such/folder"],
    "search.sample": ["/no/such/folder"],
}
# An output that gives up at the first character that it does not have.
NARROW = {
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


def start(program: str, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", program, *arguments],
        cwd=root(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def table(text: str) -> list[tuple[int, str]]:
    return [(int(status), meaning) for status, meaning in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.M)]


def test_the_readme_shows_the_one_table_of_exit_statuses() -> None:
    assert errors.__doc__ is not None
    statuses = table(errors.__doc__)
    assert table((root() / "README.md").read_text(encoding="utf-8")) == statuses
    constants = {0} | {
        value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)
    }
    assert {status for status, _ in statuses} == constants


MOMENTS = [
    pytest.param(
        program, after_s, number, marks=() if program == "search" and after_s == 0.3 else pytest.mark.slow
    )
    for program in PROGRAMS
    for after_s in (0.1, 0.3, 0.7)
    for number in (signal.SIGINT, signal.SIGTERM)
]


@pytest.mark.parametrize(("program", "after_s", "number"), MOMENTS)
def test_a_signal_in_the_first_moments_costs_one_line(
    program: str, after_s: float, number: signal.Signals
) -> None:
    started = start(program, *PROGRAMS[program])
    time.sleep(after_s)
    os.killpg(started.pid, number)
    _, said = started.communicate(timeout=60)
    assert len(said.splitlines()) == 1, said
    if "no folder" not in said:  # it was done before the signal came
        assert started.returncode == 128 + number
        assert said.startswith("joulesearch: stopped")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("search", ["--help"]),
        ("search", ["--cfg", "job"]),
        ("search.report", ["--help"]),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("search", ["--version"]),
                ("search", ["+study=demo", "study.name=test-leaving"]),
                ("search.train", []),
                ("search.space", ["+study=demo", "device=cpu"]),
                ("search.meter", ["--help"]),
                ("search.sample", ["--help"]),
                ("search.meter", ["--idle", "0.1"]),
            )
        ),
    ],
    ids=str,
)
def test_an_output_that_nobody_reads_ends_a_program_with_a_status_of_its_own(
    program: str, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    started = start(program, *arguments, stdout=writing)
    os.close(writing)
    _, said = started.communicate(timeout=120)
    assert (started.returncode, said) == (errors.OUTPUT_CLOSED, "")
    assert not study_dir("test-leaving").exists()


@pytest.mark.slow
def test_a_study_whose_output_closes_keeps_its_records_and_goes_on(
    tiny: Callable[..., list[str]], study_name: str
) -> None:
    command = tiny("budget.n_trials=3")
    started = subprocess.Popen(command, cwd=root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert any(line.startswith("trial 0") for line in started.stdout)
    started.stdout.close()
    assert started.wait(120) == errors.OUTPUT_CLOSED
    assert started.stderr is not None
    assert started.stderr.read() == ""
    started.stderr.close()
    records = study_dir(study_name) / "records.jsonl"
    kept = records.read_text(encoding="utf-8")
    assert kept
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert records.read_text(encoding="utf-8").startswith(kept)


@pytest.mark.slow
def test_a_study_that_is_terminated_says_so_and_keeps_what_its_run_had_spent(
    tiny: Callable[..., list[str]], study_name: str
) -> None:
    command = tiny("budget.n_trials=2", "train.max_steps=100000", "target_loss=0.1")
    running = study_dir(study_name) / "running.json"
    started = subprocess.Popen(
        command, cwd=root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until = time.monotonic() + 60
    while not (running.exists() and json.loads(running.read_text())["curve"]) and time.monotonic() < until:
        time.sleep(0.1)
    started.terminate()
    said, _ = started.communicate(timeout=60)
    assert started.returncode == errors.TERMINATED, said
    assert "nothing finished is lost" in said
    (record,) = read_records(study_dir(study_name) / "records.jsonl")[0]
    assert record.interrupted
    assert record.reason == "stopped by SIGTERM"


def test_a_full_disk_behind_the_output_is_said_in_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        started = start("search", "--help", stdout=full.fileno())
        _, said = started.communicate(timeout=60)
    assert started.returncode == errors.USAGE_ERROR
    assert said == "joulesearch: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "--help"],
        pytest.param(["search.space", "+study=demo", "device=cpu"], marks=pytest.mark.slow),
    ],
)
def test_a_closed_output_stops_nobody(arguments: list[str]) -> None:
    done = run(["sh", "-c", f"{sys.executable} -m {' '.join(arguments)} >&-"])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("terminal", NARROW)
def test_printing_never_raises_for_a_character(
    terminal: str, tiny: Callable[..., list[str]], study_name: str
) -> None:
    done = run(tiny("budget.n_trials=2", "target_loss=3.5"), **NARROW[terminal])
    assert done.returncode == 0, done.stderr
    assert "report: " in done.stdout
    folder = str(study_dir(study_name))
    again = run([sys.executable, "-m", "search.report", folder], **NARROW[terminal])
    assert (again.returncode, again.stderr) == (0, "")
    space = run([sys.executable, "-m", "search.space", "+study=demo", "device=cpu"], **NARROW[terminal])
    assert space.returncode == 0, space.stderr
