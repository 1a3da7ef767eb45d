"""A study that finds its own target, one that measures its noise, one whose target nothing reaches."""

import json
import shutil
from collections.abc import Callable

import pytest
from conftest import run_here
from running_study import records_of

from search.files.paths import study_dir
from search.record.outcome import Role

Tiny = Callable[..., list[str]]


def summary_of(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((study_dir(name) / "summary.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_the_baseline_runs_at_both_ends_and_the_study_says_how_far_its_runs_differ(
    tiny: Tiny, study_name: str
) -> None:
    done = run_here(tiny("noise.runs=2", "noise.max_runs=2", "budget.n_trials=3"))
    assert done.returncode == 0, done.stderr
    records = records_of(study_name)
    assert [record.role for record in records] == ["baseline", "search", "search", "baseline"]
    assert records[0].best_loss == records[-1].best_loss
    noise = summary_of(study_name)["noise"]
    assert noise["trials"] == [0, 3]
    assert noise["floor"]["energy_to_target_j"] > 0
    assert "oise floor" in done.stdout
    again = run_here(tiny("noise.runs=2", "noise.max_runs=2", "budget.n_trials=3"))
    assert again.returncode == 0
    assert len(records_of(study_name)) == 4


@pytest.mark.slow
def test_more_trials_are_the_same_as_if_they_had_been_asked_for_at_once(tiny: Tiny, study_name: str) -> None:
    """The baseline's further runs teach the sampler nothing and shift nothing."""
    many = tiny("noise.runs=2", "noise.enough=1e9", "budget.n_trials=5", "sampler=random")
    assert run_here([*many, "budget.n_trials=3"]).returncode == 0
    assert run_here(many).returncode == 0
    roles = [record.role for record in records_of(study_name)]
    assert roles == ["baseline", "search", "search", "baseline", "search", "search", "baseline"]
    tried = [record.config for record in records_of(study_name) if record.role is Role.SEARCH]
    shutil.rmtree(study_dir(study_name))
    assert run_here(many).returncode == 0
    assert [record.config for record in records_of(study_name) if record.role is Role.SEARCH] == tried


@pytest.mark.slow
def test_a_target_is_found_by_the_baseline_kept_and_gone_on_with(tiny: Tiny, study_name: str) -> None:
    command = tiny("target_loss=auto", "target_margin=0.02", "budget.n_trials=2")
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    first, baseline, *trials = records_of(study_name)
    assert [first.role, baseline.role] == ["target", "baseline"]
    assert first.steps == first.config["train"]["max_steps"]
    ended_at = first.curve[-1].loss
    assert f"the baseline ends at {ended_at:.4f}" in done.stdout
    assert baseline.target_loss == pytest.approx(ended_at + 0.02, abs=2e-4)
    assert baseline.feasible
    assert {record.target_loss for record in trials} == {baseline.target_loss}
    assert summary_of(study_name)["problem"]["target_loss"] == baseline.target_loss
    assert summary_of(study_name)["baseline"]["trial"] == baseline.trial
    before = (study_dir(study_name) / "records.jsonl").read_bytes()
    assert run_here([*command, "budget.n_trials=3"]).returncode == 0
    assert (study_dir(study_name) / "records.jsonl").read_bytes().startswith(before)
    other = run_here([*command, "target_margin=0.1"])
    assert other.returncode == 2
    assert "target_loss: 'auto + 0.02' -> 'auto + 0.1'" in other.stderr


@pytest.mark.slow
def test_a_target_that_nothing_reaches_is_answered_with_the_closest_and_what_to_type(
    tiny: Tiny, study_name: str
) -> None:
    done = run_here(tiny("target_loss=0.5", "budget.n_trials=2"))
    assert done.returncode == 1
    closest = summary_of(study_name)["closest"]
    assert f"the closest, trial {closest['trial']}, came to {closest['best_loss']:.4f}" in done.stdout
    line = next(line for line in done.stdout.splitlines() if "type study.name=OTHER target_loss=" in line)
    typed = float(line.split("target_loss=")[1].split(";")[0])
    assert closest["best_loss"] < typed < closest["best_loss"] + 0.03


def test_a_target_of_words_is_one_line(tiny: Tiny) -> None:
    done = run_here(tiny("target_loss=low"))
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "joulesearch: target_loss must be a number in nats per token, or auto for what the baseline ends at, "
        "got 'low'"
    )
