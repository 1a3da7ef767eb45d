"""An exam from its first step to its summary, or to the end of a slice."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from search.config.schema import StudyConfig
from search.errors import MORE, NO_RESULT, UserError, say
from search.exam.child import Ended, follow
from search.exam.commands import command
from search.exam.folder import ExamFolder
from search.exam.forms import ExamForm
from search.exam.pack import lay_down, pack
from search.exam.plan import (
    NOTHING,
    OF_KERNELS,
    End,
    State,
    StepName,
    StepProgress,
    after,
    blocked_by,
    deadline,
    estimate_s,
    fits,
    remaining,
)
from search.exam.settings import ExamSettings
from search.exam.summary import failed, print_plan, print_summary, state_line
from search.files.paths import absolute, reports_dir, shown
from search.files.whole_file import check_folder, naming

# What may be typed otherwise when an exam goes on: where things lie on this machine.
_OF_THE_MACHINE = ("data.path", "data.urls", "device.wait", "device.id", "study.on_change", "--config-dir")


def run_exam(
    config: StudyConfig, settings: ExamSettings, rest: Sequence[str], console: Console, began_s: float
) -> int:
    """Returns the exit status: 0, 1 where a step failed, 3 where more is to do, or what stopped it.

    `began_s`: when this call began, by the monotonic clock; its slice counts from there. Raises what
    `errors.ONE_LINE` lists."""
    if config.reports is not None:
        raise UserError(
            "reports= is not for an exam, whose study lies in its own folder; type exam.folder=FOLDER"
        )
    folder = ExamFolder(folder_of(config, settings))
    if settings.plan:
        form = folder.read_exam()
        steps = {} if form is None else form.steps
        on_cpu = config.device.name == "cpu"
        wanted = [step for step in settings.wanted if not (on_cpu and step is StepName.TESTS)]
        print_plan(console, folder, steps, wanted, settings.limits)
        return 0
    if settings.resume is not None:
        console.print(escape(lay_down(absolute(settings.resume), folder, config.study.name)), highlight=False)
    check_folder(folder.path)
    with naming(folder.path, "made"):
        folder.path.mkdir(parents=True, exist_ok=True)
    with folder.alone():
        form = opened(folder, config.study.name, rest, settings)
        slice_s = None if settings.slice_minutes is None else 60 * settings.slice_minutes
        exam = _Exam(
            config, settings, rest, folder, form, console, None if slice_s is None else began_s + slice_s
        )
        status = exam.run()
        return _packed(status, exam)


def folder_of(config: StudyConfig, settings: ExamSettings) -> Path:
    if settings.folder is not None:
        return absolute(settings.folder)
    return reports_dir() / f"exam-{config.study.name}"


def opened(folder: ExamFolder, study: str, rest: Sequence[str], settings: ExamSettings) -> ExamForm:
    """The exam as it goes on in this call. Raises UserError where it was begun otherwise."""
    typed = comparable(rest)
    form = folder.read_exam() or ExamForm(study, typed)
    if (form.study, form.overrides) != (study, typed):
        raise UserError(
            f"{shown(folder.path)} was begun with {' '.join(form.overrides)}, and this is {' '.join(typed)}; "
            "type the same, or exam.folder=OTHER"
        )
    again = {StepName.ENVIRONMENT, StepName.REPORT, *map(StepName, settings.again)}
    steps = {
        step: replace(one, state=State.WAITING, note="", stops=0)
        if one.state is State.SKIPPED or step in again
        else one
        for step, one in form.steps.items()
    }
    return replace(form, steps=steps)


def comparable(rest: Sequence[str]) -> tuple[str, ...]:
    """What of a command line must be the same when its exam goes on."""
    kept, skip = [], False
    for argument in rest:
        if skip:
            skip = False
        elif argument in ("--config-dir", "-cd"):
            skip = True
        elif not argument.lstrip("+").startswith(_OF_THE_MACHINE):
            kept.append(argument)
    return tuple(sorted(kept))


def _packed(status: int, exam: _Exam) -> int:
    """Write the pack that was asked for. One that cannot be written is no success."""
    if exam.settings.pack is None:
        return status
    try:
        line = pack(exam.folder, exam.config.study.name, absolute(exam.settings.pack))
    except UserError as error:
        say(str(error))
        return status or NO_RESULT
    exam.console.print(escape(line), highlight=False)
    return status


@dataclass
class _Exam:
    config: StudyConfig
    settings: ExamSettings
    rest: Sequence[str]
    folder: ExamFolder
    form: ExamForm
    console: Console
    slice_end_s: float | None
    begun: int = 0

    def run(self) -> int:
        wanted = self.settings.wanted
        self.folder.write_exam(self.form)
        while left := remaining(self.form.steps, wanted):
            step = left[0]
            one = self.form.steps.get(step, NOTHING)
            if why := self._left_out(step, one):
                self._set(step, why)
                self.console.print(f"{step}: {why.state.value}: {escape(why.note)}", highlight=False)
                continue
            if not self._fits(step, one):
                self._say_more(left)
                return MORE
            ended = self._do(step, one, wanted.index(step) + 1)
            if ended.person is not None:
                return ended.person
            if step is StepName.ENVIRONMENT:
                self._check_device()
        print_summary(self.console, self.folder, self.form)
        return NO_RESULT if failed(self.form.steps, wanted) else 0

    def _fits(self, step: StepName, one: StepProgress) -> bool:
        left_s = None if self.slice_end_s is None else self.slice_end_s - time.monotonic()
        expected_s = estimate_s(step, one, self.settings.limits)
        is_first = self.begun == 0 or step is StepName.ENVIRONMENT
        return fits(step, left_s, expected_s, is_first, self.settings.limits)

    def _left_out(self, step: StepName, one: StepProgress) -> StepProgress | None:
        """A step that is over without a process: what it needs failed, its time is spent, or this machine
        cannot do it."""
        limits = self.settings.limits
        budget_s = limits.budget_s(step)
        if blocker := blocked_by(step, self.form.steps, self.settings.wanted):
            return replace(one, state=State.SKIPPED, note=f"it needs the step {blocker}, which failed")
        if budget_s is not None and one.spent_s > 0 and budget_s - one.spent_s <= limits.stop_s:
            return replace(one, state=State.DONE, note="its time is spent")
        if step is StepName.TESTS:
            if self.folder.read_environment().get("type", self.config.device.name) == "cpu":
                return replace(one, state=State.SKIPPED, note="the device is a CPU")
            if find_spec("pytest") is None:
                return replace(one, state=State.SKIPPED, note="pip install 'joulesearch[dev]' for pytest")
        if step is StepName.PROFILES and self.folder.read_variants() is None:
            return replace(one, state=State.SKIPPED, note="no kernel was measured")
        if step is StepName.REPORT and not (self.folder.study(self.form.study) / "records.jsonl").exists():
            return replace(one, state=State.SKIPPED, note="the study has no records")
        return None

    def _do(self, step: StepName, one: StepProgress, position: int) -> Ended:
        """Run a process of the step, and write down how it ended."""
        self.console.print(
            f"\n{escape(state_line(step, position, len(self.settings.wanted)))}", highlight=False
        )
        sys.stdout.flush()
        self.begun += step is not StepName.ENVIRONMENT
        before_s, table = one.spent_s, self._table_text(step)
        due = deadline(step, time.monotonic(), self.slice_end_s, before_s, self.settings.limits)
        if due is not None and due.reason is End.BUDGET and step in OF_KERNELS:
            due = replace(
                due, ask_s=due.stop_s
            )  # a kernel takes seconds: nothing is gained by asking earlier
        words = command(step, self.config, self.rest, self.settings, self.folder)

        def tick(seconds: float) -> None:
            self._set(step, replace(one, spent_s=before_s + seconds))

        ended = follow(words, self.folder.log(step), due, tick)
        spent = replace(one, spent_s=before_s + ended.seconds)
        now = after(step, spent, ended.status, ended.early, ended.person is not None, _now())
        stuck = ended.early is None and ended.person is None and table == self._table_text(step)
        if step in OF_KERNELS and now.state is State.WAITING and stuck:
            now = replace(
                now, state=State.FAILED, note=f"it ended by itself ({ended.status}), and measured nothing"
            )
        self._set(step, now)
        note = f" ({now.note})" if now.note else ""
        self.console.print(f"{step}: {now.state.value}{escape(note)}, {ended.seconds:.0f} s", highlight=False)
        return ended

    def _table_text(self, step: StepName) -> str:
        path = self.folder.profiles_file if step is StepName.PROFILES else self.folder.variants_file
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _set(self, step: StepName, one: StepProgress) -> None:
        steps = {**self.form.steps, step: one}
        ordered = {name: steps[name] for name in StepName if name in steps}
        self.form = replace(self.form, steps=ordered)
        self.folder.write_exam(self.form)

    def _check_device(self) -> None:
        """Remember what the exam began on. Raises UserError where it would go on with another model."""
        found = self.folder.read_environment()
        if "device" not in found:
            return
        here = {key: found.get(key) for key in ("device", "gpus", "driver")}
        began = self.form.device
        if not began:
            self.form = replace(self.form, device=here)
            self.folder.write_exam(self.form)
            return
        if any(began.get(key) != here[key] for key in ("device", "gpus")):
            raise UserError(
                f"the exam in {shown(self.folder.path)} was begun on {_model(began)}, and this is "
                f"{_model(here)}, whose joules do not compare; type exam.folder=OTHER"
            )
        if began.get("driver") != here["driver"]:
            self.console.print(
                f"the driver is another one: {here['driver']}, and {began.get('driver')} when the exam began",
                highlight=False,
            )

    def _say_more(self, left: Sequence[StepName]) -> None:
        self.console.print(
            f"the slice of {self.settings.slice_minutes:g} minutes ends; to do: {', '.join(left)}. "
            "The same command goes on",
            highlight=False,
        )


def _model(device: Any) -> str:
    gpus = ", ".join(name for name in device.get("gpus") or () if name and name != device["device"])
    return f"{device['device']}, metered on {gpus}" if gpus else str(device["device"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
