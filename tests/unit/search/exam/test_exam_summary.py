"""What an exam says at its end, and before it begins."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from search.exam.cases import REFERENCE, Case, CaseState, Measurement
from search.exam.folder import ExamFolder
from search.exam.forms import ExamForm, VariantsForm
from search.exam.plan import Limits, State, StepName, StepProgress
from search.exam.summary import print_plan, print_summary, variant_rows, verdict_lines


def measured(
    name: str, joules: float | None, state: CaseState = CaseState.MEASURED, why: str = ""
) -> Measurement:
    time_s = None if state is CaseState.FAILED else 0.004
    return Measurement(name, {}, 1, state, why, joules, time_s, around_s={"setup": 1.0, "compile": 31.0})


FORM = VariantsForm(
    {},
    {"name": "nvml", "kind": "measured"},
    "H100",
    (
        Case("a"),
        Case("b"),
        Case("c"),
        Case("d", {"train.compile": False}, {}, "needs liger_kernel"),
        Case("e"),
    ),
    (
        measured(REFERENCE, 1.0),
        measured("a", 0.75),
        measured("b", None, CaseState.UNKNOWN, "the GPU is lost"),
        measured(REFERENCE, 2.0),
        measured("c", None, CaseState.FAILED, "out of memory"),
    ),
)


def test_every_kernel_has_a_row_with_its_ratio_or_why_it_has_none() -> None:
    rows = {row[0]: row for row in variant_rows(FORM) if row[0] != REFERENCE}
    assert rows["a"] == (
        *("a", "the baseline", "0.75", "4", "0.500", "1.000", "31.0 s"),
        "its references differ by 100.0%",
    )
    assert (rows["b"][2], rows["b"][4]) == ("unknown", "")
    assert "the GPU is lost" in rows["b"][-1]
    assert rows["c"][2] == ""
    assert "failed: out of memory" in rows["c"][-1]
    assert rows["d"][1:] == ("train.compile=false", "", "", "", "", "", "needs liger_kernel")
    assert rows["e"][-1] == "not measured yet"


def test_the_summary_says_steps_verdict_meters_and_kernels(tmp_path: Path) -> None:
    folder = ExamFolder(tmp_path)
    folder.study("mine").mkdir()
    ratio = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    summary = {"verdict": [{"verdict": "SAVES", "arm": "trial 3", "energy_ratio": ratio}]}
    (folder.study("mine") / "summary.json").write_text(json.dumps(summary))
    folder.log(StepName.METER).write_text("nvml: counter over integrated power 1.0021: they agree\nelse\n")
    folder.write_variants(FORM)
    out = io.StringIO()
    steps = {StepName.METER: StepProgress(State.FAILED, 1, 9.0, note="exit status 1")}
    print_summary(Console(file=out, width=200), folder, ExamForm("mine", (), {}, steps))
    printed = out.getvalue()
    assert "meter        failed, 9 s: exit status 1" in printed
    assert "verdict: SAVES (trial 3): 0.5 (0.4 to 0.6) of the baseline's joules" in printed
    assert "meter: nvml: counter over integrated power 1.0021: they agree" in printed
    assert "a step of the baseline on H100, nvml (measured)" in printed


def test_a_study_without_a_report_has_no_verdict(tmp_path: Path) -> None:
    assert verdict_lines(ExamFolder(tmp_path), "mine") == ["verdict: none, the study has no report"]


def test_a_plan_names_every_step_and_how_long_is_left_of_it(tmp_path: Path) -> None:
    out = io.StringIO()
    steps = {StepName.METER: StepProgress(State.DONE, 0, 150.0), StepName.STUDY: StepProgress(spent_s=600)}
    limits = Limits(1200, 360, 120, 60, 60, 20)
    wanted = [step for step in StepName if step is not StepName.TESTS]
    print_plan(Console(file=out, width=200), ExamFolder(tmp_path), steps, wanted, limits)
    rows = {line.split()[1]: line for line in out.getvalue().splitlines() if line.startswith("│")}
    assert set(rows) == set(StepName)
    assert "at most 10.0 min" in rows["study"]
    assert "min" not in rows["meter"]
    assert "left out" in rows["tests"]
