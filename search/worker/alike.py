"""Whether the devices of several workers compare. Joules of two models, power limits or drivers do not.
Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from search.worker.protocol import WorkerInfo

_OF_HARDWARE = ("device", "gpu_memory_bytes", "compute_capability")
_OF_A_GPU = ("name", "memory_bytes", "power_limit_w", "driver_version", "read_by", "scope")


def what_compares(info: WorkerInfo) -> dict[str, Any]:
    """What must be the same of two devices that train one study, in words that a person reads."""
    gpus = info.meter.settings.get("gpus") or ()
    return {
        **{key: info.hardware.get(key) for key in _OF_HARDWARE},
        "torch": info.software.get("torch"),
        "meter": info.meter.name,
        **{key: [gpu.get(key) for gpu in gpus] for key in _OF_A_GPU},
    }


def unlike(infos: Mapping[str, WorkerInfo]) -> dict[str, str]:
    """How each device differs from the first one, by its name; those that do not differ are left out."""
    if not infos:
        return {}
    first, *others = infos
    reference = what_compares(infos[first])
    found = {name: _differences(reference, what_compares(infos[name]), first) for name in others}
    return {name: said for name, said in found.items() if said}


def of_the_commonest(infos: Mapping[str, WorkerInfo]) -> dict[str, WorkerInfo]:
    """The devices of the kind that most are of, in their order; of two as common, that of the earlier one."""
    kinds = {name: json.dumps(what_compares(info), sort_keys=True) for name, info in infos.items()}
    (commonest, _), *_ = Counter(kinds.values()).most_common(1)
    return {name: info for name, info in infos.items() if kinds[name] == commonest}


def _differences(reference: Mapping[str, Any], other: Mapping[str, Any], first: str) -> str:
    differing = [key for key in reference if reference[key] != other[key]]
    return ", ".join(f"{key} {_value(other[key])} ({first}: {_value(reference[key])})" for key in differing)


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "unknown"
    return "unknown" if value is None else str(value)
