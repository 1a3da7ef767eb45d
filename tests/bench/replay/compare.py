"""`make bench-search`: samplers and rules for ending runs, compared on whole studies that are replayed.

    PYTHONPATH=tests/bench python -m replay.compare [--problem NAME] [--seeds 20] [--only WORD ...]

A study is replayed by the code that decides in a real one; only its runs are computed (`world`). It is judged
by the trials that it would confirm, of which the better counts with what it is worth without luck: the joules
of its configuration at the shortest schedule whose mean end loss meets the target. That is what the
confirmation would find; what the confirmation takes is counted nowhere here.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import optuna
import torch
from replay.problems import PROBLEMS, Problem, opened, runs_of
from replay.strategies import BEFORE, INDIFFERENT, OPTUNA_DEFAULT, STRATEGIES, Strategy
from replay.surrogate import held_out_error
from scipy.stats import beta

from search.confirm.from_records import candidates
from search.confirm.replicates import KeyOfRun, key_of_run
from search.confirm.settings import ConfirmSettings
from search.record.front import pareto_front
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.request import RunRequest
from search.study.next_run import next_run

FACTORS = (1.5, 1.1)
HYPERVOLUMES = (0.90, 0.95, 0.99)
MOST_TRIALS = 2_000
CONFIRMED = ConfirmSettings().candidates  # so many trials, as long as nobody asks for more
RESAMPLES = 4_000

Arrayed = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Replayed:
    """One study. Joules are those of all its runs but the baseline's, as a share of what that takes to the
    target; inf where the study ended before. Of `stops`, the runs ended for another, `false_stops` would have
    been better than every trial before them. `final`: the best recipe over the best known. `feasible`: the
    trials that reached the target, by place in the study, with their values."""

    to_within: tuple[float, ...]
    to_hypervolume: tuple[float, ...]
    final: float
    spent: float
    runs: int
    reached: int
    stops: int
    false_stops: int
    ask_s: float
    feasible: tuple[tuple[int, tuple[float, ...]], ...] = ()

    def front(self, runs: int) -> set[tuple[int, tuple[float, ...]]]:
        """The Pareto front of the first so many."""
        among = [one for one in self.feasible if one[0] <= runs]
        return {among[place] for place in pareto_front([values for _, values in among])}


def replay(
    problem: Problem,
    strategy: Strategy,
    seed: int,
    baselines: float,
    n_trials: int = MOST_TRIALS,
) -> Replayed:
    settings = strategy.settings(problem, seed, n_trials)
    records: list[Record] = []
    worths: list[float] = []  # of what would be confirmed after each run
    costs: list[float] = []
    stops = false_stops = 0
    ask_s = 0.0
    while sum(costs) < baselines:
        began = time.perf_counter()
        request = next_run(records, (), settings).request
        ask_s += time.perf_counter() - began
        if request is None:
            break
        request = strategy.changed(request)
        record = problem.world.run(request, records)
        if record.outcome is Outcome.DOMINATED:
            stops += 1
            false_stops += would_have_won(problem, request, records)
        records.append(record)
        if record.role is not Role.BASELINE:
            costs.append((record.gross_energy_j or 0.0) / problem.baseline_j)
            worths.append(worth_if_confirmed(problem, records, settings.key_of_run))
    spent = np.cumsum(costs)
    best_share = hypervolume(problem.best_j / problem.baseline_j)

    def until(good: Callable[[float], bool]) -> float:
        return next((float(cost) for cost, worth in zip(spent, worths, strict=True) if good(worth)), math.inf)

    return Replayed(
        tuple(until(lambda worth, f=factor: worth <= f * problem.best_j) for factor in FACTORS),  # type: ignore[misc]
        tuple(
            until(lambda worth, s=share: hypervolume(worth / problem.baseline_j) >= s * best_share)  # type: ignore[misc]
            for share in HYPERVOLUMES
        ),
        min(worths) / problem.best_j,
        float(spent[-1]),
        len(costs),
        sum(record.feasible for record in records if record.role is not Role.BASELINE),
        stops,
        false_stops,
        ask_s / max(1, len(costs)),
        tuple((record.index, tuple(record.values.values())) for record in records if record.feasible),
    )


def fronts_compared(found: dict[str, list[Replayed]]) -> list[str]:
    """Of the strategies that try the same whatever they learn: whether ending dominated runs changes what
    they find. With it a study gets further for its joules, so what both have tried is compared."""
    said = []
    for name, studies in found.items():
        whole = found.get(f"{name}, to the target")
        if name in INDIFFERENT and whole is not None:
            pairs = [
                (one, other, min(one.runs, other.runs)) for one, other in zip(studies, whole, strict=True)
            ]
            same = sum(one.front(runs) == other.front(runs) for one, other, runs in pairs)
            runs = sum(runs for *_, runs in pairs)
            said.append(
                f"{name}: front with sound dominance = front without in {same} of {len(studies)} studies, of "
                f"{runs / len(pairs):.0f} trials on average"
            )
    return said


def worth_if_confirmed(problem: Problem, records: Sequence[Record], key: KeyOfRun = key_of_run) -> float:
    """What the better of the recipes is worth that would be confirmed; inf before any reached the target."""
    names = problem.config.objective.names
    chosen = {recipe.of_trial for recipe in candidates(records, names, CONFIRMED, key)}
    return min(
        problem.worths_j([record.params for record in records if record.trial in chosen]), default=math.inf
    )


def would_have_won(problem: Problem, request: RunRequest, records: Sequence[Record]) -> bool:
    """Whether the run, not ended, would have reached the target for less than every trial before it."""
    whole = problem.world.run(replace(request, rivals=(), forecast=None), records)
    before = [record.values["energy_to_target_j"] for record in records if record.feasible]
    return whole.feasible and whole.values["energy_to_target_j"] < min(before, default=math.inf)


def hypervolume(share: float) -> float:
    """Of a recipe that takes this share of the baseline's joules, and of its time: what it dominates of the
    baseline's rectangle."""
    return max(0.0, 1.0 - share) ** 2


# ---- figures over seeds


def expected_j(values: Arrayed, spent: Arrayed) -> Arrayed:
    """Joules that are to be expected until a study gets there, begun anew as often as one ends before: those
    of all studies over how many got there (Hansen et al. 2009, the expected running time of COCO). Along the
    last axis. Where none got there it is a lower bound: what it would be if one had at its end."""
    there = np.isfinite(values)
    total = np.where(there, values, spent).sum(axis=-1)
    return np.asarray(total / np.maximum(there.sum(axis=-1), 1))


def ratio_with_interval(
    ours: tuple[Sequence[float], Sequence[float]], theirs: tuple[Sequence[float], Sequence[float]]
) -> tuple[float, float, float]:
    """The ratio of expected joules, and its 95 % interval by resampling the studies of both. Each is (joules
    until there, joules spent). Where none of theirs got there it is an upper bound."""
    generator = np.random.default_rng(0)
    sampled = []
    for values, spent in (ours, theirs):
        chosen = generator.integers(len(values), size=(RESAMPLES, len(values)))
        sampled.append(expected_j(np.asarray(values)[chosen], np.asarray(spent)[chosen]))
    low, high = np.quantile(sampled[0] / sampled[1], [0.025, 0.975])
    centre = expected_j(*map(np.asarray, ours)) / expected_j(*map(np.asarray, theirs))
    return float(centre), float(low), float(high)


def share_with_interval(count: int, of: int) -> str:
    if of == 0:
        return "-"
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return f"{100 * count / of:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def references_in(found: Mapping[str, list[Replayed]]) -> list[str]:
    """The strategies that others are compared with."""
    return [one for one in (OPTUNA_DEFAULT, BEFORE) if one in found]


def table(found: dict[str, list[Replayed]]) -> str:
    """Markdown. Joules in baselines, as expected; in brackets how many studies did not get there."""

    def pair(studies: Sequence[Replayed], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
        return values, [study.spent for study in studies]

    def cell(studies: Sequence[Replayed], values: Sequence[float]) -> str:
        missing = sum(math.isinf(value) for value in values)
        mean = f"{float(expected_j(*map(np.asarray, pair(studies, values)))):.2f}"
        if missing == len(values):
            return f"> {mean} (none)"
        return f"{mean} ({missing} not)" if missing else mean

    def against(name: str, reference: str) -> str:
        """Of the joules until within the smallest factor of the best."""
        ours, theirs = (
            pair(found[one], [study.to_within[-1] for study in found[one]]) for one in (name, reference)
        )
        if name == reference or not np.isfinite(ours[0]).any():
            return "-"
        ratio, low, high = ratio_with_interval(ours, theirs)
        bound = "" if np.isfinite(theirs[0]).any() else "< "
        return f"{bound}{ratio:.2f} ({low:.2f} to {high:.2f})"

    references = references_in(found)
    head = ["strategy", *(f"within {factor}x" for factor in FACTORS)]
    head += [f"{FACTORS[-1]}x against {one.split(':')[0]}" for one in references]
    head += [f"{100 * share:.0f} % of hypervolume" for share in HYPERVOLUMES]
    head += ["best at the end", "trials", "reached", "false stops", "s an ask"]
    lines = [head, ["---"] * len(head)]
    for name, studies in found.items():
        runs, stops = sum(study.runs for study in studies), sum(study.stops for study in studies)
        lines.append(
            [
                name,
                *(cell(studies, [one.to_within[place] for one in studies]) for place in range(len(FACTORS))),
                *(against(name, reference) for reference in references),
                *(
                    cell(studies, [one.to_hypervolume[place] for one in studies])
                    for place in range(len(HYPERVOLUMES))
                ),
                f"{math.exp(float(np.mean(np.log([one.final for one in studies])))):.2f}x",
                f"{runs / len(studies):.0f}",
                f"{100 * sum(one.reached for one in studies) / runs:.0f} %",
                share_with_interval(sum(one.false_stops for one in studies), stops),
                f"{np.median([one.ask_s for one in studies]):.2f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---- the command


@cache
def _problem(name: str) -> Problem:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    return opened(PROBLEMS[name])


Job = tuple[str, Strategy, int, float]
"""Problem, strategy, seed, baselines."""


def _one(job: Job) -> Replayed:
    name, strategy, seed, baselines = job
    return replay(_problem(name), strategy, seed, baselines)


class Kept:
    """Studies that were replayed, in a file: the whole table takes hours. The file knows nothing of changes
    to the code."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        known = joblib.load(file) if file is not None and file.exists() else {}
        self._known: dict[str, dict[str, Any]] = known  # as plain values: the class may be another's by then

    def all_of(self, jobs: Sequence[Job], pool: ProcessPoolExecutor) -> list[Replayed]:
        """The studies of one strategy."""
        left = [job for job in jobs if repr(job) not in self._known]
        for job, study in zip(left, pool.map(_one, left), strict=True):
            self._known[repr(job)] = asdict(study)
            if self._file is not None:
                joblib.dump(self._known, self._file)
        return [Replayed(**self._known[repr(job)]) for job in jobs]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare ways to search on replayed studies.")
    parser.add_argument("--problem", choices=[*PROBLEMS], action="append")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--baselines", type=float, help="joules of a study in baselines; else the problem's")
    parser.add_argument(
        "--only", nargs="*", default=[], help="strategies whose name holds one of these words"
    )
    parser.add_argument("--errors", action="store_true", help="the surrogate's, first: takes minutes")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--keep", type=Path, help="studies that are in this file are not replayed again; others come to it"
    )
    arguments = parser.parse_args()
    chosen = [
        one
        for one in STRATEGIES
        if not arguments.only
        or one.name in (OPTUNA_DEFAULT, BEFORE)
        or any(word in one.name for word in arguments.only)
    ]
    names = []
    for name in arguments.problem or PROBLEMS:
        if PROBLEMS[name].file.exists():
            names.append(name)
            continue
        missing = (
            f"{name} has no recorded runs; type PYTHONPATH=tests/bench python -m replay.record_runs {name}\n"
        )
        if arguments.problem:
            parser.exit(2, missing)
        print(missing)
    problems = {name: _problem(name) for name in names}  # before the processes start: they inherit them
    kept = Kept(arguments.keep)
    with ProcessPoolExecutor(arguments.processes, get_context("fork")) as pool:
        for name, problem in problems.items():
            runs = [run for run in runs_of(PROBLEMS[name].file) if run.index >= 0]
            print(f"\n{name}: {len(runs)} recorded runs", flush=True)
            if arguments.errors:
                errors = held_out_error(problem.space, runs)
                print("errors on configurations that were held out:")
                print(", ".join(f"{what} {value:.3g}" for what, value in errors.items()))
            print(
                f"seeds spread by {problem.world.surrogate.spread:.4f} nats; the best recipe known takes "
                f"{problem.best_j:.1f} J, 1/{problem.baseline_j / problem.best_j:.1f} of the baseline\n"
            )
            baselines = arguments.baselines or PROBLEMS[name].baselines
            found: dict[str, list[Replayed]] = {}
            for strategy in chosen:
                jobs = [(name, strategy, seed, baselines) for seed in range(arguments.seeds)]
                found[strategy.name] = kept.all_of(jobs, pool)
                shown = {key: found[key] for key in (*references_in(found), strategy.name)}
                print(table(shown).split("\n")[-1], flush=True)
            print("\n".join(["", table(found), "", *fronts_compared(found)]), flush=True)


if __name__ == "__main__":
    main()
