"""Runs of fixed length: trained to their last step and evaluated there, once."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from scripted_run import REQUEST, SETUP_AND_COMPILE, TARGET, TO_THE_TARGET, Step, at, ran, small_steps

from search.record.limits import Limits, Rival
from search.record.outcome import Outcome
from search.run.request import RunRequest

FIXED = replace(REQUEST, to_the_end=True)


def fixed_length(loss: float, **losses: float) -> list[Step]:
    return [*SETUP_AND_COMPILE, (8.0, at(80, "eval")), (0.5, at(80, "train", loss=loss, **losses))]


def test_a_run_of_fixed_length_reaches_the_target_at_its_end_for_all_that_it_counted() -> None:
    record = ran(fixed_length(1.9, loss_stderr=0.02, test_loss=2.1, test_loss_stderr=0.03), request=FIXED)
    assert (record.outcome, record.steps, record.best_loss) == (Outcome.REACHED, 80, 1.9)
    assert record.values == pytest.approx({"energy_to_target_j": 1000.0, "time_to_target_s": 10.0})
    assert record.values["energy_to_target_j"] == record.counted_energy_j
    assert record.crossing is not None
    assert (record.crossing.step, record.crossing.energy_low_j) == (80, record.crossing.energy_j)
    assert [(point.step, point.loss, point.loss_stderr) for point in record.curve] == [(80, 1.9, 0.02)]
    assert (record.test_loss, record.test_loss_stderr) == (2.1, 0.03)
    assert record.ledger is not None
    assert record.ledger.time_s["eval"] == pytest.approx(0.5)


def test_a_run_of_fixed_length_above_the_target_is_out_of_budget_whatever_its_test_loss() -> None:
    record = ran(fixed_length(TARGET + 0.01, test_loss=TARGET - 0.1), request=FIXED)
    assert record.outcome is Outcome.OUT_OF_BUDGET
    assert "80 steps are done" in record.reason
    assert (record.crossing, record.values) == (None, {})
    assert record.loss_gap == pytest.approx(0.01)
    assert record.test_loss == TARGET - 0.1


def test_a_run_of_fixed_length_diverges_as_any_other() -> None:
    record = ran([*SETUP_AND_COMPILE, (1.0, at(10, "train", train_loss=math.nan))], request=FIXED)
    assert (record.outcome, record.test_loss) == (Outcome.DIVERGED, None)


def test_a_run_of_fixed_length_ends_at_its_limits() -> None:
    request = replace(FIXED, limits=Limits(tokens=50))
    record = ran(small_steps(20, seconds=1.0), request=request)
    assert (record.outcome, record.tokens) == (Outcome.OUT_OF_BUDGET, 50)


def test_a_run_of_fixed_length_has_no_rivals() -> None:
    with pytest.raises(AssertionError, match="rival"):
        replace(FIXED, rivals=(Rival(1, (1.0, 1.0)),))


def test_an_ordinary_run_has_no_test_loss() -> None:
    record = ran(TO_THE_TARGET)
    assert (record.test_loss, record.test_loss_stderr) == (None, None)


def test_a_request_of_fixed_length_arrives_as_it_was_sent() -> None:
    assert RunRequest.from_dict(json.loads(json.dumps(asdict(FIXED)))) == FIXED
    of_before = {key: value for key, value in asdict(FIXED).items() if key != "to_the_end"}
    assert not RunRequest.from_dict(of_before).to_the_end
