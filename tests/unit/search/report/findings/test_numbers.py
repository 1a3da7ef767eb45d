from __future__ import annotations

import math

import pytest

from model.metric import LOSS, METRICS
from search.report.findings import numbers
from search.report.findings.numbers import quantity, ratio


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 J"),
        (0.0214, "21.4 mJ"),
        (58.1, "58.1 J"),
        (1234.0, "1.23 kJ"),
        (2.5e6, "2.50 MJ"),
        (None, "unknown"),
    ],
)
def test_joules_have_three_digits_and_a_prefix(value: float | None, text: str) -> None:
    assert quantity(value, "J") == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.2117, "0.21"), (0.0327, "0.033"), (1.0, "1.00"), (0.998, "0.998"), (1.4, "1.40")]
)
def test_ratios_are_told_from_zero_and_from_one(value: float, text: str) -> None:
    assert ratio(value) == text


@pytest.mark.parametrize(
    ("loss", "text"), [(2.3, "2.30"), (1.905, "1.905"), (3.28001, "3.28"), (math.inf, "inf")]
)
def test_losses_have_two_to_four_decimals(loss: float, text: str) -> None:
    assert METRICS[LOSS].text(loss) == text


@pytest.mark.parametrize(
    ("error_j", "text"),
    [
        (None, "58.1 J"),
        (0.4, "58.1 ± 0.40 J"),
        (12.34, "58.1 ± 12 J"),
        (0.0, "58.1 J"),
        (0.001, "58.1 J"),
        (math.inf, "58.1 J"),
    ],
)
def test_an_error_stands_beside_joules_where_it_can_be_seen(error_j: float | None, text: str) -> None:
    assert numbers.objective_value("energy_to_target_j", 58.1, error_j) == text


def test_an_error_has_the_prefix_of_its_value_and_belongs_to_counted_joules_alone() -> None:
    assert numbers.objective_value("energy_to_target_j", 1234.0, 5.0) == "1.23 ± 0.0050 kJ"
    assert numbers.objective_value("energy_to_target_j", 0.0214, 0.001) == "21.4 ± 1.0 mJ"
    assert numbers.objective_value("time_to_target_s", 10.0, 5.0) == "10.0 s"
    assert numbers.objective_value("energy_to_target_j", None, 5.0) == "unknown"
