"""A worker's trained models generate text, and the modelled meter charges what that moves."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest
from scripted_run import REQUEST

from model.config import RunConfig
from model.data import Corpus
from model.data.config import DataConfig
from model.work import generation_work
from search.config.schema import DeviceSection
from search.meter.choose import choose
from search.meter.roofline import modelled_energy_j
from search.meter.settings import MeterSection, RooflineSection
from search.record.inference import InferencePlan
from search.record.ledger import Phase
from search.record.objective import INFERENCE
from search.record.outcome import Outcome
from search.record.record import Record
from search.worker.device import Device
from search.worker.memory import PeakOfRanks
from search.worker.process import DeviceWorker
from search.worker.protocol import WorkerSetup

CONFIG = RunConfig.from_mapping(
    {
        "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16},
        "evaluation": {"context": 16, "tokens": 160},
    }
)
PRICES = RooflineSection({"fp32": 1.0, "bf16": 0.5}, pj_per_byte=1.0)
CORPUS = Corpus.from_text("a text", "to be or not to be that is the question " * 100)
PLAN = InferencePlan(batch_sizes=(1, 3), prompt_tokens=6, tokens=12, window_s=0.01, limit_s=0.1)


def trained(config: RunConfig) -> Record:
    objectives = ("energy_to_target_j", INFERENCE)
    device, meter = Device("cpu", "a CPU"), MeterSection(name="roofline", roofline=PRICES)
    section = DeviceSection(name="cpu")
    setup = WorkerSetup("a study", DataConfig(), CORPUS.sha256, section, meter, "/nowhere")
    worker = DeviceWorker(setup, device, choose(meter, device), CORPUS, None, PeakOfRanks())
    request = replace(
        REQUEST,
        config=asdict(config),
        target_loss=100.0,
        vocab_size=CORPUS.vocab_size,
        objectives=objectives,
        inference=PLAN,
    )
    return worker.run(request, lambda state: None)


@pytest.mark.parametrize("precision", ["fp32", "bf16_weights"])
def test_fewer_heads_of_keys_and_values_make_a_token_cheaper_by_the_modelled_meter(precision: str) -> None:
    joules = []
    for kv_heads in (1, 2):
        model = replace(CONFIG.model, n_kv_head=kv_heads)
        config = replace(CONFIG, model=model, train=replace(CONFIG.train, precision=precision, max_steps=2))
        record = trained(config)
        assert record.outcome is Outcome.REACHED, record.reason
        assert record.inference is not None
        assert record.ledger is not None
        for one in record.inference.batches:
            generation = PLAN.generation(one.batch_size)
            once_j = modelled_energy_j(PRICES, generation_work(model, CORPUS.vocab_size, generation))
            assert (one.generations, one.tokens) == (1, generation.generated_tokens)
            assert one.energy_j == pytest.approx(once_j)
            assert one.recomputed == one.batch_size  # of 6 + 12 tokens 17 are fed, and 16 fit
        # Each batch is generated twice: once before its window.
        of_phase_j = 2 * sum(one.energy_j or 0.0 for one in record.inference.batches)
        assert record.ledger.energy_j[Phase.INFERENCE] == pytest.approx(of_phase_j)
        assert math.fsum(record.ledger.energy_j.values()) == record.gross_energy_j
        joules.append(record.values[INFERENCE])
    assert 0 < joules[0] < joules[1]
