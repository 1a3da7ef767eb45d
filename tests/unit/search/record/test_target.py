"""A target that the study finds by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.crossing import CurvePoint
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.record.target import came_to_its_end, target_of
from search.report.findings.advice import reachable_target


def ended_at(
    loss: float, *, steps: int = 400, limit: int = 400, whole: bool = True, **fields: object
) -> Record:
    curve = (CurvePoint(200, 0, 9.9, 0.1, 1.0, 1.0), CurvePoint(steps, 0, loss, 0.01, 2.0, 2.0, whole=whole))
    defaults = {"outcome": Outcome.OUT_OF_BUDGET, "role": Role.TARGET, "curve": curve, "steps": steps}
    record = make_record(0, **(defaults | fields))
    record.config.setdefault("train", {})["max_steps"] = limit
    return record


def test_a_number_is_the_target_whatever_has_run() -> None:
    assert target_of(2.45, 0.01, []) == 2.45
    assert target_of(2, 0.01, [ended_at(1.0)]) == 2.0


def test_auto_is_what_the_baseline_ended_at_plus_the_margin() -> None:
    assert target_of("auto", 0.01, []) is None
    assert target_of("auto", 0.01, [ended_at(2.31234)]) == pytest.approx(2.3224)


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": Outcome.CRASHED},
        {"role": Role.BASELINE},
        {"steps": 300},
        {"whole": False},
    ],
    ids=["crashed", "another role", "ended by a budget", "an estimate"],
)
def test_a_run_that_did_not_come_to_its_end_sets_no_target(fields: dict[str, object]) -> None:
    assert not came_to_its_end(ended_at(2.3, **fields))
    assert target_of("auto", 0.01, [ended_at(2.3, **fields)]) is None


@given(st.floats(min_value=0.01, max_value=12.0), st.floats(min_value=0.0, max_value=1.0))
def test_the_target_lies_above_what_the_baseline_ended_at_by_the_margin(loss: float, margin: float) -> None:
    target = target_of("auto", margin, [ended_at(loss)])
    assert target is not None
    assert loss + margin <= target + 1e-9
    assert target <= loss + margin + 1.1e-4


@given(st.floats(min_value=0.01, max_value=12.0))
def test_a_target_to_type_is_one_that_was_reached_with_room(loss: float) -> None:
    assert loss + 0.0099 <= reachable_target(loss) <= loss + 0.0201
