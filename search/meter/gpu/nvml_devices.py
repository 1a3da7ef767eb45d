"""Which physical GPUs a run uses: what NVML lists, what CUDA_VISIBLE_DEVICES leaves of it, what was asked
for.

CUDA numbers the visible GPUs from 0 in an order of its own, NVML numbers all of them by PCI bus, and metering
the wrong one gives a plausible number. So devices are resolved to UUIDs here, by `resolve_devices`, a pure
function; `inventory` reads the machine, and `ask` is the one place where an NVML error becomes one of ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import pynvml

from search.errors import MeterUnavailable
from search.meter.gpu.library import GpuError

T = TypeVar("T")

_UNSUPPORTED = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

_ADVICE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "libnvidia-ml.so.1 was not found: install the NVIDIA driver, or start the container with its GPUs "
        "(docker: --gpus all)"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded: try `sudo modprobe nvidia`, then `nvidia-smi`"
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA driver was updated under its running kernel module: reboot, or reload the module"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not: check the permissions of /dev/nvidia*",
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        "the GPU is lost (fallen off the bus): look for Xid in `dmesg`, then reset it or reboot"
    ),
}


@dataclass(frozen=True)
class GpuInfo:
    """One physical GPU. `index` is NVML's number (by PCI bus), which need not be CUDA's."""

    uuid: str
    index: int
    name: str
    pci_bus_id: str


def ask(doing: str, call: Callable[..., T], *args: object) -> T:
    """`call(*args)` of pynvml; its errors become GpuError, one line that begins "NVML cannot {doing}"."""
    try:
        return call(*args)
    except pynvml.NVMLError as error:
        text = f"NVML cannot {doing}: {_ADVICE.get(error.value, error)}"
        raise GpuError(text, unsupported=error.value in _UNSUPPORTED) from error


def ask_or_none(call: Callable[..., T], *args: object) -> T | None:
    """`ask` for a value that a run can do without: None where it cannot be had."""
    try:
        return ask("answer", call, *args)
    except GpuError:
        return None


@contextmanager
def nvml_session() -> Iterator[None]:
    """NVML is open inside. Sessions nest: the library counts them. Raises GpuError where it cannot be
    opened."""
    ask("be opened", pynvml.nvmlInit)
    try:
        yield
    finally:
        with suppress(GpuError):  # nothing can be done about a shutdown that fails
            ask("be closed", pynvml.nvmlShutdown)


def inventory() -> tuple[GpuInfo, ...]:
    """Every GPU that NVML lists, in its order. Raises MeterUnavailable without a driver, its library, or a
    GPU."""
    with nvml_session():
        gpus = tuple(_gpu_info(index) for index in range(ask("count the GPUs", pynvml.nvmlDeviceGetCount)))
    if not gpus:
        raise MeterUnavailable(
            "NVML works but lists no GPU: give this machine or container one, or use meter=auto"
        )
    return gpus


def visible_uuids(wanted: Sequence[str]) -> tuple[str, ...]:
    """Of the GPUs behind `wanted` (see `resolve_devices`) in this process' environment; of every visible one
    where it is empty. Raises MeterUnavailable and ValueError as that does."""
    visible, order = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER")
    return tuple(gpu.uuid for gpu in resolve_devices(inventory(), visible, order, wanted))


def _gpu_info(index: int) -> GpuInfo:
    doing = f"describe GPU {index}"
    handle = ask(doing, pynvml.nvmlDeviceGetHandleByIndex, index)
    return GpuInfo(
        uuid=ask(doing, pynvml.nvmlDeviceGetUUID, handle),
        index=index,
        name=ask(doing, pynvml.nvmlDeviceGetName, handle),
        pci_bus_id=pci_bus_id(handle, doing),
    )


def pci_bus_id(handle: object, doing: str) -> str:
    """Domain, bus, device and function of an NVML handle, as nvidia-smi prints it ("00000000:01:00.0")."""
    bus_id = ask(doing, pynvml.nvmlDeviceGetPciInfo, handle).busId
    return bus_id.decode() if isinstance(bus_id, bytes) else str(bus_id)


def resolve_devices(
    inventory: Sequence[GpuInfo], visible: str | None, order: str | None, wanted: Sequence[str]
) -> tuple[GpuInfo, ...]:
    """The physical GPUs behind `wanted`, in its order.

    `visible` and `order` are the values of CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, None where unset.
    `wanted` holds logical CUDA indices ("0") or UUIDs, which may be abbreviated ("GPU-8932f9"); empty means
    every visible GPU, the i-th being cuda:i.

    Raises MeterUnavailable where a GPU is hidden or missing, for MIG slices, and where CUDA's numbering
    cannot be known: its default order is by speed, which NVML does not tell, so on a machine with several
    models an index means something only under CUDA_DEVICE_ORDER=PCI_BUS_ID. Raises ValueError for names of
    another form, and for a GPU named twice (its joules would count twice).
    """
    for entry in (*(visible or "").split(","), *wanted):
        _refuse_mig(entry.strip())
    for name in wanted:
        if not re.fullmatch(r"[0-9]+|GPU-.*", name):
            raise ValueError(f"a GPU is a CUDA index such as 0, or a UUID such as GPU-8932f937, got {name!r}")
    by_bus = sorted(inventory, key=lambda gpu: gpu.index)
    if visible is not None and visible.startswith("GPU-"):
        visible_gpus = _visible_by_uuid(by_bus, visible)
    elif visible is not None:
        visible_gpus = _visible_by_index(by_bus, visible)
        _refuse_unknown_order(by_bus, order, numbered=bool(visible_gpus))
    else:
        visible_gpus = by_bus
        numbered = not wanted or not all(name.startswith("GPU-") for name in wanted)
        _refuse_unknown_order(by_bus, order, numbered=numbered)
    if not visible_gpus:
        raise MeterUnavailable(f"no GPU is visible: CUDA_VISIBLE_DEVICES={visible!r} hides all {len(by_bus)}")
    chosen = tuple(_pick(visible_gpus, name, visible) for name in wanted) if wanted else tuple(visible_gpus)
    if len({gpu.uuid for gpu in chosen}) < len(chosen):
        raise ValueError(f"each GPU may be named once, got {', '.join(wanted)}")
    return chosen


def _refuse_mig(entry: str) -> None:
    if entry.startswith("MIG-"):
        raise MeterUnavailable(
            f"{entry} is a MIG slice, and the energy counter is the whole GPU's: name a GPU without MIG"
        )


def _refuse_unknown_order(gpus: Sequence[GpuInfo], order: str | None, *, numbered: bool) -> None:
    models = sorted({gpu.name for gpu in gpus})
    if numbered and order != "PCI_BUS_ID" and len(models) > 1:
        raise MeterUnavailable(
            f"which GPU a CUDA index means is unknown with different models ({', '.join(models)}): "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID"
        )


def _visible_by_index(gpus: Sequence[GpuInfo], visible: str) -> list[GpuInfo]:
    """CUDA's reading: leading digits count ("1gpu" is 1), the first entry that is no GPU's hides itself and
    the rest, and a repeated one hides everything. An entry that is a UUID among indices ends the list too."""
    found: list[GpuInfo] = []
    for entry in visible.split(","):
        number = re.match(r"\s*\+?([0-9]+)", entry)
        if number is None or int(number[1]) >= len(gpus):
            break
        found.append(gpus[int(number[1])])
    return _unless_repeated(found)


def _visible_by_uuid(gpus: Sequence[GpuInfo], visible: str) -> list[GpuInfo]:
    """The same rules for UUIDs or their beginnings; one that fits no GPU, or several, ends the list."""
    found: list[GpuInfo] = []
    for entry in visible.split(","):
        matches = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
        if len(matches) != 1:
            break
        found.append(matches[0])
    return _unless_repeated(found)


def _unless_repeated(found: list[GpuInfo]) -> list[GpuInfo]:
    return found if len({gpu.uuid for gpu in found}) == len(found) else []


def _pick(gpus: Sequence[GpuInfo], name: str, visible: str | None) -> GpuInfo:
    if name.startswith("GPU-"):
        matches = [gpu for gpu in gpus if gpu.uuid.startswith(name)]
    else:
        matches = list(gpus[int(name) : int(name) + 1])
    if len(matches) == 1:
        return matches[0]
    where = "" if visible is None else f" under CUDA_VISIBLE_DEVICES={visible!r}"
    listed = ", ".join(f"{index}={gpu.uuid}" for index, gpu in enumerate(gpus))
    raise MeterUnavailable(
        f"{name} is {'several GPUs' if matches else 'no visible GPU'}{where}; CUDA sees {listed}"
    )
