from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.record.ledger import CountedPhases, Ledger, Phase

JOULES = {
    "setup": 1.0,
    "compile": 20.0,
    "train": 300.0,
    "eval": 4000.0,
    "checkpoint": 50000.0,
    "inference": 6e5,
}
SECONDS = {"setup": 0.1, "compile": 0.2, "train": 0.4, "eval": 0.8, "checkpoint": 1.6, "inference": 3.2}

amounts = st.floats(min_value=0, max_value=1e9)


@pytest.mark.parametrize("phases", [tuple(Phase)[:-1], (*Phase, "evaluation"), ()])
def test_a_ledger_refuses_anything_but_exactly_the_phases(phases: tuple[str, ...]) -> None:
    other = dict.fromkeys(phases, 1.0)
    with pytest.raises(ValueError, match="energy_j needs exactly the phases"):
        Ledger(energy_j=other, time_s=SECONDS)
    with pytest.raises(ValueError, match="time_s needs exactly the phases"):
        Ledger(energy_j=JOULES, time_s=other)


def test_gross_is_the_sum_of_all_phases() -> None:
    ledger = Ledger(JOULES, SECONDS)
    assert ledger.gross_energy_j == 654321.0
    assert ledger.gross_time_s == pytest.approx(6.3)


@pytest.mark.parametrize(
    ("policy", "energy_j", "time_s"),
    [
        (CountedPhases.COMPILE_TRAIN, 320.0, 0.6),
        (CountedPhases.TRAIN, 300.0, 0.4),
        (CountedPhases.GROSS, 54321.0, 3.1),
    ],
)
def test_a_policy_counts_its_own_phases(policy: CountedPhases, energy_j: float, time_s: float) -> None:
    ledger = Ledger(JOULES, SECONDS)
    assert ledger.counted_energy_j(policy) == energy_j
    assert ledger.counted_time_s(policy) == pytest.approx(time_s)


@given(st.lists(amounts, min_size=len(Phase), max_size=len(Phase)))
def test_no_policy_counts_more_than_gross(joules: list[float]) -> None:
    ledger = Ledger(dict(zip(Phase, joules, strict=True)), SECONDS)
    without_inference_j = ledger.gross_energy_j - ledger.energy_j[Phase.INFERENCE]
    assert ledger.counted_energy_j(CountedPhases.GROSS) == pytest.approx(without_inference_j, abs=1e-6)
    assert all(ledger.counted_energy_j(policy) <= ledger.gross_energy_j for policy in CountedPhases)
