"""Entries of a space in a line each, a space with one of every kind, and suggesters to draw from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.config.schema import StudyConfig
from search.space.model import Space, Suggest
from search.space.parse import parse_space

BASE: Mapping[str, Any] = StudyConfig().run_values()


def parse(raw: Mapping[str, Any]) -> Space:
    return parse_space(raw, BASE)


def drawn_from(draw: Any) -> Suggest:
    """A suggester that takes any value a distribution holds, drawn by hypothesis."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return draw(st.sampled_from(distribution.choices))
        if isinstance(distribution, IntDistribution):
            count = (distribution.high - distribution.low) // distribution.step
            return distribution.low + distribution.step * draw(st.integers(0, count))
        assert isinstance(distribution, FloatDistribution)
        return draw(st.floats(distribution.low, distribution.high))

    return suggest


def always(**values: Any) -> Suggest:
    """A suggester of fixed values by the last part of a path; where none is given, the low end."""

    def suggest(path: str, distribution: BaseDistribution) -> Any:
        name = path.rpartition(".")[2]
        if name in values:
            return values[name]
        return (
            distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low
        )  # type: ignore[attr-defined]

    return suggest


def int_entry(**keys: Any) -> dict[str, Any]:
    return {"type": "int", "low": 1, "high": 8, **keys}


def float_entry(**keys: Any) -> dict[str, Any]:
    return {"type": "float", "low": 0.001, "high": 0.1, **keys}


def choice_entry(*choices: Any, **keys: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **keys}


LR, LAYERS, HEADS, WIDTH, ATTENTION = (
    "optimizer.lr",
    "model.n_layer",
    "model.n_head",
    "model.n_embd",
    "model.attention",
)


DEMO = {
    "model": {
        "n_head": choice_entry(2, 4, 8),
        "n_embd": int_entry(low=96, high=192, step=32, multiple_of=HEADS),
    },
    "optimizer": {"lr": float_entry(log=True)},
    "schedule": {
        "name": choice_entry("cosine", "trapezoid"),
        "cooldown_fraction": float_entry(low=0.2, high=0.8, when={"schedule.name": ["trapezoid"]}),
    },
    "train": {"precision": choice_entry("fp32", "bf16"), "compile": choice_entry(False, True)},
}
