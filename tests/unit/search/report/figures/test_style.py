from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import (
    make_record,
)
from report_page import view_of

from search.report.figures import style
from search.report.figures.pareto import pareto_figure, pareto_info

INJECTED = "<b>x</b>"


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


def test_a_hover_gives_the_error_of_counted_joules() -> None:
    (mark,) = pareto_info(view_of(make_record(1, energy_error_j=0.4))).reached["front"]
    assert "energy: 20.0 ± 0.40 J" in mark.lines


def test_a_hover_gives_flags_in_words() -> None:
    (mark,) = pareto_info(view_of(make_record(1, flags=("power_capped", "own_flag")))).reached["front"]
    assert "flag: own_flag" in mark.lines
    assert any(line.startswith("flag: the power limit") for line in mark.lines)
