"""The records of a study whose candidates ran beside the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from records_factory import make_curve, make_record

from search.record.confirmation import DOCUMENTED, Confirmation, arm_of_trial
from search.record.outcome import Outcome, Role
from search.record.record import Record

STEPS = 400


def confirming_run(
    trial: int,
    number: int,
    *,
    of_trial: int,
    together: Sequence[int],
    loss: float,
    energy_j: float,
    time_s: float = 4.0,
    arm: str | None = None,
    role: Role = Role.CONFIRM,
    steps: int = STEPS,
) -> Record:
    """A run of fixed length with the seed of round `number`, of `loss` at its end."""
    place = Confirmation(arm or arm_of_trial(of_trial), of_trial, number, 0, tuple(together))
    outcome = Outcome.REACHED if loss <= 2.3 else Outcome.OUT_OF_BUDGET
    made = make_record(trial, energy_j=energy_j, time_s=time_s, outcome=outcome, steps=steps)
    curve = make_curve(steps=steps, final_loss=loss, power_w=energy_j / time_s, seconds=time_s)
    config = {**made.config, "train": {"max_steps": steps}}
    return replace(
        made,
        run_id=f"run-{trial}",
        role=role,
        seed=9000 + number,
        curve=curve,
        config=config,
        confirmation=place,
        test_loss=loss,
    )


def confirmed_study(
    searched: Sequence[Record],
    losses: Mapping[int, Sequence[float]],
    energies_j: Mapping[int, Sequence[float]],
    baseline_j: float = 60.0,
) -> list[Record]:
    """`searched`, then a round for each of the losses: the baseline and every candidate in turn."""
    records, together = list(searched), tuple(losses)
    for number in range(len(next(iter(losses.values())))):
        baseline = confirming_run(
            len(records),
            number,
            of_trial=0,
            together=together,
            loss=2.25 + 0.001 * (number % 2),
            energy_j=baseline_j * (1 + 0.01 * (number % 2)),
            time_s=20.0,
            arm=DOCUMENTED,
        )
        records.append(baseline)
        for trial in together:
            run = confirming_run(
                len(records),
                number,
                of_trial=trial,
                together=together,
                loss=losses[trial][number],
                energy_j=energies_j[trial][number],
            )
            records.append(run)
    return records
