"""One rank's part: the training loop on its share, in step with the others, under the driver's orders."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.distributed.messages import GIVE_WEIGHTS, Ask, Done, Here, Job, Weights
from model.gpt import GPT
from model.progress import EvaluationResult, Progress
from model.share import Share
from model.team import LossFunction
from model.train import train
from model.weights import to_bytes

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
PEAK_EVERY_S = 0.25
_STATUS = Path("/proc/self/status")


class Together:
    """The team of this process, a rank of several (see `model.team.Team`). Opens the process group."""

    def __init__(self, rank: int, processes: int, device: torch.device) -> None:
        self.leads = rank == 0
        self._rank, self._processes = rank, processes
        self._wrapped: DistributedDataParallel | None = None
        dist.init_process_group(BACKENDS[device.type], device_id=device if device.type == "cuda" else None)

    def share(self, grad_accum: int) -> Share:
        return Share.of(self._rank, self._processes, grad_accum)

    def together(self, model: nn.Module, compute_loss: LossFunction) -> LossFunction:
        """No buffer of the model changes in training, so that none needs to be sent. torch (2.13) warns that
        a later one names that setting otherwise."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self._wrapped = DistributedDataParallel(
                _Loss(model, compute_loss), broadcast_buffers=False, gradient_as_bucket_view=True
            )
        return self._wrapped

    def by_itself(self) -> AbstractContextManager[object]:
        assert self._wrapped is not None
        return self._wrapped.no_sync()

    def mean(self, loss: Tensor) -> Tensor:
        total = loss.detach().clone()
        dist.all_reduce(total)
        return total / self._processes


class _Loss(nn.Module):
    """DistributedDataParallel wraps a module whose forward pass is the loss."""

    def __init__(self, model: nn.Module, compute_loss: LossFunction) -> None:
        super().__init__()
        self.model = model
        self._compute_loss = compute_loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self._compute_loss(x, y)


def serve(connection: Connection[Any, Any], rank: int, processes: int) -> None:
    """Train as the driver says. Raises EOFError where it has hung up, and whatever the training raises."""
    job: Job = connection.recv()
    torch.set_num_threads(job.threads)
    device = torch.device(job.device_type, rank) if job.device_type == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    team = Together(rank, processes, device)

    def ask(results: Sequence[EvaluationResult]) -> int:
        connection.send(Ask(results[-1] if results and team.leads else None))
        steps: int = connection.recv()
        return steps

    models: list[GPT] = []
    training = train(
        job.config,
        job.whole_corpus(),
        device,
        ask,
        job.target_loss,
        job.compile_backend,
        job.score_test,
        models.append,
        team,
    )
    watch = _Watch(device)
    with closing(training):
        for progress in training:
            connection.send(Here(progress, watch.peak_bytes(progress)))
            _obey(connection, models)
    connection.send(Done())
    _obey(connection, models)
    dist.destroy_process_group()


def _obey(connection: Connection[Any, Any], models: Sequence[GPT]) -> None:
    """Until the driver says to go on."""
    while connection.recv() == GIVE_WEIGHTS:
        connection.send(Weights(to_bytes(models[-1])))


class _Watch:
    """Ends a phase where the device has done its work, and looks at the peak of the memory then, and a few
    times a second."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._phase = "setup"
        self._looked_s = float("-inf")

    def peak_bytes(self, progress: Progress) -> int | None:
        is_boundary = progress.phase != self._phase or progress.loss is not None
        self._phase = progress.phase
        if is_boundary and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now_s = time.monotonic()
        if not is_boundary and now_s - self._looked_s < PEAK_EVERY_S:
            return None
        self._looked_s = now_s
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return _most_resident_bytes()


def _most_resident_bytes() -> int | None:
    """The peak of this process' resident set, None where the system does not say."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    except (OSError, ValueError, IndexError):
        return None
