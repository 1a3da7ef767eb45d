"""The waterfall: factors of the groups, and interactions as what is left over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from confirmed_runs import confirmed
from hypothesis import given
from hypothesis import strategies as st

from search.confirm.ablated_arms import AblatedArm, AblationState
from search.confirm.ablation import Waterfall, waterfall
from search.confirm.from_records import Recipe
from search.confirm.intervals import paired_ratio
from search.confirm.levers import Group
from search.confirm.rounds import ConfirmedRun, rounds
from search.record.confirmation import DOCUMENTED, FITTED

WINNER = Recipe("trial 7", 7, {}, False)
joules = st.floats(0.01, 1e4)


def arm(group: Group, at_least_j: float | None = None) -> AblatedArm:
    return AblatedArm(group, Recipe(f"without {group}", 7, {}, False), (), at_least_j=at_least_j)


def state(by_arm: Mapping[str, Sequence[float | None]], *unmeasured: AblatedArm) -> AblationState:
    """Of rounds in which the arms took these joules; a group is an arm by its name."""
    names = {name: f"without {name}" if name in set(Group) else name for name in by_arm}
    runs: list[ConfirmedRun] = [
        confirmed(names[name], number, energy_j=energy_j)
        for name, values in by_arm.items()
        for number, energy_j in enumerate(values)
    ]
    arms = tuple(arm(Group(name)) for name in by_arm if name in set(Group))
    steps = dict.fromkeys(names.values(), 100)
    return AblationState(WINNER, (*arms, *unmeasured), {}, steps, rounds(runs, steps))


def found(by_arm: Mapping[str, Sequence[float | None]], *unmeasured: AblatedArm) -> Waterfall:
    whole = waterfall(state(by_arm, *unmeasured))
    assert whole is not None
    return whole


def by_group(whole: Waterfall) -> dict[Group | None, float | None]:
    return {part.group: part.factor for part in whole.parts}


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.fixed_dictionaries(
            {name: st.lists(joules, min_size=n, max_size=n) for name in (DOCUMENTED, "trial 7", "shape")},
            optional={
                name: st.lists(joules, min_size=n, max_size=n)
                for name in (FITTED, *(group.value for group in Group if group is not Group.SHAPE))
            },
        )
    ),
    st.none() | joules,
)
def test_factors_and_interactions_multiply_to_the_whole_saving(
    by_arm: dict[str, list[float]], bound_j: float | None
) -> None:
    left = [Group(name) for name in Group if name not in by_arm]
    whole = found(by_arm, *(arm(group, bound_j) for group in left[:1]))
    product = math.prod(part.factor for part in whole.parts if part.factor is not None)
    assert product * whole.interactions == pytest.approx(whole.baseline_j / whole.winner_j)
    assert whole.levels_j[0] == whole.baseline_j
    assert whole.levels_j[-1] == pytest.approx(whole.winner_j)
    assert len(whole.levels_j) == len(whole.parts) + 2
    sizes = [part.factor or 0.0 for part in whole.parts if part.group is not None]
    assert sizes == sorted(sizes, reverse=True)


def test_groups_that_act_apart_leave_nothing_over() -> None:
    whole = found(
        {DOCUMENTED: [61.0, 59.0], "trial 7": [10.1, 9.9], "shape": [20.1, 19.9], "optimizer": [30.3, 29.5]}
    )
    assert by_group(whole)[Group.SHAPE] == pytest.approx(2.0, rel=0.01)
    assert by_group(whole)[Group.OPTIMIZER] == pytest.approx(3.0, rel=0.01)
    assert whole.interactions == pytest.approx(1.0, rel=0.02)


def test_groups_that_stand_in_for_each_other_leave_more_than_one_and_those_that_need_each_other_less() -> (
    None
):
    either = {DOCUMENTED: [20.0, 20.2], "trial 7": [10.0, 10.1], "shape": [10.0, 10.2], "batch": [10.1, 10.1]}
    assert found(either).interactions == pytest.approx(2.0, rel=0.02)
    both = {DOCUMENTED: [20.0, 20.2], "trial 7": [10.0, 10.1], "shape": [20.0, 20.1], "batch": [20.1, 20.1]}
    assert found(both).interactions == pytest.approx(0.5, rel=0.02)


def test_a_group_that_costs_has_a_factor_below_one() -> None:
    whole = found({DOCUMENTED: [60.0, 61.0], "trial 7": [10.0, 10.1], "batch": [8.0, 8.2]})
    assert by_group(whole)[Group.BATCH] == pytest.approx(0.8, rel=0.02)


def test_the_length_of_the_baseline_stands_first_and_is_its_documented_length_over_its_fitted_one() -> None:
    whole = found(
        {DOCUMENTED: [60.0, 61.0], FITTED: [50.0, 50.5], "trial 7": [10.0, 10.1], "shape": [90.0, 91.0]}
    )
    assert [part.label for part in whole.parts] == ["the baseline's length", "shape"]
    assert by_group(whole)[None] == pytest.approx(1.2, rel=0.02)


def test_intervals_share_their_error_among_the_groups_and_the_interactions() -> None:
    mine, others = [10.0, 10.2, 9.9], {"shape": [20.0, 20.5, 21.0], "batch": [12.0, 11.5, 12.2]}
    whole = found({DOCUMENTED: [60.0, 61.0, 58.0], "trial 7": mine, **others})
    assert whole.intervals == 3
    for part in whole.parts:
        assert part.group is not None
        assert part.interval == paired_ratio(others[part.group], mine, 0.025 / 3)
    assert whole.interval is not None
    assert whole.interval.estimate == pytest.approx(whole.interactions)
    assert whole.interval.low < whole.interactions < whole.interval.high


def test_a_group_whose_length_was_not_found_is_at_least_what_its_longest_miss_took() -> None:
    whole = found(
        {DOCUMENTED: [60.0, 61.0], "trial 7": [10.0, 10.0], "batch": [12.0, 11.0]}, arm(Group.SHAPE, 40.0)
    )
    part = whole.parts[0]
    assert (part.group, part.at_least, part.interval) == (Group.SHAPE, True, None)
    assert part.factor == pytest.approx(4.0)
    assert whole.at_most
    assert whole.interval is None


def test_a_group_of_which_nothing_is_known_is_part_of_what_is_left_over() -> None:
    whole = found(
        {DOCUMENTED: [60.0, 61.0], "trial 7": [10.0, 10.1], "batch": [12.0, 11.0]}, arm(Group.PRECISION)
    )
    assert whole.unknown == (Group.PRECISION,)
    assert by_group(whole)[Group.PRECISION] is None
    assert whole.interval is None


def test_a_round_without_the_joules_of_one_arm_counts_for_the_others() -> None:
    whole = found(
        {
            DOCUMENTED: [60.0, 61.0, 59.0],
            "trial 7": [10.0, 10.0, 10.0],
            "shape": [20.0, None, 21.0],
            "batch": [12.0, 11.0, 13.0],
        }
    )
    assert {part.group: part.pairs for part in whole.parts} == {Group.SHAPE: 2, Group.BATCH: 3}
    assert whole.interval is None


def test_without_rounds_or_without_a_winner_there_is_no_waterfall() -> None:
    assert waterfall(AblationState(None, why="UNPROVEN")) is None
    assert waterfall(AblationState(WINNER, (arm(Group.SHAPE),))) is None
    assert waterfall(state({DOCUMENTED: [None], "trial 7": [10.0], "shape": [20.0]})) is None
