"""What each step of an exam runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from search.config.schema import DeviceSection, StudyConfig
from search.exam.child import Command
from search.exam.folder import ExamFolder
from search.exam.plan import StepName
from search.exam.settings import ExamSettings
from search.files.paths import root
from search.meter.settings import MeterSection
from search.own_packages import python_like_this

# What a confirmation may take of an exam's short study; less, where the study asks for less.
CONFIRM = {"candidates": 1, "seeds": 3, "max_seeds": 5}


def command(
    step: StepName, config: StudyConfig, rest: Sequence[str], settings: ExamSettings, folder: ExamFolder
) -> Command:
    """`rest`: the study, as it was typed."""
    if step is StepName.TESTS:
        return Command([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], {}, root())
    modules = {
        StepName.ENVIRONMENT: "search.exam.environment",
        StepName.METER: "search.meter",
        StepName.VARIANTS: "search.exam.measure",
        StepName.PROFILES: "search.exam.profile_kernels",
        StepName.STUDY: "search",
        StepName.REPORT: "search.report",
    }
    words, environment = python_like_this(modules[step])
    return Command([*words, *_arguments(step, config, rest, settings, folder)], environment)


def _arguments(
    step: StepName, config: StudyConfig, rest: Sequence[str], settings: ExamSettings, folder: ExamFolder
) -> list[str]:
    if step is StepName.METER:
        return ["--check", "--seconds", f"{settings.meter_seconds:g}", *meter_overrides(config)]
    if step is StepName.STUDY:
        return [*rest, *study_overrides(config, rest, settings, folder.path)]
    if step is StepName.REPORT:
        return [str(folder.study(config.study.name))]
    measured = [
        f"exam.tables=[{','.join(settings.tables)}]",
        f"exam.window_s={settings.window_s}",
        f"exam.warm_s={settings.warm_s}",
    ]
    return [*rest, f"exam.folder={folder.path}", *measured]


def study_overrides(
    config: StudyConfig, rest: Sequence[str], settings: ExamSettings, folder: Path
) -> list[str]:
    """What makes a study one of so many minutes, unless it was typed otherwise."""
    ours: dict[str, Any] = {
        "reports": folder,
        "budget.study_time_s": round(60 * settings.minutes * settings.search_share, 3),
    }
    for name, most in CONFIRM.items():
        if getattr(config.confirm, name) > most:
            ours[f"confirm.{name}"] = most
    typed = {argument.partition("=")[0].lstrip("+") for argument in rest}
    return [f"{key}={value}" for key, value in ours.items() if key not in typed]


def meter_overrides(config: StudyConfig) -> list[str]:
    """The device and the meter of the study, for a command that composes no study."""
    sections: Mapping[str, tuple[Any, Any]] = {
        "device": (config.device, DeviceSection()),
        "meter": (config.meter, MeterSection()),
    }
    found = []
    for name, (section, default) in sections.items():
        for one in fields(section):
            value = getattr(section, one.name)
            if value != getattr(default, one.name) and isinstance(value, str | int | float | list):
                found.append(f"{name}.{one.name}={_written(value)}")
    return found


def _written(value: Any) -> str:
    """As Hydra reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
