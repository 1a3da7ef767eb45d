"""The units of work: operations by precision, bytes moved, and what a kernel costs for each element."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from model.tables import PRECISIONS
from model.variant import ELEMENT_BYTES

Row = TypeVar("Row")


class UncountedWork(LookupError):
    """A variant whose work nobody has written down. The text is one line: which, and where to add it."""


@dataclass(frozen=True)
class Work:
    """Operations of matmuls by their precision, of everything else (fp32), and bytes moved."""

    matmul_flops: Mapping[str, float] = field(default_factory=dict)
    elementwise_ops: float = 0.0
    bytes_moved: float = 0.0

    @property
    def flops(self) -> Mapping[str, float]:
        """All operations by precision."""
        return (Work(self.matmul_flops) + Work({"fp32": self.elementwise_ops})).matmul_flops

    def __add__(self, other: Work) -> Work:
        ours, theirs = self.matmul_flops, other.matmul_flops
        return Work(
            {name: ours.get(name, 0.0) + theirs.get(name, 0.0) for name in sorted({*ours, *theirs})},
            self.elementwise_ops + other.elementwise_ops,
            self.bytes_moved + other.bytes_moved,
        )

    def times(self, count: float) -> Work:
        return Work(
            {name: count * flops for name, flops in self.matmul_flops.items()},
            count * self.elementwise_ops,
            count * self.bytes_moved,
        )


FP32_BYTES = ELEMENT_BYTES["fp32"]


@dataclass(frozen=True)
class Format:
    """What matmuls run in, the bytes of the tensors between them, and the `wide_bytes` of all others, which
    are cast from and to those: weights, gradients, optimizer states, the residual stream, norms.

    The loss is in fp32 at every precision. `linear`: what the linear layers of the blocks run in, where it is
    something else.
    """

    precision: str
    narrow_bytes: int
    wide_bytes: int = FP32_BYTES
    linear: str | None = None

    @property
    def cast_bytes(self) -> int:
        return 0 if self.narrow_bytes == self.wide_bytes else self.narrow_bytes + self.wide_bytes


@dataclass(frozen=True)
class Kernels:
    """Elementwise kernels, per element of the tensor that they run over: operations; elements read or
    written in fp32 or the weights' format (`wide`) and in the matmuls' (`narrow`); casts between the two,
    where they differ.
    """

    ops: float = 0.0
    wide: float = 0.0
    narrow: float = 0.0
    casts: float = 0.0


@dataclass(frozen=True)
class Elementwise:
    forward: Kernels
    backward: Kernels


NOTHING = Elementwise(Kernels(), Kernels())


def format_of(path: str, precision: str) -> Format:
    """The format of a row of `model.tables.PRECISIONS`, which the configuration path `path` chooses."""
    row = row_of(PRECISIONS, path, precision)
    return Format(row.matmuls, ELEMENT_BYTES[row.tensors], ELEMENT_BYTES[row.weights], row.linear)


def bytes_of(row: Kernels, form: Format) -> float:
    return row.wide * form.wide_bytes + row.narrow * form.narrow_bytes + row.casts * form.cast_bytes


def row_of(table: Mapping[str, Row], path: str, name: str) -> Row:
    row = table.get(name)
    if row is None:
        raise UncountedWork(f"the work of {path}={name} is not modelled; add its row to model/work/")
    return row


def total(parts: Iterable[Work]) -> Work:
    return sum(parts, start=Work())
