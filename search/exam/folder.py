"""The folder of an exam: its state, a log for each step, the table of kernels, and the study's own folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from search.errors import UserError
from search.exam.forms import ExamForm, VariantsForm, facts_of
from search.exam.plan import StepName
from search.exam.profiles import CaseProfile, from_json, to_json
from search.files.paths import folder_name, shown
from search.files.whole_file import naming, read_json, write_atomically

EXAM_FILE, ENVIRONMENT_FILE = "exam.json", "environment.json"
VARIANTS_FILE, PROFILES_FILE = "variants.json", "profiles.json"

Form = TypeVar("Form")


@dataclass(frozen=True)
class ExamFolder:
    """`path` is absolute."""

    path: Path

    def log(self, step: StepName) -> Path:
        return self.path / f"{step}.log"

    def study(self, name: str) -> Path:
        return self.path / folder_name(name)

    @property
    def variants_file(self) -> Path:
        return self.path / VARIANTS_FILE

    @property
    def environment_file(self) -> Path:
        return self.path / ENVIRONMENT_FILE

    def read_exam(self) -> ExamForm | None:
        """None where there is none yet. Raises UserError where the file is damaged."""
        return self._read(EXAM_FILE, ExamForm.from_dict)

    def write_exam(self, form: ExamForm) -> None:
        write_atomically(self.path / EXAM_FILE, json.dumps(form.to_dict(), indent=1) + "\n")

    def read_variants(self) -> VariantsForm | None:
        """None where there is none yet. Raises UserError where the file is damaged."""
        return self._read(VARIANTS_FILE, VariantsForm.from_dict)

    def write_variants(self, form: VariantsForm) -> None:
        write_atomically(self.variants_file, json.dumps(form.to_dict(), indent=1) + "\n")

    @property
    def profiles_file(self) -> Path:
        return self.path / PROFILES_FILE

    def read_profiles(self) -> tuple[CaseProfile, ...]:
        """Empty where there are none yet. Raises UserError where the file is damaged."""
        found: tuple[CaseProfile, ...] | None = self._read(PROFILES_FILE, from_json)
        return found or ()

    def write_profiles(self, profiles: Sequence[CaseProfile]) -> None:
        write_atomically(self.profiles_file, json.dumps(to_json(profiles), indent=1) + "\n")

    def read_environment(self) -> dict[str, Any]:
        """What the first step found; empty where it has not looked."""
        found = read_json(self.environment_file)
        return found if isinstance(found, dict) else {}

    def facts(self) -> frozenset[str]:
        """What must not be lost; see `facts_of`."""
        exam = self.read_exam()
        records = None if exam is None else self.study(exam.study) / "records.jsonl"
        return facts_of(
            exam, self.read_variants(), self.read_profiles(), {} if records is None else _runs(records)
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises UserError where another process does this exam."""
        lock = FileLock(self.path / ".exam.lock")
        try:
            with naming(self.path, "written into"):
                lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"another process does the exam in {shown(self.path)}; wait for it, or type exam.folder=OTHER"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _read(self, name: str, parse: Callable[[Any], Form]) -> Form | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            return parse(read_json(path))
        except ValueError as error:
            raise UserError(
                f"{shown(path)} cannot be understood ({error}); put the file back, or type exam.folder=OTHER"
            ) from error


def _runs(records: Path) -> dict[str, str]:
    """The digest of each line of a study's records, by its run; a last line that was cut off is none."""
    if not records.exists():
        return {}
    found = {}
    for line in records.read_bytes().splitlines():
        try:
            run_id = str(json.loads(line)["run_id"])
        except (ValueError, KeyError, TypeError):
            continue
        found[run_id] = hashlib.sha256(line).hexdigest()[:16]
    return found
