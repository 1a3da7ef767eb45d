from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    METER,
    PROVENANCE,
    make_record,
    make_study,
    study_config,
    unmeasured,
)
from report_page import ATTACK, Page, page_of, report_of

import search.report.page
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.report.findings.runs_table import Column
from search.report.page.page import embedded
from search.report.page.paper import print_names

TEMPLATES = Path(search.report.page.__file__).parent


def test_the_page_loads_nothing(demo_page: Page) -> None:
    links = [
        (tag, name, value)
        for tag, attributes in demo_page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links == []
    assert not {"link", "iframe", "object", "embed", "img", "base"} & {tag for tag, _ in demo_page.elements}


def test_the_style_sheet_loads_nothing(demo_folder: Path) -> None:
    html = (demo_folder / "report.html").read_text()
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_the_security_policy_allows_no_request_and_only_the_two_scripts_of_the_page(demo_page: Page) -> None:
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in demo_page.elements
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    (scripts,) = re.findall(r"script-src ([^;]*)", policy)
    assert "unsafe" not in scripts
    assert "http" not in policy


def test_the_plotting_library_is_embedded_exactly_once(demo_page: Page) -> None:
    code = [text for attributes, text in demo_page.scripts if "type" not in attributes]
    assert [text.startswith("/**\n* plotly.js") for text in code] == [True, False]
    assert "MathJax.js" not in code[1]


def test_every_drawing_has_its_data(demo_page: Page) -> None:
    wanted = [
        attributes["data-figure"] for _, attributes in demo_page.elements if "data-figure" in attributes
    ]
    assert wanted == [f"figure-{name}" for name in ("pareto", "curves", "outcomes", "phases", "importance")]
    assert sorted(demo_page.figures()) == sorted(str(name) for name in wanted)
    assert all(figure["data"] for figure in demo_page.figures().values())


def test_the_headline_its_caveat_and_the_kind_are_on_the_page(demo_page: Page) -> None:
    assert (
        "Trial 7 reached 2.30 nats with 0.21 of the baseline's energy (12.3 J against 58.1 J"
        in demo_page.text
    )
    assert "Not yet confirmed with fresh seeds" in demo_page.text
    badges = [
        a for tag, a in demo_page.elements if tag == "span" and "badge-estimated" in (a.get("class") or "")
    ]
    assert len(badges) >= 6


def test_the_first_screen_says_what_the_study_is_and_where_its_numbers_come_from(tmp_path: Path) -> None:
    hardware = {"device": "AMD EPYC", "threads": 1, "system": "Linux 6.1"}
    records = [
        dataclasses.replace(record, provenance=PROVENANCE | {"hardware": hardware})
        for record in (BASELINE, CHEAP)
    ]
    described = study_config() | {"study": {"name": "demo", "description": "a small <search>"}}
    text = Page(report_of(tmp_path / "demo", records, described).read_text()).text
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


def test_a_study_too_small_for_importance_says_what_it_takes_and_draws_the_raw_runs(
    tmp_path: Path, demo_page: Page
) -> None:
    few = page_of(tmp_path, *make_study()[:6])
    assert (
        "2 of 4 trials reached the target, and importance takes 8 trials, 3 of which reached it" in few.text
    )
    assert "figure-raw-runs" in few.figures()
    assert "figure-raw-runs" not in demo_page.figures()


def test_every_outcome_is_explained(demo_page: Page) -> None:
    for outcome in Outcome:
        assert outcome.advice[1:] in demo_page.text


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
    baseline = dataclasses.replace(hostile, trial=0, role=Role.BASELINE, params={}, curve=BASELINE.curve)
    attacked = page_of(tmp_path, baseline, hostile)
    assert len(attacked.scripts) == len(attacked.figures()) + 2
    assert ATTACK in attacked.text
    assert json.loads((tmp_path / "demo" / "summary.json").read_text())["study"] == ATTACK
    for figure in attacked.figures().values():
        assert "<script" not in json.dumps(figure)


def test_no_name_of_a_column_can_end_the_style_sheet_that_prints_it() -> None:
    rules = print_names((Column('</style>"} * { display: none } \\', ""),))
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


def test_no_warning_stands_where_the_target_lies_below_the_ngram(demo_page: Page) -> None:
    assert not demo_page.with_id("ngram-warning")


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


def test_the_runs_table_can_be_sorted_by_a_button_in_every_heading(
    demo_page: Page, demo_folder: Path
) -> None:
    html = (demo_folder / "report.html").read_text()
    table = html[html.index('<table id="runs">') :]
    head = table[: table.index("</thead>")]
    assert head.count("<th ") == head.count("<button")
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    assert body.count("<tr") == len(make_study())
    assert body.count("data-sort=") == len(make_study()) * head.count("<th ")


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: path.stem)
def test_a_template_only_prints(template: Path) -> None:
    """What is said is decided in findings: no text is chosen or put together here, but names of figures."""
    printed = re.findall(r"{{(.*?)}}", template.read_text(encoding="utf-8"), re.DOTALL)
    assert not [one for one in printed if re.search(r"\bif\b|[|~+]", one)]
    assert all(re.fullmatch(r' plot\("[a-z-]+"\) ', one) for one in printed if '"' in one)
