"""What an exam prints: its plan before, and a summary at its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search.exam.cases import REFERENCE, CaseState, Ratio, ratio_of
from search.exam.folder import ExamFolder
from search.exam.forms import ExamForm, VariantsForm
from search.exam.plan import NOTHING, STEPS, Limits, Progress, State, StepName, estimate_s
from search.exam.profiles import COLUMNS, CaseProfile, Measured, fit_lines, measured_cases, profile_row
from search.files.paths import shown
from search.files.whole_file import read_json

# Lines of `python -m search.meter --check` that say whether meters agree, and what they cost.
_RATIOS = ("counter over integrated power", "zeus reads", "own overhead", "nothing was compared")


def print_plan(
    console: Console, folder: ExamFolder, progress: Progress, wanted: Collection[StepName], limits: Limits
) -> None:
    table = Table(title=f"the exam in {escape(shown(folder.path))}", title_justify="left")
    for name in ("step", "what", "state", "still to take"):
        table.add_column(name, overflow="fold")
    total_s = 0.0
    for step in StepName:
        one = progress.get(step, NOTHING)
        left_s = estimate_s(step, one, limits) if step in wanted else 0.0
        total_s += left_s
        state = one.state.value if step in wanted else "left out"
        note = f" ({one.note})" if one.note and step in wanted else ""
        table.add_row(step.value, STEPS[step].does, escape(state + note), _about(step, left_s, limits))
    console.print(table)
    console.print(
        f"together about {total_s / 60:.0f} minutes. For the look at the machine, the tests and the report "
        "that is a guess, until a call has done them",
        highlight=False,
    )


def _about(step: StepName, seconds: float, limits: Limits) -> str:
    if seconds == 0:
        return ""
    words = "at most " if limits.budget_s(step) is not None else "about "
    return words + (f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s")


def print_summary(console: Console, folder: ExamFolder, form: ExamForm) -> None:
    console.print()
    for step, one in form.steps.items():
        note = f": {one.note}" if one.note else ""
        console.print(f"{step:<12} {one.state.value}, {one.spent_s:.0f} s{escape(note)}", highlight=False)
    console.print()
    for line in verdict_lines(folder, form.study):
        console.print(escape(line), highlight=False)
    for line in meter_lines(folder):
        console.print(f"meter: {escape(line)}", highlight=False)
    variants = folder.read_variants()
    if variants is not None:
        print_variants(console, variants)
        print_profiles(console, measured_cases(variants.measured), folder.read_profiles())
    console.print(f"all of it: {escape(shown(folder.path))}", highlight=False)


def verdict_lines(folder: ExamFolder, study: str) -> list[str]:
    """What the study's summary.json says, in a line each."""
    path = folder.study(study)
    summary = read_json(path / "summary.json")
    if not isinstance(summary, dict):
        return ["verdict: none, the study has no report"]
    verdicts = summary.get("verdict") or []
    if not verdicts:
        return [f"verdict: none, nothing was confirmed; see {shown(path / 'report.html')}"]
    return [f"verdict: {one['verdict']} ({one['arm']}){_ratio_words(one)}" for one in verdicts]


def _ratio_words(verdict: dict[str, object]) -> str:
    ratio = verdict.get("energy_ratio")
    if not isinstance(ratio, dict):
        return ""
    return f": {ratio['estimate']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g}) of the baseline's joules"


def meter_lines(folder: ExamFolder) -> list[str]:
    log = folder.log(StepName.METER)
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if any(words in line for words in _RATIOS)]


def print_variants(console: Console, form: VariantsForm) -> None:
    title = f"a step of the baseline on {form.device}, {form.meter['name']} ({form.meter['kind']})"
    table = Table(title=escape(title), title_justify="left")
    for name in (
        "kernel",
        "beside",
        "J a step",
        "ms a step",
        "of its joules",
        "of its time",
        "compile",
        "notes",
    ):
        table.add_column(name, overflow="fold")
    for row in variant_rows(form):
        table.add_row(*map(escape, row))
    console.print(table)


def print_profiles(console: Console, cases: Sequence[Measured], profiles: Sequence[CaseProfile]) -> None:
    """Where the time and the joules of the kernels go that were profiled, and what follows for the modelled
    meter."""
    if not profiles:
        return
    table = Table(title="where the time of a step goes", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    by_name = {one.name: one for one in profiles}
    for case in cases:
        if case.name in by_name:
            table.add_row(*map(escape, profile_row(case, by_name[case.name])))
    console.print(table)
    for line in fit_lines(cases, profiles):
        console.print(escape(line), highlight=False)


def variant_rows(form: VariantsForm) -> list[tuple[str, ...]]:
    """A row a run, references too, and one for each kernel that has none."""
    rows = [_measured_row(form, index) for index in range(len(form.measured))]
    run = {one.case for one in form.measured}
    for case in form.cases:
        if case.name not in run:
            rows.append((case.name, _beside(case.base), *[""] * 5, case.cannot or "not measured yet"))
    return rows


def _measured_row(form: VariantsForm, index: int) -> tuple[str, ...]:
    one = form.measured[index]
    ratio = Ratio(None, None, 0, None) if one.case == REFERENCE else ratio_of(index, form.measured)
    notes = [one.reason] if one.reason else []
    if one.state is CaseState.FAILED:
        notes = [f"failed: {one.reason}"]
    if ratio.drift is not None:
        notes.append(f"its references differ by {ratio.drift:.1%}")
    compile_s = one.around_s.get("compile", 0.0)
    return (
        one.case,
        _beside(one.base),
        _known(one.energy_j, "{:.4g}", one.time_s),
        "" if one.time_s is None else f"{1000 * one.time_s:.4g}",
        "" if ratio.energy is None else f"{ratio.energy:.3f}",
        "" if ratio.time is None else f"{ratio.time:.3f}",
        f"{compile_s:.1f} s" if compile_s else "",
        "; ".join([*notes, *one.flags]),
    )


def _known(value: float | None, form: str, ran_s: float | None) -> str:
    if value is None:
        return "" if ran_s is None else "unknown"
    return form.format(value)


def _beside(base: object) -> str:
    assert isinstance(base, dict)
    return ", ".join(f"{path}={str(value).lower()}" for path, value in base.items()) or "the baseline"


def state_line(step: StepName, position: int, of: int) -> str:
    return f"== {position} of {of}: {step}: {STEPS[step].does} =="


def failed(progress: Progress, wanted: Sequence[StepName]) -> list[StepName]:
    return [step for step in wanted if progress.get(step, NOTHING).state is State.FAILED]
