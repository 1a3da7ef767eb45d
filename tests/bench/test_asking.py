"""What asking for a trial and telling of one cost in a study of 1,000 finished trials, as shares of a run of
30 s. Printed, not asserted: times of a machine are noise."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from records_factory import make_record
from replay.composing import composed

from search.config.checks import check_study
from search.config.schema import StudyConfig
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.sampling.proposal import derived_seed, draw_at_random
from search.space.model import Space
from search.study.mirror import Mirror
from search.study.next_run import next_run
from search.study.search_settings import SearchSettings

TRIALS, TIMES, RUN_S = 1_000, 9, 30.0
pytestmark = pytest.mark.bench


def finished(count: int, config: StudyConfig, space: Space) -> Iterator[Record]:
    """The baseline, then runs by chance; one in four reached the target."""
    chance = random.Random(0)
    baseline = space.config({})
    yield made(0, baseline, reached=True, energy_j=100.0, role=Role.BASELINE)
    for index in range(1, count):
        params = draw_at_random(space, derived_seed(index))
        energy_j = params["train.max_steps"] * chance.uniform(0.05, 0.2)
        record = made(index, space.config(params), chance.random() < 0.25, energy_j, Role.SEARCH)
        yield replace(record, params=params)


def made(index: int, values: Mapping[str, Any], reached: bool, energy_j: float, role: Role) -> Record:
    """One that missed came to the end of its schedule."""
    outcome = Outcome.REACHED if reached else Outcome.OUT_OF_BUDGET
    record = make_record(index, energy_j=energy_j, outcome=outcome, steps=values["train"]["max_steps"])
    return replace(record, config=values, index=index, role=role, run_id=f"run-{index}")


@pytest.mark.parametrize("sampler", ["cei", "tpe"])
def test_asking_and_telling_take_a_small_share_of_a_run(sampler: str, tmp_path: Path) -> None:
    config = composed(["+study=shakespeare_char_cpu", "space=char_cpu", f"sampler={sampler}"])
    space = check_study(config)
    config.budget.n_trials, config.confirm.candidates, config.target_loss = 10 * TRIALS, 0, 2.3
    config.budget.replicates_share = 0.0  # none is due, which takes a look at all recipes
    settings = SearchSettings(config, space, 65)
    records = list(finished(TRIALS, config, space))
    mirror = Mirror.open("auto", tmp_path, "a study", config.objective.names, {}, space, lambda line: None)
    mirror.reconcile(records)
    asking, telling = [], []
    for turn in range(TIMES + 1):
        began = time.perf_counter()
        request = next_run(records, mirror.waiting(records), settings).request
        asked = time.perf_counter()
        assert request is not None
        assert request.retry_of is None
        request = replace(request, run_id=f"new-{turn}")
        request = replace(request, trial=mirror.begin(request, records))
        record = replace(
            made(request.index, request.config, reached=False, energy_j=20.0, role=Role.SEARCH),
            trial=request.trial,
            run_id=request.run_id,
            params=dict(request.params),
        )
        records.append(record)
        mirror.tell(record, records)
        if turn:  # the first reads every record's configuration
            asking.append(asked - began)
            telling.append(time.perf_counter() - asked)
    mirror.close()
    print(f"\n{sampler}, {TRIALS:,} trials: {shares('asking', asking)}, {shares('telling', telling)}")
    assert len(records) == TRIALS + TIMES + 1


def shares(what: str, times: Sequence[float]) -> str:
    return f"{what} {median(times):.3f} s, {100 * median(times) / RUN_S:.2f} % of a run of {RUN_S:.0f} s"
