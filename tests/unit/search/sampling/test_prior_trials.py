"""Which trials of another study teach the sampler of this one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from records_factory import PROVENANCE, make_record

from search.config.schema import StudyConfig
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.sampling.prior import Problem, taught
from search.space.canonical import config_key
from search.space.parse import parse_space

BASE = StudyConfig().run_values()
SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "train.batch_size": {"type": "categorical", "choices": [4, 8]},
    },
    BASE,
)
NAMES = ("energy_to_target_j", "time_to_target_s")


def trial(number: int, outcome: Outcome = Outcome.REACHED, **paths: Any) -> Record:
    params = {"optimizer.lr": (number + 1) / 10, "train.batch_size": 4}
    config = SPACE.config(params | paths) | {"seed": number}
    return replace(make_record(number, outcome=outcome, role=Role.SEARCH), params={}, config=config)


TRIALS = [trial(0), trial(1, Outcome.OUT_OF_BUDGET), trial(2, Outcome.CRASHED), trial(3)]
FIRST = TRIALS[0]
PROBLEM = Problem(
    target_loss=FIRST.target_loss,
    data=PROVENANCE["data"],
    context=BASE["evaluation"]["context"],
    counted_phases=FIRST.counted_phases.value,
    meter_kind=FIRST.meter.kind.value,
    objectives=NAMES,
)


def test_trials_that_lie_in_the_space_teach_with_their_parameters_there() -> None:
    found = taught([make_record(9, role=Role.BASELINE), *TRIALS], PROBLEM, SPACE, config_key)
    assert [record.trial for record in found.records] == [0, 1, 3]
    assert found.records[0].params == {"optimizer.lr": 0.1, "train.batch_size": 4}
    assert (found.trials, found.reason) == (3, "")


@pytest.mark.parametrize(
    "paths", [{"train.batch_size": 16}, {"optimizer.lr": 0.95}, {"optimizer.beta2": 0.9}]
)
def test_a_configuration_that_no_point_of_the_space_stands_for_teaches_nothing(paths: dict[str, Any]) -> None:
    found = taught([trial(0, **paths), trial(1)], PROBLEM, SPACE, config_key)
    assert [record.trial for record in found.records] == [1]
    alone = taught([trial(0, **paths)], PROBLEM, SPACE, config_key)
    assert (alone.records, alone.reason) == ((), "no trial of it lies in this space")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target_loss": 1.9}, "its target is 2.30 nats per token, and this study's 1.90 nats per token"),
        ({"data": PROVENANCE["data"] | {"sha256": "another"}}, "its text is another"),
        (
            {"data": PROVENANCE["data"] | {"validation_tokens": 7}},
            "its number of validation tokens is another",
        ),
        ({"context": 128}, "it evaluates another context than 128 tokens"),
        ({"counted_phases": "gross"}, "it counts compile_train, and this study gross"),
        ({"meter_kind": "measured"}, "its joules are estimated, and this study's measured"),
        ({"objectives": ("parameters",)}, "its trials have no parameters"),
    ],
)
def test_a_study_of_another_problem_teaches_nothing_and_it_is_said_why(
    changed: dict[str, Any], words: str
) -> None:
    found = taught(TRIALS, replace(PROBLEM, **changed), SPACE, config_key)
    assert (found.records, found.reason) == ((), words)


def test_a_study_without_trials_teaches_nothing() -> None:
    assert taught([TRIALS[2]], PROBLEM, SPACE, config_key).reason == "no trial of it has ended"
