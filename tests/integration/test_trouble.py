"""What happens to a study whose files, disk or storage somebody breaks: one line, and nothing lost."""

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import optuna
import pytest
from conftest import run_here
from optuna.trial import TrialState
from running_study import records_of
from small_disk import fill, mounted

from search.files.paths import root, study_dir
from search.files.records import append_record, read_records
from search.record.outcome import Outcome

Tiny = Callable[..., list[str]]
SLOW = ("train.max_steps=100000", "target_loss=0.1", "budget.run_time_s=4")


def url(name: str) -> str:
    return f"sqlite:///{study_dir(name) / 'study.db'}"


def trials_of(name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=url(name)).get_trials()


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a command that ended with status 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


def going(command: list[str], name: str) -> subprocess.Popen[str]:
    """The study, once its first run trains."""
    process = subprocess.Popen(
        command, cwd=root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    path = study_dir(name) / "running.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if json.loads(path.read_text())["gross_energy_j"] is not None:
                return process
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate()[0])


# ---- records.jsonl


def _garbage_in_the_middle(path: Path) -> None:
    path.write_bytes(b"garbage\n" + path.read_bytes())


def _twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(0xFF, 0, -1)))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _of_another_schema(path: Path) -> None:
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))


def _of_another_study(path: Path) -> None:
    path.write_text(path.read_text().replace('"target_loss": 3.25', '"target_loss": 1.5'))


@pytest.mark.slow  # ten studies begun; `test_records.py` has the messages
def test_a_records_file_that_is_not_the_studys_is_one_line(tiny: Tiny, study_name: str) -> None:
    """One study, broken again and again; put back, it goes on."""
    command = tiny("budget.n_trials=1")
    assert run_here(command).returncode == 0
    path = study_dir(study_name) / "records.jsonl"
    whole = path.read_bytes()
    for spoil, words in (
        (_garbage_in_the_middle, "records.jsonl, line 1: expected a JSON record, got 'garbage'"),
        (_twice, "records.jsonl, line 2: repeats line 1"),
        (_binary, "records.jsonl, line 1: expected a JSON record"),
        (_of_another_schema, "line 1: expected a record of schema 1, got 9"),
        (_of_another_study, "begun with other settings (target_loss: 1.5 -> 3.25)"),
        (_empty, "records.jsonl holds no runs, and"),
        (_missing, "records.jsonl holds no runs, and"),
        (_folder, "records.jsonl cannot be read: it is a folder"),
    ):
        spoil(path)
        spoilt = path.read_bytes() if path.is_file() else None
        assert words in one_line(run_here(command))
        assert (path.read_bytes() if path.is_file() else None) == spoilt
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)
    done = run_here(tiny("budget.n_trials=2"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes().startswith(whole)
    assert len(records_of(study_name)) == 2


# ---- the storage


@pytest.mark.slow
def test_a_study_whose_storage_is_lost_broken_or_renamed_goes_on_from_its_records(
    tiny: Tiny, study_name: str
) -> None:
    folder = study_dir(study_name)
    assert run_here(tiny("budget.n_trials=3")).returncode == 0
    told = [(trial.number, trial.state, trial.values, trial.params) for trial in trials_of(study_name)]

    for path in folder.glob("study.db*"):
        path.unlink()
    done = run_here(tiny("budget.n_trials=3"))
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "built again" in line]
    assert "study.db: it holds nothing of the study; built again from the 3 runs" in line
    assert [(t.number, t.state, t.values, t.params) for t in trials_of(study_name)] == told

    (folder / "study.db").write_bytes(b"garbage" * 999)
    done = run_here(tiny("budget.n_trials=4"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "study.db is damaged (file is not a database); it was set aside as" in done.stdout
    assert (folder / "study.db.corrupt-1").read_bytes() == b"garbage" * 999
    assert len(trials_of(study_name)) == len(records_of(study_name)) == 4

    other = f"{study_name}-renamed"
    folder.rename(study_dir(other))
    try:
        refused = one_line(run_here(tiny("budget.n_trials=5", f"study.name={other}", "target_loss=3.2")))
        assert "target_loss: 3.25 -> 3.2" in refused
        done = run_here(tiny("budget.n_trials=5", f"study.name={other}"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"begun as study '{study_name}'; it continues as '{other}'" in done.stdout
        assert len(trials_of(other)) == len(records_of(other)) == 5
    finally:
        shutil.rmtree(study_dir(other), ignore_errors=True)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_study_whatever_becomes_of_its_storage(
    tiny: Tiny, study_name: str
) -> None:
    tpe = ("sampler=tpe", "sampler.n_startup_trials=2", "meter=simulated", "meter.simulated.tick_s=0.0")
    modelled = ("objective.names=[tokens_to_target,parameters]",)
    assert run_here(tiny("budget.n_trials=6", *tpe, *modelled)).returncode == 0
    whole = [record.config for record in records_of(study_name)]
    shutil.rmtree(study_dir(study_name))
    assert run_here(tiny("budget.n_trials=3", *tpe, *modelled)).returncode == 0
    for path in study_dir(study_name).glob("study.db*"):
        path.unlink()
    assert run_here(tiny("budget.n_trials=6", *tpe, *modelled)).returncode == 0
    assert [record.config for record in records_of(study_name)] == whole


@pytest.mark.slow
def test_a_storage_that_is_deleted_and_a_trial_that_is_failed_in_mid_run_cost_nothing(
    tiny: Tiny, study_name: str
) -> None:
    process = going(tiny("budget.n_trials=3", *SLOW), study_name)
    with closing(sqlite3.connect(study_dir(study_name) / "study.db", timeout=30)) as connection:
        connection.execute("UPDATE trials SET state = 'FAIL'")
        connection.commit()
    deadline = time.monotonic() + 60
    while not (study_dir(study_name) / "records.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for path in study_dir(study_name).glob("study.db*"):
        path.unlink(missing_ok=True)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output  # nothing reached the target
    assert "Traceback" not in output
    assert "built again from" in output
    records, trials = records_of(study_name), trials_of(study_name)
    assert [record.outcome for record in records] == [Outcome.OUT_OF_BUDGET] * 3
    assert [trial.state for trial in trials] == [TrialState.PRUNED] * 3


@pytest.mark.slow
def test_a_run_that_was_killed_is_recorded_although_its_storage_is_gone(tiny: Tiny, study_name: str) -> None:
    process = going(tiny("budget.n_trials=2", *SLOW), study_name)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for path in study_dir(study_name).glob("study.db*"):
        path.unlink()
    done = run_here(tiny("budget.n_trials=2", *SLOW))
    assert done.returncode == 1, done.stdout + done.stderr
    cut, baseline = records_of(study_name)
    assert cut.interrupted
    assert cut.gross_energy_j is not None
    assert (cut.trial, baseline.trial, baseline.retry_of) == (0, 1, 0)
    assert [trial.state for trial in trials_of(study_name)] == [TrialState.FAIL, TrialState.PRUNED]


# ---- enqueued trials


@pytest.mark.slow
def test_enqueued_trials_run_as_they_ask_or_are_refused_with_a_reason(tiny: Tiny, study_name: str) -> None:
    assert run_here(tiny("budget.n_trials=1")).returncode == 0
    study = optuna.load_study(study_name=study_name, storage=url(study_name))
    study.enqueue_trial({"optimizer.lr": 0.004, "model.n_embd": 48, "train.batch_size": 8})
    study.enqueue_trial({"optimizer.lr": 3.0})
    study.enqueue_trial({"optimizer.learning_rate": 0.004})
    study.enqueue_trial({"model.n_embd": 64})
    done = run_here(tiny("budget.n_trials=3"))
    assert done.returncode == 0, done.stdout + done.stderr
    _, asked, completed = records_of(study_name)
    assert asked.params == {"optimizer.lr": 0.004, "model.n_embd": 48, "train.batch_size": 8}
    assert asked.config["model"]["n_embd"] == 48
    assert completed.params["model.n_embd"] == completed.config["model"]["n_embd"] == 64
    trials = trials_of(study_name)
    assert [trial.state for trial in trials if trial.number in (2, 3)] == [TrialState.FAIL] * 2
    assert "must be a number from 0.002 to 0.01, got 3.0" in trials[2].user_attrs["reason"]
    assert "the space has no optimizer.learning_rate" in trials[3].user_attrs["reason"]
    for record in (asked, completed):
        assert trials[record.trial].params == dict(record.params)
        assert trials[record.trial].user_attrs["run_id"] == record.run_id


# ---- a space in which nothing runs


@pytest.mark.slow
def test_a_space_in_which_nothing_runs_is_known_before_anything_starts(tiny: Tiny, study_name: str) -> None:
    nothing = ("~space.model", "~space.optimizer", "~space.train")
    only = "+space.model.n_kv_head={type: categorical, choices: [3]}"
    line = one_line(run_here(tiny(*nothing, only)))
    assert "no configuration of the space runs here: model.n_kv_head=3 must divide model.n_head=2" in line
    assert not study_dir(study_name).exists()
    baseline = "+space.model.n_kv_head={type: categorical, choices: [2]}"
    line = one_line(run_here(tiny(*nothing, baseline)))
    assert "the only configuration of the space that runs here is the baseline; widen the space" in line
    assert not study_dir(study_name).exists()


# ---- disks

Disk = Callable[[str], None]


@pytest.fixture
def disk(study_name: str) -> Iterator[Disk]:
    """Makes the study's folder a small disk of its own, with the options of a mount."""
    with ExitStack() as stack:
        yield lambda options: stack.enter_context(mounted(study_dir(study_name), options))


@pytest.mark.slow
def test_a_disk_that_fills_up_in_mid_run_is_one_line_and_loses_no_run(
    tiny: Tiny, study_name: str, disk: Disk
) -> None:
    disk("size=16m")
    process = going(tiny("budget.n_trials=3", *SLOW), study_name)
    filler = fill(study_dir(study_name))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "Traceback" not in output
    said = output.splitlines()[-1]
    assert "records.jsonl cannot be written: the disk is full; make room" in said
    command = said.partition("type ")[2].partition(";")[0]
    filler.unlink()
    subprocess.run(command, shell=True, check=True, cwd=root())
    done = run_here(tiny("budget.n_trials=2", *SLOW))
    assert done.returncode == 1, done.stdout + done.stderr
    first, second = records_of(study_name)
    assert (first.outcome, first.interrupted) == (Outcome.OUT_OF_BUDGET, False)
    assert second.trial == 1
    assert len(trials_of(study_name)) == 2


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start_is_one_line_before_anything_runs(
    tiny: Tiny, study_name: str, disk: Disk
) -> None:
    disk("size=64k")
    line = one_line(run_here(tiny("budget.n_trials=1")))
    assert "study.db cannot be" in line or "cannot be written: the disk is full" in line
    assert not (study_dir(study_name) / "records.jsonl").exists()


def test_a_folder_that_cannot_be_written_is_one_line_before_anything_runs(
    tiny: Tiny, study_name: str, disk: Disk
) -> None:
    disk("ro")
    line = one_line(run_here(tiny("budget.n_trials=1")))
    assert line.endswith("cannot be used as a folder: the file system is read-only")


def test_a_file_in_the_folders_place_is_one_line(tiny: Tiny, study_name: str) -> None:
    study_dir(study_name).parent.mkdir(exist_ok=True)
    study_dir(study_name).write_text("a file")
    try:
        line = one_line(run_here(tiny("budget.n_trials=1")))
        assert f"{study_name} is a file where the folder" in line
    finally:
        study_dir(study_name).unlink()


def test_append_record_is_what_a_rescued_run_is_written_with(tmp_path: Path) -> None:
    """What `cat` puts together is a records file."""
    from records_factory import make_record

    for trial in (1, 2):
        append_record(tmp_path / f"{trial}.jsonl", make_record(trial))
    both = tmp_path / "records.jsonl"
    both.write_bytes((tmp_path / "1.jsonl").read_bytes() + (tmp_path / "2.jsonl").read_bytes())
    assert [record.trial for record in read_records(both)[0]] == [1, 2]
