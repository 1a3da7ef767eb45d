"""What generating takes: repeated between two readings until the meter can tell; unknown is never zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bare_meter import BareMeter
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_run import INFO, REQUEST, SETUP_AND_COMPILE, TO_THE_TARGET, WATTS, Script, at

from search.meter.choose import ChosenMeter
from search.meter.simulated.meter import FakeClock
from search.meter.simulated.program import PowerProfile
from search.record.inference import InferencePlan
from search.record.ledger import CountedPhases, Phase
from search.record.objective import INFERENCE
from search.record.outcome import Outcome
from search.record.record import Record
from search.run.execute import execute

PLAN = InferencePlan(batch_sizes=(1, 4, 16), prompt_tokens=16, tokens=50, window_s=1.0, limit_s=30.0)
SECONDS = 0.125  # of one generation


def inferred(
    steps=TO_THE_TARGET, plan=PLAN, seconds=SECONDS, most=16, period_s=0.0, error=None, keep=None, **changes
) -> Record:
    """A run whose model generates for so long at a time, at batches of at most `most`."""
    clock = FakeClock(50.0)
    meter = BareMeter(PowerProfile(((0.0, WATTS),)), clock, tick_s=period_s)

    def generate(generation):
        if generation.batch_size > most:
            raise MemoryError("it does not fit")
        if error is not None:
            raise error
        clock.advance(seconds)
        return generation.batch_size

    request = replace(REQUEST, inference=plan, **changes)
    training = Script(clock, steps)()
    chosen = [ChosenMeter(meter, INFO)]
    return execute(request, training, chosen, lambda state: None, clock=clock, generate=generate, keep=keep)


def test_joules_a_token_are_those_of_the_window_over_the_tokens_generated_in_it():
    single, largest = inferred().inference.batches
    assert (single.batch_size, largest.batch_size) == (1, 16)
    for one in (single, largest):
        assert one.time_s == one.generations * SECONDS >= PLAN.window_s
        assert one.tokens == one.generations * one.batch_size * PLAN.tokens
        assert one.energy_j == pytest.approx(one.time_s * WATTS)
        assert one.energy_j_per_token == pytest.approx(SECONDS * WATTS / (one.batch_size * PLAN.tokens))
        assert one.recomputed == one.generations * one.batch_size


@pytest.mark.parametrize("policy", CountedPhases)
def test_generating_has_a_phase_of_its_own_that_never_counts(policy):
    plain, with_text = inferred(plan=None, counted_phases=policy), inferred(counted_phases=policy)
    assert with_text.ledger.energy_j[Phase.INFERENCE] > 0 == plain.ledger.energy_j[Phase.INFERENCE]
    assert with_text.counted_energy_j == plain.counted_energy_j
    assert with_text.values == plain.values
    assert with_text.gross_energy_j == pytest.approx(sum(with_text.ledger.energy_j.values()))
    grown_j = with_text.gross_energy_j - plain.gross_energy_j
    assert grown_j == pytest.approx(with_text.ledger.energy_j[Phase.INFERENCE])


@settings(max_examples=40)
@given(st.floats(0.001, 5.0), st.sampled_from([0.0, 0.02, 0.1]), st.floats(0.5, 20.0))
def test_a_window_is_as_long_as_the_meter_asks_for_and_ends_at_its_limit(seconds, period_s, limit_s):
    plan = replace(PLAN, limit_s=limit_s)
    single = inferred(seconds=seconds, period_s=period_s, plan=plan).inference.at(1)
    wanted_s = min(limit_s, max(plan.window_s, 100 * period_s))
    assert wanted_s <= single.time_s + 1e-9
    assert single.time_s < wanted_s + 2 * seconds
    assert single.energy_j is None or single.energy_j > single.energy_error_j


def test_a_window_that_does_not_stand_out_of_the_meters_period_is_unknown():
    plan = replace(PLAN, limit_s=0.05)
    single = inferred(seconds=0.05, period_s=0.1, plan=plan).inference.at(1)
    assert single.energy_j is single.energy_j_per_token is None
    assert "by its period" in single.reason


def test_the_largest_batch_that_fits_is_taken():
    inference = inferred(most=7).inference
    assert [(one.batch_size, one.energy_j is not None) for one in inference.batches] == [
        (1, True),
        (16, False),
        (4, True),
    ]
    assert inference.at(16).reason == "it does not fit"


def test_an_objective_that_could_not_be_measured_is_no_zero_and_cannot_rank():
    names = ("energy_to_target_j", INFERENCE)
    record = inferred(error=RuntimeError("no kernel"), objectives=names)
    assert record.outcome is Outcome.UNMEASURED
    assert "no kernel" in record.reason
    assert record.values == {}
    assert inferred(error=RuntimeError("no kernel")).outcome is Outcome.REACHED  # where it is no objective


def test_it_is_a_value_of_runs_that_reached_the_target_alone():
    names = ("energy_to_target_j", INFERENCE)
    reached = inferred(objectives=names)
    assert reached.values[INFERENCE] == reached.inference.energy_j_per_token
    missed = inferred(steps=SETUP_AND_COMPILE, objectives=names)
    assert (missed.outcome, missed.inference) == (Outcome.OUT_OF_BUDGET, None)
    assert list(missed.spent) == ["energy_to_target_j"]


def test_a_run_of_fixed_length_generates_at_its_end_though_it_missed():
    config = {**REQUEST.config, "train": {**REQUEST.config["train"], "max_steps": 30}}
    steps = [*SETUP_AND_COMPILE, (3.0, at(30, "eval")), (0.5, at(30, "train", loss=3.0))]
    record = inferred(steps=steps, to_the_end=True, config=config)
    assert record.outcome is Outcome.OUT_OF_BUDGET
    assert record.inference.energy_j_per_token > 0
    assert inferred(steps=SETUP_AND_COMPILE, to_the_end=True, config=config).inference is None


def test_an_interruption_while_it_generates_ends_the_run_with_the_model_kept():
    kept = []
    record = inferred(error=KeyboardInterrupt(), keep=lambda state, end: kept.append(end.outcome))
    assert (record.outcome, record.interrupted) == (Outcome.CRASHED, True)
    assert kept == [Outcome.REACHED]


def test_a_record_keeps_it():
    record = inferred()
    assert Record.from_dict(record.to_dict()).inference == record.inference
    written = record.to_dict()["inference"]["batches"][0]
    assert written["energy_j_per_token"] == record.inference.energy_j_per_token


def test_a_line_of_a_version_that_generated_nothing_is_read():
    line = inferred(plan=None).to_dict()
    del line["inference"]
    line["ledger"] = {
        name: {phase: amount for phase, amount in amounts.items() if phase != "inference"}
        for name, amounts in line["ledger"].items()
    }
    record = Record.from_dict(line)
    assert record.inference is None
    assert record.ledger.energy_j[Phase.INFERENCE] == 0.0
