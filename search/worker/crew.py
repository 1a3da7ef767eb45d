"""The workers of a study, one a slot: on the cores of a CPU, on the GPUs of this machine, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from search.config.cores import allowed_cores, usable_cores
from search.config.devices import parse_devices
from search.config.schema import RAY, StudyConfig
from search.errors import MeterUnavailable, UserError
from search.record.record import Record
from search.run.request import RunRequest
from search.worker.alike import unlike
from search.worker.handle import Worker
from search.worker.locks import CPU
from search.worker.protocol import WorkerInfo, WorkerSetup
from search.worker.slots import Slot, only_one_because, slots_of, slots_on_gpus


class TrialWorker(Protocol):
    """What a study asks of the worker of a slot, wherever it runs."""

    @property
    def info(self) -> WorkerInfo | None:
        """What it has opened, None where that is not known now."""
        ...

    def start(self) -> WorkerInfo:
        """Start what does not run yet. Raises UserError where it cannot be had."""
        ...

    def run(
        self,
        request: RunRequest,
        on_progress: Callable[[Record], None],
        on_wait: Callable[[str], None] = ...,
    ) -> Record:
        """One run to its end; its record names the device that trained it. A worker that is lost costs this
        run alone, and is replaced. Raises UserError where none can be had any more."""
        ...

    def kill(self) -> None:
        """End it, and the run that goes on in it, now."""
        ...


@dataclass(frozen=True)
class Crew:
    """`info`: what the first worker has opened, which trains the baseline and the confirmation. `by_model`:
    the study is one of a model of GPU, not of one board. `holds`: locks that the study holds for all its
    workers."""

    workers: Sequence[TrialWorker]
    info: WorkerInfo
    holds: tuple[str, ...] = ()


@contextmanager
def crew_of(
    config: StudyConfig,
    setup: WorkerSetup,
    folder: Path,
    note: Callable[[str], None],
    only_confirm: bool = False,
) -> Iterator[Crew]:
    """The workers of a study, as long as it runs; their logs go into `folder`. A confirmation alone needs the
    first only. Raises UserError where they cannot be had."""
    if config.launcher.name == RAY:
        with _crew_on_ray(config, setup, note, only_confirm) as crew:
            yield crew
        return
    gpus = visible_gpus(config)[: 1 if only_confirm else None]
    with ExitStack() as running:

        def local(slots: Sequence[Slot]) -> list[Worker]:
            workers = [
                Worker(replace(setup, slot=slot), folder / f"worker-{number}.log", config.budget.hang_s)
                for number, slot in enumerate(slots)
            ]
            for worker in workers:
                running.callback(worker.kill)
            return workers

        if gpus:
            yield _on_gpus(config, gpus, local)
        else:
            yield _on_cores(config, setup, local, note)


@contextmanager
def _crew_on_ray(
    config: StudyConfig, setup: WorkerSetup, note: Callable[[str], None], only_confirm: bool
) -> Iterator[Crew]:
    try:
        from search.worker.ray_workers import ray_workers  # a large package that few need
    except ImportError as error:
        raise UserError(
            f"launcher=ray needs the package ray ({error}); type pip install 'joulesearch[ray]'"
        ) from error
    slots = 1 if only_confirm else config.launcher.ray_slots
    with ray_workers(config.launcher.ray_address, slots, setup, config.budget.hang_s, note) as workers:
        yield Crew(workers, workers[0].start())


def visible_gpus(config: StudyConfig) -> tuple[str, ...]:
    """UUIDs of the GPUs that `devices` names, none where it leaves the choice to `device`. Raises UserError
    where one is not there."""
    devices = parse_devices(config.devices)
    if not devices.are_gpus:
        return ()
    from search.meter.gpu.nvml_devices import visible_uuids  # the library of one vendor

    try:
        return visible_uuids(devices.gpus)
    except (MeterUnavailable, ValueError) as error:
        raise UserError(f"devices: {error}") from error


def _on_gpus(
    config: StudyConfig, gpus: Sequence[str], local: Callable[[Sequence[Slot]], list[Worker]]
) -> Crew:
    slots = slots_on_gpus(gpus)
    on_cpu = config.device.name == "cpu"  # which trains, while the GPUs' meters read
    if on_cpu:
        slots = _on_own_cores(slots, config.device.threads)
    workers = local(slots)
    for worker in workers:
        worker.begin_start()
    infos = dict(zip(gpus, (worker.start() for worker in workers), strict=True))
    for name, how in unlike(infos).items():
        raise UserError(
            f"{name} does not compare with the GPUs before it: {how}; leave it out of devices, and start "
            "another study for its kind"
        )
    holds = (CPU,) if on_cpu and len(slots) > 1 else ()
    return Crew(workers, infos[gpus[0]], holds=holds)


def _on_own_cores(slots: Sequence[Slot], threads: int) -> tuple[Slot, ...]:
    cores = usable_cores()
    if len(slots) * threads > cores.threads:
        raise UserError(
            f"devices are {len(slots)} slots of device.threads={threads} on the CPU, which is more than this "
            f"process may use ({cores.describe()}); name fewer"
        )
    pairs = zip(slots, slots_of(len(slots), threads, allowed_cores()), strict=True)
    return tuple(replace(own, gpu=slot.gpu) for slot, own in pairs)


def _on_cores(
    config: StudyConfig,
    setup: WorkerSetup,
    local: Callable[[Sequence[Slot]], list[Worker]],
    note: Callable[[str], None],
) -> Crew:
    """The slots of `device`: of a CPU, as many as its meter can tell apart."""
    threads = config.device.threads * setup.processes
    workers = local(slots_of(config.device.slots, threads, allowed_cores()))
    info = workers[0].start()
    only_one = only_one_because(info.meter, info.capabilities.device_type)
    if only_one is not None and len(workers) > 1:
        note(only_one)
        workers[0].stop()
        workers = local(slots_of(1, threads, allowed_cores()))
        info = workers[0].start()
    return Crew(workers, info, holds=(CPU,) if len(workers) > 1 else ())
