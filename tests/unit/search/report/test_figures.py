from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import (
    NVML,
    ROOFLINE,
    TARGET,
    ended_early,
    heated,
    looking_up,
    make_curve,
    make_lookup_study,
    make_metered_study,
    make_misranked_study,
    make_record,
    make_study,
    read_beside,
    study_config,
    unmeasured,
)

from search.record.ledger import Ledger, Phase
from search.record.outcome import Outcome
from search.record.record import Record
from search.report import style
from search.report.curves import curves_figure, curves_info
from search.report.data import StudyView, study_view
from search.report.figures import (
    importance_figure,
    outcomes_figure,
    outcomes_info,
    phases_figure,
    phases_info,
)
from search.report.importance import Importance
from search.report.meters_figure import MetersInfo, meters_figure, meters_info
from search.report.panels import arrange, responsive
from search.report.pareto import pareto_caption, pareto_info
from search.report.pareto_figure import pareto_figure
from search.report.temperature import Warming, temperature_figure, temperature_info, temperature_note, warming

INJECTED = "<b>x</b>"
QUICK_BASELINE = make_record(0, energy_j=60.0, time_s=1.0)


def view_of(*records: Record, names: tuple[str, ...] = ()) -> StudyView:
    return study_view(records, study_config(*names))


def marks(view: StudyView) -> list[go.Scatter]:
    return [trace for trace in pareto_figure(pareto_info(view)).data if "markers" in trace.mode]


def staircases(view: StudyView) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in pareto_figure(pareto_info(view)).data if trace.mode == "lines"}


@pytest.fixture(scope="module")
def lookup_view() -> StudyView:
    return study_view(make_lookup_study(), study_config())


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


def test_runs_that_reached_the_target_are_apart_from_those_that_did_not(view: StudyView) -> None:
    info = pareto_info(view)
    assert {name: [mark.trial for mark in marks] for name, marks in info.reached.items()} == {
        "baseline": [0],
        "front": [7, 10, 12],
        "feasible": [14, 6, 13, 4, 1],
        "replicate": [15],
    }
    assert {name: [mark.trial for mark in marks] for name, marks in info.missed.items()} == {
        "DIVERGED": [3],
        "DOMINATED": [11, 5],
        "OUT_OF_BUDGET": [2],
    }


def test_a_cheap_run_that_missed_is_in_a_strip_below_and_not_lower_left_of_the_front(view: StudyView) -> None:
    figure = pareto_figure(pareto_info(view))
    (diverged,) = [trace for trace in figure.data if trace.name == "did not reach: diverged"]
    (front,) = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert min(diverged.x) < min(front.x)
    assert (diverged.yaxis, front.yaxis) == ("y2", "y")
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    assert figure.layout.yaxis2.ticktext == ("missed",)


def test_legends_of_runs_that_missed_say_so_and_come_after_those_that_reached(
    view: StudyView,
) -> None:
    ranks = {trace.name: trace.legendrank for trace in marks(view)}
    assert min(ranks, key=lambda name: ranks[name]) == "Pareto front"
    order = sorted(ranks, key=lambda name: ranks[name])
    assert [name.startswith("did not reach") for name in order] == [False] * 4 + [True] * 3


def test_the_caption_says_what_is_better_only_of_runs_that_reached_the_target(view: StudyView) -> None:
    caption = pareto_caption(pareto_info(view))
    assert caption.startswith("Every run in the plane reached the target, and lower left is better.")
    assert "did not reach the target are in the strip below" in caption
    assert "3 runs are not drawn" in caption


def test_where_no_run_missed_there_is_no_strip_and_no_word_of_one() -> None:
    info = pareto_info(view_of(QUICK_BASELINE, make_record(1)))
    assert "strip" not in pareto_caption(info)
    assert "yaxis2" not in pareto_figure(info).layout.to_plotly_json()


def test_where_no_run_reached_the_target_none_is_said_to_be_better() -> None:
    info = pareto_info(view_of(make_record(1, outcome=Outcome.DOMINATED)))
    assert "none of them is better" in pareto_caption(info)
    assert "lower left" not in pareto_caption(info).lower()
    (trace,) = pareto_figure(info).data
    assert trace.yaxis == "y"


def test_a_study_without_marks_has_no_caption() -> None:
    assert pareto_caption(pareto_info(view_of())) == ""


def test_a_run_short_of_the_target_is_drawn_at_what_it_had_spent() -> None:
    dominated = make_record(2, energy_j=14.0, time_s=6.0, outcome=Outcome.DOMINATED)
    (mark,) = pareto_info(view_of(make_record(1), dominated)).missed["DOMINATED"]
    assert dict(mark.values) == {"energy_to_target_j": 14.0, "time_to_target_s": 6.0}


def test_the_interval_of_a_crossing_reaches_down_to_the_evaluation_before_it() -> None:
    record = make_record(1)
    assert record.crossing is not None
    (mark,) = pareto_info(view_of(record)).reached["front"]
    assert list(mark.lows.values()) == [record.crossing.energy_low_j, record.crossing.time_low_s]


def test_groups_are_told_apart_without_colour(view: StudyView) -> None:
    symbols = [trace.marker.symbol for trace in marks(view)]
    assert len(symbols) == 7
    assert len(set(symbols)) == len(symbols)


def test_lookup_like_runs_are_groups_of_their_own_and_what_joins_the_front_without_them_is_on_it(
    lookup_view: StudyView,
) -> None:
    groups = pareto_info(lookup_view).reached
    assert {name: [mark.trial for mark in groups[name]] for name in groups if "front" in name} == {
        "front": [7, 10, 12],
        "lookup_front": [17, 16],
    }
    assert [mark.trial for mark in groups["lookup_feasible"]] == [18]


def test_lookup_like_marks_have_symbols_and_legends_of_their_own(lookup_view: StudyView) -> None:
    found = {trace.name: trace.marker.symbol for trace in marks(lookup_view)}
    assert found["Pareto front, lookup-like"] == "diamond"
    assert found["lookup-like, beaten"] == "diamond-open"
    assert len(set(found.values())) == len(found)


def test_the_fronts_with_and_without_lookup_like_runs_are_lines_told_apart_without_colour(
    lookup_view: StudyView,
) -> None:
    lines = staircases(lookup_view)
    without = lines["front without lookup-like runs"]
    with_them = lines["front with lookup-like runs"]
    assert (list(without.x), list(without.y)) == ([12.3, 12.9, 15.9], [4.9, 4.2, 3.6])
    assert (list(with_them.x), list(with_them.y)) == ([4.4, 5.2, 15.9], [4.1, 3.8, 3.6])
    assert without.line.dash != with_them.line.dash
    assert without.showlegend
    assert with_them.showlegend


def test_the_front_without_a_single_lookup_like_winner_is_a_line_that_says_so() -> None:
    (line,) = staircases(
        view_of(*make_study(), looking_up(make_record(16, energy_j=2.0, time_s=1.0)))
    ).values()
    assert (line.name, line.showlegend) == ("front without lookup-like runs", True)


@pytest.mark.parametrize("lookup", [[], [looking_up(make_record(16, energy_j=13.0, time_s=5.0))]])
def test_where_no_lookup_like_run_is_on_the_front_there_is_one_line_and_no_legend_for_it(
    lookup: list[Record],
) -> None:
    (line,) = staircases(view_of(*make_study(), *lookup)).values()
    assert list(line.x) == [12.3, 12.9, 15.9]
    assert not line.showlegend


def test_the_line_of_the_front_passes_through_a_baseline_that_is_on_it() -> None:
    (line,) = staircases(view_of(QUICK_BASELINE, make_record(1, energy_j=12.0, time_s=5.0))).values()
    assert list(line.x) == [12.0, 60.0]


def test_curves_and_phases_of_lookup_like_runs_say_so_in_their_names(lookup_view: StudyView) -> None:
    named = {curve.name for curve in curves_info(lookup_view).curves if curve.part == "front"}
    assert named == {"trial 17 (lookup-like)", "trial 16 (lookup-like)", "trial 12", "trial 7", "trial 10"}
    assert set(phases_info(lookup_view).names) == named | {"the baseline"}


def test_a_baseline_short_of_the_target_is_drawn_open_and_says_so() -> None:
    short = make_record(0, outcome=Outcome.OUT_OF_BUDGET)
    (trace,) = pareto_figure(pareto_info(view_of(short))).data
    assert trace.marker.symbol == "star-open"
    assert trace.name == "did not reach: the baseline"


@pytest.mark.parametrize(("dearest_j", "kind"), [(19.0, None), (21.0, "log")])
def test_both_axes_are_logarithmic_where_one_spans_a_decade(dearest_j: float, kind: str | None) -> None:
    records = (make_record(1, energy_j=2.0, time_s=5.0), make_record(2, energy_j=dearest_j, time_s=6.0))
    layout = pareto_figure(pareto_info(view_of(*records))).layout
    assert (layout.xaxis.type, layout.yaxis.type) == (kind, kind)


def test_energy_axes_name_the_kind_of_energy(view: StudyView) -> None:
    titles = [
        pareto_figure(pareto_info(view)).layout.xaxis.title.text,
        curves_figure(curves_info(view)).layout.xaxis.title.text,
        phases_figure(phases_info(view)).layout.xaxis.title.text,
    ]
    assert all("estimated by cpu_time" in title for title in titles)


def with_counts(record: Record, **counts: float) -> Record:
    """The record with further objectives, as far as it has any."""

    def more(values: Mapping[str, float]) -> dict[str, float]:
        return dict(values) | (counts if values else {})

    return dataclasses.replace(record, values=more(record.values), spent=more(record.spent))


@pytest.mark.parametrize(("count", "planes"), [(3, 3), (4, 6)])
def test_with_more_than_two_objectives_every_pair_of_them_has_a_panel(count: int, planes: int) -> None:
    names = ("energy_to_target_j", "time_to_target_s", "parameters", "tokens_to_target")[:count]
    records = [
        with_counts(record, parameters=100.0 + record.trial, tokens_to_target=7.0)
        for record in (
            make_record(1),
            make_record(2, energy_j=30.0),
            make_record(3, outcome=Outcome.DIVERGED),
        )
    ]
    info = pareto_info(view_of(*records, names=names))
    figure = pareto_figure(info)
    titles = {
        str(axis.title.text).split(" (")[0] for axis in (*figure.select_xaxes(), *figure.select_yaxes())
    }
    assert len(info.planes) == planes
    assert titles >= {"energy", "time", "parameters"}
    assert all("lines" not in trace.mode for trace in figure.data)
    fronts = [trace for trace in figure.data if trace.name == "Pareto front"]
    assert [trace.showlegend for trace in fronts] == [True] + [False] * (planes - 1)
    assert len({(trace.xaxis, trace.yaxis) for trace in fronts}) == planes


def test_a_front_point_that_looks_beaten_in_one_panel_is_explained() -> None:
    names = ("energy_to_target_j", "time_to_target_s", "parameters")
    small = with_counts(make_record(1, energy_j=30.0, time_s=9.0), parameters=10.0)
    quick = with_counts(make_record(2, energy_j=20.0, time_s=8.0), parameters=90.0)
    info = pareto_info(view_of(small, quick, names=names))
    assert [mark.trial for mark in info.reached["front"]] == [2, 1]
    assert "it is better in what that panel does not show" in pareto_caption(info)
    assert "3 objectives (energy, time, parameters)" in pareto_caption(info)


def test_with_one_objective_seconds_stand_beside_it_and_the_caption_says_that_they_rank_nothing() -> None:
    info = pareto_info(view_of(make_record(1), names=("energy_to_target_j",)))
    assert info.axes == ("energy_to_target_j", "time_to_target_s")
    assert [mark.values["time_to_target_s"] for mark in info.reached["front"]] == [8.0]
    assert "Further left is better; energy is the only objective, and time ranks nothing" in (
        pareto_caption(info)
    )


def test_on_a_narrow_screen_panels_lie_one_above_the_other(view: StudyView) -> None:
    for figure in (curves_figure(curves_info(view)), pareto_figure(pareto_info(view))):
        narrow = responsive(figure).layout.meta["narrow"]
        assert all(narrow[key] == [0, 1] for key in narrow if key.startswith("x") and key.endswith("domain"))
        assert narrow["margin.r"] < figure.layout.margin.r


@given(st.integers(1, 10), st.integers(1, 2), st.sampled_from([0, 70]))
def test_panels_lie_in_the_figure_and_do_not_overlap(count: int, columns: int, strip_px: int) -> None:
    domains = arrange(count, columns, 300, strip_px).domains
    assert all(-1e-9 <= low < high <= 1 + 1e-9 for low, high in domains.values())
    tall = [domain for key, domain in domains.items() if key.startswith("y")]
    for number in range(count - columns):
        above = domains["yaxis" if number == 0 else f"yaxis{2 * number + 1}"]
        below = domains[f"yaxis{2 * (number + columns) + 1}"]
        assert below[1] < above[0]
    assert len(tall) == count * (2 if strip_px else 1)


def test_hover_texts_show_parameters_as_text_and_not_as_markup() -> None:
    record = make_record(1, params={INJECTED: "</script>"})
    (trace,) = pareto_figure(pareto_info(view_of(record))).data
    assert "&lt;b&gt;x&lt;/b&gt; = &lt;/script&gt;" in trace.hovertext[0]


def test_text_is_escaped_and_cut_at_a_readable_length() -> None:
    assert style.text('<a href="x">&') == '&lt;a href="x"&gt;&amp;'
    assert len(style.text("x" * 500)) == 60


def test_a_long_line_of_a_hover_goes_on_in_the_next_and_is_not_cut() -> None:
    flag = "a thread of the run waited for a core for over 5 % of the time, on every look of the meter"
    shown = style.lines(["trial 1, REACHED", f"flag: {flag}"])
    assert " ".join(shown.split("<br>")) == f"trial 1, REACHED flag: {flag}"
    assert max(map(len, shown.split("<br>"))) <= 60
    assert style.lines(["x" * 1000]).endswith("…")


def test_front_and_baseline_have_curves_of_their_own_and_the_rest_share_a_thin_one(view: StudyView) -> None:
    figure = curves_figure(curves_info(view))
    named = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in named] == [
        "other runs",
        "trial 7",
        "trial 10",
        "trial 12",
        "the baseline",
    ]
    assert named[0].line.width < min(trace.line.width for trace in named[1:])
    assert [trace.line.dash for trace in named[1:]] == ["solid", "solid", "solid", "dash"]


def test_target_and_ngram_are_lines_with_names(view: StudyView) -> None:
    layout = curves_figure(curves_info(view)).layout
    assert {annotation.text for annotation in layout.annotations} == {"n-gram 2.41", "target 2.30"}
    assert sorted({shape.y0 for shape in layout.shapes}) == [TARGET, 2.41]


def test_a_point_without_energy_is_missing_from_the_joules_and_not_drawn_at_zero() -> None:
    points = make_curve(steps=100, final_loss=2.2, power_w=2.0, seconds=5.0, evaluations=4)
    broken = (*points[:2], dataclasses.replace(points[2], energy_j=None), *points[3:])
    figure = curves_figure(curves_info(view_of(make_record(1, curve=broken))))
    joules, seconds = figure.data
    assert (len(joules.x), len(seconds.x)) == (4, 5)


def test_a_diverging_loss_does_not_set_the_range() -> None:
    wild = [dataclasses.replace(point, loss=1000.0) for point in make_record(1).curve]
    records = (make_record(1), make_record(2, outcome=Outcome.DIVERGED, curve=tuple(wild)))
    low, high = curves_figure(curves_info(view_of(*records))).layout.yaxis.range
    assert low < TARGET
    assert high < 10.0


def test_a_loss_that_is_no_number_is_left_out() -> None:
    points = make_record(1).curve
    broken = (*points[:-1], dataclasses.replace(points[-1], loss=math.nan))
    (curve,) = curves_info(view_of(make_record(1, curve=broken))).curves
    assert curve.points == points[:-1]


def test_phases_add_up_to_the_gross_energy(view: StudyView) -> None:
    info = phases_info(view)
    assert info.names == ("the baseline", "trial 7", "trial 10", "trial 12")
    for index, record in enumerate(view.shown):
        assert math.fsum(info.energy_j[phase][index] for phase in Phase) == record.gross_energy_j


def test_phases_that_count_are_plainly_filled_and_the_others_only_hatched(view: StudyView) -> None:
    traces = {trace.name: trace for trace in phases_figure(phases_info(view)).data}
    assert [name for name in traces if name.endswith("(counted)")] == ["compile (counted)", "train (counted)"]
    plain = [name for name, trace in traces.items() if not trace.marker.pattern.shape]
    assert plain == ["compile (counted)", "train (counted)"]
    hatched = [trace.marker.pattern.shape for name, trace in traces.items() if name not in plain]
    assert len(set(hatched)) == len(hatched) == 3


def test_neighbours_that_count_are_told_apart_by_a_gap_and_their_names(
    view: StudyView,
) -> None:
    info = dataclasses.replace(phases_info(view), counted=tuple(Phase))
    for trace, phase in zip(phases_figure(info).data, Phase, strict=True):
        assert not trace.marker.pattern.shape
        assert (trace.marker.line.color, set(trace.text)) == ("white", {phase})


def test_bars_of_outcomes_are_joules_on_a_labelled_axis_with_the_number_of_runs_as_labels(
    view: StudyView,
) -> None:
    info = outcomes_info(view)
    assert dict(info.runs) == {
        "REACHED": 10, "OUT_OF_BUDGET": 1, "DOMINATED": 2, "DIVERGED": 1, "CRASHED": 2, "UNMEASURED": 1,
    }  # fmt: skip
    figure = outcomes_figure(info)
    (trace,) = figure.data
    assert figure.layout.xaxis.title.text == "gross energy (J), estimated by cpu_time"
    assert list(trace.x) == [info.energy_j[name] or 0.0 for name in info.runs]
    assert trace.y[:2] == ("REACHED<br>10 runs", "OUT_OF_BUDGET<br>1 run")
    assert trace.text[-1] == "energy unknown"


def test_an_outcome_that_did_not_happen_has_no_bar() -> None:
    assert list(outcomes_info(view_of(unmeasured(1, "x"))).runs) == ["UNMEASURED"]


def test_importance_bars_escape_the_names_of_parameters() -> None:
    (trace,) = importance_figure(Importance({INJECTED: 0.7, "lr": 0.3}, 9)).data
    assert trace.y == ("&lt;b&gt;x&lt;/b&gt;", "lr")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1.0, 12.0, [1, 2, 5, 10]),
        (1.0, 2e2, [1, 10, 100]),
        (0.31, 0.56, [0.35, 0.4, 0.45, 0.5, 0.55]),
        (11.55, 12.45, [11.6, 11.7, 11.8, 11.9, 12.0, 12.1, 12.2, 12.3, 12.4]),
    ],
)
def test_log_axes_are_ticked_at_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert style.log_ticks(low, high) == ticks


@given(st.floats(min_value=1e-6, max_value=1e9), st.floats(min_value=1.05, max_value=1e6))
def test_a_log_axis_has_two_ticks_or_more_and_not_too_many_to_read(low: float, factor: float) -> None:
    ticks = style.log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 20
    assert ticks == sorted(ticks)


def test_an_evaluation_that_ended_early_is_drawn_small_and_hollow_and_not_as_a_mark_of_its_curve() -> None:
    record = make_record(1)
    partial = ended_early(record.curve)
    figure = curves_figure(curves_info(view_of(dataclasses.replace(record, curve=partial))))
    hollow = [trace for trace in figure.data if trace.legendgroup == "partial"]
    whole = [trace for trace in figure.data if trace.legendgroup == "trial 1"]
    drawn = [point for point in partial if not point.whole]
    assert len(drawn) > 2
    for trace, which in zip(hollow, ("energy_j", "time_s"), strict=True):
        assert trace.name == "evaluation ended early: plainly above the target"
        assert list(trace.x) == [getattr(point, which) for point in drawn]
        assert trace.marker.symbol == "circle-open"
        assert max(trace.marker.size) < max(whole[0].marker.size)
    assert [size == 0 for size in whole[0].marker.size] == [not point.whole for point in partial]


def test_without_evaluations_that_ended_early_the_legend_does_not_name_them(view: StudyView) -> None:
    assert all("early" not in (trace.name or "") for trace in curves_figure(curves_info(view)).data)


def test_a_hover_gives_the_error_of_counted_joules() -> None:
    (mark,) = pareto_info(view_of(make_record(1, energy_error_j=0.4))).reached["front"]
    assert "energy: 20.0 ± 0.40 J" in mark.lines


def test_a_hover_gives_flags_in_words() -> None:
    (mark,) = pareto_info(view_of(make_record(1, flags=("power_capped", "own_flag")))).reached["front"]
    assert "flag: own_flag" in mark.lines
    assert any(line.startswith("flag: the power limit") for line in mark.lines)


def both_of(view: StudyView) -> MetersInfo:
    (comparison,) = view.meters.comparisons
    info = meters_info(view, comparison)
    assert info is not None
    return info


@pytest.fixture(scope="module")
def misranked() -> StudyView:
    return study_view(make_misranked_study(), study_config())


def test_every_run_that_both_meters_read_is_in_the_plane_of_the_two(misranked: StudyView) -> None:
    groups = both_of(misranked).groups
    assert {name: len(runs) for name, runs in groups.items()} == {
        "baseline": 1,
        "ranks": 8,
        "replicate": 1,
        "short": 4,
    }


def test_the_runs_farthest_from_the_median_ratio_have_labels_and_so_has_the_baseline(
    misranked: StudyView,
) -> None:
    labels = {run.label for runs in both_of(misranked).groups.values() for run in runs} - {""}
    assert labels == {"12", "2", "7", "baseline"}


def test_both_axes_are_logarithmic_and_name_meter_and_kind(misranked: StudyView) -> None:
    layout = meters_figure(both_of(misranked)).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    assert layout.xaxis.title.text == "energy (J), nvml (measured)"
    assert layout.yaxis.title.text == "energy (J), roofline (modelled)"


def test_the_line_goes_through_the_median_ratio_and_past_every_run(misranked: StudyView) -> None:
    info = both_of(misranked)
    line = meters_figure(info).data[0]
    assert [y / x for x, y in zip(line.x, line.y, strict=True)] == pytest.approx([info.scale] * 2)
    assert line.x[0] < min(info.values("reference_j")) < max(info.values("reference_j")) < line.x[1]


def test_marks_of_two_meters_are_told_apart_without_colour_and_hover_with_both_numbers(
    misranked: StudyView,
) -> None:
    traces = meters_figure(both_of(misranked)).data[1:]
    assert len({trace.marker.symbol for trace in traces}) == len(traces)
    (baseline,) = [trace for trace in traces if trace.name == "baseline"]
    assert "nvml (measured): 58.1 J<br>roofline (modelled): 19.2 J" in baseline.hovertext[0]
    assert "optimizer.lr = 0.001" in baseline.hovertext[0]


def test_meters_without_a_run_in_common_have_no_figure() -> None:
    first = read_beside(read_beside(make_record(1), NVML, 2.0, counted_energy_j=None), ROOFLINE, 2.0)
    second = read_beside(read_beside(make_record(2), NVML, 2.0), ROOFLINE, 2.0, counted_energy_j=None)
    view = view_of(first, second)
    found = {each.surrogate.name: meters_info(view, each) for each in view.meters.comparisons}
    assert found["cpu_time"] is not None
    assert found["roofline"] is None


@pytest.mark.parametrize(
    ("observed", "seen"),
    [
        ({"temperature_start_c": 40, "temperature_max_c": 62.0}, Warming(40.0, 62.0)),
        ({"temperature_start_c": 40.0, "temperature_end_c": 38.0}, Warming(40.0, 38.0)),
        ({"temperature_max_c": 62.0}, None),
        ({"temperature_start_c": 40.0}, None),
        ({"temperature_start_c": None, "temperature_max_c": 62.0}, None),
        ({"temperature_start_c": 40.0, "temperature_max_c": math.nan}, None),
        ({"temperature_start_c": 40.0, "temperature_max_c": "hot"}, None),
        ({}, None),
    ],
)
def test_warming_is_from_the_start_to_the_highest_and_unknown_where_either_is(
    observed: dict[str, object], seen: Warming | None
) -> None:
    assert warming(make_record(1, observed=observed)) == seen


def test_a_run_that_cooled_has_a_negative_rise() -> None:
    assert Warming(50.0, 44.0).rise_k == -6.0


def test_warming_stands_against_the_power_of_the_meter_that_ranks() -> None:
    record = heated(make_record(1, energy_j=20.0, time_s=8.0))
    (run,) = temperature_info(view_of(record)).parts["front"]
    assert run.power_w == pytest.approx(20.0 / 8.0)
    assert run.warming.rise_k == 15.0
    assert "41 °C to 56 °C: +15 K" in run.lines


def test_runs_without_temperatures_or_energy_are_not_in_the_figure() -> None:
    at_once = Ledger(energy_j=dict.fromkeys(Phase, 1.0), time_s=dict.fromkeys(Phase, 0.0))
    instant = dataclasses.replace(heated(make_record(4)), ledger=at_once)
    records = [heated(make_record(1)), make_record(2), heated(unmeasured(3, "x")), instant]
    assert temperature_info(view_of(*records)).runs == 1


def test_the_temperature_figure_names_the_kind_of_its_watts_and_its_note_the_correlation() -> None:
    info = temperature_info(study_view(make_metered_study(), study_config()))
    assert temperature_figure(info).layout.xaxis.title.text == "mean power (W), measured by nvml"
    assert "Over 16 runs, Spearman's ρ of temperature rise and mean power is 0.99 [" in temperature_note(info)
