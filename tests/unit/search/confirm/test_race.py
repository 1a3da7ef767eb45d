"""Which candidates go on, what runs next, and when a confirmation ends."""

from collections.abc import Sequence

from confirmed_runs import TARGET_LOSS, facts, runs_of

from search.confirm.race import Race, race
from search.confirm.rounds import ConfirmedRun
from search.confirm.settings import ConfirmSettings

SETTINGS = ConfirmSettings()
SEED = 7


def run_race(
    *arms: Sequence[ConfirmedRun], settings: ConfirmSettings = SETTINGS, spent_j: float = 0.0
) -> tuple[Race, list[ConfirmedRun]]:
    """A whole confirmation, whose runs are taken from `arms` as they are asked for."""
    known = {(run.arm, run.round, run.attempt): run for arm in arms for run in arm}
    names = dict.fromkeys(run.arm for arm in arms for run in arm if run.arm != "documented")
    of_arms = dict.fromkeys(names, facts(len(names)))
    ran: list[ConfirmedRun] = []
    while True:
        now = race(ran, of_arms, ("documented",), settings, SEED, spent_j)
        if now.pending is None:
            return now, ran
        ran.append(known[now.pending.arms[0], now.pending.number, now.pending.attempt])


def documented(n: int = 8) -> list[ConfirmedRun]:
    return runs_of("documented", n)


def test_it_ends_as_soon_as_the_leading_candidate_is_decided() -> None:
    end, ran = run_race(documented(), runs_of("trial 3", 8, ratio=0.3, shift=1))
    assert (len(end.rounds), len(ran)) == (5, 10)
    assert end.verdicts["trial 3"].kind == "SAVES"
    assert end.why == "the leading candidate is decided after 5 seeds: SAVES"


def test_it_adds_seeds_up_to_the_most_where_nothing_decides() -> None:
    end, _ = run_race(documented(), runs_of("trial 3", 8, ratio=0.3, loss=TARGET_LOSS - 0.001, shift=1))
    assert len(end.rounds) == 8
    assert end.why == "all 8 seeds have run"
    assert end.verdicts["trial 3"].kind == "UNPROVEN"


def test_a_dominated_candidate_gets_no_more_seeds() -> None:
    cheap = runs_of("trial 3", 8, ratio=0.3, shift=1)
    end, ran = run_race(documented(), cheap, runs_of("trial 7", 8, ratio=0.6, shift=4))
    assert end.standing == ("trial 3",)
    assert "trial 3" in end.left["trial 7"]
    assert sum(run.arm == "trial 7" for run in ran) == 3
    assert end.verdicts["trial 7"].seeds == 3


def test_a_candidate_that_misses_leaves_and_dominates_nobody() -> None:
    cheap = runs_of("trial 3", 8, ratio=0.2, loss=TARGET_LOSS + 0.05, shift=1)
    end, _ = run_race(documented(), cheap, runs_of("trial 7", 8, ratio=0.6, shift=4))
    assert "above the target" in end.left["trial 3"]
    assert (end.leader, end.verdicts["trial 7"].kind) == ("trial 7", "SAVES")


def test_a_cheaper_candidate_that_may_miss_sends_no_sturdier_one_away() -> None:
    """It is below the target at one-sided 95 %, which is too little for its own claim."""
    short = runs_of("trial 3", 8, ratio=0.30, loss=TARGET_LOSS - 0.004, shift=1)
    end, ran = run_race(documented(), short, runs_of("trial 7", 8, ratio=0.35, shift=4))
    assert end.verdicts["trial 3"].kind == "UNPROVEN"
    assert (end.leader, end.verdicts["trial 7"].kind) == ("trial 7", "SAVES")
    assert end.left == {}
    assert sum(run.arm == "trial 7" for run in ran) == 8


def test_a_candidate_that_costs_leaves_while_another_is_in() -> None:
    dear = runs_of("trial 7", 8, ratio=1.3, loss=1.86, shift=4)
    end, _ = run_race(documented(), runs_of("trial 3", 8, ratio=0.97, shift=1), dear)
    assert "more energy than the documented baseline" in end.left["trial 7"]


def test_the_last_candidate_stays_until_its_verdict() -> None:
    end, _ = run_race(documented(), runs_of("trial 3", 8, ratio=1.3, shift=1))
    assert (end.standing, end.left) == (("trial 3",), {})
    assert (len(end.rounds), end.verdicts["trial 3"].kind) == (5, "COSTS")


def test_where_all_miss_one_stays_until_its_verdict() -> None:
    above = [runs_of(f"trial {n}", 8, 0.3 + n / 10, TARGET_LOSS + 0.05, shift=n) for n in (1, 2)]
    end, _ = run_race(documented(), *above)
    assert end.standing == ("trial 1",)
    assert end.why == "the leading candidate is decided after 5 seeds: cannot save"


def test_a_spent_budget_ends_it() -> None:
    settings = ConfirmSettings(energy_j=100.0)
    end, ran = run_race(documented(), runs_of("trial 3", 8), settings=settings, spent_j=100.0)
    assert ran == []
    assert end.why == "confirm.energy_j=100 is spent"


def test_after_a_kill_it_goes_on_where_it_was_and_measures_nothing_twice() -> None:
    """From any number of its first runs on, the next is the one that came next."""
    arms = {"trial 3": facts(2), "trial 7": facts(2)}
    _, ran = run_race(
        documented(), runs_of("trial 3", 8, ratio=0.3, shift=1), runs_of("trial 7", 8, ratio=0.6, shift=4)
    )
    for cut in range(len(ran)):
        now = race(ran[:cut], arms, ("documented",), SETTINGS, SEED)
        assert now.pending is not None
        assert (now.pending.arms[0], now.pending.number) == (ran[cut].arm, ran[cut].round)


def test_without_candidates_nothing_runs() -> None:
    assert race([], {}, ("documented",), SETTINGS, SEED).why == "there is no candidate"
