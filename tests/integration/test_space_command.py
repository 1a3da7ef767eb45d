"""`python -m search.space`: what a study may vary on this machine, and what is left out."""

from __future__ import annotations

import sys

from conftest import run, run_here

SPACE = [sys.executable, "-m", "search.space"]


def test_the_space_of_a_study_is_listed_with_its_baseline_and_conditions() -> None:
    done = run_here([*SPACE, "+study=demo", "device=cpu"], COLUMNS="160")
    assert done.returncode == 0, done.stderr
    rows = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    assert "0.001 to 0.005, log" in rows["optimizer.lr"]
    assert "multiples of model.n_head" in rows["model.n_embd"]
    assert "schedule.name is trapezoid" in rows["schedule.cooldown_fraction"]
    assert "combinations" in done.stdout


def test_what_this_machine_cannot_run_is_left_out_and_the_reason_is_said() -> None:
    compiling = "+space.train.compile={type: categorical, choices: [false, true]}"
    done = run([*SPACE, "+study=demo", "device=cpu", compiling], COLUMNS="160", PATH="")
    assert done.returncode == 0, done.stderr
    assert "left out: train.compile=true needs a C++ compiler" in " ".join(done.stdout.split())


def test_combinations_that_never_run_are_named() -> None:
    done = run_here([*SPACE, "+study=demo", "device=cpu", "model.dropout=0.1"], COLUMNS="160")
    assert "never proposed" in done.stdout
    assert "sdpa_flash has no dropout on a CPU" in done.stdout


def test_a_missing_study_costs_one_line() -> None:
    done = run_here(SPACE)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        line for line in done.stderr.strip().splitlines() if "python -m search.space +study=" in line
    ]
