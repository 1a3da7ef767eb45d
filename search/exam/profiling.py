"""Some steps of training under torch's profiler: which kernels ran, and for how long. Imports torch."""

from __future__ import annotations

import time
from contextlib import closing

from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from model.config import RunConfig
from model.data import load
from model.data.corpus import Corpus
from model.errors import one_line
from model.schedule import batch_shape
from model.tables import PRECISIONS
from model.train import train
from model.work import UncountedWork, Work, step_work
from search.config.schema import StudyConfig
from search.errors import MORE, UserError
from search.exam.cases import changed
from search.exam.folder import ExamFolder
from search.exam.kernel_parts import Kernel, Spent, spent, spent_by_operators
from search.exam.peak import peak_flops_per_s
from search.exam.profiles import CaseProfile, Measured, measured_cases
from search.exam.settings import ExamSettings
from search.files.paths import cache_dir, shown
from search.study.signals import StopRequest
from search.worker.device import Device, lock_names, resolve
from search.worker.locks import exclusive, holder_of

WARM_STEPS, STEPS = 10, 10
ENDLESS = 10**9
ENDED = "its process ended while it was profiled"


def profile_all(config: StudyConfig, settings: ExamSettings, folder: ExamFolder, stop: StopRequest) -> int:
    """Until nothing is left, `stop` was requested, or a kernel failed. The exit status."""
    form = folder.read_variants()
    if form is None:
        raise UserError(f"{shown(folder.variants_file)} is not there: the step variants comes first")
    corpus, device = load(config.data, cache_dir()), resolve(config.device)
    profiles = list(folder.read_profiles())
    peaks: dict[str, float | None] = {}
    locks = lock_names(device, ())
    left = [case for case in measured_cases(form.measured) if case.name not in {one.name for one in profiles}]
    while left and not stop.requested:
        case = left.pop(0)
        values = changed(form.values_of(case.case, case.base), {"train.max_steps": ENDLESS})
        folder.write_profiles([*profiles, CaseProfile(case.name, reason=ENDED)])
        with exclusive(locks, holder_of(config.study.name), config.device.wait):
            one = _profile(case, RunConfig.from_mapping(values), corpus, device, peaks)
        profiles.append(one)
        folder.write_profiles(profiles)
        print(f"{case.name}: {one.reason or _shares(one)}", flush=True)
        if one.reason:
            break
    return MORE if left else 0


def _profile(
    case: Measured, config: RunConfig, corpus: Corpus, device: Device, peaks: dict[str, float | None]
) -> CaseProfile:
    matmuls = PRECISIONS[config.train.precision].matmuls
    try:
        if matmuls not in peaks:
            peaks[matmuls] = peak_flops_per_s(device, matmuls)
        found = profiled(config, corpus, device, case.time_s)
    except Exception as error:  # a kernel's own failure is a line of the table
        return CaseProfile(case.name, reason=one_line(error))
    batch_size, context = batch_shape(WARM_STEPS, config)
    work = _work(config, corpus, batch_size, context)
    return CaseProfile(
        case.name,
        wall_s=found.wall_s,
        by_part_s={part.value: time_s for part, time_s in found.by_part_s.items()},
        tokens=batch_size * context * config.train.grad_accum,
        matmul_flops=None if work is None else sum(work.matmul_flops.values()),
        flops=None if work is None else work.flops,
        bytes_moved=None if work is None else work.bytes_moved,
        peak_flops_per_s=peaks[matmuls],
    )


def _work(config: RunConfig, corpus: Corpus, batch_size: int, context: int) -> Work | None:
    try:
        return step_work(config, corpus.vocab_size, batch_size, context)
    except UncountedWork:
        return None


def _shares(one: CaseProfile) -> str:
    return ", ".join(f"{part} {time_s / one.wall_s:.0%}" for part, time_s in one.by_part_s.items())


def profiled(config: RunConfig, corpus: Corpus, device: Device, step_s: float) -> Spent:
    """Of one step, on average. `step_s`: seconds of a step that no profiler watched.

    Kernels of a GPU last as long under the profiler as without it, so they are held against `step_s`, and
    what it leaves are gaps. On a CPU the profiler makes every operator slower, so the steps that it watched
    are themselves what shares are of.
    """
    run = train(config, corpus, device.torch_device, lambda results: ENDLESS)
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    with closing(run):
        while next(run).step < WARM_STEPS:
            pass
        device.synchronize()
        with profile(activities=activities) as profiler:
            began_s = time.perf_counter()
            for _ in range(STEPS):
                next(run)
            device.synchronize()
            watched_s = time.perf_counter() - began_s
    events = [one for one in profiler.events() if not one.is_user_annotation]
    if not on_gpu:
        return _a_step(
            spent_by_operators(((one.name, 1e-6 * one.self_cpu_time_total) for one in events), watched_s)
        )
    kernels = [
        Kernel(one.name, 1e-6 * one.time_range.start, 1e-6 * one.time_range.end)
        for one in events
        if one.device_type == DeviceType.CUDA
    ]
    return _a_step(spent(kernels, STEPS * step_s))


def _a_step(whole: Spent) -> Spent:
    return Spent(whole.wall_s / STEPS, {part: time_s / STEPS for part, time_s in whole.by_part_s.items()})
