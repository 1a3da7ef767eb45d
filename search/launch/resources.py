"""What a job asks SLURM for, and what is wrong with it (pure)."""

from __future__ import annotations

import math
import sys
from typing import Any

from model.config import ConfigError
from search.config.cores import Cores
from search.config.schema import LauncherSection, StudyConfig

CLUSTERS = ("slurm", "local")
LEAST_GRACE_S = 10
_NULL_OR_ABOVE_0 = ("slurm_cpus", "slurm_memory_gb")
_WHOLE = {"jobs": 1, "slurm_minutes": 1, "slurm_requeues": 0, "slurm_grace_s": LEAST_GRACE_S}


def check_launcher(launcher: LauncherSection) -> None:
    """Raises ConfigError."""
    if launcher.slurm_cluster not in CLUSTERS:
        raise ConfigError(
            f"launcher.slurm_cluster must be one of {', '.join(CLUSTERS)}, got {launcher.slurm_cluster!r}"
        )
    for name, least in _WHOLE.items():
        if (value := getattr(launcher, name)) < least:
            raise ConfigError(f"launcher.{name} must be {least} or more, got {value}")
    for name in _NULL_OR_ABOVE_0:
        value = getattr(launcher, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"launcher.{name} must be above 0, or null, got {value}")
    if launcher.slurm_gpus is not None and launcher.slurm_gpus < 0:
        raise ConfigError(f"launcher.slurm_gpus must be 0 or more, or null, got {launcher.slurm_gpus}")
    if launcher.slurm_gpus is not None and launcher.slurm_gres is not None:
        raise ConfigError(
            f"launcher.slurm_gpus={launcher.slurm_gpus} and launcher.slurm_gres={launcher.slurm_gres} both "
            "ask for GPUs; type one of them"
        )
    if launcher.slurm_grace_s >= 60 * launcher.slurm_minutes:
        raise ConfigError(
            f"launcher.slurm_grace_s={launcher.slurm_grace_s} is all of launcher.slurm_minutes="
            f"{launcher.slurm_minutes}; type a longer limit, or a shorter grace"
        )


def cores_of_job(launcher: LauncherSection) -> Cores:
    """What a job's process may use; as many as it needs where none are named."""
    return Cores(launcher.slurm_cpus or sys.maxsize)


def submitit_parameters(config: StudyConfig, processes: int) -> dict[str, Any]:
    """For `update_parameters` of submitit's AutoExecutor; null is left out there. `processes`: by how many a
    run is trained at most. What a person passes on by `slurm_parameters` comes last, and wins."""
    launcher = config.launcher
    named = {
        "name": f"joulesearch-{config.study.name}",
        "nodes": 1,
        "tasks_per_node": 1,
        "timeout_min": launcher.slurm_minutes,
        "cpus_per_task": launcher.slurm_cpus or _cpus(config, processes),
        "mem_gb": launcher.slurm_memory_gb,
        "gpus_per_node": _gpus(config, processes),
        "slurm_partition": launcher.slurm_partition,
        "slurm_account": launcher.slurm_account,
        "slurm_gres": launcher.slurm_gres,
        "slurm_signal_delay_s": launcher.slurm_grace_s,
        "slurm_setup": launcher.slurm_setup or None,
        "local_setup": launcher.slurm_setup or None,
    }
    return named | {f"slurm_{name}": value for name, value in launcher.slurm_parameters.items()}


def _gpus(config: StudyConfig, processes: int) -> int | None:
    launcher = config.launcher
    if launcher.slurm_gres is not None:
        return None
    if launcher.slurm_gpus is not None:
        return launcher.slurm_gpus or None
    return None if config.device.name == "cpu" else processes


def _cpus(config: StudyConfig, processes: int) -> int:
    """One a thread that trains, and one for the process that decides and records."""
    return config.device.slots * config.device.threads * processes + 1
