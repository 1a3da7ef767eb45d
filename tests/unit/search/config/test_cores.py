"""What a process may use of its machine's cores, and threads beyond it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run

from model.config import ConfigError
from search.config.checks import check_run
from search.config.cores import Cores, usable_cores
from search.config.schema import DeviceSection, StudyConfig


def of(tmp_path: Path, cgroup: str, **files: str) -> Cores:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_cores(tmp_path, tmp_path / "sys")


ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def test_without_a_quota_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    found = of(tmp_path, "0::/job\n", job__cpu_max="max 100000\n")
    assert (found, found.threads) == (Cores(ALLOWED), ALLOWED)


def test_the_tightest_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        "0::/a/b\n",
        a__b__cpu_max="400000 100000\n",
        a__cpu_max="150000 100000\n",
        cpu_max="max 1\n",
    )
    assert found.quota == 1.5
    assert Cores(8, 1.5).threads == 1
    assert Cores(8, 0.3).threads == 1
    assert Cores(8, 6.0).threads == 6


def test_the_older_kind_of_control_group_is_read_too(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        "4:cpu,cpuacct:/job\n0::/\n",
        **{
            "cpu,cpuacct__job__cpu_cfs_quota_us": "200000\n",
            "cpu,cpuacct__job__cpu_cfs_period_us": "100000\n",
        },
    )
    assert found.quota == 2.0


def test_no_quota_of_the_older_kind_is_no_quota(tmp_path: Path) -> None:
    found = of(tmp_path, "1:cpu:/\n", cpu__cpu_cfs_quota_us="-1\n", cpu__cpu_cfs_period_us="100000\n")
    assert found.quota is None


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "nowhere", tmp_path).quota is None


def test_more_threads_than_cores_are_refused_in_one_line_that_says_what_to_type() -> None:
    with pytest.raises(ConfigError) as error:
        check_run(StudyConfig(device=DeviceSection(threads=10_000)))
    assert "device.threads=10000 is more than this process may use" in str(error.value)
    assert f"type device.threads={usable_cores().threads}" in str(error.value)
    check_run(StudyConfig(device=DeviceSection(threads=usable_cores().threads)))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process")
@pytest.mark.parametrize("program", ["search", "search.train"])
def test_a_process_that_is_pinned_to_one_core_gets_one_thread(program: str) -> None:
    study = ["+study=demo"] if program == "search" else []
    code = (
        "import os, runpy, sys; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); "
        f"sys.argv = ['x', *sys.argv[1:]]; runpy.run_module({program!r}, run_name='__main__')"
    )
    done = run([sys.executable, "-c", code, *study, "device=cpu", "device.threads=2"])
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "device.threads=2 is more than this process may use (1 core); type device.threads=1" in done.stderr


@pytest.mark.parametrize(("asked", "threads"), [(None, "1"), ("4", "4")])
def test_a_proposal_is_computed_by_one_thread_unless_the_environment_says_otherwise(
    asked: str | None, threads: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    code = "import search.__main__, os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({} if asked is None else {"OPENBLAS_NUM_THREADS": asked}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == threads
