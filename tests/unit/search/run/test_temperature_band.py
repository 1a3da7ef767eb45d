from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.run.temperature_band import Band, Step, next_step

BAND = Band(40.0, 50.0, limit_s=300.0)


@pytest.mark.parametrize(
    ("temperature_c", "waited_s", "step"),
    [
        (45.0, 0.0, Step("start")),
        (40.0, 0.0, Step("start")),
        (50.0, 0.0, Step("start")),
        (61.0, 0.0, Step("cool")),
        (61.0, 299.0, Step("cool")),
        (61.0, 300.0, Step("start", ("started_hot",))),
        (30.0, 10.0, Step("heat")),
        (30.0, 300.0, Step("start", ("started_cold",))),
        (None, 0.0, Step("start", ("temperature_unknown",))),
    ],
)
def test_a_run_starts_inside_the_band_or_flagged(
    temperature_c: float | None, waited_s: float, step: Step
) -> None:
    assert next_step(temperature_c, BAND, waited_s) == step


@given(st.none() | st.floats(-50, 150), st.floats(0, 1e6))
def test_waiting_ends_at_the_limit(temperature_c: float | None, waited_s: float) -> None:
    step = next_step(temperature_c, BAND, waited_s)
    assert step.action == "start" or waited_s < BAND.limit_s
    assert not step.flags or step.action == "start"
