from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from records_factory import (
    BASELINE,
    confirmed_config,
    looking_up,
    make_confirmed_study,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    study_config,
    unmeasured,
)
from rich.console import Console

from search.record.outcome import Outcome
from search.record.record import Record
from search.report.console import front_table
from search.report.findings.cost import cost_line
from search.report.view.data import study_view
from search.study.progress import Watcher

CHEAP = make_record(1, energy_j=12.0, time_s=5.0, params={"optimizer.lr": 0.01, "optimizer.name": "muon"})


def drawn(records: Sequence[Record], width: int = 160, objectives: tuple[str, ...] = ()) -> str:
    console = Console(width=width, color_system=None, file=io.StringIO())
    console.print(front_table(study_view(records, study_config(*objectives))))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cost_of(*records: Record) -> str:
    return cost_line(study_view(records, study_config()))


def row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.lstrip("│ ").startswith(name))


def test_the_table_shows_the_baseline_first_and_then_the_front() -> None:
    lines = drawn(make_study()).splitlines()
    starts = [line.lstrip("│ ").split(" ")[0] for line in lines if line.startswith("│") and " J " in line]
    assert starts == ["0", "7", "10", "12"]


def test_lookup_like_runs_are_marked_and_what_joins_the_front_without_them_is_below_a_line() -> None:
    lines = drawn(make_lookup_study()).splitlines()
    starts = [line.strip("│ ").split("  ")[0].split("│")[0].strip() for line in lines if line[:1] in "│├"]
    named = [start for start in starts if start[:1].isdigit()]
    assert named == ["0 (baseline)", "17 (lookup-like)", "16 (lookup-like)", "12", "7", "10"]
    between = [index for index, line in enumerate(lines) if line.startswith("├")]
    assert len(between) == 1
    assert lines[between[0] + 1].lstrip("│ ").startswith("7 ")


def test_the_caption_says_what_lookup_like_is_and_the_front_without() -> None:
    text = " ".join(drawn(make_lookup_study()).split())
    assert "buys what counting n-grams buys too; without them the front is trial 7, 10, 12." in text
    alone = " ".join(drawn([looking_up(CHEAP)]).split())
    assert "without them nothing has reached the target." in alone


@pytest.mark.parametrize(
    "records",
    [make_study(), [BASELINE, CHEAP, looking_up(make_record(2, energy_j=13.0, time_s=6.0))]],
    ids=["no lookup-like run", "a dominated one"],
)
def test_where_no_lookup_like_run_is_on_the_front_nothing_is_said_of_them(records: list[Record]) -> None:
    text = drawn(records)
    assert "lookup" not in text.lower()
    assert "├" not in text


def test_objectives_have_units_and_ratios_to_the_baseline() -> None:
    line = row(drawn([BASELINE, CHEAP]), "1 ")
    assert [cell.strip() for cell in line.split("│")[1:6]] == ["1", "12.0 J", "0.20", "5.00 s", "0.25"]


def test_the_title_says_the_kind_of_energy() -> None:
    assert "estimated by cpu_time" in drawn([BASELINE, CHEAP])


def test_only_params_that_differ_are_shown_in_brief() -> None:
    other = make_record(2, energy_j=20.0, time_s=4.0, params={"optimizer.lr": 0.02, "optimizer.name": "muon"})
    text = drawn([CHEAP, other])
    assert "lr=0.01" in text
    assert "lr=0.02" in text
    assert "muon" not in text


def test_a_baseline_short_of_the_target_has_no_ratio_and_shows_a_lower_bound() -> None:
    short = make_record(0, energy_j=60.0, time_s=20.0, outcome=Outcome.OUT_OF_BUDGET)
    text = drawn([short, CHEAP])
    assert "≥ 60.0 J" in text
    assert row(text, "1 ").split("│")[3].strip() == "-"
    assert "baseline did not reach the target" in text


def test_a_baseline_on_the_front_is_listed_once() -> None:
    text = drawn([make_record(0, energy_j=60.0, time_s=1.0), CHEAP])
    assert text.count("(baseline)") == 1
    assert sum(" J " in line for line in text.splitlines()) == 2


def test_an_empty_study_says_so() -> None:
    assert "No run has reached the target" in drawn([])


def test_names_are_text_and_not_markup() -> None:
    named = dataclasses.replace(CHEAP, study="[red]x[/red]", params={"a": "[bold]y[/bold]"})
    other = dataclasses.replace(make_record(2, energy_j=20.0, time_s=1.0), params={"a": "z"})
    text = drawn([named, other])
    assert "[red]x[/red]" in text
    assert "a=[bold]y[/bold]" in text


def test_flags_are_shown() -> None:
    assert "flags: hot" in drawn([dataclasses.replace(CHEAP, flags=("hot",))])


def test_the_cost_line_says_joules_kind_and_number_of_runs() -> None:
    line = cost_of(BASELINE, CHEAP)
    assert line.startswith(
        "The search cost 87.8 J (estimated) over 2 runs; it pays for itself after 1.83 runs"
    )


def test_the_cost_of_runs_without_energy_is_a_lower_bound() -> None:
    line = cost_of(BASELINE, CHEAP, unmeasured(2, "x"))
    assert "at least 87.8 J" in line
    assert "1 of them of unknown energy" in line
    assert "after at least 1.83 runs" in line


def test_an_unknown_cost_is_not_zero() -> None:
    assert cost_of(unmeasured(2, "x")) == (
        "What the search cost is unknown: no energy is known of its 1 run."
    )


def test_no_runs_have_cost_nothing_yet() -> None:
    assert "nothing yet" in cost_of()


@pytest.mark.parametrize(("steps", "said"), [(400, True), (0, False)])
def test_what_stopping_saved_is_said_to_be_an_estimate_and_at_most(steps: int, said: bool) -> None:
    dominated = make_record(2, outcome=Outcome.DOMINATED, steps=steps)
    assert ("saved an estimated 80.0 J at most" in cost_of(CHEAP, dominated)) is said


def test_errors_of_counted_joules_stand_beside_them() -> None:
    text = drawn([dataclasses.replace(BASELINE, energy_error_j=0.5), CHEAP])
    assert "60.0 ± 0.50 J" in row(text, "0 (baseline)")
    assert "12.0 J" in row(text, "1 ")


def test_a_measured_meter_that_disagrees_with_the_one_that_ranks_is_a_warning() -> None:
    text = " ".join(drawn(make_misranked_study()).split())
    assert "Warning: nvml (measured), read beside roofline (modelled), orders the trials differently" in text


def test_a_modelled_meter_that_disagrees_with_a_measured_one_that_ranks_is_none() -> None:
    assert "Warning" not in drawn(make_metered_study())


def many_params(count: int, seed: int) -> dict[str, int]:
    return {f"model.setting_{number:02}": seed + number for number in range(count)}


@pytest.mark.parametrize("width", [160, 10_000])
def test_where_there_is_room_every_parameter_that_differs_is_shown(width: int) -> None:
    records = [make_record(n, energy_j=30.0 / n, time_s=n, params=many_params(9, n)) for n in (1, 2)]
    text = drawn(records, width)
    assert all(text.count(f"setting_{number:02}=") == 2 for number in range(9))
    assert "more" not in text


def test_where_there_is_none_it_says_how_many_parameters_are_left_and_where_they_are() -> None:
    records = [make_record(n, energy_j=30.0 / n, time_s=n, params=many_params(40, n)) for n in (1, 2)]
    text = " ".join(drawn(records, 80).split())
    assert "more in trials.csv)" in text
    assert "setting_00=1 " in text


def counts(record: Record) -> Record:
    more = {"tokens_to_target": 135_936.0, "parameters": 804_864.0}
    return dataclasses.replace(record, values=dict(record.values) | more, spent=dict(record.spent) | more)


@pytest.mark.parametrize("objectives", [3, 4])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_counts_are_never_cut_however_many_objectives_there_are(objectives: int, width: int) -> None:
    names = ("energy_to_target_j", "time_to_target_s", "tokens_to_target", "parameters")[:objectives]
    text = drawn([counts(BASELINE), counts(CHEAP)], width, names)
    assert "…" not in text
    assert "135,936" in text
    assert "lr=0.01" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_study_without_runs_has_a_title_that_says_so() -> None:
    assert "Pareto front of demo: no run has finished" in drawn([])


def test_one_run_is_not_one_runs() -> None:
    assert "over 1 run;" in f"{cost_of(BASELINE)[:-1]};"


def test_the_lines_of_a_verdict_follow_the_front_as_text_and_not_markup(tmp_path: Path) -> None:
    named = "[red]x[/red]"
    hardware = {"hardware": {"device": named}, "data": {"dataset": named}}
    records = [
        dataclasses.replace(r, study=named, provenance=hardware, flags=("[bold]",))
        for r in make_confirmed_study()
    ]
    console = Console(width=200, color_system=None, file=io.StringIO())
    Watcher(console, "demo", 5).report(
        tmp_path, tmp_path / "report.html", study_view(records, confirmed_config())
    )
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.index("Pareto front of [red]x[/red]") < text.index(": trial 1, 405 steps:")
    assert text.index(": trial 1, 405 steps:") < text.index("The search cost")
