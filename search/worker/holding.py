"""GPUs held to a power limit or to one clock while a run goes on, and put back afterwards, whatever happens.

A worker puts back what it changed when its run ends. If it dies first, its parent does; if both die, the
next worker that starts on this machine does. All of that is NVML's: no CUDA is needed, and no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from model.config import DeviceConfig
from search.errors import MeterUnavailable, UserError, say
from search.meter.choose import ChosenMeter
from search.meter.gpu.controls import GpuControls, NotPermitted, settable
from search.meter.gpu.library import GpuError
from search.record.meter_info import MeterInfo
from search.worker.found import Found, by_hand, noted, read_note, remove_note, this_boot, write_note
from search.worker.locks import DeviceBusy, exclusive

OpenControls = Callable[[Sequence[str]], AbstractContextManager[Sequence[GpuControls]]]
SETTLE_S = 1.0  # how long a driver may take until what was set can be read back
LOOK_EVERY_S = 0.02
ROUNDING_MW = 500  # a driver may round a limit
ROUNDING_MHZ = 15  # and the reading of a clock, by one step
PUTTING_BACK = "a run that puts back what another left"


def _nvml(uuids: Sequence[str]) -> AbstractContextManager[Sequence[GpuControls]]:
    from search.meter.gpu.nvml_controls import nvml_controls  # the library of one vendor

    return nvml_controls(uuids)


@contextmanager
def held(
    uuids: Sequence[str],
    wanted: DeviceConfig,
    open_controls: OpenControls = _nvml,
    settle_s: float = SETTLE_S,
) -> Iterator[Mapping[str, Any]]:
    """Inside, each of these GPUs is held to what is wanted, and to nothing that an earlier run left. The
    caller holds their locks.

    Gives what was found and what was set, by UUID, for the record; empty where nothing is wanted. Raises
    UserError where a GPU does not take it, and then all are as they were. A GPU that cannot be put back keeps
    its note, and whoever uses it next puts it back first.
    """
    for uuid in uuids:
        put_back(uuid, open_controls)
    changed: dict[str, Any] = {}
    with ExitStack() as stack:
        if wanted.holds:
            with _one_line():
                for gpu in stack.enter_context(open_controls(uuids)):
                    stack.callback(_put_back_or_say, gpu)
                    changed[gpu.uuid] = _hold(gpu, wanted, settle_s)
        yield changed


def put_back(uuid: str, open_controls: OpenControls = _nvml) -> None:
    """Undo what a run that died has left of a GPU, if anything. The caller holds its lock. Raises UserError
    where it cannot be undone."""
    found = read_note(uuid)
    if found is None:
        return
    try:
        with open_controls([uuid]) as (gpu,):
            _put_back(gpu, found)
    except GpuError as error:
        raise UserError(
            f"a run that was killed left {uuid} changed: {error}; {by_hand(uuid, found)}"
        ) from error


def put_back_left_overs(open_controls: OpenControls = _nvml) -> None:
    """Undo what runs that died have left, on every GPU that no run holds now. What cannot be undone stays
    noted; whoever wants that GPU is told."""
    with suppress(UserError, OSError):
        for uuid in noted():
            with suppress(UserError, MeterUnavailable, OSError), exclusive([uuid], PUTTING_BACK, wait=False):
                put_back(uuid, open_controls)


def check_gpus(uuids: Sequence[str], to_hold: bool, open_controls: OpenControls = _nvml) -> None:
    """Raises UserError where what a run that died has left of one of these GPUs cannot be undone, or, if they
    are `to_hold`, where this user may not set them. Who may is tried by setting the limit that holds already.
    A GPU that another run holds is passed over."""
    for uuid in uuids if to_hold else set(uuids).intersection(noted()):
        with suppress(DeviceBusy), exclusive([uuid], PUTTING_BACK, wait=False):
            put_back(uuid, open_controls)
            if to_hold:
                _ask_permission(uuid, open_controls)


def limits_as_found() -> dict[str, float]:
    """By UUID, in watts: of GPUs that a run holds to another power limit now, the one that it found."""
    found = {}
    for uuid in noted():
        with suppress(UserError):  # `check_gpus` tells whom it concerns
            note = read_note(uuid)
            if note is not None and note.power_limit_mw is not None:
                found[uuid] = note.power_limit_mw / 1000
    return found


def as_found(meter: ChosenMeter, limits_w: Mapping[str, float]) -> ChosenMeter:
    """The meter, whose settings say the limits that its GPUs are put back to. What kind of device it is does
    not depend on what a run of this or another study sets at this moment."""
    settings = dict(meter.info.settings)
    if "gpus" not in settings:
        return meter
    settings["gpus"] = [
        {**gpu, "power_limit_w": limits_w[gpu["uuid"]]} if gpu.get("uuid") in limits_w else gpu
        for gpu in settings["gpus"]
    ]
    info = MeterInfo(meter.info.name, meter.info.kind, meter.info.chosen_because, settings)
    return replace(meter, info=info)


@dataclass(frozen=True)
class Holdable:
    """What the ranking meter's GPUs can be held to, in the words of `model.capabilities.Capabilities`."""

    power_limits_w: tuple[float, ...] = ()
    sm_clocks_mhz: tuple[int, ...] = ()
    held_not: str = ""


def metered_gpus(meters: Sequence[ChosenMeter]) -> tuple[str, ...]:
    """UUIDs of the GPUs whose joules rank, of those that NVML can set."""
    spec = meters[0].meter.spec
    return spec.devices if spec.name == "nvml" else ()


def holdable(meters: Sequence[ChosenMeter], open_controls: OpenControls = _nvml) -> Holdable:
    """What the GPUs of a run can be held to. Asks them, and changes nothing."""
    uuids = metered_gpus(meters)
    if not uuids:
        return Holdable(held_not=f"meter {meters[0].info.name} reads no GPU through NVML")
    try:
        with open_controls(uuids) as gpus:
            found = settable(gpus)
    except GpuError as error:
        return Holdable(held_not=str(error))
    return Holdable(found.power_limits_w, found.sm_clocks_mhz)


def _hold(gpu: GpuControls, wanted: DeviceConfig, settle_s: float) -> dict[str, Any]:
    limit_w, clock_mhz = wanted.power_limit_w, wanted.sm_clock_mhz
    found_mw = None if limit_w is None else gpu.power_limit_mw()
    write_note(gpu.uuid, Found(found_mw, clock_mhz is not None, this_boot()))
    changed: dict[str, Any] = {}
    if limit_w is not None and found_mw is not None:
        _set_limit(gpu, round(1000 * limit_w), settle_s)
        changed["power_limit_w"] = {"found": found_mw / 1000, "set": limit_w}
    if clock_mhz is not None:
        _fix_clock(gpu, clock_mhz, settle_s)
        changed["sm_clock_mhz"] = {"found": None, "set": clock_mhz}
    return changed


def _set_limit(gpu: GpuControls, limit_mw: int, settle_s: float) -> None:
    gpu.set_power_limit(limit_mw)

    def holds() -> bool:
        enforced_mw = gpu.enforced_limit_mw()
        read_mw = [gpu.power_limit_mw(), *([] if enforced_mw is None else [enforced_mw])]
        return all(abs(value - limit_mw) <= ROUNDING_MW for value in read_mw)

    if not _comes_true(holds, settle_s):
        raise UserError(
            f"{gpu.uuid} was set to {limit_mw / 1000:g} W, says {_watts(gpu.power_limit_mw())} and holds "
            f"{_watts(gpu.enforced_limit_mw())}; type device.power_limit_w=null"
        )


def _fix_clock(gpu: GpuControls, mhz: int, settle_s: float) -> None:
    """An idle GPU may run slower than it was told, a faster one was not told."""
    gpu.fix_sm_clock(mhz)

    def holds() -> bool:
        now_mhz = gpu.sm_clock_mhz()
        return now_mhz is None or now_mhz <= mhz + ROUNDING_MHZ

    if not _comes_true(holds, settle_s):
        raise UserError(
            f"{gpu.uuid} was fixed at {mhz} MHz and runs at {gpu.sm_clock_mhz()} MHz; type "
            "device.sm_clock_mhz=null"
        )


def _comes_true(holds: Callable[[], bool], within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() >= until_s:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _watts(milliwatts: int | None) -> str:
    return "an unknown limit" if milliwatts is None else f"{milliwatts / 1000:g} W"


def _put_back(gpu: GpuControls, found: Found) -> None:
    if found.still_holds:
        if found.power_limit_mw is not None and gpu.power_limit_mw() != found.power_limit_mw:
            gpu.set_power_limit(found.power_limit_mw)
            if (now_mw := gpu.power_limit_mw()) != found.power_limit_mw:
                raise GpuError(f"its power limit stays at {_watts(now_mw)}")
        if found.fixes_clock:
            gpu.free_sm_clock()
    remove_note(gpu.uuid)


def _put_back_or_say(gpu: GpuControls) -> None:
    """At the end of a run, whose record must not be lost with this."""
    try:
        found = read_note(gpu.uuid)
        if found is not None:
            _put_back(gpu, found)
    except (UserError, GpuError, OSError) as error:
        say(f"{gpu.uuid} could not be put back, and the next run tries again: {error}")


def _ask_permission(uuid: str, open_controls: OpenControls) -> None:
    with _one_line(), open_controls([uuid]) as (gpu,):
        try:
            gpu.set_power_limit(gpu.power_limit_mw())
        except GpuError as error:
            if isinstance(error, NotPermitted):
                raise


@contextmanager
def _one_line() -> Iterator[None]:
    """What a GPU refuses, as something that a person can put right."""
    try:
        yield
    except NotPermitted as error:
        raise UserError(
            f"{error}; start the program as root (in a container: with the capability SYS_ADMIN), or type "
            "device.power_limit_w=null device.sm_clock_mhz=null and leave both out of the space"
        ) from error
    except GpuError as error:
        raise UserError(f"{error}; type device.power_limit_w=null device.sm_clock_mhz=null") from error
