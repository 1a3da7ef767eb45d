import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.metric import ACCURACY, LOSS, METRICS, metric_of

ACCURATE = METRICS[ACCURACY]
shares = st.integers(0, 10_000).map(lambda n: n / 10_000)


@given(shares)
def test_an_accuracy_that_is_typed_is_the_one_that_is_shown(accuracy):
    assert ACCURATE.shown(ACCURATE.shown(accuracy)) == accuracy


@given(shares, shares)
def test_the_more_accurate_of_two_is_the_smaller_of_what_is_minimised(one, other):
    assert (one > other) == (ACCURATE.shown(one) < ACCURATE.shown(other))


@given(st.floats(0, 20))
def test_a_loss_is_minimised_and_shown_as_it_is(loss):
    assert METRICS[LOSS].shown(loss) == loss


@pytest.mark.parametrize(
    ("metric", "value", "text", "typed"),
    [
        (LOSS, 2.57, "2.57 nats", "target_loss=2.57"),
        (ACCURACY, 0.75, "an accuracy of 0.25", "target_accuracy=0.25"),
        (ACCURACY, 0.2626, "an accuracy of 0.7374", "target_accuracy=0.7374"),
    ],
)
def test_values_read_as_people_write_them(metric, value, text, typed):
    assert METRICS[metric].amount(value) == text
    assert METRICS[metric].typed(value) == typed


def test_what_diverged_has_no_accuracy():
    assert ACCURATE.text(math.inf) == "inf"


def test_a_run_of_a_version_that_knew_only_losses_measured_the_loss():
    assert metric_of({"seed": 1}) is METRICS[LOSS]
    assert metric_of({"target_metric": "accuracy"}) is ACCURATE
