"""What a trained model takes to generate text: how it is measured, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.generation import Generation

SINGLE = 1
"""The batch whose joules a token are the objective: one text at a time, as a person waits for it."""


@dataclass(frozen=True)
class InferencePlan:
    """Generation at a batch of 1 and at the largest of `batch_sizes` that fits the device's memory. It is
    repeated for `window_s` seconds at least, and as long as the meter's update period asks for, but no
    further repetition begins after `limit_s`."""

    batch_sizes: tuple[int, ...]
    prompt_tokens: int
    tokens: int
    window_s: float
    limit_s: float

    @property
    def larger_batches(self) -> tuple[int, ...]:
        """Those above 1, the largest first."""
        return tuple(sorted({size for size in self.batch_sizes if size > SINGLE}, reverse=True))

    def generation(self, batch_size: int) -> Generation:
        return Generation(batch_size, self.prompt_tokens, self.tokens)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> InferencePlan:
        return InferencePlan(**{**data, "batch_sizes": tuple(data["batch_sizes"])})


@dataclass(frozen=True)
class BatchInference:
    """One batch size: what `generations` repetitions took together.

    `tokens` counts those that were generated, of all sequences and repetitions; the prompts' joules are in
    `energy_j`. `recomputed` of them took a pass over the whole context. `energy_j` is None where it is
    unknown, and `reason` says why. `energy_error_j` bounds what the meter's update period and resolution may
    have moved into or out of it.
    """

    batch_size: int
    generations: int = 0
    tokens: int = 0
    recomputed: int = 0
    energy_j: float | None = None
    energy_error_j: float | None = None
    time_s: float = 0.0
    reason: str = ""

    @property
    def energy_j_per_token(self) -> float | None:
        return None if self.energy_j is None else self.energy_j / self.tokens


@dataclass(frozen=True)
class Inference:
    """Each sequence has a prompt of `prompt_tokens`, to which `tokens` are added. `uncached`: why no keys and
    values were kept between them; empty where they were."""

    prompt_tokens: int
    tokens: int
    batches: tuple[BatchInference, ...]
    uncached: str = ""

    def at(self, batch_size: int) -> BatchInference | None:
        return next((one for one in self.batches if one.batch_size == batch_size), None)

    @property
    def energy_j_per_token(self) -> float | None:
        """Of a batch of 1; None where it is unknown."""
        single = self.at(SINGLE)
        return None if single is None else single.energy_j_per_token

    @property
    def reason(self) -> str:
        """Why that is unknown; empty where it is known."""
        single = self.at(SINGLE)
        return "no batch of 1 was generated" if single is None else single.reason

    def to_dict(self) -> dict[str, Any]:
        """A JSON value, in which each batch also says its joules a token. `from_dict` is its inverse."""
        batches = [vars(one) | {"energy_j_per_token": one.energy_j_per_token} for one in self.batches]
        return vars(self) | {"batches": batches}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Inference:
        derived = ("energy_j_per_token",)
        batches = [{key: one[key] for key in one if key not in derived} for one in data["batches"]]
        return Inference(**{**data, "batches": tuple(BatchInference(**one) for one in batches)})
