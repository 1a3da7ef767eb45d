"""How far runs of one configuration differ, and when the baseline runs again to find out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record

from search.record.noise import (
    NoiseFloor,
    NoiseSettings,
    another_baseline,
    noise_floor,
    reference,
    relative_floor,
)
from search.record.record import Outcome, Record

NAMES = ("energy_to_target_j",)
SETTINGS = NoiseSettings()
joules = st.floats(min_value=1e-3, max_value=1e6)


def baseline(trial: int, energy_j: float, **fields: object) -> Record:
    return make_record(trial, energy_j=energy_j, role="baseline", **fields)


def studied(*costs: float, best: float = 10.0) -> list[Record]:
    """Runs of the baseline around one trial, which comes second."""
    first, *rest = [baseline(0 if n == 0 else n + 1, cost) for n, cost in enumerate(costs)]
    return [first, make_record(1, energy_j=best), *rest]


def test_one_run_has_no_noise_floor_which_is_not_zero() -> None:
    assert relative_floor([5.0]) is None
    assert relative_floor([]) is None
    assert noise_floor([baseline(0, 5.0)], NAMES).floor == {"energy_to_target_j": None}


def test_equal_runs_have_a_floor_of_nothing() -> None:
    assert relative_floor([5.0, 5.0, 5.0]) == 0.0


def test_the_floor_is_the_prediction_interval_of_one_more_run() -> None:
    """t(0.975, 2) = 4.3027; the logarithms of 90, 100 and 110 have a standard deviation of 0.1004."""
    assert relative_floor([90.0, 100.0, 110.0]) == pytest.approx(
        math.expm1(4.3027 * 0.10037 * math.sqrt(4 / 3)), 1e-3
    )


@given(st.lists(joules, min_size=2, max_size=6), st.floats(min_value=1e-3, max_value=1e3))
def test_the_floor_depends_on_ratios_alone(values: list[float], factor: float) -> None:
    floor, scaled = relative_floor(values), relative_floor([factor * value for value in values])
    assert floor is not None
    assert floor >= 0.0
    assert math.log1p(floor) == pytest.approx(math.log1p(scaled or 0.0), rel=1e-6, abs=1e-6)


@given(st.floats(min_value=0.0, max_value=5.0), st.floats(min_value=1e-3, max_value=1e3))
def test_a_ratio_and_its_inverse_are_equally_far(floor: float, ratio: float) -> None:
    noise = NoiseFloor((0, 1), {"energy_to_target_j": floor})
    beyond = abs(abs(math.log(ratio)) - math.log1p(floor)) > 1e-9
    assert not beyond or noise.holds("energy_to_target_j", ratio) is noise.holds(
        "energy_to_target_j", 1 / ratio
    )


def test_the_run_that_stands_for_the_baseline_is_the_median_and_of_two_the_cheaper() -> None:
    runs = [baseline(n, cost) for n, cost in enumerate((5.0, 3.0, 9.0))]
    assert reference(runs, NAMES) is runs[0]
    assert reference(runs[:2], NAMES) is runs[1]
    assert reference([], NAMES) is None


def test_a_study_runs_its_baseline_again_at_its_end() -> None:
    assert not another_baseline([baseline(0, 60.0)], NAMES, SETTINGS)  # nothing was tried yet
    assert another_baseline(studied(60.0), NAMES, SETTINGS)
    assert not another_baseline(studied(60.0, 63.0), NAMES, SETTINGS)


def test_more_trials_are_followed_by_one_more_baseline() -> None:
    records = [*studied(60.0, 60.5), make_record(9, energy_j=30.0)]
    assert another_baseline(records, NAMES, SETTINGS)


def test_runs_that_differ_are_followed_by_more_until_the_best_is_clear_of_them() -> None:
    assert another_baseline(studied(60.0, 63.0, best=55.0), NAMES, SETTINGS)
    assert not another_baseline(studied(60.0, 63.0, best=5.0), NAMES, SETTINGS)
    assert not another_baseline(studied(60.0, 60.1, best=59.9), NAMES, SETTINGS)
    assert not another_baseline(studied(60.0, 66.0, 63.0, 61.0, best=59.9), NAMES, SETTINGS)


def test_a_baseline_that_fails_again_and_again_does_not_run_for_ever() -> None:
    failed = [baseline(n, 60.0, outcome=Outcome.UNMEASURED) for n in (2, 3, 4)]
    assert another_baseline([*studied(60.0), *failed[:2]], NAMES, SETTINGS)
    assert not another_baseline([*studied(60.0), *failed], NAMES, SETTINGS)


def test_one_run_is_enough_where_that_is_asked_for() -> None:
    assert not another_baseline(studied(60.0), NAMES, NoiseSettings(runs=1))


def test_a_killed_run_counts_neither_as_a_run_nor_as_an_attempt() -> None:
    killed = [baseline(n, 60.0, interrupted=True, outcome=Outcome.CRASHED) for n in range(2, 7)]
    assert another_baseline([*studied(60.0), *killed], NAMES, SETTINGS)
