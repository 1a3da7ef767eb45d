"""What the time of a training step goes into, by the names of the kernels or operators that ran. Pure.

A name says what a kernel does, more or less: libraries name theirs after the routine, Triton after the
operators that it fuses. What is not recognised counts as bound by memory, which all but matrix products and
attention are in a transformer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    MATRIX_PRODUCTS = "matrix products"
    ATTENTION = "fused attention"
    COPIES = "copies"
    MEMORY_BOUND = "other kernels, bound by memory"
    GAPS = "gaps: no kernel runs"


# In this order: a fused attention kernel is named after the matrix products in it, too.
_NAMES = (
    (Part.ATTENTION, r"flash|fmha|scaled_dot_product|flex_attention|cudnn.*attention|sdpa"),
    (Part.MATRIX_PRODUCTS, r"gemm|gemv|cutlass|cublas|nvjet|xmma|mkldnn_(linear|matmul)|triton_tem.*mm"),
    (Part.MATRIX_PRODUCTS, r"^aten::(mm|addmm|bmm|baddbmm|addbmm|matmul|linear|_scaled_mm|dot|mv|addmv)$"),
    (Part.COPIES, r"memcpy|memset|^aten::(copy_|_to_copy|clone|contiguous)$"),
)
_PATTERNS = tuple((part, re.compile(pattern, re.IGNORECASE)) for part, pattern in _NAMES)


@dataclass(frozen=True)
class Kernel:
    """One that ran, from `start_s` to `end_s` of the profiler's clock."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Spent:
    """Of `wall_s` seconds of training: seconds by part. They add up to `wall_s` where no two kernels ran at
    once."""

    wall_s: float
    by_part_s: dict[Part, float]

    def share(self, part: Part) -> float:
        return self.by_part_s[part] / self.wall_s


def part_of(name: str) -> Part:
    return next((part for part, pattern in _PATTERNS if pattern.search(name)), Part.MEMORY_BOUND)


def spent(kernels: Sequence[Kernel], wall_s: float) -> Spent:
    """Of the kernels of a device that ran within `wall_s` seconds. Gaps are what none of them covers."""
    seconds = dict.fromkeys(Part, 0.0)
    for one in kernels:
        seconds[part_of(one.name)] += one.end_s - one.start_s
    seconds[Part.GAPS] = max(0.0, wall_s - covered_s((one.start_s, one.end_s) for one in kernels))
    return Spent(wall_s, seconds)


def covered_s(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans (start, end)."""
    total = 0.0
    reached = float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def spent_by_operators(self_times_s: Iterable[tuple[str, float]], wall_s: float) -> Spent:
    """On a CPU, whose operators call each other: by name, each with the seconds that it spent itself. Gaps
    are Python and what torch does between operators."""
    seconds = dict.fromkeys(Part, 0.0)
    for name, time_s in self_times_s:
        seconds[part_of(name)] += time_s
    seconds[Part.GAPS] = max(0.0, wall_s - sum(seconds.values()))
    return Spent(wall_s, seconds)


def utilisation(matmul_flops: float, time_s: float, peak_flops_per_s: float) -> float:
    """Model FLOP utilisation: the operations of the model's matrix products, forward and backward and nothing
    computed twice, over those that the device could have done meanwhile (Chowdhery et al., "PaLM",
    arXiv 2204.02311, appendix B)."""
    return matmul_flops / (time_s * peak_flops_per_s)
