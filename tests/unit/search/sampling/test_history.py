"""What Optuna is shown of the records."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from optuna.trial import TrialState
from records_factory import make_record

from search.config.schema import StudyConfig
from search.record.confirmation import Confirmation
from search.record.objective import INFERENCE
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.sampling.history import ShownTrial, sampler_history, state_of, stored, user_attrs, values_of
from search.space.parse import parse_space

NAMES = ("energy_to_target_j", "time_to_target_s")
SPACE = parse_space(
    {
        "optimizer.lr": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
        "train.batch_size": {"type": "categorical", "choices": [4, 8]},
    },
    StudyConfig().run_values(),
)


def record(trial: int, outcome: Outcome = Outcome.REACHED, **fields: Any) -> Record:
    params = {"optimizer.lr": (trial % 9 + 1) / 10, "train.batch_size": 4}
    noted = {"NSGAIISampler:generation": 0}
    made = make_record(trial, outcome=outcome, params=params, index=trial, system_attrs=noted)
    return replace(made, config=SPACE.config(params), **fields)


ALL = [record(number, outcome) for number, outcome in enumerate(Outcome)]


def test_samplers_see_every_run_whose_values_can_be_trusted_as_complete_with_what_it_spent() -> None:
    history = sampler_history(ALL, SPACE, NAMES)
    seen = [one for one in ALL if one.outcome.completes]
    assert [trial.state for trial in history] == [TrialState.COMPLETE] * 4
    for trial, run in zip(history, seen, strict=True):
        assert trial.values == list(run.spent.values())
        assert trial.constraints["loss_gap"] == run.loss_gap
        assert trial.params == dict(run.params)
        assert trial.distributions == SPACE.distributions(run.params)
        assert trial.system_attrs["NSGAIISampler:generation"] == 0


def test_a_run_that_missed_is_shown_the_median_joules_of_a_token_which_tells_a_sampler_nothing() -> None:
    names = (*NAMES, INFERENCE)
    joules = {2: 0.5, 3: 0.1, 4: 0.9}
    reached = [replace(one, spent={**one.spent, INFERENCE: joules[one.trial]}) for one in map(record, joules)]
    missed, unknown = record(5, Outcome.OUT_OF_BUDGET), record(6)  # the latter reached, and has no joules
    history = sampler_history([*reached, missed, unknown], SPACE, names)
    assert [trial.values[2] for trial in history] == [0.5, 0.1, 0.9, 0.5]
    assert [trial.values[2] for trial in sampler_history([missed], SPACE, names)] == [1.0]
    assert INFERENCE not in missed.spent
    assert state_of(missed) is TrialState.PRUNED


def test_a_baseline_that_ran_again_is_learnt_from_once() -> None:
    again = replace(ALL[0], trial=5, run_id="again")
    assert len(sampler_history([*ALL, again], SPACE, NAMES)) == 4


def test_a_replicate_teaches_what_another_seed_came_to() -> None:
    replicate = replace(ALL[1], trial=5, run_id="replicate", seed=ALL[1].seed + 1)
    assert len(sampler_history([*ALL, replicate], SPACE, NAMES)) == 5


def test_a_run_outside_the_space_is_learnt_from_without_parameters() -> None:
    (trial,) = sampler_history([replace(record(0), params={"optimizer.lr": 5.0})], SPACE, NAMES)
    assert trial.params == {}


def test_the_history_does_not_depend_on_how_a_record_was_read() -> None:
    read = [Record.from_dict(one.to_dict()) for one in ALL]
    found, wanted = (sampler_history(records, SPACE, NAMES) for records in (read, ALL))
    for one, other in zip(found, wanted, strict=True):
        assert (one.params, one.values, one.system_attrs) == (other.params, other.values, other.system_attrs)


def test_objectives_are_taken_in_the_studys_order() -> None:
    swapped = sampler_history(ALL[:1], SPACE, NAMES[::-1])
    assert swapped[0].values == list(ALL[0].spent.values())[::-1]


def test_what_a_person_sees_of_a_miss_are_lower_bounds_beside_no_values() -> None:
    shown = user_attrs(ALL[1])
    assert shown["spent.energy_to_target_j"] == ALL[1].spent["energy_to_target_j"]
    assert shown["loss_gap"] > 0
    assert not any(key.startswith("spent") for key in user_attrs(ALL[0]))
    assert stored(ALL[1], SPACE).values is None


@pytest.mark.parametrize("role", [Role.FIT, Role.CONFIRM])
def test_a_run_of_the_confirmation_cannot_win_in_the_storage(role: Role) -> None:
    place = Confirmation("trial 1", 1, 0)
    made = make_record(5, energy_j=1.0, time_s=1.0, role=role, confirmation=place)
    assert made.feasible
    assert state_of(made) is TrialState.PRUNED
    assert values_of(made) is None
    seen = user_attrs(made)
    assert (seen["arm"], seen["spent.energy_to_target_j"]) == ("trial 1", 1.0)


def test_a_copy_of_what_a_sampler_is_shown_has_a_number_of_its_own_and_shares_the_rest() -> None:
    (shown, *_) = sampler_history(ALL, SPACE, NAMES)
    assert isinstance(shown, ShownTrial)
    number, copied = shown.number, deepcopy(shown)
    copied.number = number + 1
    assert shown.number == number
    assert copied.params is shown.params
    assert copied.values == shown.values
