"""Pareto front and hypervolume of minimised objectives: plain numbers in, indices and volumes out."""

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


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume of the region that `points` dominate, up to `reference`; exact for any number of objectives.

    Its unit is the product of the objectives' units. A point that is not below the reference in every
    objective adds nothing. Hypervolume by slicing objectives (HSO; While et al. 2006,
    doi:10.1109/TEVC.2005.851275): exponential in the number of objectives, meant for tens of points.
    """
    _check((*points, reference), len(reference))
    inside = [tuple(p) for p in points if all(x < r for x, r in zip(p, reference, strict=True))]
    return _slice_volume(inside, tuple(reference))


def _slice_volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """Sweep the first objective; between two neighbouring values the cross-section is one dimension lower."""
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    edges = sorted({p[0] for p in points})
    slices = []
    for low, high in zip(edges, [*edges[1:], reference[0]], strict=True):
        section = [p[1:] for p in points if p[0] <= low]
        slices.append((high - low) * _slice_volume(section, reference[1:]))
    return math.fsum(slices)


def _check(points: Sequence[Point], length: int) -> None:
    for point in points:
        if len(point) != length:
            raise ValueError(f"expected points of {length} objectives, got {len(point)}: {tuple(point)}")
        if any(math.isnan(value) for value in point):
            raise ValueError(f"expected a number in every objective, got {tuple(point)}")
