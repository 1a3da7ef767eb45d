"""Record real runs for the replay benchmark, with the product's own training and meter.

    PYTHONPATH=tests/bench python -m replay.record_runs char_cpu
    JOULESEARCH_SHARE=1/2 ... the same         every other run; 2/2 the rest, in a process beside it

Every run trains to the end of its schedule, with twenty evaluations on the way. First come configurations
drawn at random, a tenth of them with three seeds. Then come some that differ in a few settings from the best
so far: a search makes most of its runs among those, and what answers for it must be right there.

Runs are appended to `.cache/replay/STUDY-SHARE.jsonl`, and a second start goes on where the first ended.
`pack_runs.py` makes the committed file of them.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import torch
from replay.composing import composed
from replay.problems import PROBLEMS

from model.config import RunConfig
from model.progress import EvaluationResult, Progress
from model.train import train
from search.config.checks import check_study
from search.config.schema import StudyConfig
from search.files.paths import cache_dir
from search.meter.choose import choose
from search.record.outcome import Role
from search.record.record import Record
from search.run.execute import execute
from search.run.pauses import Heartbeat
from search.run.request import RunRequest
from search.sampling.encoding import decoded, encoded
from search.sampling.proposal import derived_seed, draw_at_random
from search.space.model import Params, Space
from search.study.problem import Problem, load_problem
from search.worker.device import resolve

SEEDS = 3  # of every tenth of those at random
POINTS = 20
# An evaluation ends early only where the loss is plainly above this much less than the study's target.
NEAR_TARGET = 0.05
# Which runs are the best: by joules, as if every so many nats of end loss took e times as many.
NATS_PER_E = 0.12
BEST, MOST_CHANGES = 12, 4


class Planned(NamedTuple):
    """`index` names a configuration, -1 the baseline; `seed` its seeds from 0. `near`: whether it lies near
    the best so far."""

    index: int
    seed: int
    near: bool


def plan(at_random: int, near_best: int) -> Iterator[Planned]:
    yield Planned(-1, 0, near=False)
    for index in range(at_random):
        yield Planned(index, 0, near=False)
    for index in range(0, at_random, 10):
        for seed in range(1, SEEDS):
            yield Planned(index, seed, near=False)
    for index in range(at_random, at_random + near_best):
        yield Planned(index, 0, near=True)


def main(name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    part, _, of = os.environ.get("JOULESEARCH_SHARE", "1/1").partition("/")
    spec = PROBLEMS[name]
    config = composed([*spec.overrides])
    space, problem = check_study(config), load_problem(config)
    folder = cache_dir() / "replay"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{config.study.name}-{part}of{of}.jsonl"
    run = recorder(config, problem)
    mine = [
        one
        for number, one in enumerate(plan(spec.at_random, spec.near_best))
        if number % int(of) == int(part) - 1
    ]
    done = {(line["index"], line["seed"]) for line in lines_of([file])}
    for planned in mine:
        if (planned.index, planned.seed) in done:
            continue
        best = best_of(lines_of(sorted(folder.glob(f"{config.study.name}-*.jsonl"))), config.target_loss)
        params = params_of(planned, space, problem, best)
        record, evaluated_tokens = run(space.config(params) | {"seed": seed_of(planned)})
        keep(file, planned, params, record, evaluated_tokens)
        print(planned, f"{record.best_loss}, {record.counted_energy_j:.1f} J", *record.flags, flush=True)


def seed_of(planned: Planned) -> int:
    return derived_seed(planned.index + 1, planned.seed)


def recorder(config: StudyConfig, problem: Problem) -> Callable[[Any], tuple[Record, int]]:
    """What trains values to the end, and says how many tokens its evaluations predicted."""
    device = resolve(config.device)
    meters = choose(config.meter, device)[:1]
    assert isinstance(config.target_loss, float)
    above = config.target_loss - NEAR_TARGET

    def run(values: Any) -> tuple[Record, int]:
        request = RunRequest(
            study=config.study.name,
            trial=0,
            run_id="",
            role=Role.SEARCH,
            params={},
            config=values,
            target_loss=0.0,  # so that nothing ends before its schedule
            objectives=tuple(config.objective.names),
            counted_phases=config.counted_phases,
            vocab_size=problem.corpus.vocab_size,
        )
        run_config = request.run_config()
        training = train(run_config, problem.corpus, device.torch_device, evenly(run_config), above)
        evaluated: list[int] = []
        record = execute(
            request,
            counting(training, evaluated),
            meters,
            lambda state: None,
            synchronize=device.synchronize,
            pauses=Heartbeat(),
        )
        return record, sum(evaluated)

    return run


def counting(training: Iterable[Progress], evaluated: list[int]) -> Generator[Progress, None, None]:
    for progress in training:
        evaluated.append(progress.evaluated_tokens or 0)
        yield progress


def evenly(config: RunConfig) -> Callable[[Sequence[EvaluationResult]], int]:
    steps = [max(1, round(config.train.max_steps * (k + 1) / POINTS)) for k in range(POINTS)]

    def wait(results: Sequence[EvaluationResult]) -> int:
        now = results[-1].step if results else 0
        return next((step - now for step in steps if step > now), 1)

    return wait


def params_of(planned: Planned, space: Space, problem: Problem, best: Sequence[Params]) -> Params:
    """The configuration of that index, which runs."""
    if planned.index < 0:
        return {}
    for attempt in range(1000):
        drawn = draw_at_random(space, derived_seed(planned.index, attempt, 1))
        params = near(drawn, space, best, planned.index + 1000 * attempt) if planned.near else drawn
        if problem.why_not(space.config(params), "cpu") is None:
            return params
    raise AssertionError("nothing of the space runs")


def near(drawn: Params, space: Space, best: Sequence[Params], seed: int) -> Params:
    """One of the best, with one to four of its settings as they were drawn."""
    generator = random.Random(seed)
    point, other = encoded(generator.choice(best), space), encoded(drawn, space)
    changed = generator.sample(sorted(point), generator.randint(1, MOST_CHANGES))
    return decoded(point | {path: other[path] for path in changed}, space)


def best_of(lines: Sequence[dict[str, Any]], target_loss: float | str) -> list[Params]:
    assert isinstance(target_loss, float)

    def score(line: dict[str, Any]) -> float:
        end_loss: float = line["loss"][-1]
        return math.log(line["energy_j"][-1]) + (end_loss - target_loss) / NATS_PER_E

    trained = [line for line in lines if len(line["loss"]) == POINTS and line["index"] >= 0]
    return [line["params"] for line in sorted(trained, key=score)[:BEST]]


def keep(file: Path, planned: Planned, params: Params, record: Record, evaluated_tokens: int) -> None:
    """Append the run to the file."""
    line = planned._asdict() | {"params": params, "evaluated_tokens": evaluated_tokens}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line | measured(record)) + "\n")


def measured(record: Record) -> dict[str, Any]:
    """What a replay needs of a run: joules and seconds by phase, and the curve by columns."""
    ledger = record.ledger
    assert ledger is not None
    return {
        "steps": record.steps,
        "parameters": record.parameters,
        "flags": list(record.flags),
        "outcome": record.outcome.value,
        "phases_j": dict(ledger.energy_j),
        "phases_s": dict(ledger.time_s),
    } | {
        name: [getattr(point, name) for point in record.curve]
        for name in ("step", "tokens", "loss", "loss_stderr", "energy_j", "time_s", "whole")
    }


def lines_of(files: Sequence[Path]) -> list[dict[str, Any]]:
    return [
        json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines() if line
    ]


if __name__ == "__main__":
    main(sys.argv[1])
