"""Steps, evaluations, the setup and ramps as sums of passes through the network."""

from __future__ import annotations

import pytest
import torch
from counted_work import GROUPED, VOCAB, Operands, run_config
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.averaging import RunningMean
from model.config import (
    EvaluationConfig,
    ScheduleConfig,
)
from model.gpt import GPT
from model.schedule import batch_shape, plateaus
from model.work import (
    average_work,
    evaluation_work,
    parameter_count,
    plateau_steps,
    setup_work,
    step_work,
)


@pytest.mark.parametrize("model", [{}, {**GROUPED, "mlp": "swiglu"}, {"loss": "chunked"}], ids=str)
def test_the_operations_of_an_evaluation_are_those_of_a_forward_pass_alone(model):
    config = run_config(model)
    config.evaluation = EvaluationConfig(context=32)
    network = GPT(config.model, VOCAB).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the counter knows no fused CPU kernel
        network(torch.randint(VOCAB, (5, 32)))

    work = evaluation_work(config, VOCAB, tokens=5 * 32)

    assert work.matmul_flops == pytest.approx({"fp32": counter.get_total_flops()}, rel=1e-12)


def test_an_evaluation_runs_in_fp32_whatever_the_training_runs_in():
    halves = evaluation_work(run_config(train={"precision": "bf16"}), VOCAB, 1000)

    assert halves == evaluation_work(run_config(), VOCAB, 1000)


def test_an_evaluation_is_proportional_to_its_tokens():
    one, many = (evaluation_work(run_config(), VOCAB, tokens) for tokens in (1, 12_345))

    assert many.bytes_moved == pytest.approx(12_345 * one.bytes_moved)
    assert many.flops == pytest.approx(one.times(12_345).flops)


EVALUATED_ALIKE = [
    ({"norm": "rmsnorm_liger", "mlp": "swiglu_liger"}, {"norm": "rmsnorm", "mlp": "swiglu"}),
    ({"loss": "chunked"}, {"loss": "plain"}),
    ({"loss": "liger"}, {"loss": "plain"}),
    ({"attention": "manual"}, {"attention": "flex"}),
]


@pytest.mark.parametrize(("one", "other"), EVALUATED_ALIKE, ids=str)
def test_an_evaluation_runs_the_plain_kernels_whatever_the_training_runs(one, other):
    assert evaluation_work(run_config(one), VOCAB, 999) == evaluation_work(run_config(other), VOCAB, 999)
    assert step_work(run_config(one), VOCAB) != step_work(run_config(other), VOCAB)


def test_a_model_of_a_shorter_block_is_evaluated_in_its_own_blocks():
    short = run_config({"block_size": 16})
    exact = run_config({"block_size": 16})
    exact.evaluation = EvaluationConfig(context=16)

    assert evaluation_work(short, VOCAB, 640) == evaluation_work(exact, VOCAB, 640)


def test_micro_batches_repeat_the_network_and_not_the_optimizer():
    one, three = (step_work(run_config(train={"grad_accum": count}), VOCAB) for count in (1, 3))
    assert three.matmul_flops["fp32"] == 3 * one.matmul_flops["fp32"]
    assert three.bytes_moved < 3 * one.bytes_moved


@pytest.mark.parametrize(("batch_size", "grad_accum"), [(12, 1), (3, 4)])
def test_processes_share_the_network_and_each_has_its_own_optimizer(batch_size, grad_accum):
    one, two = (
        step_work(
            run_config(train={"batch_size": batch_size, "grad_accum": grad_accum, "processes": count}), VOCAB
        )
        for count in (1, 2)
    )
    assert two.matmul_flops["fp32"] == one.matmul_flops["fp32"]
    assert one.bytes_moved < two.bytes_moved < 2 * one.bytes_moved


def test_setting_up_writes_weights_twice_and_two_moments():
    assert setup_work(run_config(), VOCAB).bytes_moved == 16 * parameter_count(run_config().model, VOCAB)


@pytest.mark.parametrize("tied", [True, False])
def test_the_bytes_of_averaging_are_those_of_the_weights_and_their_mean(tied):
    config = run_config({"tied_head": tied})
    network, watch = GPT(config.model, VOCAB), Operands()
    mean = RunningMean(network)
    with watch:
        mean.take(network)

    # What an operation on a list writes in place is not among its results.
    assert average_work(config, VOCAB).bytes_moved == watch.bytes_moved * 3 / 2


def test_compiling_changes_nothing_that_is_counted():
    assert step_work(run_config(train={"compile": True}), VOCAB) == step_work(run_config(), VOCAB)


RAMPS = ScheduleConfig(
    warmup_steps=0,
    batch_ramp_fraction=0.5,
    batch_ramp_from=0.25,
    context_ramp_fraction=0.8,
    context_ramp_from=0.5,
)


def ramped(schedule=RAMPS):
    config = run_config({"attention": "manual"}, {"max_steps": 20, "batch_size": 8})
    config.schedule = schedule
    return config


def test_a_step_of_a_smaller_batch_and_context_is_that_of_a_run_that_has_them():
    small = run_config({"attention": "manual", "positions": "rope", "block_size": 24}, {"batch_size": 2})
    large = run_config({"attention": "manual", "positions": "rope"}, {"batch_size": 8})

    assert step_work(large, VOCAB, 2, 24) == step_work(small, VOCAB)


@given(st.integers(0, 40))
def test_the_steps_of_a_run_are_divided_among_its_plateaus(steps):
    config = ramped()
    counts = plateau_steps(config, steps)

    assert [one for one, _ in counts] == list(plateaus(config))
    assert len(counts) > 2
    shapes = [shape for one, n in counts for shape in [(one.batch_size, one.context)] * n]
    assert shapes == [batch_shape(step, config) for step in range(steps)]
