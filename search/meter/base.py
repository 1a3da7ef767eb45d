"""What a meter is: something that reads a cumulative number of joules, and says how far that can be trusted.

A meter never returns a made-up number. A reading that cannot be had is a `Reading` whose `energy_j` is None
and whose `problem` says why; what a window between two readings is worth is decided in
`search.energy.account`, not here.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from model.config import RunConfig
from model.generation import Generation
from search.energy.account import Reading
from search.energy.counter_check import Counter
from search.record.flags import Flag
from search.record.meter_info import Kind

__all__ = ["Meter", "MeterSpec", "MeteredDevice", "Reading", "Siblings", "WorkDone"]


@dataclass(frozen=True)
class MeterSpec:
    """What is known of a meter, for the record.

    `gain_error` is how far its joules may be off by a constant factor, as a fraction; None where nobody
    knows, as for coefficients that a user sets.
    """

    name: str
    kind: Kind
    counter: Counter
    devices: tuple[str, ...]  # UUIDs, "cpu", or RAPL package names
    settings: Mapping[str, Any] = field(default_factory=dict)
    gain_error: float | None = None


@dataclass
class WorkDone:
    """What a run has computed so far. The run keeps it current; a modelled meter reads it instead of a
    sensor.

    `steps` counts optimizer steps, `evaluated_tokens` those that went through the model in evaluations,
    `compiles` compilations that are done, `generations` how often each text was generated.
    """

    config: RunConfig
    vocab_size: int
    steps: int = 0
    evaluated_tokens: int = 0
    compiles: int = 0
    generations: Counts[Generation] = field(default_factory=Counts)


@dataclass
class Siblings:
    """The cores that other runs of the same study are kept to, and whether such runs may go on now."""

    cores: tuple[int, ...] = ()
    busy: bool = False

    def __call__(self) -> tuple[int, ...]:
        """Those whose load is not foreign."""
        return self.cores if self.busy else ()


class MeteredDevice(Protocol):
    """The device that trains, as far as a meter must know it: torch's `type` ("cpu", "cuda") and `index`, a
    logical CUDA index or UUID in `gpu` (None on a CPU), those of all GPUs on which a run may train in `gpus`
    (in the order of their ranks), whether "cuda" means AMD's GPUs (`rocm`), and the cores on which other runs
    of the same study may go on (`siblings`)."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def gpu(self) -> str | None: ...
    @property
    def gpus(self) -> tuple[str, ...]: ...
    @property
    def index(self) -> int: ...
    @property
    def rocm(self) -> bool: ...
    @property
    def siblings(self) -> Siblings: ...


class Meter(Protocol):
    """What a run asks of a meter. It calls `start`, then `read` at phase boundaries and a few times a second
    in between, then `stop`, `flags` and `observed`; then the next run starts.

    `read` must cost well under a millisecond. `start`, `read`, `stop`, `flags` and `observed` must not raise:
    trouble goes into `Reading.problem`.
    """

    @property
    def spec(self) -> MeterSpec: ...

    def start(self, work: WorkDone | None = None) -> None:
        """A run begins: forget what was seen of the one before. `work` is None outside a run (idle power)."""
        ...

    def read(self) -> Reading: ...

    def stop(self) -> None:
        """The run has ended: whatever samples in the background stops. May be called twice."""
        ...

    def flags(self) -> Sequence[Flag]:
        """Sorted names of what was seen since `start` that makes the run doubtful: foreign load,
        throttling, ..."""
        ...

    def observed(self) -> Mapping[str, Any]:
        """JSON values worth keeping beside the joules of the run since `start`: clocks, power limits, ..."""
        ...

    def close(self) -> None:
        """Lets go of the device; a later `read` gives a problem. May be called twice."""
        ...
