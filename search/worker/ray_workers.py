"""Workers on the GPUs of a Ray cluster. Ray places them, restarts them and tells what died; the study's
process asks, tells and records as ever. Imported only where launcher=ray."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from search.errors import UserError
from search.files.provenance import training_sha256
from search.record.record import Record
from search.run.request import RunRequest
from search.worker.alike import of_the_commonest, unlike
from search.worker.handle import START_LIMIT_S, record_of_lost
from search.worker.protocol import (
    Event,
    Finished,
    ProgressReport,
    Ready,
    Refused,
    Waiting,
    WorkerInfo,
    WorkerSetup,
    event_from_dict,
    trained_by,
)
from search.worker.ray_actor import NodeWorker

# An actor that dies is started again by Ray, so often in all.
MAX_RESTARTS = 20
# So long may the head be silent. Ray itself ends this process after 60 s of that, without a word of ours.
HEAD_SILENT_S = 10.0
# GPUs of a study that was killed a moment ago are free again within so long.
FREE_AGAIN_S = 30.0
PIECE_S = 1.0
RESUME = "nothing is lost: the same command continues the study"


@dataclass
class Cluster:
    """A connection to a cluster. `address`: its head's."""

    address: str
    _lost: threading.Event = field(default_factory=threading.Event)

    @property
    def lost(self) -> bool:
        return self._lost.is_set()

    def check(self) -> None:
        """Raises UserError where the head does not answer any more."""
        until_s = time.monotonic() + HEAD_SILENT_S
        while not self.lost and not answers(self.address):
            if time.monotonic() > until_s:
                self._lost.set()
            time.sleep(PIECE_S)
        if self.lost:
            raise UserError(
                f"the head of the Ray cluster ({self.address}) does not answer any more; {RESUME}, once a "
                "cluster is up again, or with launcher=none"
            )

    def wait_for(self, waited: Any) -> bool:
        """Whether an answer is there within a moment. Raises UserError where the head is lost."""
        ready, _ = ray.wait([waited], timeout=PIECE_S)
        if not ready:
            self.check()
        return bool(ready)


def answers(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), timeout=2.0):
        return True
    return False


class RayWorker:
    """A slot of the study: an actor with one GPU, which Ray places. `kind`: of what the study's other workers
    have opened, once that is known."""

    def __init__(self, cluster: Cluster, setup: WorkerSetup, hang_s: float) -> None:
        self._cluster = cluster
        self._arguments = (setup.to_line(), hang_s, training_sha256())
        self._actor: Any = None
        self._starting: Any = None
        self._info: WorkerInfo | None = None
        self.kind: WorkerInfo | None = None

    @property
    def info(self) -> WorkerInfo | None:
        return self._info

    @property
    def place(self) -> str:
        """For people: the node and the device."""
        assert self._info is not None
        return f"{self._info.hardware['device_uuid']} of node {self._info.hardware['node']}"

    def begin_start(self) -> None:
        """Ask for a GPU, and do not wait for it."""
        if self._actor is None:
            actor = ray.remote(NodeWorker).options(num_gpus=1, max_restarts=MAX_RESTARTS)
            self._actor = actor.remote(*self._arguments)
        if self._starting is None:
            self._starting = self._actor.start.remote()

    def start(self) -> WorkerInfo:
        """What the worker has opened. Raises UserError where it refuses, cannot be placed, or keeps dying."""
        until_s = time.monotonic() + START_LIMIT_S
        while True:
            self.begin_start()
            try:
                if self._cluster.wait_for(self._starting):
                    return self._opened(event_from_dict(json.loads(ray.get(self._starting))))
            except RayTaskError:  # a fault of ours
                raise
            except RayError as error:
                self._starting = None
                self._cluster.check()
                if isinstance(error, ActorDiedError):
                    raise UserError(f"a Ray worker cannot be started: {_line(error)}; {RESUME}") from error
                time.sleep(PIECE_S)  # Ray is about to start it again
            if time.monotonic() > until_s:
                raise UserError(
                    f"Ray did not start a worker within {START_LIMIT_S:g} s; `ray status` says what its GPUs "
                    "do"
                )

    def _opened(self, event: Event) -> WorkerInfo:
        self._starting = None
        if isinstance(event, Refused):
            raise UserError(event.message)
        assert isinstance(event, Ready)
        self._info = event.info
        if self.kind is not None and (how := unlike({"the study": self.kind, self.place: event.info})):
            raise UserError(f"{self.place} is of another kind than this study: {how[self.place]}; {RESUME}")
        return event.info

    def run(
        self,
        request: RunRequest,
        on_progress: Callable[[Record], None],
        on_wait: Callable[[str], None] = lambda what: None,
    ) -> Record:
        """One run to its end. An actor or a node that dies costs this run alone, which says what is known of
        it and that it was interrupted. Raises UserError where the cluster is lost."""
        info = self.start()
        request = trained_by(request, info)
        last: Record | None = None
        try:
            for event in self._events(request):
                match event:
                    case ProgressReport(record):
                        last = record
                        on_progress(record)
                    case Waiting(what):
                        on_wait(what)
                    case Refused(message):
                        raise UserError(message)
                    case Finished(record, _):
                        return record
            reason = "the Ray actor ended without a result"
        except RayTaskError:  # a fault of ours
            raise
        except RayError as error:
            self._cluster.check()
            reason = f"the Ray actor on {self.place} died: {_line(error)}"
        return record_of_lost(request, info, last, reason, interrupted=True)

    def _events(self, request: RunRequest) -> Iterator[Event]:
        said = self._actor.run.options(num_returns="streaming").remote(json.dumps(asdict(request)))
        while True:
            if self._cluster.wait_for(said):
                try:
                    answer = next(said)
                except StopIteration:
                    return
                yield event_from_dict(json.loads(ray.get(answer)))

    def kill(self) -> None:
        actor, self._actor, self._starting = self._actor, None, None
        if actor is not None and not self._cluster.lost:
            with suppress(RayError):
                ray.kill(actor)


@contextmanager
def ray_workers(
    address: str, slots: int | None, setup: WorkerSetup, hang_s: float, note: Callable[[str], None]
) -> Iterator[Sequence[RayWorker]]:
    """Started workers on GPUs of one kind, `slots` or as many as the cluster has. Raises UserError where
    there is no cluster, or it has no such GPUs."""
    with ExitStack() as running:
        cluster = running.enter_context(_connected(address))
        try:
            count = _slots(slots, note)
        except RayError as error:
            raise UserError(_no_cluster(cluster.address, _line(error))) from error
        workers = []
        for _ in range(count):
            workers.append(worker := RayWorker(cluster, setup, hang_s))
            running.callback(worker.kill)
            worker.begin_start()
        for worker in workers:
            worker.start()
        yield _of_one_kind(workers, note)


def _of_one_kind(workers: Sequence[RayWorker], note: Callable[[str], None]) -> list[RayWorker]:
    """Those of the commonest kind; the others end, and a line says so."""
    infos = {str(number): worker.start() for number, worker in enumerate(workers)}
    kept = of_the_commonest(infos)
    reference = next(iter(kept.values()))
    for number, worker in enumerate(workers):
        if str(number) in kept:
            worker.kind = reference
        else:
            how = unlike({"the others": reference, worker.place: infos[str(number)]})[worker.place]
            note(f"{worker.place} is left out, since it does not compare: {how}")
            worker.kill()
    return [worker for number, worker in enumerate(workers) if str(number) in kept]


@contextmanager
def _connected(address: str) -> Iterator[Cluster]:
    """Ray takes SIGTERM for itself; a study has its own use for it."""
    if address != "auto" and not answers(address):
        raise UserError(_no_cluster(address, "nothing answers there"))
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        raise UserError(_no_cluster(address, _line(error))) from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)
    cluster = Cluster(ray.get_runtime_context().gcs_address)
    try:
        yield cluster
    finally:
        ray.shutdown()  # without a head too, in five seconds; else Ray aborts the interpreter at its end


def _no_cluster(address: str, why: str) -> str:
    return (
        f"launcher=ray finds no Ray cluster at {address} ({why}); start one with `ray start --head`, and "
        "name it by launcher.ray_address=HOST:PORT"
    )


def _slots(wanted: int | None, note: Callable[[str], None]) -> int:
    """How many workers the cluster has GPUs for. Raises UserError."""
    there = _gpus(ray.cluster_resources())
    if there == 0:
        raise UserError(
            "the Ray cluster has no GPU; where the CPU is to train, start its nodes with `ray start "
            "--num-gpus=N` for N trials at once, and type device=cpu"
        )
    if wanted is not None and wanted > there:
        raise UserError(f"launcher.ray_slots={wanted}, and the Ray cluster has {there} GPUs; type fewer")
    slots = wanted or there
    until_s = time.monotonic() + FREE_AGAIN_S
    while (free := _gpus(ray.available_resources())) < slots and time.monotonic() < until_s:
        time.sleep(PIECE_S)
    if free == 0:
        raise UserError(f"all {there} GPUs of the Ray cluster are in use; wait, or `ray status` says by whom")
    if free < slots:
        note(f"{there - free} of the Ray cluster's {there} GPUs are in use: {free} trials at once")
    return min(free, slots)


def _gpus(resources: Mapping[str, float]) -> int:
    return int(resources.get("GPU", 0))


def _line(error: Exception) -> str:
    """The first line of Ray's own words."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)[:200]
