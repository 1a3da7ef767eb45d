"""A row of a table of variants: where the variant is, what it needs, and what it cannot do.

A row names its function as "module:function" and loads it on use, so that a configuration can be checked
against the tables without importing torch. A row only says what its limits are; `model.runnable` tells from
them what cannot run. The limits are those of torch's own checks (sdp_utils.cpp, flex_attention.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

ALL_DEVICES = frozenset({"cpu", "cuda"})
CUDA = frozenset({"cuda"})
NOWHERE: frozenset[str] = frozenset()
# The formats that tensors are kept in.
ELEMENT_BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class HeadSize:
    """What a row takes as head size, on some devices: at least and at most so many elements, in multiples of
    `multiple`, and in whole vectors of `vector_bytes`."""

    multiple: int = 1
    least: int = 1
    most: int | None = None
    vector_bytes: int = 1
    devices: frozenset[str] = ALL_DEVICES


@dataclass(frozen=True)
class Compiling:
    """Whether torch.compile of a row's part of the model is `required`, or refused; why; and what to type."""

    required: bool
    because: str
    remedy: str


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    target              "module:function"
    summary             a line for people
    reference           "module:function" of a plain function that computes the same in any format, such as
                        fp64, and that tests compare the row with. Rows with the same one are kernels of one
                        function; rows with different ones are a lever of the model
    cached              of attention: "module:function" of the newest token's attention over keys and values
                        that are kept of those before; without it they are computed again for every token
    settings            the keys of the model's configuration that these functions are given by name
    devices             the torch device types that it runs on
    modules             what must be importable
    torch               the oldest version that it is known to run with
    compute_capability  the least that it needs of a GPU, as CUDA writes it in sm_89
    bf16_only_on        the devices on which its kernel takes no fp32
    no_dropout_on       the devices on which its kernel has no dropout
    head_size           the head sizes that it takes; None: all
    least_block_size    the shortest context that it takes
    ignores             configuration paths whose settings it does not implement: they must be off
    instead             the row of the same table to type where one of those is on
    compiling           whether its part of the model must or must not be compiled; None: either
    """

    target: str
    summary: str
    reference: str = ""
    cached: str = ""
    settings: tuple[str, ...] = ()
    devices: frozenset[str] = ALL_DEVICES
    modules: tuple[str, ...] = ()
    torch: tuple[int, int] = (0, 0)
    compute_capability: int = 0
    bf16_only_on: frozenset[str] = NOWHERE
    no_dropout_on: frozenset[str] = NOWHERE
    head_size: HeadSize | None = None
    least_block_size: int = 1
    ignores: tuple[str, ...] = ()
    instead: str = ""
    compiling: Compiling | None = None

    def load(self) -> Any:
        return _load(self.target)

    def load_reference(self) -> Any:
        if not self.reference:
            raise LookupError(
                f"the row of {self.target} names no reference; write a plain function beside it and name that"
            )
        return _load(self.reference)

    def bound(self, model_config: object) -> Any:
        """What is loaded, with its settings."""
        return partial(self.load(), **self.settings_of(model_config)) if self.settings else self.load()

    def cached_bound(self, model_config: object) -> Any:
        """Its `cached` function with its settings; None where it names none."""
        if not self.cached:
            return None
        return partial(_load(self.cached), **self.settings_of(model_config))

    def settings_of(self, model_config: object) -> dict[str, Any]:
        return {name: getattr(model_config, name) for name in self.settings}


@dataclass(frozen=True)
class PrecisionRow(Variant):
    """A number format of training: what kernels are given (`tensors`), what matmuls round their inputs to
    (`matmuls`), what parameters are stored in (`weights`).

    `linear` is what the linear layers of the blocks multiply in where it is something else, and `sides` what
    every side of those matmuls must be a multiple of.
    """

    tensors: str = "fp32"
    matmuls: str = "fp32"
    weights: str = "fp32"
    linear: str | None = None
    sides: int = 1


@dataclass(frozen=True)
class CompileModeRow(Variant):
    """A mode of torch.compile. `cuda_graphs`: it records kernels once and replays them."""

    cuda_graphs: bool = False


@dataclass(frozen=True)
class CompileScopeRow(Variant):
    """How much of the model is compiled. `parts`: the configuration paths whose variants are in it."""

    parts: frozenset[str] = NOWHERE


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
