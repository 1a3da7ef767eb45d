"""A count and its noun, for sentences that people read."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `10 runs`, `1,000 runs`; `plural` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
