"""`exam.json` and `variants.json` as values, to JSON and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from search.exam.cases import Case, CaseState, Changes, Measurement
from search.exam.plan import Progress, State, StepName, StepProgress
from search.exam.profiles import CaseProfile

SCHEMA = 1
# Steps that are done once. The machine is looked at in every call, and the report can be drawn again.
_KEPT = (StepName.METER, StepName.TESTS, StepName.VARIANTS, StepName.PROFILES, StepName.STUDY)


@dataclass(frozen=True)
class ExamForm:
    """`exam.json`. `overrides`: the study as it was typed; `device`: what the exam began on, empty until the
    first step has told."""

    study: str
    overrides: tuple[str, ...]
    device: Mapping[str, Any] = field(default_factory=dict)
    steps: Progress = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        steps = {str(name): asdict(one) for name, one in self.steps.items()}
        return {"schema": SCHEMA, **asdict(self), "overrides": list(self.overrides), "steps": steps}

    @staticmethod
    def from_dict(data: Any) -> ExamForm:
        """Raises ValueError where this is no exam of this schema."""
        _check_schema(data)
        try:
            steps = {
                StepName(name): StepProgress(**{**one, "state": State(one["state"])})
                for name, one in data["steps"].items()
            }
            return ExamForm(data["study"], tuple(data["overrides"]), data["device"], steps)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a field is missing or wrong: {error}") from error


@dataclass(frozen=True)
class VariantsForm:
    """`variants.json`. `baseline`: the configuration that each case changes; `meter`: name and kind of the
    meter that ranked; `running`: the case that is measured now and how often that was begun."""

    baseline: Mapping[str, Any]
    meter: Mapping[str, str]
    device: str
    cases: tuple[Case, ...] = ()
    measured: tuple[Measurement, ...] = ()
    running: tuple[str, int] | None = None
    session: int = 0

    @property
    def left(self) -> int:
        """How many cases that can run are not measured."""
        done = {one.case for one in self.measured}
        return sum(1 for case in self.cases if not case.cannot and case.name not in done)

    def values_of(self, name: str, base: Changes) -> dict[str, Any]:
        """The configuration of a case, or of a reference."""
        case = next((one for one in self.cases if (one.name, one.base) == (name, base)), Case(name, base))
        return case.values(self.baseline)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_dict(data: Any) -> VariantsForm:
        """Raises ValueError where this is no table of this schema."""
        _check_schema(data)
        try:
            rest = {key: value for key, value in data.items() if key != "schema"}
            rest["cases"] = tuple(Case(**one) for one in data["cases"])
            rest["measured"] = tuple(
                Measurement(**{**one, "state": CaseState(one["state"]), "flags": tuple(one["flags"])})
                for one in data["measured"]
            )
            rest["running"] = None if data["running"] is None else (data["running"][0], data["running"][1])
            return VariantsForm(**rest)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"a field is missing or wrong: {error}") from error


def _check_schema(data: Any) -> None:
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, Mapping) else data
        raise ValueError(f"expected schema {SCHEMA}, got {found!r}")


def facts_of(
    exam: ExamForm | None,
    variants: VariantsForm | None,
    profiles: Sequence[CaseProfile],
    runs: Mapping[str, str],
) -> frozenset[str]:
    """What a folder has that must not be lost, as words that compare: steps that are done, kernels that are
    measured, runs of the study by `run_id`, with their digest."""
    steps = () if exam is None else exam.steps.items()
    measured = () if variants is None else variants.measured
    return frozenset(
        {f"step {name}" for name, one in steps if one.state is State.DONE and name in _KEPT}
        | {f"case {one.session} {one.case} {one.at}" for one in measured}
        | {f"profile {one.name}" for one in profiles if not one.reason}
        | {f"run {run_id} {digest}" for run_id, digest in runs.items()}
    )
