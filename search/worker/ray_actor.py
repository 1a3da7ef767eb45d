"""What runs on a node of a Ray cluster: an actor that holds the ordinary worker of the GPU that Ray gave it.

So caches, locks, meters and hang limits are those of a study on one machine. What the actor answers are the
events of `search.worker.protocol`, one JSON line each.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import ray

from search.config.cores import allowed_cores, usable_cores
from search.errors import ONE_LINE, UserError
from search.files.own_folder import OwnFolder
from search.files.paths import cache_dir
from search.files.provenance import training_sha256
from search.run.request import RunRequest
from search.worker.handle import Worker
from search.worker.protocol import (
    Event,
    Finished,
    ProgressReport,
    Ready,
    Refused,
    Waiting,
    WorkerInfo,
    WorkerSetup,
    event_to_line,
)
from search.worker.slots import Slot, slot_on_node


class Node(NamedTuple):
    """Where an actor runs: the name that Ray has for the machine, how many GPUs it says that there are, and
    which of them this actor has."""

    name: str
    gpus: int
    gpu: int


class NodeWorker:
    """The actor. `code` is the digest of what trains in the study's process: joules of other code do not
    compare."""

    def __init__(self, setup: str, hang_s: float, code: str) -> None:
        self._setup = WorkerSetup.from_line(setup)
        self._hang_s = hang_s
        self._code = code
        self._worker: Worker | None = None
        # Linux ends a process with the thread that started it: this one lives as long as the actor.
        self._thread = ThreadPoolExecutor(max_workers=1)

    def start(self) -> str:
        """Ready or Refused."""
        try:
            return event_to_line(Ready(self._thread.submit(self._start).result()))
        except ONE_LINE as error:
            return event_to_line(Refused(str(error)))

    def run(self, request: str) -> Iterator[str]:
        """What the run says while it goes on; at last Finished, or Refused where the worker cannot start."""
        events: queue.Queue[Event | None] = queue.Queue()
        whole = RunRequest.from_dict(json.loads(request))
        running = self._thread.submit(self._run, whole, events.put)
        while True:
            event = events.get()
            if event is None:
                running.result()  # raises what is a fault of ours
                return
            yield event_to_line(event)

    def _start(self) -> WorkerInfo:
        if self._worker is None:
            node = this_node()
            if training_sha256() != self._code:
                raise UserError(
                    f"the node {node.name} has another joulesearch than this machine, and their numbers do "
                    "not compare; install the same version on both"
                )
            setup = replace(
                self._setup,
                slot=slot_of(self._setup, node),
                node=node.name,
                cache_dir=str(cache_dir()),
            )
            log = OwnFolder.make("joulesearch-scratch-").path / "worker.log"
            self._worker = Worker(setup, log, self._hang_s)
        return self._worker.start()

    def _run(self, request: RunRequest, say: Callable[[Event | None], None]) -> None:
        try:
            self._start()
            assert self._worker is not None
            record = self._worker.run(
                request, lambda partial: say(ProgressReport(partial)), lambda what: say(Waiting(what))
            )
            say(Finished(record, worn=False))
        except ONE_LINE as error:
            say(Refused(str(error)))
        finally:
            say(None)


def this_node() -> Node:
    """Raises UserError where Ray gave this actor no GPU."""
    node_id = ray.get_runtime_context().get_node_id()
    described = next(node for node in ray.nodes() if node["NodeID"] == node_id)
    gpus = [int(gpu) for gpu in ray.get_gpu_ids()]
    if not gpus:
        raise UserError(f"Ray gave no GPU to a worker on the node {described['NodeName']}")
    return Node(described["NodeName"], int(described["Resources"].get("GPU", 1)), gpus[0])


def slot_of(setup: WorkerSetup, node: Node) -> Slot:
    """The whole machine for what trains on a GPU, of which Ray shows the worker its own alone; a share of the
    cores where the CPU trains. Raises UserError where they are too few."""
    if setup.device.name != "cpu":
        return Slot()
    cores, threads = usable_cores(), setup.device.threads
    if node.gpus * threads > cores.threads:
        raise UserError(
            f"the node {node.name} has {node.gpus} GPUs by Ray's count, which is more slots of "
            f"device.threads={threads} than it has cores for ({cores.describe()}); start Ray there with "
            f"--num-gpus={max(1, cores.threads // threads)}"
        )
    return slot_on_node(node.gpu, node.gpus, threads, allowed_cores())
