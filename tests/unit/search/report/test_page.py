from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml
from records_factory import (
    METER,
    NVML,
    PROVENANCE,
    ROOFLINE,
    heated,
    looking_up,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    side,
    study_config,
    unmeasured,
)

from search.files.records import append_record
from search.record.record import Outcome, Record
from search.report.__main__ import main
from search.report.data import ReportError, study_view
from search.report.page import embedded, write_report
from search.report.paper import print_names
from search.report.table import Column, runs_table, trials_frame
from search.report.values import brief_names

ATTACK = "</script><script>alert(1)</script>"
BASELINE = make_record(0, energy_j=60.0, time_s=20.0)
CHEAP = make_record(1, energy_j=12.0, time_s=5.0)


class Page(HTMLParser):
    """Elements with their attributes and the text in them, scripts and styles apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self._open or self._open[-1] != "style":
            self.words.append(data)

    def with_id(self, name: str) -> list[str]:
        return [tag for tag, attributes in self.elements if attributes.get("id") == name]

    def figures(self) -> dict[str, Any]:
        return {
            str(attributes["id"]): json.loads(text)
            for attributes, text in self.scripts
            if attributes.get("type") == "application/json"
        }


def page_of(tmp_path: Path, *records: Record) -> Page:
    return Page(write_report(tmp_path / "demo", records, study_config()).read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "demo", make_study(), study_config()).parent


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def test_the_page_loads_nothing(page: Page) -> None:
    links = [
        (tag, name, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links == []
    assert not {"link", "iframe", "object", "embed", "img", "base"} & {tag for tag, _ in page.elements}


def test_the_style_sheet_loads_nothing(folder: Path) -> None:
    html = (folder / "report.html").read_text()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_the_security_policy_allows_no_request_and_only_the_two_scripts_of_the_page(page: Page) -> None:
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in page.elements
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    (scripts,) = re.findall(r"script-src ([^;]*)", policy)
    assert "unsafe" not in scripts
    assert "http" not in policy


def test_the_plotting_library_is_embedded_exactly_once(page: Page) -> None:
    code = [text for attributes, text in page.scripts if "type" not in attributes]
    assert [text.startswith("/**\n* plotly.js") for text in code] == [True, False]
    assert "MathJax.js" not in code[1]


def test_every_drawing_has_its_data(page: Page) -> None:
    wanted = [attributes["data-figure"] for _, attributes in page.elements if "data-figure" in attributes]
    assert wanted == [f"figure-{name}" for name in ("pareto", "curves", "outcomes", "phases", "importance")]
    assert sorted(page.figures()) == sorted(str(name) for name in wanted)
    assert all(figure["data"] for figure in page.figures().values())


def test_the_headline_its_caveat_and_the_kind_are_on_the_page(page: Page) -> None:
    assert "Trial 7 reached 2.30 nats with 0.21 of the baseline's energy (12.3 J against 58.1 J" in page.text
    assert "Not yet confirmed with fresh seeds" in page.text
    badges = [a for tag, a in page.elements if tag == "span" and "badge-estimated" in (a.get("class") or "")]
    assert len(badges) >= 6


def test_the_first_screen_says_what_the_study_is_and_where_its_numbers_come_from(tmp_path: Path) -> None:
    hardware = {"device": "AMD EPYC", "threads": 1, "system": "Linux 6.1"}
    records = [
        dataclasses.replace(record, provenance=PROVENANCE | {"hardware": hardware})
        for record in (BASELINE, CHEAP)
    ]
    described = study_config() | {"study": {"name": "demo", "description": "a small <search>"}}
    text = Page(write_report(tmp_path / "demo", records, described).read_text()).text
    first_screen = text[: text.index("The Pareto front")]
    assert "a small <search>" in first_screen
    assert "AMD EPYC, 1 thread, Linux 6.1; 2026-03-01, 10:00 to 10:01 UTC" in first_screen
    assert "joulesearch 0.1.0, torch 2.11.0, Python 3.11.2" in first_screen
    assert "target 2.30 nats per token (3.32 bits per byte)" in first_screen
    assert "A nat is 1.44 bits" in first_screen


def test_a_study_over_midnight_has_both_days(tmp_path: Path) -> None:
    late = dataclasses.replace(CHEAP, ended_at="2026-03-02T00:10:00+00:00")
    assert "2026-03-01 10:00 to 2026-03-02 00:10 UTC" in page_of(tmp_path, BASELINE, late).text


def test_without_provenance_the_first_screen_is_silent_on_it(tmp_path: Path) -> None:
    page = page_of(tmp_path, dataclasses.replace(CHEAP, provenance={}, started_at="", ended_at=""))
    assert not page.with_id("origin")
    assert "bits per byte" not in page.text


def test_losses_among_the_provenance_are_rounded(tmp_path: Path) -> None:
    exact = PROVENANCE | {"data": PROVENANCE["data"] | {"ngram_loss": 1.4820201223049956}}
    page = page_of(tmp_path, dataclasses.replace(CHEAP, provenance=exact))
    assert "ngram_loss1.48202 " in page.text.replace("\n", " ")
    assert "1.4820201" not in page.text


def test_what_the_search_cost_is_on_the_page(page: Page) -> None:
    for text in ("at least 439 J", "17 runs, 1 of unknown energy, 1 killed", "≤ 183 J", "at least 9.59 runs"):
        assert text in page.text


def test_a_study_too_small_for_importance_says_what_it_takes_and_draws_the_raw_runs(
    tmp_path: Path, page: Page
) -> None:
    few = page_of(tmp_path, *make_study()[:6])
    assert (
        "2 of 4 trials reached the target, and importance takes 8 trials, 3 of which reached it" in few.text
    )
    assert "figure-raw-runs" in few.figures()
    assert "figure-raw-runs" not in page.figures()


def test_every_outcome_is_explained(page: Page) -> None:
    for outcome in Outcome:
        assert outcome.advice[1:] in page.text


def test_the_best_configuration_and_the_command_that_trains_it_are_there(page: Page, folder: Path) -> None:
    assert "python -m search.train recipe=reports/demo/best.yaml seed=7" in page.text
    assert "python -m search.train -m recipe=reports/demo/best.yaml seed=101,102" in page.text
    best = next(record for record in make_study() if record.trial == 7)
    assert yaml.safe_load((folder / "best.yaml").read_text()) == dict(best.config) | {"target_loss": 2.3}


def test_the_best_configuration_keeps_what_the_study_sets_for_all_of_its_runs(tmp_path: Path) -> None:
    shared = {
        "data": {"name": "shakespeare"},
        "meter": {"name": "auto"},
        "device": {"name": "cpu", "lock": "x"},
    }
    write_report(tmp_path, [CHEAP], study_config() | shared | {"storage": "sqlite:///study.db"})
    recipe = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert recipe == dict(CHEAP.config) | {"target_loss": 2.3} | shared | {"device": {"name": "cpu"}}


def test_a_folder_with_a_space_is_quoted_in_the_command(tmp_path: Path) -> None:
    html = write_report(tmp_path / "my study", [CHEAP], study_config()).read_text()
    assert "'recipe=reports/my study/best.yaml'" in Page(html).text


def test_a_name_with_a_script_in_it_is_text_wherever_it_stands(tmp_path: Path) -> None:
    hostile = dataclasses.replace(
        CHEAP,
        study=ATTACK,
        params={ATTACK: ATTACK},
        config={"name": ATTACK},
        reason=ATTACK,
        flags=(ATTACK,),
        meter=dataclasses.replace(METER, name=ATTACK, chosen_because=ATTACK),
        provenance={"data": PROVENANCE["data"] | {"dataset": ATTACK}, ATTACK: {ATTACK: ATTACK}},
    )
    baseline = dataclasses.replace(hostile, trial=0, role="baseline", params={}, curve=BASELINE.curve)
    attacked = page_of(tmp_path, baseline, hostile)
    assert len(attacked.scripts) == len(attacked.figures()) + 2
    assert ATTACK in attacked.text
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())["study"] == ATTACK
    for figure in attacked.figures().values():
        assert "<script" not in json.dumps(figure)


def test_no_name_of_a_column_can_end_the_style_sheet_that_prints_it() -> None:
    rules = print_names((Column('</style>"} * { display: none } \\', "", False),))
    assert "</" not in rules
    assert rules.count('"') == 2 * rules.count("content:")


def test_no_text_of_a_figure_can_end_the_script_element_around_it() -> None:
    text = embedded(go.Figure(layout={"title": {"text": f"{ATTACK} <!-- & -->"}}))
    assert not set("<>&") & set(text)
    assert json.loads(text)["layout"]["title"]["text"] == f"{ATTACK} <!-- & -->"


def test_the_warning_stands_where_counting_reaches_the_target(tmp_path: Path) -> None:
    easy = PROVENANCE | {"data": PROVENANCE["data"] | {"ngram_loss": 1.67}}
    warned = page_of(tmp_path, dataclasses.replace(CHEAP, provenance=easy))
    assert warned.with_id("ngram-warning")
    assert "Counting n-grams reaches 1.67 nats" in warned.text


def test_no_warning_stands_where_the_target_lies_below_the_ngram(page: Page) -> None:
    assert not page.with_id("ngram-warning")


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "No run has finished yet."),
        ([BASELINE], "Only the baseline reached"),
        ([CHEAP], "there is no baseline to compare"),
        ([make_record(1, outcome=Outcome.DOMINATED)], "Nothing reached 2.30 nats"),
        ([unmeasured(1, "stood still")], "unknowngross energy of 1 run, 1 of unknown energy"),
        ([make_record(1, outcome=Outcome.CRASHED, interrupted=True, ledger=None)], "Nothing reached"),
    ],
    ids=["nothing", "baseline", "no baseline", "not reached", "unmeasured", "killed"],
)
def test_a_study_without_a_finding_has_a_page_that_says_so(
    tmp_path: Path, records: list[Record], says: str
) -> None:
    assert says in page_of(tmp_path, *records).text


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([BASELINE, make_record(1, energy_j=66.0)], "no trial saved energy over the baseline"),
        ([CHEAP], "what a run saves is not known"),
        (
            [make_record(0, energy_j=60.0, outcome=Outcome.OUT_OF_BUDGET), CHEAP],
            "what a run saves is not known",
        ),
    ],
    ids=["dearer", "no baseline", "baseline short of the target"],
)
def test_why_the_search_does_not_break_even_is_said(tmp_path: Path, records: list[Record], says: str) -> None:
    assert says in page_of(tmp_path, *records).text


def test_the_runs_table_can_be_sorted_by_a_button_in_every_heading(page: Page, folder: Path) -> None:
    html = (folder / "report.html").read_text()
    table = html[html.index('<table id="runs">') :]
    head = table[: table.index("</thead>")]
    assert head.count("<th ") == head.count("<button")
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    assert body.count("<tr") == len(make_study())
    assert body.count("data-sort=") == len(make_study()) * head.count("<th ")


def test_a_recipe_says_in_its_first_line_what_it_took_beside_the_baseline(tmp_path: Path) -> None:
    page_of(tmp_path, BASELINE, make_record(1, energy_j=75.0, time_s=10.0))
    first = (tmp_path / "demo" / "best.yaml").read_text().splitlines()[0]
    assert first.startswith(
        "# Trial 1 of demo: one run, with 1.25 of the baseline's energy (75.0 J against 60.0 J"
    )
    assert first.endswith("which saves nothing.")


def test_the_csv_has_a_row_a_record_and_its_values_round_trip(folder: Path) -> None:
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    records = make_study()
    assert [row["run_id"] for row in rows] == [record.run_id for record in records]
    for row, record in zip(rows, records, strict=True):
        for column, value in (
            ("gross_energy_j", record.gross_energy_j),
            ("net_energy_j", record.net_energy_j),
            ("energy_to_target_j", record.values.get("energy_to_target_j")),
            ("energy_train_j", None if record.ledger is None else record.ledger.energy_j["train"]),
            ("best_loss", record.best_loss),
            ("params.optimizer.lr", record.params["optimizer.lr"]),
        ):
            assert (float(row[column]) if row[column] else None) == value, (record.trial, column)
    assert [row["gross_energy_j"] for row in rows if row["outcome"] == "UNMEASURED"] == [""]


def test_texts_with_commas_quotes_and_newlines_survive_the_csv() -> None:
    reason = 'RuntimeError: "a", b\nand c'
    frame = trials_frame(study_view([dataclasses.replace(CHEAP, reason=reason, params={"l": [1, 2]})], {}))
    back = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert back["reason"][0] == reason
    assert json.loads(back["params.l"][0]) == [1, 2]


def test_a_csv_without_runs_has_its_heading() -> None:
    assert (
        trials_frame(study_view([], study_config()))
        .to_csv(index=False)
        .startswith("trial,run_id,role,outcome")
    )


def test_passwords_of_urls_reach_no_file(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@db.example/optuna"
    leaky = dataclasses.replace(
        CHEAP,
        config={"storage": {"url": url}},
        reason=f"cannot reach {url}",
        provenance={"software": {"db": url}},
    )
    write_report(tmp_path, [leaky], study_config())
    for path in tmp_path.iterdir():
        assert "hunter2" not in path.read_text(), path.name
    assert "postgresql://me:***@db.example/optuna" in (tmp_path / "best.yaml").read_text()


def test_names_of_parameters_are_brief_but_never_the_same() -> None:
    assert brief_names(["optimizer.name", "optimizer.lr", "head.lr", "model.n_layer"]) == {
        "optimizer.name": "optimizer.name",
        "optimizer.lr": "optimizer.lr",
        "head.lr": "head.lr",
        "model.n_layer": "n_layer",
    }


@pytest.fixture(scope="module")
def lookup_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lookup") / "demo"
    return write_report(folder, make_lookup_study(), study_config()).parent


@pytest.fixture(scope="module")
def lookup_page(lookup_folder: Path) -> Page:
    return Page((lookup_folder / "report.html").read_text())


def test_a_lookup_like_winner_does_not_stand_silently_on_the_page(lookup_page: Page) -> None:
    assert "Trial 17 (lookup-like) reached 2.30 nats" in lookup_page.text
    assert "The best that is not, trial 7, reached the target with 0.21 of the" in lookup_page.text
    assert lookup_page.with_id("lookup-like")
    assert "they buy a loss that counting n-grams buys too" in lookup_page.text


def test_the_front_table_marks_lookup_like_runs_and_goes_on_with_those_that_join_without_them(
    lookup_folder: Path,
) -> None:
    html = (lookup_folder / "report.html").read_text()
    table = html[html.index('aria-label="Pareto front and baseline"') : html.index('id="lookup-like"')]
    heads = re.findall(r'<th scope="row(?:group)?".*?</th>', table)
    named = [re.sub("<[^>]*>", "", head) for head in heads]
    assert named == [
        "the baseline",
        "trial 17 lookup-like",
        "trial 16 lookup-like",
        "trial 12",
        "also on the front, once lookup-like runs are left out",
        "trial 7",
        "trial 10",
    ]


def test_the_best_without_lookup_has_a_file_and_a_command_beside_a_lookup_like_winner(
    lookup_page: Page, lookup_folder: Path
) -> None:
    recipes = [
        yaml.safe_load((lookup_folder / name).read_text())
        for name in ("best.yaml", "best_without_lookup.yaml")
    ]
    assert [recipe["model"]["lookup_table"] for recipe in recipes] == ["bigram", "none"]
    assert recipes[1]["optimizer"]["lr"] == 3e-2
    assert "recipe=reports/demo/best_without_lookup.yaml seed=7" in lookup_page.text


def test_a_file_of_the_best_without_lookup_goes_when_the_winner_is_lookup_like_no_more(
    tmp_path: Path,
) -> None:
    table = looking_up(make_record(2, energy_j=6.0, time_s=3.0))
    write_report(tmp_path, [CHEAP, table], study_config())
    assert (tmp_path / "best_without_lookup.yaml").is_file()
    write_report(tmp_path, [CHEAP, table, make_record(3, energy_j=5.0, time_s=3.0)], study_config())
    assert not (tmp_path / "best_without_lookup.yaml").exists()


def test_with_lookup_like_trials_alone_there_is_no_file_of_another_best(tmp_path: Path) -> None:
    write_report(tmp_path, [BASELINE, looking_up(CHEAP)], study_config())
    assert (tmp_path / "best.yaml").is_file()
    assert not (tmp_path / "best_without_lookup.yaml").exists()


def test_where_lookup_like_runs_are_dominated_the_page_says_so_and_has_one_front(tmp_path: Path) -> None:
    page = page_of(tmp_path, BASELINE, CHEAP, looking_up(make_record(2, energy_j=13.0, time_s=6.0)))
    assert "none of them is on the front here." in page.text
    assert "once lookup-like runs are left out" not in page.text


def test_where_no_run_that_ranks_is_lookup_like_the_page_does_not_mention_it(
    page: Page, tmp_path: Path
) -> None:
    short = looking_up(make_record(2, outcome=Outcome.DOMINATED))
    for found in (page, page_of(tmp_path, BASELINE, CHEAP, short)):
        assert "lookup-like" not in found.text.lower()
        traces = [trace for figure in found.figures().values() for trace in figure["data"]]
        legends = [str(trace.get("name")) for trace in traces if trace.get("showlegend", True)]
        assert not any("lookup" in legend for legend in legends)


def test_the_runs_table_and_the_csv_say_which_runs_are_lookup_like() -> None:
    view = study_view(make_lookup_study(), study_config())
    columns, rows = runs_table(view)
    index = [column.heading for column in columns].index("lookup-like")
    assert [row.trial for row in rows if row.cells[index].text] == [16, 17, 18]
    frame = trials_frame(view)
    assert list(frame["trial"][frame["lookup_like"].astype(bool)]) == [16, 17, 18]


def test_the_runs_table_marks_what_joins_the_front_without_lookup_like_runs() -> None:
    _, rows = runs_table(study_view(make_lookup_study(), study_config()))
    assert {row.trial: row.mark for row in rows if row.mark not in ("", "killed")} == {
        17: "best", 16: "front", 12: "front",
        7: "front without lookup-like", 10: "front without lookup-like",
    }  # fmt: skip


def test_drawing_again_replaces_the_files_and_leaves_no_drafts(tmp_path: Path) -> None:
    write_report(tmp_path, [CHEAP], study_config())
    write_report(tmp_path, [BASELINE, CHEAP], study_config())
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "summary.json",
        "trials.csv",
        "best.yaml",
    }
    assert json.loads((tmp_path / "summary.json").read_text())["baseline"]["trial"] == 0


def test_records_that_mix_meters_write_nothing(tmp_path: Path) -> None:
    other = dataclasses.replace(CHEAP, trial=2, meter=dataclasses.replace(METER, name="nvml"))
    with pytest.raises(ReportError):
        write_report(tmp_path / "demo", [CHEAP, other], study_config())
    assert not (tmp_path / "demo").exists()


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    for record in (BASELINE, CHEAP):
        append_record(folder / "records.jsonl", record)
    return folder


def test_the_command_draws_the_report_of_a_folder_with_its_configuration(
    study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study_folder / "config.yaml").write_text(
        "names: [time_to_target_s]\nobjective:\n  names: ${names}\nrun: ${nowhere:x}\n"
    )
    assert main([str(study_folder)]) == 0
    assert "Report: " in capsys.readouterr().out
    assert (study_folder / "report.html").is_file()
    assert json.loads((study_folder / "summary.json").read_text())["objectives"] == ["time_to_target_s"]


def test_the_command_tolerates_a_torn_last_line_and_a_missing_configuration(study_folder: Path) -> None:
    with (study_folder / "records.jsonl").open("a") as file:
        file.write('{"schema": 1, "stu')
    assert main([str(study_folder)]) == 0
    assert json.loads((study_folder / "summary.json").read_text())["search_cost"]["runs"] == 2


def mistyped(study_folder: Path, mistake: str) -> list[str]:
    if mistake == "no argument":
        return []
    if mistake == "no folder":
        return [str(study_folder / "nowhere")]
    if mistake == "no records":
        (study_folder / "records.jsonl").unlink()
    if mistake == "corrupt line":
        text = (study_folder / "records.jsonl").read_text()
        (study_folder / "records.jsonl").write_text("garbage\n" + text)
    if mistake == "mixed meters":
        other = dataclasses.replace(CHEAP, meter=dataclasses.replace(METER, name="nvml"), run_id="other")
        append_record(study_folder / "records.jsonl", other)
    if mistake == "broken configuration":
        (study_folder / "config.yaml").write_text("a: [1\nb: }")
    return [str(study_folder)]


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("no argument", "arguments are required: folder"),
        ("no folder", "no folder"),
        ("no records", "no records.jsonl in"),
        ("corrupt line", "line 1"),
        ("mixed meters", "2 meters"),
        ("broken configuration", "config.yaml: expected a YAML mapping"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_exit_status_2_and_creates_nothing(
    study_folder: Path, capsys: pytest.CaptureFixture[str], mistake: str, says: str
) -> None:
    arguments = mistyped(study_folder, mistake)
    before = sorted(study_folder.parent.rglob("*"))
    try:
        status = main(arguments)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(study_folder.parent.rglob("*")) == before


def test_the_command_runs_as_a_module(study_folder: Path) -> None:
    shutil.rmtree(study_folder)
    ran = subprocess.run(
        [sys.executable, "-m", "search.report", str(study_folder)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
        check=False,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "python -m search.report: no folder" in ran.stderr


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("metered") / "demo"
    return Page(write_report(folder, make_metered_study(), study_config()).read_text())


def test_a_study_with_one_meter_and_no_thermometer_says_nothing_of_either(page: Page) -> None:
    assert not page.with_id("meters")
    assert not page.with_id("meter-warning")
    assert "temperature" not in page.text.lower()


def test_meters_side_by_side_have_a_section_with_a_figure_and_the_worst_disagreements(metered: Page) -> None:
    assert metered.with_id("meters")
    assert "figure-meters-0" in metered.figures()
    assert "each against nvml (measured), the most trustworthy of them; the study ranks by it" in metered.text
    assert "9 of 14" in metered.text
    assert "0.90 [0.48, 0.98]" in metered.text
    assert "does not agree: its winner, trial 12, costs 1.29 times what trial 7 costs" in metered.text
    assert (
        "trial 12: 0.60 times the median ratio (2.70 J by roofline, modelled, 15.9 J by nvml" in metered.text
    )
    assert "and costs 1.29 times as much by nvml (15.9 J against 12.3 J, measured)" in metered.text
    assert "3 of 36 pairs of runs that reached the target change places" in metered.text


def test_side_readings_that_could_not_be_had_are_listed_with_their_reason(metered: Page) -> None:
    assert "rapl (measured), 14 runs: /sys/class/powercap/intel-rapl:0/energy_uj: permission denied" in (
        metered.text
    )


def test_a_study_whose_side_meter_was_never_readable_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path, read_beside(CHEAP, NVML, 1.0, counted_energy_j=None, reason="no driver"))
    assert "nvml (measured), 1 run: no driver" in page.text
    assert not page.with_id("side-by-side")


def test_the_warning_of_a_ranking_that_a_measured_meter_contradicts_stands_above_the_front(
    tmp_path: Path,
) -> None:
    page = page_of(tmp_path, *make_misranked_study())
    assert page.with_id("meter-warning")
    assert page.text.index("orders the trials differently") < page.text.index("The Pareto front")


def test_errors_stand_beside_counted_joules_and_are_explained(metered: Page, page: Page) -> None:
    assert "12.3 ± 0.30 J" in metered.text
    assert "≥ 64.0 ± 0.30" in metered.text
    assert "±: what the meter's tick" in metered.text
    assert "±" not in page.text


@pytest.mark.parametrize(("gain", "says"), [(0.05, "± 5.0 %: one constant factor"), (None, "unknown: one")])
def test_the_gain_error_of_a_meter_is_explained_once(tmp_path: Path, gain: float | None, says: str) -> None:
    meter = dataclasses.replace(METER, settings={"gain_error": gain})
    page = page_of(tmp_path, dataclasses.replace(CHEAP, meter=meter))
    assert page.text.count(f"gain error{says}") == 1
    assert "gain_error" not in page.text


def test_the_settings_of_the_meters_beside_are_on_the_page(metered: Page) -> None:
    assert "meter beside it: roofline" in metered.text
    assert "pj_per_byte" in metered.text


def test_temperatures_stand_beside_joules_and_are_n_a_where_unknown(metered: Page) -> None:
    assert "41 → 67 (+26 K)" in metered.text
    assert "n/a" in metered.text
    assert "figure-temperature" in metered.figures()


@pytest.mark.parametrize(("runs", "drawn"), [(2, False), (3, True)])
def test_warming_is_drawn_from_three_runs_on(tmp_path: Path, runs: int, drawn: bool) -> None:
    records = [heated(make_record(n, energy_j=10.0 + n)) for n in range(1, runs + 1)]
    assert ("figure-temperature" in page_of(tmp_path, *records).figures()) is drawn


def test_a_net_energy_below_zero_is_shown_as_it_is(tmp_path: Path) -> None:
    page = page_of(tmp_path, dataclasses.replace(CHEAP, net_energy_j=-3.2, idle_power_w=3.5))
    assert page.text.count("-3.20") == 2
    assert "3.50 W" in page.text


def test_an_unknown_idle_power_is_unknown_and_not_zero(tmp_path: Path) -> None:
    page = page_of(tmp_path, dataclasses.replace(CHEAP, net_energy_j=None, idle_power_w=None))
    assert "0 W" not in page.text
    assert page.text.count("unknown") >= 4


def test_flags_are_listed_with_their_words_and_how_many_runs_they_concern(tmp_path: Path) -> None:
    records = [dataclasses.replace(record, flags=("power_capped",)) for record in (BASELINE, CHEAP)]
    page = page_of(tmp_path, *records, make_record(2, flags=("own_flag",)))
    assert "power_capped, 2 runsThe power limit held the clocks down" in page.text
    assert "own_flag, 1 run" in page.text


def test_how_to_add_a_measured_meter_is_said_where_none_ran(page: Page, metered: Page) -> None:
    assert page.with_id("measured-hint")
    assert not metered.with_id("measured-hint")


def test_what_a_side_meter_says_is_text_wherever_it_stands(tmp_path: Path) -> None:
    plain = page_of(tmp_path, BASELINE, read_beside(CHEAP, ROOFLINE, 0.5))
    hostile = dataclasses.replace(ROOFLINE, name=ATTACK, settings={"devices": [ATTACK], ATTACK: ATTACK})
    bad = dataclasses.replace(side(hostile, None), meter="other", reason=ATTACK)
    record = read_beside(CHEAP, hostile, 0.5, flags=(ATTACK,))
    attacked = page_of(tmp_path, BASELINE, dataclasses.replace(record, also=(*record.also, bad)))
    assert len(attacked.scripts) == len(plain.scripts)
    assert ATTACK in attacked.text


def test_passwords_in_reasons_of_side_meters_reach_no_page(tmp_path: Path) -> None:
    leaky = read_beside(CHEAP, NVML, 1.0, counted_energy_j=None, reason="cannot reach redis://me:hunter2@x")
    write_report(tmp_path, [leaky], study_config())
    for path in tmp_path.iterdir():
        assert "hunter2" not in path.read_text(), path.name


def test_the_csv_has_side_readings_with_their_kind_errors_and_temperatures() -> None:
    frame = trials_frame(study_view(make_metered_study(), study_config()))
    rows = {row["run_id"]: row for row in frame.to_dict("records") if not row["interrupted"]}
    best = rows["run-0007"]
    assert best["also_roofline_j"] == pytest.approx(0.24 * 12.3)
    assert (best["also_roofline_kind"], best["also_rapl_kind"]) == ("modelled", "measured")
    assert (best["energy_error_j"], best["temperature_rise_k"]) == (0.3, 15.0)
    assert pd.isna(best["also_rapl_j"])
    assert pd.isna(rows["run-0009"]["temperature_rise_k"])
