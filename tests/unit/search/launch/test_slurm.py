"""Submitting: what is refused before anything is written, and what SLURM's own `sbatch` is given."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from search.config.composition import register, to_config
from search.config.schema import StudyConfig
from search.errors import UserError
from search.files.paths import config_dir
from search.launch.job import StudyJob
from search.launch.overrides import VARIABLE
from search.launch.resources import submitit_parameters
from search.launch.slurm import check_server, submit_jobs, submit_study
from search.study.progress import Watcher

SERVER = "postgresql+psycopg://me:hunter2@db.example/studies"


@pytest.fixture(autouse=True)
def hydra_of_its_own() -> Iterator[None]:
    GlobalHydra.instance().clear()
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield
    GlobalHydra.instance().clear()


def config(*overrides: str) -> StudyConfig:
    return to_config(compose("config", overrides=["+study=demo", "launcher=slurm", *overrides]))


def submitted(tmp_path: Path, *overrides: str) -> int:
    watcher = Watcher(Console(file=io.StringIO()), "demo", 1)
    return submit_study(config(f"reports={tmp_path}", *overrides), (), watcher)


# ---- what is refused


@pytest.mark.parametrize("storage", ["auto", "sqlite:///study.db", "sqlite+pysqlite:////shared/study.db"])
def test_a_storage_that_machines_cannot_share_is_refused(storage: str) -> None:
    with pytest.raises(UserError, match=re.escape("type storage=postgresql+psycopg://USER@HOST/DATABASE")):
        check_server(storage)


def test_a_database_server_is_taken() -> None:
    check_server(SERVER)
    check_server("mysql+pymysql://me@db.example/studies")


def test_a_machine_without_slurm_is_told_where_to_type_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs sbatch and srun, which are not on the path here"):
        submitted(tmp_path, f"storage={SERVER}")


def test_cores_are_those_of_the_job_and_not_of_the_machine_that_submits_it(tmp_path: Path) -> None:
    threads = f"device.threads={4 * (os.cpu_count() or 1)}"
    with pytest.raises(UserError, match="launcher=slurm needs a storage"):
        submitted(tmp_path, threads)
    with pytest.raises(ValueError, match="is more than this process may use"):
        submitted(tmp_path, threads, "launcher.slurm_cpus=2")


# ---- what SLURM is given


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`sbatch` and `srun` as scripts: the first keeps what it is given. Returns where it does."""
    pytest.importorskip("submitit")
    given = tmp_path / "given"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    _program(bin_folder / "sbatch", f'cp "$1" {given}; echo Submitted batch job 4242')
    _program(bin_folder / "srun", "exit 1")
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    return given


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def jobs_of(tmp_path: Path, *overrides: str) -> list[Any]:
    made = config(f"storage={SERVER}", *overrides)
    folder = tmp_path / "jobs"
    folder.mkdir(mode=0o700)
    job = StudyJob(("+study=demo",), tmp_path, folder, made.launcher.slurm_grace_s, SERVER)
    return submit_jobs(made, submitit_parameters(made, 1), job, folder)


def test_jobs_are_one_array_that_is_told_in_time_and_asks_for_what_was_named(
    cluster: Path, tmp_path: Path
) -> None:
    overrides = ("launcher.jobs=3", "launcher.slurm_partition=gpu", "launcher.slurm_memory_gb=32")
    more = ("launcher.slurm_setup=[module load cuda]", "launcher.slurm_parameters.qos=high")
    jobs = jobs_of(tmp_path, *overrides, *more, "device=cuda")
    assert [job.job_id for job in jobs] == ["4242_0", "4242_1", "4242_2"]
    lines = cluster.read_text().splitlines()
    for wanted in (
        "#SBATCH --array=0-2%3",
        "#SBATCH --partition=gpu",
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --mem=32GB",
        "#SBATCH --time=240",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --qos=high",
        "module load cuda",
    ):
        assert wanted in lines, lines
    assert len(list((tmp_path / "jobs").glob("4242_*_submitted.pkl"))) == 3


def test_no_password_reaches_what_slurm_keeps_of_a_job(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its script, and the environment that it was submitted from."""
    monkeypatch.setenv(VARIABLE, SERVER)
    environment = tmp_path / "environment"
    _program(tmp_path / "bin" / "sbatch", f'env > {environment}; cp "$1" {cluster}; echo batch job 7')
    jobs_of(tmp_path)
    assert "srun" in cluster.read_text()
    assert "PATH=" in environment.read_text()
    for kept in (cluster, environment):
        assert "hunter2" not in kept.read_text()
    assert os.environ[VARIABLE] == SERVER, "another study of -m may need it"


def test_the_jobs_that_slurm_refuses_cost_one_line_without_a_password(cluster: Path, tmp_path: Path) -> None:
    _program(tmp_path / "bin" / "sbatch", "echo sbatch: error: Invalid partition hunter2 >&2; exit 1")
    with pytest.raises(UserError, match=re.escape("SLURM refused the jobs: sbatch: error: Invalid")) as said:
        jobs_of(tmp_path, "launcher.slurm_partition=none-such")
    assert "hunter2" not in str(said.value)


def test_a_parameter_that_submitit_does_not_know_is_named(cluster: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"launcher\.slurm_parameters cannot be used: .*'quos'"):
        jobs_of(tmp_path, "launcher.slurm_parameters={quos: high}")
