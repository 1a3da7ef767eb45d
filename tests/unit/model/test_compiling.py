"""A compiled run compiles before its first step, never again, and trains like an eager one."""

import contextlib
import itertools
from dataclasses import replace

import pytest
import torch
from parity import on_gpu
from small_run import CORPUS, CPU, drain, evaluations, small_run, train_losses
from this_cpu import compiles, needs_compiler
from torch._dynamo.utils import counters

from model.progress import Compiled
from model.schedule import plateaus
from model.tables import COMPILE_SCOPES
from model.train import train


def recompiles_freely():
    """Whether a function may be compiled for one shape after another: not so under train's stance."""
    compiled = torch.compile(lambda x: x + 1, backend="eager", dynamic=False)
    try:
        return [compiled(torch.zeros(n)).numel() for n in (2, 3)] == [2, 3]
    except RuntimeError as error:
        assert "fail_on_recompile" in str(error)  # noqa: PT017
        return False


@pytest.mark.slow  # generates code; `test_combinations.py` compiles without
@compiles
@needs_compiler
def test_a_compiled_run_compiles_first_then_trains_like_an_eager_one_and_never_recompiles():
    eager, _ = drain(small_run())
    assert recompiles_freely()
    counters.clear()

    with contextlib.closing(train(small_run(train={"compile": True}), CORPUS, CPU)) as generator:
        compiled = [next(generator), next(generator)]
        assert [(p.step, p.phase) for p in compiled] == [(0, "compile"), (0, "train")]
        assert compiled[1].compiled == Compiled(graphs=1, graph_breaks=0)
        assert not recompiles_freely()
        with torch.profiler.profile() as profile:
            compiled.append(next(generator))
        assert any("Torch-Compiled Region" in event.key for event in profile.key_averages())
        compiled += itertools.islice(generator, len(eager) - 2)
        assert not recompiles_freely()
        assert counters["stats"]["unique_graphs"] == 1
        assert not counters["graph_break"]
    assert recompiles_freely()

    assert [(p.step, p.phase) for p in compiled[1:]] == [(p.step, p.phase) for p in eager]
    assert train_losses(compiled) == pytest.approx(train_losses(eager), rel=1e-4)
    assert [loss for _, loss in evaluations(compiled)] == pytest.approx(
        [loss for _, loss in evaluations(eager)], rel=1e-4
    )


@pytest.mark.slow
@compiles
@needs_compiler
@pytest.mark.parametrize("scope", ["block", "mlp"])
def test_a_part_that_is_compiled_is_one_graph_for_all_blocks_and_trains_like_an_eager_one(scope):
    eager, _ = drain(small_run(model={"n_layer": 3}))
    run, _ = drain(small_run(model={"n_layer": 3}, train={"compile": True, "compile_scope": scope}))
    assert run[1].compiled == Compiled(graphs=1, graph_breaks=0)
    assert train_losses(run) == pytest.approx(train_losses(eager), rel=1e-4)


@pytest.mark.slow
@compiles
def test_a_compiled_run_knows_every_shape_of_two_ramps_beforehand():
    ramps = {"batch_ramp_from": 0.0625, "context_ramp_from": 0.0625}
    ramps |= {"batch_ramp_fraction": 1.0, "context_ramp_fraction": 0.5}
    config = small_run(
        model={"n_layer": 2, "block_size": 16, "embedding_skip": True},
        schedule=ramps,
        train={"batch_size": 16, "max_steps": 32, "compile": True, "compile_scope": "block"},
        evaluation={"context": 16, "interval": 32},
    )
    run = list(train(config, CORPUS, CPU, compile_backend="aot_eager"))
    assert run[-1].step == 32
    # Two a plateau, since the first block's input is the embedding: more than dynamo makes unless it is told.
    assert run[-1].compiled.graphs == 2 * len(plateaus(config)) > 8


@compiles
@pytest.mark.parametrize("scope", COMPILE_SCOPES)
def test_what_is_compiled_is_averaged_like_what_is_not(scope):
    config = small_run(schedule={"average_fraction": 0.5})
    eager, _ = drain(config)
    config = replace(config, train=replace(config.train, compile=True, compile_scope=scope))
    run = list(train(config, CORPUS, CPU, compile_backend="aot_eager"))
    assert train_losses(run) == pytest.approx(train_losses(eager), rel=1e-4)
    assert evaluations(run)[-1][1] == pytest.approx(evaluations(eager)[-1][1], rel=1e-4)


@pytest.mark.slow  # generates code for Muon's step
@compiles
@needs_compiler
def test_a_momentum_that_changes_never_recompiles_a_compiled_step():
    config = small_run(
        optimizer={"name": "muon", "ns_dtype": "fp32"},
        schedule={
            "momentum_from": 0.5,
            "momentum_warmup_fraction": 0.4,
            "momentum_cooldown_fraction": 0.3,
        },
    )
    eager, _ = drain(config)
    compiled, _ = drain(replace(config, optimizer=replace(config.optimizer, kernel="compiled")))
    assert train_losses(compiled) == pytest.approx(train_losses(eager), rel=1e-4)


@compiles
@pytest.mark.parametrize("scope", COMPILE_SCOPES)
def test_what_is_compiled_leaves_evaluation_in_bf16_weights_as_it_was(scope):
    config = small_run(train={"precision": "bf16_weights"})
    eager, _ = drain(config)
    parts = {"precision": "bf16_weights", "compile": True, "compile_scope": scope}
    run = list(train(small_run(train=parts), CORPUS, CPU, compile_backend="aot_eager"))
    assert evaluations(run)[-1][1] == pytest.approx(evaluations(eager)[-1][1], rel=1e-2)


# --- on a GPU

# Inductor's advice to multiply in tf32, which is a precision of its own here.
advises_tf32 = pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")


def assert_compiled_trains_like_eager(device, **compiled):
    config = small_run(model={"n_layer": 2}, train={"max_steps": 30})
    eager = list(train(config, CORPUS, torch.device(device)))
    config = replace(config, train=replace(config.train, compile=True, **compiled))
    run = list(train(config, CORPUS, torch.device(device)))
    assert run[-1].compiled == Compiled(graphs=1, graph_breaks=0)
    assert len(train_losses(eager)) >= 2
    assert train_losses(run) == pytest.approx(train_losses(eager), rel=1e-3)
    losses = [[loss for _, loss in evaluations(progress)] for progress in (run, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@compiles
@advises_tf32
@on_gpu("train.compile_mode")
def test_a_run_compiled_on_a_gpu_in_any_mode_trains_like_an_eager_one(row):
    assert_compiled_trains_like_eager("cuda", compile_mode=row)


@compiles
@advises_tf32
@on_gpu("train.compile_scope")
def test_a_part_compiled_on_a_gpu_trains_like_an_eager_one(row):
    assert_compiled_trains_like_eager("cuda", compile_scope=row)
