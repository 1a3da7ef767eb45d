"""Which finished trials may end a run early, and beyond which margin."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from confirmed_study import confirmed_study, confirming_run
from records_factory import BASELINE, looking_up, make_record

from search.confirm.luck import UNSEEN_MARGIN
from search.confirm.rivals import confirmed_rivals, rival_margin, rivals_of
from search.confirm.settings import ConfirmSettings
from search.record.limits import Rival
from search.record.outcome import Outcome, Role
from search.record.record import Record

BOTH = ("energy_to_target_j", "time_to_target_s")
TARGET = 2.3
SETTINGS = ConfirmSettings()
PLAIN = make_record(1, energy_j=12.0, time_s=5.0)
TABLE = looking_up(make_record(2, energy_j=4.0, time_s=2.0))
STEADY = [2.27, 2.272, 2.268, 2.271, 2.269]
CLOSE = [2.29, 2.31, 2.302, 2.297, 2.3]
JOULES = [13.0, 14.0, 15.0, 14.0, 13.5]


def rivals(records: list[Record], of: Record = PLAIN, margin: float = 0.1) -> tuple[Rival, ...]:
    return rivals_of(of.config, records, BOTH, TARGET, margin, SETTINGS)


def study_of(losses: list[float]) -> list[Record]:
    n = len(losses)
    return confirmed_study([BASELINE, PLAIN], {1: losses}, {1: JOULES[:n]})


def once(record: Record) -> Rival:
    return Rival(record.trial, tuple(record.values.values()), 0.1)


def test_a_run_without_lookups_is_ended_by_its_like_alone_and_one_with_them_by_all() -> None:
    records = [BASELINE, PLAIN, TABLE, make_record(3, outcome=Outcome.DOMINATED)]
    assert rivals(records) == (once(BASELINE), once(PLAIN))
    assert rivals(records, of=TABLE) == (once(BASELINE), once(PLAIN), once(TABLE))


def test_a_confirmed_rival_has_no_margin_and_counts_with_the_means_of_its_fresh_seeds() -> None:
    first, second = rivals(study_of(STEADY))
    assert first == once(BASELINE)
    assert (second.trial, second.margin, second.confirmed_seeds) == (1, 0.0, 5)
    assert second.values == pytest.approx((math.prod(JOULES) ** (1 / 5), 4.0))


def test_one_whose_mean_end_loss_is_not_below_the_target_keeps_its_margin() -> None:
    assert rivals(study_of(CLOSE)) == (once(BASELINE), once(PLAIN))


def test_too_few_seeds_confirm_nothing() -> None:
    assert rivals(study_of(STEADY[:4])) == (once(BASELINE), once(PLAIN))


def test_runs_of_the_confirmation_are_no_rivals_themselves() -> None:
    assert {rival.trial for rival in rivals(study_of(STEADY))} == {0, 1}


def test_of_two_confirmations_the_later_has_the_last_word() -> None:
    earlier = study_of(STEADY)
    later = confirmed_study([*earlier, TABLE], {1: STEADY, 2: STEADY}, {1: [20.0] * 5, 2: [5.0] * 5})
    found = confirmed_rivals(later, BOTH, TARGET, SETTINGS)
    assert found[1].values[0] == pytest.approx(20.0)
    assert found[2].values[0] == pytest.approx(5.0)


def test_the_same_rivals_follow_from_records_that_were_read_again() -> None:
    records = study_of(STEADY)
    read = [Record.from_dict(json.loads(json.dumps(record.to_dict()))) for record in records]
    assert rivals(read) == rivals(records)
    assert rival_margin("auto", read) == rival_margin("auto", records)


# --- the margin


def test_a_margin_that_is_set_is_that_one() -> None:
    assert rival_margin(0, study_of(CLOSE)) == 0.0
    assert rival_margin(0.25, []) == 0.25


def test_auto_is_a_tenth_until_a_recipe_has_run_on_two_seeds() -> None:
    assert rival_margin("auto", [BASELINE, PLAIN]) == UNSEEN_MARGIN
    assert rival_margin("auto", study_of(STEADY[:1])) == UNSEEN_MARGIN


def test_auto_grows_with_the_seed_noise_that_the_study_has_seen() -> None:
    assert rival_margin("auto", study_of(CLOSE)) > rival_margin("auto", study_of(STEADY))


def test_fits_count_and_a_round_that_ran_again_counts_once() -> None:
    fits = [
        confirming_run(9 + n, n, of_trial=1, together=(1,), loss=loss, energy_j=9.0, role=Role.FIT)
        for n, loss in enumerate((2.26, 2.3, 2.28))
    ]
    assert rival_margin("auto", fits) > UNSEEN_MARGIN
    again = replace(fits[0], run_id="again", confirmation=replace(fits[0].confirmation, attempt=1))
    assert rival_margin("auto", [*fits, again]) == rival_margin("auto", fits)


def test_a_rival_with_replicates_counts_with_their_means_and_keeps_its_margin() -> None:
    other = replace(make_record(3, energy_j=27.0, time_s=20.0), config=PLAIN.config)
    means = ((12.0 * 27.0) ** 0.5, (5.0 * 20.0) ** 0.5)
    _, first, second = rivals([BASELINE, PLAIN, other])
    for rival, trial in ((first, 1), (second, 3)):
        assert (rival.trial, rival.margin) == (trial, 0.1)
        assert rival.values == pytest.approx(means)
