"""How often a confirmation is wrong, and how often it finds what is there: whole simulated studies.

K = 4 candidates, looks from 5 to 8 seeds, a machine that drifts by 15 % over the study. `make slow` simulates
2,000 studies of each.
"""

import pytest
from simulated_confirmation import TARGET_LOSS, Arm, Machine, Programme, count, four, saves

from search.confirm.intervals import Interval, clopper_pearson

STUDIES = [200, pytest.param(2000, marks=pytest.mark.slow)]
# Equal in joules, and faster, so that nothing but the energy clause stands between noise and a claim.
EQUAL = four(Arm(time=0.8))
BOTH = {"documented": Arm(), "fitted": Arm()}


def share(happened: int, studies: int) -> Interval:
    found = clopper_pearson(happened, studies, 0.025)
    assert found is not None
    print(f"{happened} of {studies}: {found.estimate:.4f} ({found.low:.4f} to {found.high:.4f})")
    return found


@pytest.mark.parametrize("studies", STUDIES)
def test_of_candidates_no_better_than_the_baseline_few_are_claimed_to_save(studies: int) -> None:
    assert share(count(Programme(EQUAL), studies, saves()), studies).high <= 0.05


@pytest.mark.slow
def test_of_candidates_equal_in_time_too_even_fewer() -> None:
    assert share(count(Programme(four(Arm())), 2000, saves()), 2000).high <= 0.01


@pytest.mark.parametrize("studies", STUDIES)
def test_run_one_arm_after_the_other_the_drift_is_claimed_as_a_saving(studies: int) -> None:
    one_by_one = Programme(EQUAL, machine=Machine(interleaved=False))
    assert share(count(one_by_one, studies, saves()), studies).low > 0.05


@pytest.mark.parametrize("studies", STUDIES)
def test_a_true_saving_of_a_tenth_is_found(studies: int) -> None:
    """One of four candidates, against both baselines, each run 3 % noisy."""
    programme = Programme({**four(Arm()), "candidate 0": Arm(energy=0.9, time=0.9)}, BOTH)
    assert share(count(programme, studies, saves(["candidate 0"])), studies).low >= 0.8


@pytest.mark.parametrize("studies", STUDIES)
def test_a_candidate_whose_mean_is_the_target_is_hardly_ever_claimed_to_save(studies: int) -> None:
    """Nor are the baselines' means below it, so that nothing but the reach clause stands in the way."""
    at_target = four(Arm(mean_loss=TARGET_LOSS, energy=0.1, time=0.1))
    programme = Programme(at_target, {"documented": Arm(mean_loss=TARGET_LOSS)})
    found = share(count(programme, studies, saves()), studies)
    assert found.estimate <= 0.01


@pytest.mark.slow
def test_nor_is_one_that_is_noisier_than_its_neighbours() -> None:
    """0.011 nats beside 0.004, the widest that was measured: the pooled noise is then too low for it."""
    noisy = Arm(mean_loss=TARGET_LOSS, energy=0.1, time=0.1, noise=0.011)
    candidates = {**four(Arm(noise=0.004, energy=0.9)), "candidate 0": noisy}
    programme = Programme(candidates, {"documented": Arm(noise=0.004, mean_loss=TARGET_LOSS)})
    assert share(count(programme, 2000, saves(["candidate 0"])), 2000).estimate <= 0.01
