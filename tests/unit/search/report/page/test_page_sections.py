from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from records_factory import (
    BASELINE,
    CHEAP,
    METER,
    NVML,
    PROVENANCE,
    ROOFLINE,
    confirmed_config,
    heated,
    looking_up,
    make_confirmed_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    read_beside,
    side,
)
from report_page import ATTACK, Page, page_of, report_of

from search.record.outcome import Outcome
from search.record.record import Record


@pytest.mark.parametrize("kind", ["SAVES", "TIE", "COSTS", "UNPROVEN"])
def test_the_verdict_stands_right_after_the_opening_in_a_word_and_a_symbol(tmp_path: Path, kind: str) -> None:
    page = Page(report_of(tmp_path / "demo", make_confirmed_study(kind), confirmed_config()).read_text())
    badge = {"SAVES": "✓ SAVES", "TIE": "= TIE", "COSTS": "✗ COSTS", "UNPROVEN": "? UNPROVEN"}[kind]
    section = page.text[page.text.index("Verdict on fresh seeds") : page.text.index("The Pareto front")]
    for text in (
        badge,
        f"{kind}: trial 1, trained for 405 steps",
        "✓ holds",
        "3 of 3",
        "Trial 2 got no",
    ):
        assert text in section
    assert [page.with_id(name) for name in ("verdict", "clauses", "arms", "left", "fits")] == [
        ["h2"],
        ["table"],
        ["table"],
        ["ul"],
        ["ul"],
    ]
    assert "figure-verdict" in page.figures()
    assert next(iter(page.figures())) == "figure-verdict"


def test_an_open_confirmation_has_a_section_without_tables(tmp_path: Path) -> None:
    records = make_confirmed_study(most=4)
    page = Page(report_of(tmp_path / "demo", records, confirmed_config()).read_text())
    assert "lengths are being fitted, in 4 runs so far" in page.text
    assert not page.with_id("clauses")
    assert "Trial 2: no length yet, from 470 steps on" in page.text


def test_a_study_without_a_confirmation_has_no_such_section(demo_page: Page) -> None:
    assert not demo_page.with_id("verdict")
    assert "figure-verdict" not in demo_page.figures()


def test_what_records_say_is_text_in_the_verdict_too(tmp_path: Path) -> None:
    confirmed = make_confirmed_study()
    plain = Page(report_of(tmp_path / "plain", confirmed, confirmed_config()).read_text())
    provenance = PROVENANCE | {
        "hardware": {"device": ATTACK},
        "data": PROVENANCE["data"] | {"dataset": ATTACK},
    }
    hostile = [
        dataclasses.replace(record, study=ATTACK, provenance=provenance, flags=(ATTACK,))
        for record in confirmed
    ]
    attacked = Page(report_of(tmp_path / "hostile", hostile, confirmed_config()).read_text())
    assert len(attacked.scripts) == len(plain.scripts)
    assert f"on {ATTACK}, trial 1, trained for 405 steps on {ATTACK}" in attacked.text


def test_what_the_search_cost_is_on_the_page(demo_page: Page) -> None:
    for text in ("at least 439 J", "17 runs, 1 of unknown energy, 1 killed", "≤ 183 J", "at least 9.59 runs"):
        assert text in demo_page.text


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


def test_a_lookup_like_winner_does_not_stand_silently_on_the_page(lookup_page: Page) -> None:
    assert "Trial 17 (lookup-like) reached 2.30 nats" in lookup_page.text
    assert "The best that is not, trial 7, reached the target with 0.21 of the" in lookup_page.text
    assert lookup_page.with_id("lookup-like")
    assert "they buy what counting n-grams buys too" in lookup_page.text


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


def test_where_lookup_like_runs_are_dominated_the_page_says_so_and_has_one_front(tmp_path: Path) -> None:
    page = page_of(tmp_path, BASELINE, CHEAP, looking_up(make_record(2, energy_j=13.0, time_s=6.0)))
    assert "none of them is on the front here." in page.text
    assert "once lookup-like runs are left out" not in page.text


def test_where_no_run_that_ranks_is_lookup_like_the_page_does_not_mention_it(
    demo_page: Page, tmp_path: Path
) -> None:
    short = looking_up(make_record(2, outcome=Outcome.DOMINATED))
    for found in (demo_page, page_of(tmp_path, BASELINE, CHEAP, short)):
        assert "lookup-like" not in found.text.lower()
        traces = [trace for figure in found.figures().values() for trace in figure["data"]]
        legends = [str(trace.get("name")) for trace in traces if trace.get("showlegend", True)]
        assert not any("lookup" in legend for legend in legends)


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("metered") / "demo"
    return Page(report_of(folder, make_metered_study()).read_text())


def test_a_study_with_one_meter_and_no_thermometer_says_nothing_of_either(demo_page: Page) -> None:
    assert not demo_page.with_id("meters")
    assert not demo_page.with_id("meter-warning")
    assert "temperature" not in demo_page.text.lower()


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


def test_errors_stand_beside_counted_joules_and_are_explained(metered: Page, demo_page: Page) -> None:
    assert "12.3 ± 0.30 J" in metered.text
    assert "≥ 64.0 ± 0.30" in metered.text
    assert "±: what the meter's tick" in metered.text
    assert "±" not in demo_page.text


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


def test_how_to_add_a_measured_meter_is_said_where_none_ran(demo_page: Page, metered: Page) -> None:
    assert demo_page.with_id("measured-hint")
    assert not metered.with_id("measured-hint")


def test_what_a_side_meter_says_is_text_wherever_it_stands(tmp_path: Path) -> None:
    plain = page_of(tmp_path, BASELINE, read_beside(CHEAP, ROOFLINE, 0.5))
    hostile = dataclasses.replace(ROOFLINE, name=ATTACK, settings={"devices": [ATTACK], ATTACK: ATTACK})
    bad = dataclasses.replace(side(hostile, None), meter="other", reason=ATTACK)
    record = read_beside(CHEAP, hostile, 0.5, flags=(ATTACK,))
    record = dataclasses.replace(record, second_meters=(*record.second_meters, bad))
    attacked = page_of(tmp_path, BASELINE, record)
    assert len(attacked.scripts) == len(plain.scripts)
    assert ATTACK in attacked.text
