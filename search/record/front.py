"""Pareto front of minimised objectives: plain numbers in, indices out.

Optuna's own front is of its trials; the private function below it finds the same points and lets
NaN through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]


def dominates(a: Point, b: Point) -> bool:
    """Whether `a` is no worse than `b` in every objective and better in at least one.

    Equal points do not dominate each other. Raises ValueError where the lengths differ or a value is NaN:
    a comparison with an unknown value has no answer.
    """
    _check((a, b), len(a))
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def pareto_front(points: Sequence[Point]) -> tuple[int, ...]:
    """Indices of the points that no other point dominates, in the order given; duplicates are all kept.

    O(n^2) in the number of points, which are the trials of one study. Raises ValueError as `dominates` does.
    """
    if points:
        _check(points, len(points[0]))
    # A point can only be dominated by one that comes before it in lexicographic order.
    order = sorted(range(len(points)), key=lambda i: tuple(points[i]))
    kept: list[int] = []
    for i in order:
        if not any(dominates(points[j], points[i]) for j in kept):
            kept.append(i)
    return tuple(sorted(kept))


def _check(points: Sequence[Point], length: int) -> None:
    for point in points:
        if len(point) != length:
            raise ValueError(f"expected points of {length} objectives, got {len(point)}: {tuple(point)}")
        if any(math.isnan(value) for value in point):
            raise ValueError(f"expected a number in every objective, got {tuple(point)}")
