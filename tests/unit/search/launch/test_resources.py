"""What a job asks SLURM for, and which settings are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from model.config import ConfigError
from search.config.schema import SLURM, DeviceSection, LauncherSection, StudyConfig
from search.launch.resources import check_launcher, submitit_parameters


def config(device: str = "auto", threads: int = 1, slots: int = 1, **launcher: Any) -> StudyConfig:
    made = StudyConfig(
        device=DeviceSection(name=device, threads=threads, slots=slots),
        launcher=LauncherSection(name=SLURM, **launcher),
    )
    made.study.name = "mine"
    return made


def asked(made: StudyConfig, processes: int = 1) -> dict[str, Any]:
    return {name: value for name, value in submitit_parameters(made, processes).items() if value is not None}


def test_a_job_asks_for_one_gpu_and_a_core_beside_the_one_that_trains() -> None:
    assert asked(config()) == {
        "name": "joulesearch-mine",
        "nodes": 1,
        "tasks_per_node": 1,
        "timeout_min": 240,
        "cpus_per_task": 2,
        "gpus_per_node": 1,
        "slurm_signal_delay_s": 120,
    }


def test_a_job_asks_for_as_many_gpus_as_a_run_trains_on() -> None:
    found = asked(config(), processes=4)
    assert (found["gpus_per_node"], found["cpus_per_task"]) == (4, 5)


def test_a_job_that_trains_on_a_cpu_asks_for_its_cores_and_no_gpu() -> None:
    found = asked(config("cpu", threads=2, slots=3))
    assert "gpus_per_node" not in found
    assert found["cpus_per_task"] == 7


def test_what_is_named_is_asked_for() -> None:
    found = asked(
        config(
            slurm_partition="gpu",
            slurm_account="lab",
            slurm_gres="gpu:a100:1",
            slurm_cpus=8,
            slurm_memory_gb=32.0,
            slurm_minutes=60,
            slurm_grace_s=90,
            slurm_setup=["module load cuda"],
        )
    )
    assert "gpus_per_node" not in found, "slurm_gres asks for them"
    assert found | {"name": "", "nodes": 1, "tasks_per_node": 1} == {
        "name": "",
        "nodes": 1,
        "tasks_per_node": 1,
        "timeout_min": 60,
        "cpus_per_task": 8,
        "mem_gb": 32.0,
        "slurm_partition": "gpu",
        "slurm_account": "lab",
        "slurm_gres": "gpu:a100:1",
        "slurm_signal_delay_s": 90,
        "slurm_setup": ["module load cuda"],
        "local_setup": ["module load cuda"],
    }


def test_anything_else_of_submitits_is_passed_on_and_wins() -> None:
    found = asked(config(slurm_partition="gpu", slurm_parameters={"qos": "high", "partition": "debug"}))
    assert (found["slurm_qos"], found["slurm_partition"]) == ("high", "debug")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"jobs": 0}, "launcher.jobs must be 1 or more, got 0"),
        ({"slurm_minutes": 0}, "launcher.slurm_minutes must be 1 or more, got 0"),
        ({"slurm_requeues": -1}, "launcher.slurm_requeues must be 0 or more, got -1"),
        ({"slurm_grace_s": 3}, "launcher.slurm_grace_s must be 10 or more, got 3"),
        ({"slurm_grace_s": 120, "slurm_minutes": 2}, "type a longer limit, or a shorter grace"),
        ({"slurm_cpus": 0}, "launcher.slurm_cpus must be above 0, or null, got 0"),
        ({"slurm_memory_gb": float("nan")}, "launcher.slurm_memory_gb must be above 0, or null, got nan"),
        ({"slurm_gpus": -1}, "launcher.slurm_gpus must be 0 or more, or null, got -1"),
        ({"slurm_gpus": 2, "slurm_gres": "gpu:2"}, "both ask for GPUs; type one of them"),
        ({"slurm_cluster": "lsf"}, "launcher.slurm_cluster must be one of slurm, local, got 'lsf'"),
    ],
)
def test_a_setting_that_no_job_can_have_is_refused(wrong: dict[str, Any], said: str) -> None:
    sound = LauncherSection(name=SLURM)
    check_launcher(sound)
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_launcher(replace(sound, **wrong))
