"""Where the time and the joules of each measured kernel go, as values: what `profiles.json` holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from search.exam.cases import REFERENCE, Changes, Measurement
from search.exam.kernel_parts import Part, utilisation
from search.exam.roofline_fit import Fit, MeasuredStep, NotEnough, fit

SCHEMA = 1


@dataclass(frozen=True)
class Measured:
    """A case as the table of kernels has it: one step, as a mean over its measurements. `energy_j` is None
    where none of them is known."""

    case: str
    base: Changes
    energy_j: float | None
    time_s: float

    @property
    def name(self) -> str:
        changed = ", ".join(f"{path}={str(value).lower()}" for path, value in self.base.items())
        return f"{self.case} ({changed})" if changed else self.case


@dataclass(frozen=True)
class CaseProfile:
    """One case under the profiler. `by_part_s`: seconds of a step, of `wall_s`; empty where it failed, and
    `reason` says why. `flops` by precision, `matmul_flops` and `bytes_moved` are what `model.work` counts in
    a step, None where it counts none. `peak_flops_per_s`: of square matrix products in the same format."""

    name: str
    wall_s: float = 0.0
    by_part_s: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    matmul_flops: float | None = None
    flops: Mapping[str, float] | None = None
    bytes_moved: float | None = None
    peak_flops_per_s: float | None = None
    reason: str = ""


def measured_cases(measured: Sequence[Measurement]) -> tuple[Measured, ...]:
    """The cases that ran, references first, each once."""
    runs: dict[str, list[Measurement]] = {}
    found: dict[str, Measured] = {}
    for one in measured:
        if one.time_s is None:
            continue
        name = Measured(one.case, one.base, None, 0.0).name
        same = runs.setdefault(name, [])
        same.append(one)
        joules = [run.energy_j for run in same if run.energy_j is not None]
        found[name] = Measured(
            one.case,
            one.base,
            fmean(joules) if joules else None,
            fmean(run.time_s for run in same if run.time_s is not None),
        )
    return tuple(sorted(found.values(), key=lambda case: case.case != REFERENCE))


def to_json(profiles: Sequence[CaseProfile]) -> dict[str, Any]:
    return {"schema": SCHEMA, "profiles": [asdict(one) for one in profiles]}


def from_json(data: Any) -> tuple[CaseProfile, ...]:
    """Raises ValueError where this is no list of profiles of this schema."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, Mapping) else data
        raise ValueError(f"expected schema {SCHEMA}, got {found!r}")
    try:
        return tuple(CaseProfile(**one) for one in data["profiles"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a field is missing or wrong: {error}") from error


def fitted(cases: Sequence[Measured], profiles: Sequence[CaseProfile]) -> Fit:
    """The coefficients of the modelled meter on this device. Raises NotEnough."""
    work = {one.name: one for one in profiles}
    steps = []
    for case in cases:
        one = work.get(case.name)
        if case.energy_j is None or one is None or one.flops is None or one.bytes_moved is None:
            continue
        steps.append(MeasuredStep(case.name, case.energy_j, case.time_s, one.flops, one.bytes_moved))
    return fit(steps)


def profile_row(case: Measured, one: CaseProfile) -> tuple[str, ...]:
    """As `COLUMNS` names them."""
    if one.reason:
        return (case.name, *[""] * (len(COLUMNS) - 2), one.reason)
    shares = [f"{one.by_part_s[part] / one.wall_s:.0%}" for part in Part]
    used = ""
    if one.matmul_flops is not None and one.peak_flops_per_s is not None:
        used = f"{utilisation(one.matmul_flops, case.time_s, one.peak_flops_per_s):.0%}"
    joules = "unknown" if case.energy_j is None else f"{1e6 * case.energy_j / one.tokens:.4g}"
    return (case.name, *shares, used, joules, "")


COLUMNS = ("kernel", *Part, "FLOP utilisation", "microjoules a token", "notes")


def fit_lines(cases: Sequence[Measured], profiles: Sequence[CaseProfile]) -> list[str]:
    """What the coefficients are and how well they say what was measured, in a line each; or why there are
    none."""
    try:
        found = fitted(cases, profiles)
    except NotEnough as error:
        return [f"no coefficients for meter=roofline: {error}"]
    worst = max(found.left_out_error, key=lambda name: abs(found.left_out_error[name]))
    prices = ", ".join(f"{name}: {price:.4g}" for name, price in found.pj_per_flop.items())
    lines = [
        "coefficients fitted to these joules (modelled; for conf/coefficients/NAME.yaml): "
        f"pj_per_byte: {found.pj_per_byte:.4g}, pj_per_flop: {{{prices}}}, beside a constant "
        f"{found.static_w:.4g} W, which meter=roofline leaves out",
        f"they miss a variant that took no part in the fit by {_mean_error(found):.1%} on average, and by "
        f"{found.left_out_error[worst]:+.1%} at worst ({worst})",
    ]
    free = [name for name, price in (*found.pj_per_flop.items(), ("bytes", found.pj_per_byte)) if price == 0]
    if free:
        lines.append(
            f"{', '.join(free)} came out as free: these variants do not show what they cost, and 0 is no "
            "coefficient to use"
        )
    return lines


def _mean_error(found: Fit) -> float:
    return fmean(abs(error) for error in found.left_out_error.values())
