"""A worker's runs of fixed length, beside those that stop at the target."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from model.config import RunConfig, ScheduleConfig
from model.data import Corpus, DataError
from model.data.config import DataConfig
from model.evaluate import evaluate, validation_windows
from model.gpt import GPT
from search.config.schema import DeviceSection
from search.meter.choose import choose
from search.meter.settings import MeterSection, RooflineSection
from search.record.ledger import CountedPhases
from search.record.outcome import Outcome, Role
from search.run.request import RunRequest
from search.worker.device import Device
from search.worker.process import DeviceWorker
from search.worker.protocol import WorkerSetup

CONFIG = RunConfig.from_mapping(
    {
        "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16},
        "train": {"batch_size": 4, "max_steps": 30},
        "evaluation": {"context": 16, "tokens": 160, "interval": 5},
    }
)
TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer " * 100
PRICES = RooflineSection({"fp32": 1.0}, pj_per_byte=1.0)
HALVED = Corpus.from_text("a text", TEXT)
CORPUS = replace(HALVED, test=HALVED.test[::-1].copy())
REQUEST = RunRequest(
    study="a study",
    trial=1,
    run_id="r1",
    role=Role.SINGLE,
    params={},
    config=asdict(CONFIG),
    target_loss=100.0,
    objectives=("energy_to_target_j", "tokens_to_target"),
    counted_phases=CountedPhases.COMPILE_TRAIN,
    vocab_size=CORPUS.vocab_size,
)


class Uncounted:
    """Memory that is never counted."""

    worn = False

    def reset(self) -> None:
        pass

    def bytes(self) -> int | None:
        return None


def worker(corpus: Corpus) -> DeviceWorker:
    device, meter = Device("cpu", "a CPU"), MeterSection(name="roofline", roofline=PRICES)
    section = DeviceSection(name="cpu")
    setup = WorkerSetup("a study", DataConfig(), corpus.sha256, section, meter, "/nowhere")
    return DeviceWorker(setup, device, choose(meter, device), corpus, None, Uncounted())


class Untouched(np.ndarray[Any, Any]):
    """Token ids that nothing may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise DataError(f"{name} of the test part was asked for")

    def __len__(self) -> int:
        raise DataError("the length of the test part was asked for")


def untouched() -> Corpus:
    return replace(CORPUS, test=CORPUS.test.view(Untouched))


def test_a_run_of_fixed_length_is_evaluated_once_at_its_last_step_however_good_it_is() -> None:
    record = worker(CORPUS).run(replace(REQUEST, to_the_end=True), lambda state: None)
    assert (record.outcome, record.steps) == (Outcome.REACHED, 30)
    assert [(point.step, point.whole) for point in record.curve] == [(30, True)]
    assert record.values["tokens_to_target"] == 30 * 4 * 16
    assert record.values["energy_to_target_j"] == record.counted_energy_j
    assert record.test_loss is not None
    assert record.test_loss_stderr is not None
    assert record.test_loss != record.best_loss


@pytest.mark.parametrize("average_fraction", [0.0, 0.5])
@pytest.mark.parametrize("to_the_end", [True, False])
def test_the_model_that_is_kept_is_the_one_that_was_evaluated_last(
    to_the_end: bool, average_fraction: float
) -> None:
    config = replace(CONFIG, schedule=ScheduleConfig(average_fraction=average_fraction, warmup_steps=0))
    request = replace(REQUEST, config=asdict(config), to_the_end=to_the_end, target_loss=1e-3)
    kept: list[GPT] = []
    record = worker(CORPUS).run(
        request, lambda state: None, keep=lambda model, state, end: kept.append(model)
    )
    windows = validation_windows(torch.from_numpy(CORPUS.validation.astype("int32")), config.windows)
    assert [evaluate(model, windows).loss for model in kept] == [record.curve[-1].loss]


def test_scoring_is_in_the_evaluation_phase_and_does_not_count() -> None:
    scored, unscored = (
        worker(corpus).run(replace(REQUEST, to_the_end=True), lambda state: None)
        for corpus in (CORPUS, replace(CORPUS, test=CORPUS.test[:0]))
    )
    assert scored.ledger is not None
    assert unscored.ledger is not None
    assert scored.ledger.energy_j["eval"] > 1.5 * unscored.ledger.energy_j["eval"]
    assert scored.counted_energy_j == pytest.approx(unscored.counted_energy_j, rel=1e-9)
    assert unscored.test_loss is None
    assert unscored.best_loss == scored.best_loss


@pytest.mark.parametrize("target_loss", [100.0, 0.1])
def test_a_run_that_is_not_of_fixed_length_never_looks_at_the_test_part(target_loss: float) -> None:
    record = worker(untouched()).run(replace(REQUEST, target_loss=target_loss), lambda state: None)
    assert record.outcome in (Outcome.REACHED, Outcome.OUT_OF_BUDGET)
    assert record.test_loss is None


def test_what_stands_for_the_test_part_above_would_tell() -> None:
    record = worker(untouched()).run(replace(REQUEST, to_the_end=True), lambda state: None)
    assert record.outcome is Outcome.CRASHED
    assert "of the test part was asked for" in record.reason
