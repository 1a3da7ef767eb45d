"""What kind of lever a parameter is: of the model, of the training, of the kernel that computes the same, or
of the device that it runs on.

A kernel may save energy at an equal loss curve; another function changes what is learnt. Which values of a
parameter are kernels of one function stands in the tables of variants (`model.tables.functions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from model.tables import TABLES, functions

# Keys without a table that change how the same is computed.
_OF_KERNELS = frozenset({"train.compile", "train.processes", "optimizer.ns_dtype"})


class Lever(StrEnum):
    MODEL = "model"
    TRAINING = "training"
    KERNEL = "kernel"
    DEVICE = "device"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Lever.MODEL: "another network, which computes something else",
    Lever.TRAINING: "the same network, trained otherwise",
    Lever.KERNEL: "the same computation, but for rounding, by other code",
    Lever.DEVICE: "the same computation to the last digit, on a GPU held to less power or to one clock",
}


def lever_of(path: str, values: Iterable[object]) -> Lever:
    """The lever of a parameter that takes these values. If they do not all compute the same function, its
    path says whether the model or the training changes."""
    kernels = path in _OF_KERNELS or (path in TABLES and len(by_function(path, values)) <= 1)
    if kernels:
        return Lever.KERNEL
    if path.startswith("device."):
        return Lever.DEVICE
    return Lever.MODEL if path.startswith("model.") else Lever.TRAINING


def by_function(path: str, values: Iterable[object]) -> tuple[tuple[str, ...], ...]:
    """The values of a parameter, grouped by the function that they compute according to its table of
    variants. A value that the table no longer has is a group of its own. Empty where there is no table."""
    if path not in TABLES:
        return ()
    wanted = list(dict.fromkeys(str(value) for value in values))
    groups = [tuple(name for name in wanted if name in group) for group in functions(path)]
    known = {name for group in groups for name in group}
    return (*(group for group in groups if group), *((name,) for name in wanted if name not in known))


def in_words(path: str, values: Iterable[object]) -> str:
    """`sdpa, manual | sliding_window`: kernels of one function by commas, other functions apart."""
    values = list(dict.fromkeys(values))
    if groups := by_function(path, values):
        return " | ".join(", ".join(group) for group in groups)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) > _LISTED:
        return f"{min(numbers):.4g} to {max(numbers):.4g}"
    return ", ".join(map(_word, values))


def _word(value: object) -> str:
    if value is None:
        return "null"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_LISTED = 4  # numbers: more are told by their range
