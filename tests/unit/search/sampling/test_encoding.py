"""A space as a fixed set of dimensions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from space_entries import DEMO, HEADS, WIDTH, choice_entry, drawn_from, float_entry, int_entry, parse

from search.sampling.encoding import decoded, encoded, encoded_history, fixed_dimensions, settling
from search.space.model import Space, holds

SPACE = parse(DEMO)
DIMENSIONS = fixed_dimensions(SPACE)
# A width that depends on the heads, a range that hangs on a choice, one that hangs on that choice and on
# another, which is not always active itself, and one that the base configuration rules out.
NESTED = parse(
    {
        HEADS: choice_entry(2, 4, 8),
        WIDTH: int_entry(low=16, high=99, multiple_of=HEADS, when={"optimizer.name": ["muon"]}),
        "optimizer.name": choice_entry("adamw", "muon"),
        "optimizer.ns_steps": int_entry(high=5, when={"optimizer.name": ["muon"]}),
        "optimizer.muon_lr": float_entry(when={"optimizer.name": ["muon"], "optimizer.ns_steps": [1, 2, 3]}),
        "schedule.cooldown_fraction": float_entry(when={"schedule.name": ["trapezoid"]}),
    }
)


@given(st.data())
def test_a_point_comes_back_from_its_dimensions(data: st.DataObject) -> None:
    params = SPACE.sample(drawn_from(data.draw))
    point = encoded(params, SPACE)
    assert decoded(point, SPACE) == params
    assert list(point) == list(DIMENSIONS)
    assert all(holds(DIMENSIONS[path], value) for path, value in point.items())


@given(st.data())
def test_whatever_is_proposed_in_fixed_dimensions_is_a_point_of_the_space(data: st.DataObject) -> None:
    suggest = drawn_from(data.draw)
    point = {path: suggest(path, distribution) for path, distribution in DIMENSIONS.items()}
    params = decoded(point, SPACE)
    drawn = SPACE.distributions(params)
    assert set(drawn) == set(params)
    assert all(holds(drawn[path], value) for path, value in params.items())
    same = [path for path in params if path != WIDTH]
    assert {path: params[path] for path in same} == {path: point[path] for path in same}


@pytest.mark.parametrize("space", [SPACE, NESTED], ids=["demo", "nested"])
@given(data=st.data())
def test_a_settled_point_is_the_one_that_its_trial_is_shown_as(space: Space, data: st.DataObject) -> None:
    dimensions = fixed_dimensions(space)
    suggest = drawn_from(data.draw)
    point = {path: suggest(path, distribution) for path, distribution in dimensions.items()}
    settled = settling(space, dimensions)(point)
    assert settled == encoded(decoded(point, space), space)
    assert decoded(settled, space) == decoded(point, space)


@pytest.mark.parametrize(
    ("heads", "width", "nearest"), [(3, 61, 60), (12, 61, 60), (12, 67, 72), (5, 99, 95), (12, 16, 24)]
)
def test_a_width_moves_to_the_nearest_that_the_heads_divide(heads: int, width: int, nearest: int) -> None:
    space = parse({HEADS: choice_entry(3, 5, 12), WIDTH: int_entry(low=16, high=99, multiple_of=HEADS)})
    assert decoded({HEADS: heads, WIDTH: width}, space)[WIDTH] == nearest


def test_a_range_that_depends_on_another_value_is_shown_whole() -> None:
    space = parse({HEADS: choice_entry(3, 4), WIDTH: int_entry(low=50, high=200, step=16, multiple_of=HEADS)})
    assert fixed_dimensions(space)[WIDTH] == IntDistribution(64, 192, step=16)


def test_an_entry_that_is_not_active_stands_at_the_configured_value_or_in_the_middle() -> None:
    schedule = {"schedule.name": choice_entry("cosine", "trapezoid")}
    when = {"when": {"schedule.name": ["trapezoid"]}}
    configured = SPACE.base["schedule"]["cooldown_fraction"]
    for low, high, expected in [(0.1, 0.9, configured), (0.9, 1.0, 0.95)]:
        space = parse(schedule | {"schedule.cooldown_fraction": float_entry(low=low, high=high, **when)})
        shown = encoded({"schedule.name": "cosine"}, space)
        assert shown["schedule.cooldown_fraction"] == pytest.approx(expected)


def test_an_entry_that_can_never_be_active_is_no_dimension() -> None:
    when = {"when": {"optimizer.name": ["muon"]}}
    raw = {HEADS: choice_entry(2, 4), "optimizer.muon_lr": float_entry(**when)}
    assert list(fixed_dimensions(parse(raw))) == [HEADS]
    assert set(fixed_dimensions(parse(raw | {"optimizer.name": choice_entry("adamw", "muon")}))) == {
        HEADS,
        "optimizer.name",
        "optimizer.muon_lr",
    }


def test_a_history_keeps_what_was_found_and_leaves_out_what_lies_outside() -> None:
    params = {HEADS: 4, WIDTH: 128} | {
        path: distribution.choices[0]
        for path, distribution in DIMENSIONS.items()
        if isinstance(distribution, CategoricalDistribution) and path != HEADS
    }
    inside = create_trial(
        values=[2.0, 1.0],
        params=params | {"optimizer.lr": 0.01},
        distributions=SPACE.distributions(params | {"optimizer.lr": 0.01}),
        system_attrs={"constraints": [0.5], "NSGAIISampler:generation": 3},
    )
    outside = create_trial(values=[1.0, 1.0])
    (shown,) = encoded_history([outside, inside], SPACE)
    assert (shown.state, shown.values) == (TrialState.COMPLETE, [2.0, 1.0])
    assert shown.system_attrs["NSGAIISampler:generation"] == 3
    assert shown.distributions == DIMENSIONS
    assert shown.params.items() >= inside.params.items()
