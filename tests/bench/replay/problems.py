"""The problems of the replay benchmark: recorded runs, the world fitted on them, and its best recipe.

`shakespeare_char_cpu.parquet` was recorded on two virtual cores of an AMD EPYC (AVX-512, bf16), torch 2.13.0,
`cpu_time`, two runs side by side all the time: its joules compare with each other, and not with those of a
quiet machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from replay import surrogate as surrogate_module
from replay.composing import composed
from replay.surrogate import Run, Surrogate
from replay.world import World

from search.config.checks import check_study
from search.config.schema import StudyConfig
from search.files.paths import cache_dir
from search.record.crossing import CurvePoint, find_crossing
from search.record.record import Record
from search.sampling.encoding import decoded, encoded, fixed_dimensions
from search.sampling.proposal import derived_seed, draw_at_random
from search.space.model import Params, Space
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

HERE = Path(__file__).parent
STEPS = "train.max_steps"
# A recipe is judged at lengths that part the range of the space evenly, by their logarithm, and at some
# beyond it, since the confirmation fits a length whatever the space allows.
WITHIN, BEYOND = 12, 3
# The best recipe is looked for among so many random ones, then so often around the best so far.
RANDOM_LOOKS, ROUNDS, KEPT, PARENTS = 2_000, 16, 200, 40


@dataclass(frozen=True)
class Spec:
    """A study's overrides, and of its text what a replay needs to know. So many runs are recorded at random,
    and near the best of those. A replayed study ends once its trials have taken `baselines` times the joules
    of the baseline."""

    overrides: tuple[str, ...]
    validation_tokens: int
    vocab_size: int
    at_random: int
    near_best: int
    baselines: float = 4.0

    @property
    def file(self) -> Path:
        """Where its recorded runs are kept."""
        return HERE / f"{self.overrides[0].removeprefix('+study=')}.parquet"


# What came to a space after its runs were recorded is held at the baseline's value.
_NO_RAMP = "space.schedule.context_ramp_from={type: categorical, choices: [1.0]}"
PROBLEMS = {
    "char_cpu": Spec(("+study=shakespeare_char_cpu", "space=char_cpu", _NO_RAMP), 55_744, 65, 300, 150),
    "sparse_parity": Spec(("+study=sparse_parity",), 11_776, 2, 120, 50, 60.0),
}


class Fit(NamedTuple):
    """The shortest schedule whose mean end loss meets the target, and its training joules; else inf."""

    steps: float
    joules: float


@dataclass
class Problem:
    """`lengths`: of schedules, a grid to fit on."""

    config: StudyConfig
    space: Space
    world: World
    lengths: Sequence[int]
    fits: dict[str, Fit] = field(default_factory=dict)
    best_j: float = math.inf

    @cached_property
    def baseline_j(self) -> float:
        """Training joules of the baseline until it crosses the target, by a line between its evaluations; of
        all of it where it never does."""
        run = self.world.baseline
        curve = [
            CurvePoint(step, 0, loss, 0.0, run.train_j * step / run.steps, 0.0)
            for step, loss in zip(run.step, run.loss, strict=True)
        ]
        crossing = find_crossing(curve, self.target_loss)
        return run.train_j if crossing is None else crossing.energy_interpolated_j

    @property
    def target_loss(self) -> float:
        assert isinstance(self.config.target_loss, float)
        return self.config.target_loss

    def worths_j(self, configurations: Sequence[Mapping[str, Any]]) -> list[float]:
        """Training joules of each at the shortest schedule whose mean end loss meets the target; inf where
        none of `lengths` does."""
        return [fit.joules for fit in self.fitted(configurations)]

    def fitted(self, configurations: Sequence[Mapping[str, Any]]) -> list[Fit]:
        keys = [_key(params) for params in configurations]
        new = {key: params for key, params in zip(keys, configurations, strict=True) if key not in self.fits}
        grid = [dict(params) | {STEPS: steps} for params in new.values() for steps in self.lengths]
        predicted = iter(self.world.surrogate.predict(grid) if grid else ())
        for key in new:
            row = [next(predicted) for _ in self.lengths]
            self.fits[key] = _shortest(
                self.lengths, [one.end_loss for one in row], [one.step_j for one in row], self.target_loss
            )
        return [self.fits[key] for key in keys]


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps({path: value for path, value in params.items() if path != STEPS}, sort_keys=True)


def _shortest(
    lengths: Sequence[int], losses: Sequence[float], step_j: Sequence[float], target_loss: float
) -> Fit:
    """At the first length whose loss meets the target, and the next one's does, so that one prediction alone
    is not believed; the longest that the space allows needs no next one, nor do those beyond it. Between
    lengths by a line over ln(steps)."""
    met = [loss <= target_loss for loss in losses]
    first = next((k for k in range(len(lengths)) if met[k] and (k >= WITHIN or met[k + 1])), None)
    if first is None:
        return Fit(math.inf, math.inf)
    steps = float(lengths[first])
    if first > 0:
        share = (losses[first - 1] - target_loss) / (losses[first - 1] - losses[first])
        steps = math.exp(math.log(lengths[first - 1]) + share * math.log(lengths[first] / lengths[first - 1]))
    return Fit(steps, steps * step_j[first])


def opened(
    spec: Spec, file: Path | None = None, random_looks: int = RANDOM_LOOKS, rounds: int = ROUNDS
) -> Problem:
    """The problem with its best recipe known. `file`: another one than the committed."""
    config = composed([*spec.overrides])
    config.confirm.candidates, config.noise.runs = 0, 1
    space = check_study(config)
    runs = runs_of(file or spec.file)
    (baseline,) = [run for run in runs if run.index < 0]
    surrogate = fitted(file or spec.file, space, [run for run in runs if run.index >= 0])
    world = World(surrogate, baseline, config, spec.validation_tokens, spec.vocab_size)
    steps = next(entry for entry in space.entries if entry.path == STEPS)
    assert steps.low is not None
    assert steps.high is not None
    ratio = (steps.high / steps.low) ** (1 / WITHIN)
    lengths = [round(steps.low * ratio**place) for place in range(WITHIN + BEYOND + 1)]
    problem = Problem(config, space, world, lengths)
    problem.best_j = best_of_space(problem, random_looks, rounds)[0][0]
    return problem


def fitted(file: Path, space: Space, runs: Sequence[Run]) -> Surrogate:
    """Fitting takes a minute, so the surrogate of a file is kept, as long as nothing that it is made of
    changes."""
    of = hashlib.sha256(file.read_bytes() + Path(surrogate_module.__file__).read_bytes())
    of.update(repr(fixed_dimensions(space)).encode())
    kept = cache_dir() / "replay" / f"{of.hexdigest()[:16]}.joblib"
    if kept.exists():
        surrogate: Surrogate = joblib.load(kept)
        return surrogate
    kept.parent.mkdir(parents=True, exist_ok=True)
    surrogate = Surrogate(space, runs)
    joblib.dump(surrogate, kept)
    return surrogate


def best_of_space(problem: Problem, random_looks: int, rounds: int) -> list[tuple[float, Params]]:
    """The `KEPT` configurations that take the least joules, of those that a long look through the surrogate
    finds, the best first: at random, then by settings of the best exchanged for others."""
    space, generator = problem.space, np.random.default_rng(0)
    found: list[tuple[float, Params]] = []

    def look(configurations: Sequence[Params]) -> None:
        worths = problem.worths_j(configurations)
        found.extend((worth, params) for worth, params in zip(worths, configurations, strict=True))
        found.sort(key=lambda pair: pair[0])
        del found[KEPT:]

    look([draw_at_random(space, derived_seed(number, 1)) for number in range(random_looks)])
    for turn in range(rounds):
        tried = []
        for number in range(random_looks // 4):
            point = encoded(found[int(generator.integers(min(len(found), PARENTS)))][1], space)
            other = encoded(draw_at_random(space, derived_seed(number, turn, 2)), space)
            paths = generator.choice(sorted(point), size=int(generator.integers(1, 4)), replace=False)
            tried.append(decoded(point | {path: other[path] for path in paths}, space))
        look(tried)
    return found


def runs_of(file: Path) -> list[Run]:
    """As they were recorded, by configuration and seed, the baseline first."""
    rows = pd.read_parquet(file).to_dict("records")
    runs = [Run(**{str(key): value for key, value in row.items()}) for row in rows]
    return [replace(run, params=json.loads(str(run.params))) for run in runs]


def records_of(problem: Problem, settings: SearchSettings) -> list[Record]:
    """Those of a whole replayed study."""
    records: list[Record] = []
    while (request := next_run(records, (), settings).request) is not None:
        records.append(problem.world.run(request, records))
    return records
