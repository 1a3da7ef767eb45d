from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import (
    make_study,
    study_config,
)

from search.report.figures.curves import curves_figure, curves_info
from search.report.figures.panels import arrange, responsive
from search.report.figures.pareto import pareto_figure, pareto_info
from search.report.view.data import StudyView, study_view


@pytest.fixture(scope="module")
def view() -> StudyView:
    return study_view(make_study(), study_config())


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
