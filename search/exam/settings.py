"""What a person can set of an exam: `exam.KEY=VALUE`, and what is left of the command line for its study."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from model.config import ConfigError, need
from search.config.study_files import study_names
from search.errors import UserError
from search.exam.cases import PATHS
from search.exam.plan import Limits, StepName

DEFAULT_STUDY = "shakespeare_char_gpu"
_PREFIX = "exam."
_PATHS = ("folder", "pack", "resume")
_MULTIRUN = ("-m", "--multirun")


@dataclass
class ExamSettings:
    """What an exam does, and how long its parts may take.

    plan              print the plan, and do nothing
    folder            where all of it is kept; null: reports/exam-STUDY
    minutes           wall-clock minutes of the study, its confirmation included
    search_share      after runs of so large a part of them the search tries nothing new, so that fitting and
                      confirming have the rest
    variants_minutes  wall-clock minutes of the table of kernels; what does not fit is a line
    tables            the tables of kernels that are measured, as they were when that began
    profiles_minutes  wall-clock minutes of the profiles of these kernels
    window_s          each kernel is measured over at least so many seconds of steps
    warm_s            after so many seconds of steps that do not count
    meter_seconds     of idling and of load in the check of the meter
    slice_minutes     end this call after so long, in good order, and go on with the next; null: no limit
    let_end_s         so long before the end of a slice or of a budget a study or a table begins nothing new
    stop_s            so long before it, whatever still runs is stopped, and what it spent is recorded
    pack              a folder that gets what is needed to go on elsewhere
    resume            such a folder, or the folder of an exam, to go on with
    skip, only        steps to leave out, or the only ones to do
    again             steps to do once more
    """

    plan: bool = False
    folder: str | None = None
    minutes: float = 18.0
    search_share: float = 0.4
    variants_minutes: float = 6.0
    profiles_minutes: float = 2.0
    tables: list[str] = field(default_factory=lambda: list(PATHS))
    window_s: float = 10.0
    warm_s: float = 2.0
    meter_seconds: float = 60.0
    slice_minutes: float | None = None
    let_end_s: float = 60.0
    stop_s: float = 20.0
    pack: str | None = None
    resume: str | None = None
    skip: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        minutes = ("minutes", "variants_minutes", "profiles_minutes")
        for name in (*minutes, "window_s", "meter_seconds", "stop_s"):
            need(getattr(self, name) > 0, f"exam.{name}", "more than 0", getattr(self, name))
        need(self.warm_s >= 0, "exam.warm_s", "0 or more", self.warm_s)
        need(0 < self.search_share <= 1, "exam.search_share", "above 0 and at most 1", self.search_share)
        need(
            self.let_end_s >= self.stop_s,
            "exam.let_end_s",
            f"exam.stop_s={self.stop_s:g} or more",
            self.let_end_s,
        )
        least = (self.let_end_s + self.stop_s) / 60
        need(
            self.slice_minutes is None or self.slice_minutes > least,
            "exam.slice_minutes",
            f"null, or more than exam.let_end_s and exam.stop_s together ({least:.2g} minutes)",
            self.slice_minutes,
        )
        for table in self.tables:
            need(table in PATHS, "exam.tables", f"tables of {', '.join(PATHS)}", table)
        for name in ("skip", "only", "again"):
            for step in getattr(self, name):
                need(step in tuple(StepName), f"exam.{name}", f"steps of {', '.join(StepName)}", step)

    @property
    def wanted(self) -> tuple[StepName, ...]:
        """The steps of this exam, in order."""
        return tuple(
            step for step in StepName if step not in self.skip and (not self.only or step in self.only)
        )

    @property
    def limits(self) -> Limits:
        return Limits(
            study_s=60 * self.minutes,
            variants_s=60 * self.variants_minutes,
            profiles_s=60 * self.profiles_minutes,
            meter_s=self.meter_seconds,
            let_end_s=self.let_end_s,
            stop_s=self.stop_s,
        )


def parted(arguments: Sequence[str]) -> tuple[ExamSettings, list[str]]:
    """The settings of the exam, and the rest of its command line, which names its study. Raises UserError or
    ConfigError."""
    ours = [argument.lstrip("+") for argument in arguments if argument.lstrip("+").startswith(_PREFIX)]
    rest = [argument for argument in arguments if not argument.lstrip("+").startswith(_PREFIX)]
    if several := next((argument for argument in rest if argument in _MULTIRUN), None):
        raise UserError(f"{several} does not work here: an exam has one study; drop it")
    if not study_names(rest):
        rest.append(f"+study={DEFAULT_STUDY}")
    return _settings([argument.removeprefix(_PREFIX) for argument in ours]), rest


def _settings(given: Sequence[str]) -> ExamSettings:
    known = [one.name for one in fields(ExamSettings)]
    merged = OmegaConf.structured(ExamSettings)
    for one in given:
        key, equals, value = one.partition("=")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = (
                f"did you mean exam.{near[0]}?" if near else f"expected one of exam.{', exam.'.join(known)}"
            )
            raise UserError(f"there is no setting exam.{key}; {hint}")
        if not equals or not value:
            raise UserError(f"exam.{key} takes a value; type exam.{key}=VALUE")
        try:
            if key in _PATHS:
                merged[key] = None if value == "null" else value
            else:
                merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([one]))
        except (OmegaConfBaseException, ValueError) as error:
            kind = next(field.type for field in fields(ExamSettings) if field.name == key)
            raise ConfigError(f"exam.{key} must be {_KINDS[str(kind)]}, got {value!r}") from error
    built = OmegaConf.to_object(merged)
    assert isinstance(built, ExamSettings)
    return built


_KINDS = {
    "bool": "true or false",
    "float": "a number",
    "float | None": "a number or null",
    "str | None": "a path or null",
    "list[str]": "a list such as [tests,variants]",
}
