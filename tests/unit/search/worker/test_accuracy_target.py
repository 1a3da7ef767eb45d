"""A worker's runs to an accuracy."""

from __future__ import annotations

from dataclasses import asdict, replace

from model.config import OptimizerConfig, RunConfig, ScheduleConfig
from model.metric import ACCURACY
from search.record.outcome import Outcome
from search.record.record import Record
from tests.unit.search.worker.test_fixed_length import CONFIG, CORPUS, REQUEST, worker

ACCURATE = replace(
    CONFIG,
    target_metric=ACCURACY,
    evaluation=replace(CONFIG.evaluation, stride=4),
    optimizer=OptimizerConfig(lr=0.02),
    schedule=ScheduleConfig(warmup_steps=2),
)


def run_to(accuracy: float, config: RunConfig = ACCURATE, to_the_end: bool = False) -> Record:
    request = replace(REQUEST, config=asdict(config), target_loss=1 - accuracy, to_the_end=to_the_end)
    return worker(CORPUS).run(request, lambda state: None)


def test_a_run_ends_at_its_first_evaluation_at_or_above_the_accuracy() -> None:
    record = run_to(0.15)
    assert record.outcome is Outcome.REACHED
    *before, last = [record.metric.shown(point.loss) for point in record.curve]
    assert last >= 0.15 > max(before, default=0.0)
    assert record.reason == f"validation accuracy {last:.4f} is at or above 0.15"
    assert record.loss_gap is not None
    assert record.loss_gap <= 0
    assert record.crossing is not None
    assert record.crossing.step == record.curve[-1].step


def test_a_run_that_misses_it_has_a_gap_in_accuracy_of_the_same_sign_as_one_in_loss() -> None:
    record = run_to(0.99)
    assert record.outcome is Outcome.OUT_OF_BUDGET
    best = max(record.metric.shown(point.loss) for point in record.curve if point.whole)
    assert record.loss_gap is not None
    assert 0 < record.loss_gap <= 0.99 - best + 1e-9


def test_a_run_of_fixed_length_is_scored_on_the_test_part_by_its_accuracy() -> None:
    record = run_to(0.01, to_the_end=True)
    assert record.test_loss is not None
    assert 0.0 <= record.metric.shown(record.test_loss) <= 1.0
    assert len(record.curve) == 1
