"""The training loss is read without holding up a GPU."""

import pytest
import torch
from small_run import CORPUS, small_run

from model.reading import ReadLater, loss_reader
from model.train import train

CUDA = torch.device("cuda")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_a_cpu_reads_every_loss_at_once():
    read = loss_reader(torch.device("cpu"))
    assert read.every == 1
    assert read(torch.tensor(2.5)) == 2.5


@pytest.mark.gpu
@on_a_gpu
def test_a_gpu_reads_the_loss_of_the_call_before():
    read = loss_reader(CUDA)
    assert isinstance(read, ReadLater)
    assert [read(torch.tensor(float(k), device=CUDA)) for k in range(4)] == [None, 0.0, 1.0, 2.0]


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize("optimizer", [{"kernel": "fused"}, {"name": "muon", "kernel": "foreach"}])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu_between_two_evaluations(optimizer, precision):
    config = small_run(optimizer=optimizer, train={"max_steps": 60, "precision": precision})
    run = train(config, CORPUS, CUDA, lambda looks: 50)
    for _ in range(3):  # setup, and what the first steps allocate
        next(run)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(40):
            next(run)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        run.close()
