"""A study whose workers run on a Ray cluster, as a person runs it: real actors, real deaths.

Its two GPUs are Ray's by count alone. The CPU trains, on cores of its own for each, and NVML's stand-in
serves their meters.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nvml_standin
import psutil
import pytest
from conftest import run
from ray_cluster import ON_LOOPBACK, RayCluster, ray_cluster
from running_study import records_of

from search.config.cores import usable_cores
from search.files.paths import root, study_dir
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.worker.locks import VARIABLE

pytest.importorskip("ray", reason="needs the extra ray: `make many` installs it")
Tiny = Callable[..., list[str]]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.many,
    pytest.mark.skipif(usable_cores().threads < 2, reason="two slots need two cores"),
    pytest.mark.skipif(nvml_standin.compiler() is None, reason="no C compiler for the NVML stand-in"),
]
TRIALS = ("device=cpu", "meter=nvml", "noise.runs=1", "train.max_steps=400", "target_loss=2.6")
WATTS = 70.0


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the cluster and of the study: two GPUs by NVML, and locks of their own."""
    library = nvml_standin.build(tmp_path_factory.mktemp("nvml"))
    path = f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    standin = {"STANDIN_NVML_GPUS": "2", "STANDIN_NVML_WATTS": f"{WATTS:g}"}
    return {"LD_LIBRARY_PATH": path, VARIABLE: os.environ[VARIABLE], **standin, **ON_LOOPBACK}


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="js-ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(short_folder: Path, environment: dict[str, str]) -> Iterator[RayCluster]:
    (folder := short_folder / "a").mkdir()
    with ray_cluster(folder, 2, environment) as cluster:
        yield cluster


def on(cluster: RayCluster) -> tuple[str, ...]:
    return ("launcher=ray", f"launcher.ray_address={cluster.address}", *TRIALS)


def gpu_of(record: Record) -> str:
    (uuid,) = record.meter.settings["devices"]
    return str(uuid)


def overlap(one: Record, other: Record) -> bool:
    return one.started_at < other.ended_at and other.started_at < one.ended_at


def started_with_both(command: list[str], name: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    """The study, once a trial goes on on either GPU."""
    process = subprocess.Popen(
        command,
        cwd=root(),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until_s = time.monotonic() + 200
    both = [study_dir(name) / file for file in ("running.json", "running-1.json")]
    while time.monotonic() < until_s and process.poll() is None:
        if all(path.exists() for path in both):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate())


def test_no_two_trials_share_a_gpu_at_the_same_time_and_each_names_its_own(
    tiny: Tiny, study_name: str, cluster: RayCluster, environment: dict[str, str]
) -> None:
    done = run(tiny(*on(cluster), "budget.n_trials=6", "budget.forecast=null"), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    records = records_of(study_name)
    assert sorted(record.trial for record in records) == list(range(6))
    assert all(record.outcome.completes for record in records), [record.reason for record in records]
    assert {gpu_of(record) for record in records} == {nvml_standin.uuid(0), nvml_standin.uuid(1)}
    for one, other in itertools.combinations(records, 2):
        assert gpu_of(one) != gpu_of(other) or not overlap(one, other)
    assert any(overlap(*pair) for pair in itertools.combinations(records, 2)), "never side by side"
    for record in records:
        assert record.ledger is not None
        assert record.ledger.gross_energy_j == pytest.approx(WATTS * record.ledger.gross_time_s, rel=0.1)
        assert record.provenance["hardware"]["node"]
    assert cluster.listens_at() <= {"127.0.0.1", "::1"}


def test_an_actor_and_a_worker_that_are_killed_cost_their_trials_and_are_replaced(
    tiny: Tiny, study_name: str, cluster: RayCluster, environment: dict[str, str]
) -> None:
    command = tiny(*on(cluster), "budget.n_trials=6", "budget.forecast=null", "train.max_steps=1500")
    study = started_with_both(command, study_name, environment)
    try:
        first, second = sorted(cluster.named("ray::NodeWorker"), key=lambda actor: actor.pid)
        (worker,), (orphan,) = children_that_train(second), children_that_train(first)
        first.kill()
        worker.kill()
        _, alive = psutil.wait_procs([orphan], timeout=20)
        assert not alive, "what an actor that died had started trains on"
        output, errors = study.communicate(timeout=400)
    finally:
        end(study)
    assert study.returncode in (0, 1), output + errors  # whether or not a trial reached the target
    assert "Traceback" not in output + errors
    records = records_of(study_name)
    lost = [record for record in records if record.outcome is Outcome.CRASHED]
    assert sorted(record.interrupted for record in lost) == [False, True], [record.reason for record in lost]
    assert any("actor" in record.reason for record in lost)
    assert any("SIGKILL" in record.reason for record in lost)
    assert len({record.run_id for record in records}) == len(records)
    assert sum(record.outcome.completes for record in records) == 4
    (interrupted,) = (record for record in lost if record.interrupted)
    assert interrupted.trial in {record.retry_of for record in records}


def children_that_train(actor: psutil.Process) -> list[psutil.Process]:
    return [one for one in actor.children() if "search.worker.process" in one.cmdline()]


def end(study: subprocess.Popen[str]) -> None:
    if study.poll() is None:
        os.killpg(study.pid, signal.SIGKILL)
        study.communicate()


def test_the_death_of_the_head_ends_a_study_that_goes_on_on_another_cluster_and_without_ray(
    tiny: Tiny, study_name: str, cluster: RayCluster, short_folder: Path, environment: dict[str, str]
) -> None:
    keys = ("budget.forecast=null", "train.max_steps=1500")
    (folder := short_folder / "b").mkdir()
    with ray_cluster(folder, 2, environment) as lost:
        command = tiny(*on(lost), *keys, "budget.n_trials=6")
        study = started_with_both(command, study_name, environment)
        try:
            time.sleep(2.0)
            for process in lost.family():
                process.kill()
            output, errors = study.communicate(timeout=100)
        finally:
            end(study)
    assert study.returncode == 2, output + errors
    assert "does not answer any more; nothing is lost: the same command continues the study" in errors
    assert errors.count("\n") == 1, errors
    interrupted = [record for record in records_of(study_name) if record.interrupted]
    assert len(interrupted) == 2
    assert not list(study_dir(study_name).glob("running*.json"))
    for command in (
        tiny(*on(cluster), *keys, "budget.n_trials=5"),
        tiny(*TRIALS, *keys, "budget.n_trials=6"),
    ):
        done = run(command, **environment)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    records = records_of(study_name)
    whole = [record for record in records if not record.interrupted]
    assert len(whole) == 4
    assert len({str(record.config) for record in whole}) == 4, "a trial ran twice"
    assert {record.retry_of for record in whole} >= {record.trial for record in interrupted}
    assert [record.role for record in whole].count(Role.BASELINE) == 1


def test_a_cluster_that_is_not_there_costs_one_line(
    tiny: Tiny, study_name: str, environment: dict[str, str]
) -> None:
    done = run(tiny("launcher=ray", "launcher.ray_address=127.0.0.1:9", *TRIALS), **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "finds no Ray cluster at 127.0.0.1:9 (nothing answers there)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not study_dir(study_name).exists()


def test_of_a_cluster_of_two_kinds_of_gpu_one_kind_trains_and_a_line_names_the_other(
    tiny: Tiny, study_name: str, short_folder: Path, environment: dict[str, str]
) -> None:
    kinds = {"STANDIN_NVML_NAMES": "Large;Small", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    (folder := short_folder / "c").mkdir()
    with ray_cluster(folder, 2, environment | kinds) as mixed:
        done = run(tiny(*on(mixed), "budget.n_trials=2"), **environment)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "is left out, since it does not compare: name" in said
    assert len({gpu_of(record) for record in records_of(study_name)}) == 1
    assert len(records_of(study_name)) == 2
