"""Which runs stand beside each other, in which order, and which attempt of a round counts."""

from collections import Counter

from confirmed_runs import confirmed
from hypothesis import given
from hypothesis import strategies as st

from search.confirm.rounds import Pending, order_of_round, pending, rounds

ARMS = ("documented", "fitted", "trial 3", "trial 7")
BUSY = frozenset({"foreign_cpu_load"})
numbers = st.integers(0, 1000)


@given(numbers, numbers, st.integers(0, 5), st.permutations(ARMS))
def test_the_order_is_the_arms_shuffled_and_the_same_again(
    seed: int, number: int, attempt: int, arms: list[str]
) -> None:
    order = order_of_round(ARMS, seed, number, attempt)
    assert sorted(order) == sorted(ARMS)
    assert order == order_of_round(arms, seed, number, attempt)


def test_every_arm_comes_first_about_as_often() -> None:
    first = Counter(order_of_round(ARMS, 0, number, 0)[0] for number in range(400))
    assert set(first) == set(ARMS)
    assert min(first.values()) > 60


def test_rounds_attempts_and_studies_have_orders_of_their_own() -> None:
    orders = {order_of_round(ARMS, *key) for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 1, 1)]}
    assert len(orders) > 1


def test_a_round_counts_once_every_arm_has_run_it() -> None:
    runs = [confirmed("documented"), confirmed("trial 3", energy_j=6.0), confirmed("documented", 1)]
    (only,) = rounds(runs, ("documented", "trial 3"))
    assert (only.number, only.attempt, sorted(only.runs)) == (0, 0, ["documented", "trial 3"])


def test_an_attempt_that_was_cut_short_goes_on_with_what_it_lacks() -> None:
    first, *rest = order_of_round(ARMS, 0, 0, 0)
    assert pending([confirmed(first)], ARMS, 0, study_seed=0, repeats=2) == Pending(0, 0, tuple(rest))


def test_a_round_whose_sides_saw_different_load_runs_again() -> None:
    runs = [confirmed("documented"), confirmed("trial 3", load_flags=BUSY)]
    arms = ("documented", "trial 3")
    again = pending(runs, arms, 0, study_seed=0, repeats=2)
    assert again == Pending(0, 1, order_of_round(arms, 0, 0, 1))
    assert rounds(runs, arms)[0].uneven == ("foreign_cpu_load",)


def test_load_that_all_sides_saw_is_even() -> None:
    runs = [confirmed(arm, load_flags=BUSY) for arm in ("documented", "trial 3")]
    assert pending(runs, ("documented", "trial 3"), 0, study_seed=0, repeats=2) is None


def test_the_last_of_uneven_attempts_counts_and_is_shown() -> None:
    arms = ("documented", "trial 3")
    runs = [
        confirmed(arm, attempt=attempt, load_flags=BUSY if arm == "trial 3" else frozenset())
        for attempt in range(3)
        for arm in arms
    ]
    assert pending(runs, arms, 0, study_seed=0, repeats=2) is None
    (counted,) = rounds(runs, arms)
    assert (counted.attempt, counted.uneven) == (2, ("foreign_cpu_load",))


def test_a_round_without_a_runs_joules_runs_again_and_its_best_attempt_counts() -> None:
    arms = ("documented", "trial 3")
    uneven = [confirmed("documented"), confirmed("trial 3", load_flags=BUSY)]
    unknown = [confirmed("documented", attempt=1), confirmed("trial 3", attempt=1, energy_j=None)]
    assert pending(uneven + unknown, arms, 0, study_seed=0, repeats=2) == Pending(
        0, 2, order_of_round(arms, 0, 0, 2)
    )
    assert rounds(uneven + unknown, arms)[0].attempt == 0


def test_arms_that_are_no_longer_in_do_not_matter() -> None:
    runs = [confirmed("documented"), confirmed("trial 3"), confirmed("trial 7", load_flags=BUSY)]
    assert rounds(runs, ("documented", "trial 3"))[0].uneven == ()
