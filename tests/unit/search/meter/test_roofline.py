from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from model.generation import Generation
from model.tables import PRECISIONS
from model.work import (
    Work,
    average_work,
    evaluation_work,
    generation_work,
    plateau_steps,
    setup_work,
    step_work,
)
from search.files.paths import config_dir
from search.meter.base import WorkDone
from search.meter.roofline import RooflineMeter, Unpriced, modelled_energy_j
from search.meter.settings import RooflineSection
from search.meter.simulated.meter import FakeClock
from search.record.meter_info import Kind

PRICES = RooflineSection(
    pj_per_flop={"fp32": 8.0, "tf32": 1.0, "bf16": 0.5, "fp8": 0.25}, pj_per_byte=30.0, compile_j=200.0
)
VOCAB = 65


def work_done(precision="fp32", compiled=False, ramps=None, **done):
    config = RunConfig(
        model=ModelConfig(n_layer=1, n_head=2, n_embd=32, block_size=16),
        train=TrainConfig(batch_size=2, precision=precision, compile=compiled),
        schedule=ramps or ScheduleConfig(),
    )
    return WorkDone(config, VOCAB, **done)


def started(work, section=PRICES, clock=None):
    """A meter whose run has had its first look, at which nothing has been done."""
    meter = RooflineMeter(section, clock or FakeClock())
    meter.start(work)
    meter.read()
    return meter


counts = st.integers(0, 10**9)


@given(counts, counts, st.integers(0, 3), st.sampled_from(list(PRECISIONS)))
def test_the_energy_is_a_function_of_the_work_alone(steps, evaluated_tokens, compiles, precision):
    work = work_done(precision, steps=steps, evaluated_tokens=evaluated_tokens, compiles=compiles)
    config = work.config
    expected_j = (
        modelled_energy_j(PRICES, setup_work(config, VOCAB))
        + steps * modelled_energy_j(PRICES, step_work(config, VOCAB))
        + evaluated_tokens * modelled_energy_j(PRICES, evaluation_work(config, VOCAB, 1))
        + compiles * 200.0
    )

    here, there = started(work, clock=FakeClock(0.0)), started(work, clock=FakeClock(9e9))
    there.read()

    assert here.read().energy_j == there.read().energy_j
    assert here.read().energy_j == pytest.approx(expected_j, rel=1e-12)


@given(counts, counts, st.integers(0, 3), counts, counts, st.integers(0, 3))
def test_more_work_is_never_less_energy(steps, tokens, compiles, more_steps, more_tokens, more_compiles):
    work = work_done(steps=steps, evaluated_tokens=tokens, compiles=compiles)
    meter = started(work)
    before_j = meter.read().energy_j
    work.steps, work.evaluated_tokens = steps + more_steps, tokens + more_tokens
    work.compiles = compiles + more_compiles

    assert meter.read().energy_j >= before_j


def test_joules_are_operations_and_bytes_times_their_picojoules():
    work = Work({"bf16": 4e12}, elementwise_ops=1e12, bytes_moved=2e12)

    assert modelled_energy_j(PRICES, work) == pytest.approx(4 * 0.5 + 1 * 8.0 + 2 * 30.0)


def test_nothing_is_done_at_the_first_look_and_the_model_is_set_up_after_it():
    work = work_done()
    meter = RooflineMeter(PRICES, FakeClock())
    meter.start(work)

    assert meter.read().energy_j == 0.0
    assert meter.read().energy_j == modelled_energy_j(PRICES, setup_work(work.config, VOCAB)) > 0


def test_each_step_costs_the_same_and_moves_the_counter():
    work = work_done()
    meter = started(work)
    readings = []
    for steps in range(4):
        work.steps = steps
        readings.append(meter.read().energy_j)

    costs = [after - before for before, after in pairwise(readings)]
    assert min(costs) > 0
    assert max(costs) == pytest.approx(min(costs))


RAMPS = ScheduleConfig(
    batch_ramp_fraction=0.4, batch_ramp_from=0.5, context_ramp_fraction=0.6, context_ramp_from=0.25
)


@given(st.integers(0, 3000))
def test_where_batch_and_context_ramp_each_step_costs_what_its_shape_does(steps):
    work = work_done(ramps=RAMPS)
    meter = started(work)
    before_j = meter.read().energy_j
    work.steps = steps

    parts = (
        step_work(work.config, VOCAB, plateau.batch_size, plateau.context).times(count)
        for plateau, count in plateau_steps(work.config, steps)
    )
    expected = sum(parts, start=Work())
    expected_j = modelled_energy_j(PRICES, expected)
    assert meter.read().energy_j - before_j == pytest.approx(expected_j)
    assert expected_j <= steps * modelled_energy_j(PRICES, step_work(work.config, VOCAB))


@given(st.integers(0, 3000))
def test_each_step_whose_weights_are_averaged_costs_more_by_that(steps):
    plain, averaging = (
        started(work_done(ramps=ScheduleConfig(average_fraction=fraction), steps=steps)).read().energy_j
        for fraction in (0.0, 0.25)
    )
    average_j = modelled_energy_j(PRICES, average_work(work_done().config, VOCAB))
    assert averaging - plain == pytest.approx(max(0, steps - 1500) * average_j, abs=1e-12 * averaging)


def test_time_passes_without_costing_anything_and_without_meaning_frozen():
    clock = FakeClock(5.0)
    meter = started(work_done(), clock=clock)
    before = meter.read()
    clock.advance(600.0)
    after = meter.read()

    assert after.energy_j == before.energy_j
    assert after.time_s == before.time_s + 600.0
    assert not meter.spec.counter.clocked


def test_the_readings_of_a_new_run_forget_the_old_one():
    meter = started(work_done(steps=1000))
    meter.read()
    meter.start(work_done())

    assert meter.read().energy_j == 0.0


def test_a_compilation_costs_its_price():
    work = work_done(compiled=True)
    meter = started(work)
    before_j = meter.read().energy_j
    work.compiles = 1

    assert meter.read().energy_j - before_j == pytest.approx(200.0)


UNSET = "the modelled energy is unknown: set meter.roofline.{} to a number above 0"


def test_a_run_that_compiles_has_no_energy_from_the_start_where_compiling_has_no_price():
    meter = RooflineMeter(replace(PRICES, compile_j=None), FakeClock(3.0))
    meter.start(work_done(compiled=True))
    reading = meter.read()

    assert reading.energy_j is None
    assert reading.problem == UNSET.format("compile_j")
    assert reading.time_s == 3.0


def test_a_run_with_a_compiled_optimizer_has_no_energy_where_compiling_has_no_price():
    work = work_done()
    work.config.optimizer.kernel = "compiled"
    unpriced = RooflineMeter(replace(PRICES, compile_j=None), FakeClock())
    unpriced.start(work)

    assert unpriced.read().problem == UNSET.format("compile_j")
    assert started(work).read().energy_j > 0


def test_a_compilation_that_no_configuration_announced_is_unknown_too():
    meter = started(work_done(compiles=1), replace(PRICES, compile_j=None))

    assert meter.read().problem == UNSET.format("compile_j")


def test_a_run_that_does_not_compile_needs_no_price_for_it():
    assert started(work_done(), replace(PRICES, compile_j=None)).read().energy_j > 0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, None, "???"])
@pytest.mark.parametrize("key", ["pj_per_byte", "compile_j", "pj_per_flop.fp32", "pj_per_flop.bf16"])
def test_a_coefficient_that_is_no_price_gives_no_energy_and_names_its_key(key, value):
    name, _, precision = key.partition(".")
    changed = {**PRICES.pj_per_flop, precision: value} if precision else value
    meter = RooflineMeter(replace(PRICES, **{name: changed}), FakeClock())
    meter.start(work_done("bf16", compiled=True))
    reading = meter.read()

    assert reading.energy_j is None
    assert reading.problem == UNSET.format(key)


def test_a_precision_without_a_coefficient_gives_no_energy():
    section = replace(PRICES, pj_per_flop={"fp32": 8.0})

    assert started(work_done("fp32"), section).read().energy_j > 0
    assert started(work_done("bf16"), section).read().problem == UNSET.format("pj_per_flop.bf16")
    with pytest.raises(Unpriced):
        modelled_energy_j(section, Work({"bf16": 1.0}))


def test_a_variant_whose_work_is_unknown_gives_no_energy_and_says_which():
    work = work_done()
    work.config.model.norm = "nosuch"

    assert started(work).read().energy_j is None
    assert "model.norm=nosuch" in started(work).read().problem


def test_outside_a_run_there_is_no_energy_and_no_idle_power():
    never, no_more = RooflineMeter(PRICES, FakeClock()), started(work_done())
    no_more.start(None)

    for meter in (never, no_more):
        assert meter.read().energy_j is None
        assert "idle power is not modelled" in meter.read().problem
        assert meter.observed() == {}


def test_after_closing_there_is_no_energy():
    meter = started(work_done())
    meter.stop()
    meter.close()
    meter.close()

    assert meter.read() == replace(meter.read(), energy_j=None, problem="the meter is closed")


def test_it_says_that_it_is_modelled_with_which_coefficients_and_of_what():
    work = work_done("bf16")
    meter = started(work)
    step = step_work(work.config, VOCAB)

    assert meter.spec.kind is Kind.MODELLED
    assert meter.spec.gain_error is None
    assert meter.spec.settings == {
        "pj_per_flop": {"fp32": 8.0, "tf32": 1.0, "bf16": 0.5, "fp8": 0.25},
        "pj_per_byte": 30.0,
        "compile_j": 200.0,
    }
    assert meter.flags() == ()
    assert meter.observed() == {"step_flops": step.flops, "step_bytes": step.bytes_moved}


def shipped():
    return yaml.safe_load((config_dir() / "coefficients" / "default.yaml").read_text())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_shipped_coefficients_price_every_precision(precision):
    section = RooflineSection(**shipped()["roofline"])

    assert started(work_done(precision), section).read().energy_j > 0


def test_the_shipped_coefficients_are_what_their_comment_derives():
    section = RooflineSection(**shipped()["roofline"])
    dense_peak_tflops = {"fp32": 66.9, "tf32": 494.7, "bf16": 989.4, "fp8": 1978.9}

    assert section.pj_per_byte == pytest.approx(8 * 3.92, rel=0.002)
    left_w = 700 - 3.35 * section.pj_per_byte
    for precision, tflops in dense_peak_tflops.items():
        assert section.pj_per_flop[precision] == pytest.approx(left_w / tflops, rel=0.003)
    assert section.compile_j is None


@settings(max_examples=25)
@given(st.sampled_from([1, 2]), st.integers(1, 64), st.integers(0, 5), st.integers(1, 5))
def test_generated_text_is_charged_as_often_as_it_was_generated_and_by_the_keys_that_it_keeps(
    kv_heads, batch, before, more
):
    generation = Generation(batch, prompt_tokens=4, tokens=12)
    work = work_done(steps=3)
    work.config.model.n_kv_head = kv_heads
    work.generations[generation] = before
    meter = started(work)
    trained_j = meter.read().energy_j
    work.generations[generation] += more

    def joules_with(heads):
        shape = replace(work.config.model, n_kv_head=heads)
        return more * modelled_energy_j(PRICES, generation_work(shape, VOCAB, generation))

    assert meter.read().energy_j - trained_j == pytest.approx(joules_with(kv_heads))
    assert joules_with(1) < joules_with(2)
