"""Record real runs of what the surrogate takes for the best, as `record_runs` does the others.

    PYTHONPATH=tests/bench python -m replay.record_best char_cpu
    JOULESEARCH_SHARE=1/2 ... the same     every other run; 2/2 the rest, in a process beside it

The best of thousands of predictions is the one that errs most to its own side. Runs of those that look best
say where the surrogate is wrong; packed with the others (`pack_runs`), they teach the next one. Do it until
the predictions hold.
"""

from __future__ import annotations

import os
import sys

import optuna
import torch
from replay.problems import PROBLEMS, RANDOM_LOOKS, ROUNDS, STEPS, best_of_space, opened, runs_of
from replay.record_runs import Planned, keep, lines_of, recorder, seed_of

from search.files.paths import cache_dir
from search.sampling.encoding import decoded, encoded
from search.space.model import Params, Space
from search.study.problem import load_problem

RUNS, EVERY = 40, 5  # of the best so many, every fifth


def main(name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    part, _, of = os.environ.get("JOULESEARCH_SHARE", "1/1").partition("/")
    spec = PROBLEMS[name]
    problem = opened(spec)
    first = 1 + max(run.index for run in runs_of(spec.file))
    best = best_of_space(problem, RANDOM_LOOKS, ROUNDS)[::EVERY][:RUNS]
    run = recorder(problem.config, load_problem(problem.config))
    study = problem.config.study.name
    file = cache_dir() / "replay" / f"{study}-best-{part}of{of}.jsonl"
    done = {line["index"] for line in lines_of([file])}
    for number, (worth, params) in enumerate(best):
        planned = Planned(first + number, 0, near=True)
        if number % int(of) != int(part) - 1 or planned.index in done:
            continue
        chosen = at_its_length(problem.fitted([params])[0].steps, params, problem.space)
        record, evaluated_tokens = run(problem.space.config(chosen) | {"seed": seed_of(planned)})
        keep(file, planned, chosen, record, evaluated_tokens)
        predicted = problem.world.surrogate.predict([chosen])[0]
        print(
            planned.index,
            f"loss {record.best_loss}, predicted {predicted.end_loss:.4f};",
            f"{record.counted_energy_j:.1f} J, predicted to the target {worth:.1f} J",
            *record.flags,
            flush=True,
        )


def at_its_length(steps: float, params: Params, space: Space) -> Params:
    return decoded(encoded(params, space) | {STEPS: round(steps)}, space)


if __name__ == "__main__":
    main(sys.argv[1])
