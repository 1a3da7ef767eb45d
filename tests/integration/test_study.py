"""A study as a person runs it: tiny runs, real processes, a real storage."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import jsonschema
import optuna
import pytest
from conftest import run, run_here, tiny_study
from optuna.trial import TrialState
from running_study import records_of, started, worker_of

from search.files.paths import root, study_dir
from search.files.records import read_records
from search.record.flags import Flag
from search.record.outcome import Outcome
from search.record.record import Record
from search.report.csv_columns import documented
from search.report.schema import summary_schema
from search.sampling.history import state_of
from search.worker.locks import exclusive

Tiny = Callable[..., list[str]]


def trials_of(name: str) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{study_dir(name) / 'study.db'}"
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def summary_of(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((study_dir(name) / "summary.json").read_text())
    return found


@dataclass(frozen=True)
class Finished:
    name: str
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def finished(text_file: Path) -> Iterator[Finished]:
    """One study for all tests that read a study and leave it as it was. On a machine that others keep busy,
    its baseline may be the luckiest run by far: that ends no other."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield Finished(name, run(tiny_study(text_file, name, "budget.rival_margin=5")))
    shutil.rmtree(study_dir(name), ignore_errors=True)


def test_what_scripts_read_of_a_study_is_as_documented(finished: Finished) -> None:
    content = summary_of(finished.name)
    jsonschema.validate(content, summary_schema(closed=True))
    assert isinstance(content["device"], dict)
    assert None not in content["device"].values()
    heads = (study_dir(finished.name) / "trials.csv").read_text().splitlines()[0].split(",")
    names = {column.name for column in documented()}
    assert [head for head in heads if head not in names and not head.startswith("params.")] == []


@pytest.mark.slow
def test_a_study_of_before_the_test_part_goes_on_with_all_that_was_held_out(
    tiny: Tiny, study_name: str
) -> None:
    """Its first 1,024 tokens are those of either part, so that taking away what it says of it makes one."""
    assert run_here(tiny("budget.n_trials=1")).returncode == 0
    folder = study_dir(study_name)
    for file in (folder / "records.jsonl", folder / "identity.json"):
        text = file.read_text()
        assert '"held_out": "halves"' in text
        file.write_text(re.sub(r'"held_out": "halves",\s*', "", text))
    (folder / "study.db").unlink()
    done = run_here(tiny("budget.n_trials=2"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goes on with all of it for validation" in done.stdout
    said = [record.provenance["data"].get("held_out") for record in records_of(study_name)]
    assert said == [None] * (len(said) - 1) + ["whole"]
    assert json.loads((folder / "identity.json").read_text())["held_out"] == "whole"


def test_a_study_leaves_what_it_promises(finished: Finished) -> None:
    done = finished.done
    assert done.returncode == 0, done.stdout + done.stderr
    assert "n-gram" in done.stdout or "-grams reaches" in done.stdout
    names = {path.name for path in study_dir(finished.name).iterdir() if not path.name.startswith(".")}
    assert {"report.html", "summary.json", "trials.csv", "records.jsonl", "config.yaml"} <= names
    assert "running.json" not in names

    records, trials = records_of(finished.name), trials_of(finished.name)
    assert ("best.yaml" in names) is any(record.feasible for record in records[1:])
    assert [record.trial for record in records] == [trial.number for trial in trials] == list(range(6))
    assert [record.role for record in records] == ["baseline", *["search"] * 5]
    assert records[0].outcome is Outcome.REACHED
    for record, trial in zip(records, trials, strict=True):
        assert trial.state is state_of(record)
        assert trial.values == (list(record.values.values()) or None)
        assert trial.constraints["loss_gap"] == record.loss_gap
        assert (record.loss_gap <= 0) is record.feasible
        assert record.ledger is not None
        assert sum(record.ledger.energy_j.values()) == pytest.approx(record.gross_energy_j)

    cost = summary_of(finished.name)["search_cost"]
    assert cost["energy_j"] == pytest.approx(sum(record.gross_energy_j for record in records))
    assert len({json.dumps(record.config, sort_keys=True) for record in records}) == 6


@pytest.mark.slow
def test_going_on_repeats_nothing_and_adds_what_is_asked(tiny: Tiny, study_name: str) -> None:
    assert run_here(tiny("budget.n_trials=2")).returncode == 0
    first = (study_dir(study_name) / "records.jsonl").read_bytes()
    assert run_here(tiny("budget.n_trials=2")).returncode == 0
    assert (study_dir(study_name) / "records.jsonl").read_bytes() == first
    assert run_here(tiny("budget.n_trials=3")).returncode == 0
    now = (study_dir(study_name) / "records.jsonl").read_bytes()
    assert now.startswith(first)
    assert [record.trial for record in records_of(study_name)] == list(range(3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("target_loss=2.9", "target_loss: 3.25 -> 2.9"),
        *(
            pytest.param(change, said, marks=pytest.mark.slow)
            for change, said in (
                ("space.optimizer.lr.high=0.02", "space.optimizer.lr.high: 0.01 -> 0.02"),
                ("meter.watts_per_core=4.5", "meter.settings.watts_per_core: 3.75 -> 4.5"),
            )
        ),
    ],
)
def test_going_on_with_other_settings_is_refused_with_a_diff(
    text_file: Path, finished: Finished, change: str, said: str
) -> None:
    before = (study_dir(finished.name) / "config.yaml").read_bytes()
    done = run_here(tiny_study(text_file, finished.name, change))
    assert done.returncode == 2
    assert said in done.stderr
    assert (study_dir(finished.name) / "config.yaml").read_bytes() == before
    assert len(records_of(finished.name)) == 6


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
def test_going_on_with_other_code_is_refused_and_where_it_is_allowed_marked(
    text_file: Path, finished: Finished, tmp_path: Path
) -> None:
    folder = tmp_path / finished.name
    shutil.copytree(study_dir(finished.name), folder)
    own = records_of(finished.name)[0].provenance["code"]["training_sha256"]
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace(own, "0" * 64))
    before = digests(folder)
    command = tiny_study(text_file, finished.name, f"reports={tmp_path}", "budget.n_trials=7")
    done = run_here(command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "study.on_change=allow" in done.stderr
    assert digests(folder) == before
    assert run_here([*command, "study.on_change=allow"]).returncode == 0
    flagged = [Flag.CODE_CHANGED in record.flags for record in read_records(records)[0]]
    assert flagged == [False] * 6 + [True]
    assert "on_change: refuse" in (folder / "config.yaml").read_text()


@pytest.mark.slow
def test_the_same_seed_proposes_the_same_configurations_interrupted_or_not(
    tiny: Tiny, study_name: str
) -> None:
    whole = [*tiny("sampler=random", "budget.n_trials=5")]
    assert run_here(whole).returncode == 0
    uninterrupted = [record.config for record in records_of(study_name)]
    shutil.rmtree(study_dir(study_name))
    assert run_here([*whole, "budget.n_trials=2"]).returncode == 0
    assert run_here(whole).returncode == 0
    assert [record.config for record in records_of(study_name)] == uninterrupted


@pytest.mark.slow
def test_kill_9_of_the_whole_group_loses_nothing(tiny: Tiny, study_name: str) -> None:
    """Killed four times at random moments: what was on the disk stays, and no trial stays RUNNING."""
    generator = random.Random(7)
    command = tiny("budget.n_trials=14", "train.max_steps=400", "target_loss=2.6")
    path = study_dir(study_name) / "records.jsonl"
    kept = b""
    running = study_dir(study_name) / "running.json"
    for _ in range(4):
        left = running.read_bytes() if running.exists() else b""
        process = subprocess.Popen(
            command, cwd=root(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while (not running.exists() or running.read_bytes() == left) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(generator.uniform(0.0, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = path.read_bytes() if path.exists() else b""
        assert now.startswith(kept)
        kept = now[: now.rfind(b"\n") + 1]
    done = run_here(command)
    assert done.returncode == 0, done.stdout + done.stderr
    records, trials = records_of(study_name), trials_of(study_name)
    assert path.read_bytes().startswith(kept)
    assert len(trials) == 14
    assert all(trial.state.is_finished() for trial in trials)
    assert sorted(record.trial for record in records) == list(range(14))
    assert len({record.run_id for record in records}) == 14
    interrupted = [record for record in records if record.interrupted]
    assert 1 <= len(interrupted) <= 4  # a kill between two runs interrupts none
    assert all(record.outcome is Outcome.CRASHED for record in interrupted)
    retried = {record.retry_of for record in records} - {None}
    assert retried == {record.trial for record in interrupted}
    known = sum(record.gross_energy_j or 0.0 for record in records)
    assert summary_of(study_name)["search_cost"]["energy_j"] == pytest.approx(known)


@pytest.mark.slow
def test_ctrl_c_once_finishes_the_trial_and_reports(tiny: Tiny, study_name: str) -> None:
    process = started(tiny("budget.n_trials=50", "train.max_steps=400", "target_loss=2.6"), study_name)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Ctrl-C again stops now" in output
    assert (study_dir(study_name) / "report.html").exists()
    assert not any(record.interrupted for record in records_of(study_name))
    assert all(trial.state.is_finished() for trial in trials_of(study_name))


@pytest.mark.slow
def test_ctrl_c_twice_stops_now_and_keeps_the_joules(tiny: Tiny, study_name: str) -> None:
    slow = ("train.max_steps=100000", "target_loss=0.1", "budget.n_trials=50")
    process = started(tiny(*slow), study_name)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    (record,) = records_of(study_name)
    assert record.interrupted
    assert record.gross_energy_j is not None
    assert record.gross_energy_j > 0
    assert not any(trial.state is TrialState.RUNNING for trial in trials_of(study_name))


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_trial_and_is_replaced(tiny: Tiny, study_name: str) -> None:
    slow = ("train.max_steps=600", "target_loss=0.1")
    process = started(tiny("budget.n_trials=3", *slow), study_name)
    worker_of(process).kill()
    output, _ = process.communicate(timeout=120)
    records = records_of(study_name)
    assert "SIGKILL" in records[0].reason, output
    assert records[0].outcome is Outcome.CRASHED
    assert records[0].gross_energy_j is not None
    assert process.returncode == 1  # the baseline has no result
    assert trials_of(study_name)[0].state is TrialState.FAIL
    assert run_here(tiny("budget.n_trials=2", *slow)).returncode == 1  # nothing reached the target
    assert [record.role for record in records_of(study_name)] == ["baseline", "baseline"]
    assert records_of(study_name)[1].outcome is Outcome.OUT_OF_BUDGET


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended(tiny: Tiny, study_name: str) -> None:
    """A limit that no step can keep stands in for a hang."""
    done = run_here(tiny("budget.hang_s=0.0001", "budget.n_trials=2"))
    (record, *_) = records_of(study_name)
    assert record.outcome is Outcome.CRASHED, done.stdout
    assert "said nothing for 0.0001 s" in record.reason


def test_the_energy_budget_ends_the_study(tiny: Tiny, study_name: str) -> None:
    done = run_here(tiny("budget.study_energy_j=0.001", "budget.n_trials=50"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "energy budget is spent" in done.stdout
    assert [record.role for record in records_of(study_name)] == ["baseline"]


@pytest.mark.slow
def test_the_joules_of_prior_studies_are_in_the_cost_and_outlive_their_folders(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    written = {
        "schema": 1,
        "study": "before",
        "meter": {"kind": "measured"},
        "search_cost": {"energy_j": 320.0},
    }
    (before / "summary.json").write_text(json.dumps(written))
    refused = run_here(tiny(f"study.prior=[{before}]", "budget.n_trials=2"))
    assert refused.returncode == 2
    assert "whose joules are measured, and this study's are estimated" in refused.stderr
    assert not study_dir(study_name).exists()
    written["meter"] = {"kind": "estimated"}
    (before / "summary.json").write_text(json.dumps(written))
    done = run_here(tiny(f"study.prior=[{before}]", "budget.n_trials=2"))
    said = " ".join(done.stdout.split())
    assert "plus 320 J (estimated) of a study by which the space was narrowed: before" in said
    shutil.rmtree(before)
    drawn = run_here([sys.executable, "-m", "search.report", str(study_dir(study_name))])
    assert drawn.returncode == 0, drawn.stderr
    summary = json.loads((study_dir(study_name) / "summary.json").read_text())
    assert summary["prior"] == [{"study": "before", "energy_j": 320.0, "kind": "estimated"}]
    assert summary["search_cost"]["prior_j"] == 320.0


@pytest.mark.slow
def test_a_device_that_another_study_holds_is_waited_for_or_refused(tiny: Tiny, study_name: str) -> None:
    with exclusive(["cpu"], "study 'other'", wait=True):
        refused = run_here(tiny("device.wait=false"))
        assert refused.returncode == 2
        assert "cpu is held by study 'other'" in refused.stderr
        assert not study_dir(study_name).exists()
        waiting = subprocess.Popen(
            tiny("budget.n_trials=1"), cwd=root(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert waiting.stdout is not None
        said = next((line for line in waiting.stdout if "waiting for the device" in line), "")
        assert "study 'other'" in said
        assert not (study_dir(study_name) / "records.jsonl").exists()
    rest, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, rest
    assert records_of(study_name)[0].outcome is Outcome.REACHED


@pytest.mark.slow
def test_a_lock_that_cannot_be_used_is_found_before_anything_is_made(
    tiny: Tiny, study_name: str, tmp_path: Path
) -> None:
    (tmp_path / "cpu.lock").symlink_to(tmp_path / "nowhere")
    done = run(tiny(), JOULESEARCH_LOCK_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "cpu.lock, cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert not study_dir(study_name).exists()


@pytest.mark.slow
def test_a_markup_name_is_text_everywhere(tiny: Tiny) -> None:
    name = f"<script>alert({random.randrange(10**9)})</script>"
    try:
        done = run_here(tiny(f'study.name="{name}"', "budget.n_trials=2"))
        assert done.returncode == 0, done.stdout + done.stderr
        page = (study_dir(name) / "report.html").read_text()
        assert name not in page
        assert "&lt;script&gt;alert" in page
        assert summary_of(name)["study"] == name
    finally:
        shutil.rmtree(study_dir(name), ignore_errors=True)


def test_the_winner_repeats_its_recorded_curve_to_the_last_digit(finished: Finished, tmp_path: Path) -> None:
    folder = study_dir(finished.name)
    best = summary_of(finished.name)["best"]
    recorded = next(record for record in records_of(finished.name) if record.trial == best)
    output = tmp_path / "again.jsonl"
    done = run_here(
        [sys.executable, "-m", "search.train", f"recipe={folder / 'best.yaml'}", f"output={output}"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ((again,), _) = read_records(output)
    assert curve(again) == curve(recorded)
    assert "ledger (estimated by cpu_time)" in done.stdout
    assert re.search(r"loss \d\.\d{4} ", done.stdout)

    other = tmp_path / "other.jsonl"
    done = run_here([sys.executable, "-m", "search.train", f"recipe={folder}", "seed=7", f"output={other}"])
    ((fresh,), _) = read_records(other)
    assert fresh.seed == 7
    assert fresh.config == recorded.config | {"seed": 7}
    assert curve(fresh)[0] != curve(recorded)[0]


def test_any_trial_repeats_its_recorded_curve(finished: Finished, tmp_path: Path) -> None:
    """Not the winner, and a loss that it did not reach."""
    folder, output = study_dir(finished.name), tmp_path / "again.jsonl"
    best = summary_of(finished.name)["best"]
    recorded = next(r for r in records_of(finished.name)[1:] if r.trial != best and r.curve)
    command = [sys.executable, "-m", "search.train", f"recipe={folder}", f"trial={recorded.trial}"]
    run_here([*command, f"output={output}"])
    ((again,), _) = read_records(output)
    assert again.config == recorded.config
    assert again.target_loss == recorded.target_loss
    assert curve(again)[: len(recorded.curve)] == curve(recorded)
    missing = run_here([*command[:-1], "trial=99"])
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr
    assert "has no trial 99; it has 0 to 5" in missing.stderr


def curve(record: Record) -> list[tuple[int, int, float]]:
    return [(point.step, point.tokens, point.loss) for point in record.curve]


def test_optuna_dashboard_shows_the_study_with_its_metric_names(finished: Finished) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(f"sqlite:///{study_dir(finished.name) / 'study.db'}")
    studies = _get(app, "/api/studies")["study_summaries"]
    (found,) = [study for study in studies if study["study_name"] == finished.name]
    detail = _get(app, f"/api/studies/{found['study_id']}")
    assert detail["objective_names"] == ["energy_to_target_j", "time_to_target_s"]
    assert len(detail["trials"]) == 6


def _get(app: Callable[..., object], path: str) -> dict[str, object]:
    from wsgiref.util import setup_testing_defaults

    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
    body = app(environ, lambda status, headers, problem=None: None)
    found: dict[str, object] = json.loads(b"".join(body))
    return found


def test_report_is_drawn_again_from_the_records(finished: Finished) -> None:
    folder = study_dir(finished.name)
    before = re.sub(r"\s", "", (folder / "summary.json").read_text())
    for name in ("report.html", "summary.json", "trials.csv"):
        (folder / name).unlink()
    done = run_here([sys.executable, "-m", "search.report", str(folder)])
    assert done.returncode == 0, done.stderr
    assert re.sub(r"\s", "", (folder / "summary.json").read_text()) == before
    assert (folder / "report.html").exists()


def test_the_parent_never_imports_torch() -> None:
    code = "import sys, search.__main__; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_simulated_meter_runs_a_study_whose_joules_are_modelled(tiny: Tiny, study_name: str) -> None:
    assert (
        run_here(tiny("meter=simulated", "meter.simulated.tick_s=0.0", "budget.n_trials=2")).returncode == 0
    )
    assert summary_of(study_name)["meter"]["kind"] == "modelled"
    for record in records_of(study_name):
        assert record.gross_energy_j == pytest.approx(50.0 * record.ledger.gross_time_s, rel=0.01, abs=0.1)
