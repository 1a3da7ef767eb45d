"""Where joules go, as rows of a table and lines below it."""

from __future__ import annotations

import pytest

from search.exam.cases import REFERENCE, CaseState, Measurement
from search.exam.kernel_parts import Part
from search.exam.profiles import (
    COLUMNS,
    CaseProfile,
    Measured,
    fit_lines,
    from_json,
    measured_cases,
    profile_row,
    to_json,
)


def measurement(
    case: str, energy_j: float | None, time_s: float | None = 0.01, **base: object
) -> Measurement:
    state = CaseState.MEASURED if time_s is not None else CaseState.FAILED
    return Measurement(case, base, 1, state, energy_j=energy_j, time_s=time_s)


PROFILE = CaseProfile(
    "bf16",
    wall_s=0.01,
    by_part_s={part.value: 0.002 for part in Part},
    tokens=1000,
    matmul_flops=2e10,
    flops={"fp32": 1e9, "bf16": 2e10},
    bytes_moved=1e9,
    peak_flops_per_s=1e13,
)


def test_each_case_stands_once_with_its_mean_and_references_come_first() -> None:
    found = measured_cases(
        [
            measurement("bf16", 1.0),
            measurement(REFERENCE, 2.0),
            measurement(REFERENCE, 4.0, 0.03),
            measurement(REFERENCE, 5.0, compile=False),
            measurement("broken", None, None),
            measurement("unread", None),
        ]
    )
    assert [one.name for one in found] == ["reference", "reference (compile=false)", "bf16", "unread"]
    assert found[0] == Measured(REFERENCE, {}, 3.0, pytest.approx(0.02))
    assert found[3].energy_j is None


def test_a_row_says_unknown_joules_and_why_a_kernel_has_no_profile() -> None:
    case = Measured("bf16", {}, 0.5, 0.01)
    shown = dict(zip(COLUMNS, profile_row(case, PROFILE), strict=True))
    assert shown["matrix products"] == "20%"
    assert shown["FLOP utilisation"] == "20%"
    assert shown["microjoules a token"] == "500"
    shown = dict(zip(COLUMNS, profile_row(Measured("bf16", {}, None, 0.01), PROFILE), strict=True))
    assert shown["microjoules a token"] == "unknown"
    shown = dict(zip(COLUMNS, profile_row(case, CaseProfile("bf16", reason="it broke")), strict=True))
    assert (shown["matrix products"], shown["notes"]) == ("", "it broke")


def test_profiles_come_back_from_json_as_they_were() -> None:
    assert from_json(to_json([PROFILE])) == (PROFILE,)
    with pytest.raises(ValueError, match="expected schema 1, got 7"):
        from_json({"schema": 7})


def test_too_few_variants_are_said_to_give_no_coefficients() -> None:
    (line,) = fit_lines([Measured("bf16", {}, 0.5, 0.01)], [PROFILE])
    assert line.startswith(
        "no coefficients for meter=roofline: 4 coefficients need more than 4 variants, got 1"
    )
