"""Which trials a sampler is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.sampling import ask
from search.sampling.history import constraint_attrs, gap_of
from search.sampling.samplers import SAMPLERS, SamplerSection

MOST = 10
SECTION = SamplerSection(name="cei")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLERS, "cei", replace(SAMPLERS["cei"], most=MOST))


def with_gap(gap: float) -> FrozenTrial:
    return create_trial(state=TrialState.COMPLETE, values=[1.0], system_attrs=constraint_attrs(gap))


def test_the_latest_failures_are_shown_however_many_trials_came_closer() -> None:
    history = [with_gap(0.01) for _ in range(20)] + [with_gap(0.4) for _ in range(20)]
    shown = ask.learnt_from(history, SECTION)
    assert [gap_of(one) for one in shown] == [0.01] * (MOST // 2) + [0.4] * (MOST // 2)
    assert list(shown[MOST // 2 :]) == history[-(MOST // 2) :]


@given(st.lists(st.floats(-0.5, 2.0), max_size=40))
def test_of_many_trials_half_are_the_closest_and_half_the_latest_others(gaps: list[float]) -> None:
    history = [with_gap(gap) for gap in gaps]
    shown = ask.learnt_from(history, SECTION)
    places = [next(place for place, one in enumerate(history) if one is trial) for trial in shown]
    assert places == sorted(places)
    assert len(places) == min(MOST, len(gaps))
    left = sorted(set(range(len(gaps))) - set(places))
    if left:
        closest = sorted(range(len(gaps)), key=lambda place: gaps[place])[: MOST // 2]
        assert set(closest) <= set(places)
        assert max(left) < min(place for place in places if place not in closest)


@given(st.integers(0, 40))
def test_where_a_sampler_has_no_limit_it_is_shown_all(count: int) -> None:
    history = [with_gap(0.1) for _ in range(count)]
    assert ask.learnt_from(history, SamplerSection(name="tpe")) == history
