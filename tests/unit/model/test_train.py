"""What training yields, repeats, learns and refuses."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch
from small_run import (
    CORPUS,
    CPU,
    counting_corpus,
    drain,
    evaluations,
    generated_corpus,
    small_run,
    train_losses,
)

from model.config import ConfigError
from model.evaluate import evaluate, validation_windows, windows_of_test_part
from model.progress import EvaluationResult
from model.tables import ATTENTION, KERNELS, SCHEDULES
from model.train import train

# --- repeatable


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_same_seed_gives_the_same_losses_to_the_last_bit(dropout):
    config = small_run(model={"dropout": dropout})
    first, _ = drain(config)
    torch.rand(7)  # whatever the process drew before is no part of a run
    second, _ = drain(config)
    assert first == second
    assert len(train_losses(first)) == config.train.max_steps


def test_another_seed_gives_other_weights_and_other_batches():
    one, two = (drain(small_run(seed=seed))[0] for seed in (1, 2))
    assert not set(train_losses(one)) & set(train_losses(two))
    assert evaluations(one)[-1][1] != evaluations(two)[-1][1]


def first_weights_and_batch(seed, **model):
    """(token embedding at the start, inputs of the first batch): only tokens in the batch move their row."""
    run = {
        "model": {"block_size": 1, "tied_head": False} | model,
        "train": {"max_steps": 1, "batch_size": 4},
        "evaluation": {"context": 1, "tokens": None},
    }
    start, end = (
        drain(small_run(seed, optimizer={"lr": lr, "weight_decay": 0.0}, **run), corpus=counting_corpus(50))[
            1
        ]
        for lr in (1e-30, 1e-3)
    )
    moved = (start.wte.weight != end.wte.weight).any(dim=1)
    return start.wte.weight.detach(), moved.nonzero().flatten().tolist()


def test_the_seed_decides_the_first_weights_and_the_batches():
    weights, batch = first_weights_and_batch(seed=1)
    other_weights, other_batch = first_weights_and_batch(seed=2)
    assert 1 <= len(batch) <= 4
    assert batch != other_batch
    assert not torch.equal(weights, other_weights)


@pytest.mark.parametrize("model", [{"n_layer": 3}, {"dropout": 0.5}, {"n_embd": 32}], ids=str)
def test_the_batches_of_a_seed_are_the_same_whatever_the_model(model):
    assert first_weights_and_batch(seed=1, **model)[1] == first_weights_and_batch(seed=1)[1]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("attention", ["manual", "sdpa"])
def test_evaluating_in_between_does_not_change_training(dropout, attention):
    often, seldom = (
        drain(
            small_run(
                model={"dropout": dropout, "attention": attention},
                train={"max_steps": 20},
                evaluation={"interval": interval},
            )
        )[0]
        for interval in (5, 50)
    )
    assert [step for step, _ in evaluations(often)] == [5, 10, 15, 20]
    assert [step for step, _ in evaluations(seldom)] == [20]
    assert train_losses(often) == train_losses(seldom)
    assert evaluations(often)[-1] == evaluations(seldom)[-1]


# --- what it yields


def test_phases_come_in_the_order_of_a_runs_life():
    progress, _ = drain(small_run(train={"max_steps": 6}, evaluation={"interval": 3}))
    assert [(p.step, p.phase, p.loss is not None) for p in progress] == [
        (0, "train", False),  # what came before is the setup
        (1, "train", False),
        (2, "train", False),
        (3, "eval", False),  # resuming this one evaluates
        (3, "train", True),
        (4, "train", False),
        (5, "train", False),
        (6, "eval", False),
        (6, "train", True),
    ]


def test_every_evaluation_comes_with_its_standard_error():
    progress, _ = drain(small_run())
    assert all((p.loss is None) == (p.loss_stderr is None) for p in progress)
    assert all(p.loss_stderr > 0 for p in progress if p.loss_stderr is not None)


@pytest.mark.parametrize("max_steps", [1, 4, 5, 7])
def test_it_stops_at_the_last_step_and_evaluates_there_once(max_steps):
    progress, _ = drain(small_run(train={"max_steps": max_steps}, evaluation={"interval": 5}))
    assert max(p.step for p in progress) == max_steps
    assert len(train_losses(progress)) == max_steps
    steps = [step for step, _ in evaluations(progress)]
    assert steps == sorted({*range(5, max_steps, 5), max_steps})


def test_the_next_evaluation_is_as_many_steps_away_as_the_caller_says():
    waits = itertools.chain([3, 1, 4], itertools.repeat(99))
    asked = []

    def next_evaluation(results):
        asked.append(list(results))
        return next(waits)

    progress, _ = drain(small_run(train={"max_steps": 10}), next_evaluation)
    assert [step for step, _ in evaluations(progress)] == [3, 4, 8, 10]
    results = [EvaluationResult(p.step, p.loss, p.loss_stderr, 1.0) for p in progress if p.loss is not None]
    assert asked == [results[:n] for n in range(5)]


def test_a_next_evaluation_of_nought_steps_means_the_next_step():
    progress, _ = drain(small_run(train={"max_steps": 3}), lambda curve: 0)
    assert [step for step, _ in evaluations(progress)] == [1, 2, 3]


@pytest.mark.parametrize("target_loss", [None, 0.1, 100.0])
def test_the_last_evaluation_is_whole_and_others_end_early_where_the_target_is_far(target_loss):
    results = []

    def next_evaluation(so_far):
        results[:] = so_far
        return 5

    config = small_run(train={"max_steps": 12}, evaluation={"tokens": None, "context": 16})
    corpus = generated_corpus(words=20_000)
    progress, _ = drain(config, next_evaluation, corpus, target_loss)
    done = [p for p in progress if p.loss is not None]
    everything = (len(corpus.validation) - 1) // 16 * 16
    assert [p.whole for p in done] == [target_loss != 0.1, target_loss != 0.1, True]
    assert all((p.evaluated_tokens == everything) == p.whole for p in done)
    assert results == [
        EvaluationResult(p.step, p.loss, p.loss_stderr, p.evaluated_tokens / everything) for p in done
    ]
    assert [result.whole for result in results] == [p.whole for p in done]


def test_ending_evaluations_early_does_not_change_training():
    config = small_run(evaluation={"tokens": None, "context": 16}, model={"dropout": 0.2})
    corpus = generated_corpus(words=20_000)
    some, all_whole = (drain(config, corpus=corpus, target_loss=target)[0] for target in (0.1, None))
    assert not all(p.whole for p in some)
    assert train_losses(some) == train_losses(all_whole)
    assert evaluations(some)[-1] == evaluations(all_whole)[-1]


def test_only_an_evaluation_says_what_it_took():
    progress, _ = drain(small_run())
    assert all((p.loss is None) == (p.evaluated_tokens is None) for p in progress)
    assert all(p.whole for p in progress)


@pytest.mark.parametrize("grad_accum", [1, 2, 3])
def test_tokens_are_counted_over_all_micro_batches(grad_accum):
    config = small_run(train={"grad_accum": grad_accum, "batch_size": 4, "max_steps": 3})
    progress, _ = drain(config)
    assert config.tokens_per_step == 4 * grad_accum * 16
    assert all(p.tokens == p.step * config.tokens_per_step for p in progress)
    assert progress[-1].tokens == 3 * 4 * grad_accum * 16


@pytest.mark.parametrize("grad_accum", [1, 2, 3])
def test_the_training_loss_is_in_nats_per_token_whatever_the_micro_batches(grad_accum):
    progress, _ = drain(small_run(train={"grad_accum": grad_accum, "max_steps": 1}))
    assert train_losses(progress) == [pytest.approx(math.log(CORPUS.vocab_size), abs=0.2)]


def test_two_micro_batches_make_the_step_of_one_batch_twice_as_large():
    """They draw the same windows, so only rounding differs."""
    whole = drain(small_run(train={"batch_size": 8}))[1]
    halves = drain(small_run(train={"batch_size": 4, "grad_accum": 2}))[1]
    start = drain(small_run(train={"max_steps": 1}, optimizer={"lr": 1e-12}))[1]
    for name, parameter in whole.state_dict().items():
        moved = (parameter - start.state_dict()[name]).norm()
        apart = (parameter - halves.state_dict()[name]).norm()
        assert float(apart) < 1e-2 * float(moved), name


def test_the_generator_returns_the_trained_model_whose_loss_it_yielded_last():
    config = small_run(train={"precision": "bf16"})
    progress, model = drain(config)
    windows = validation_windows(torch.from_numpy(CORPUS.validation.astype("int32")), config.windows)
    assert model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert evaluate(model, windows).loss == progress[-1].loss


# --- Muon's momentum and the mean of the weights

MUON = {"name": "muon", "ns_dtype": "fp32"}
RISING = {"momentum_from": 0.5, "momentum_warmup_fraction": 0.4, "momentum_cooldown_fraction": 0.3}


def test_a_momentum_that_rises_and_falls_trains_otherwise_and_only_with_muon():
    for optimizer, is_read in ((MUON, True), ({}, False)):
        plain, changed = (
            drain(small_run(optimizer=optimizer, schedule={"warmup_steps": 2} | schedule))[0]
            for schedule in ({}, RISING)
        )
        assert (train_losses(plain) != train_losses(changed)) == is_read


def with_mean(fraction, **parts):
    """A run of ten steps that is evaluated after each."""
    schedule = {"warmup_steps": 2, "average_fraction": fraction}
    return small_run(schedule=schedule, optimizer={"lr": 1e-2}, **parts)


def test_averaging_changes_no_step_of_the_training_and_no_evaluation_before_it():
    plain, _ = drain(with_mean(0.0), lambda results: 1)
    averaged, _ = drain(with_mean(0.4), lambda results: 1)
    assert train_losses(averaged) == train_losses(plain)
    # after step 7 the mean is of one
    assert evaluations(averaged)[:7] == evaluations(plain)[:7]
    assert all(a != b for a, b in zip(evaluations(averaged)[7:], evaluations(plain)[7:], strict=True))


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_at_the_end_is_the_mean_of_the_weights_after_the_last_steps(tied):
    config = with_mean(0.3, model={"tied_head": tied})
    each = []
    models = []
    training = train(config, CORPUS, CPU, lambda results: 100, hand_over=models.append)
    for progress in training:
        if progress.phase == "train" and 8 <= progress.step < 10:
            each.append([p.detach().double().clone() for p in models[0].parameters()])
        if progress.phase == "eval":
            each.append([p.detach().double().clone() for p in models[0].parameters()])
    assert len(each) == 3
    _, model = drain(config)
    for ours, *those in zip(model.parameters(), *each, strict=True):
        torch.testing.assert_close(ours.double(), torch.stack(those).mean(dim=0), rtol=1e-5, atol=1e-8)
    assert (model.wte.weight is model.lm_head.weight) is tied


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whoever_stops_early_has_the_model_that_was_evaluated_last(precision):
    config = with_mean(0.5, train={"precision": precision})
    windows = validation_windows(torch.from_numpy(CORPUS.validation.astype("int32")), config.windows)
    for stop in (4, 8):
        models = []
        training = train(config, CORPUS, CPU, lambda results: 1, hand_over=models.append)
        last = next(p for p in training if p.step == stop and p.loss is not None)
        training.close()
        assert len(models) == (1 if stop == 4 else 2)
        assert evaluate(models[-1], windows).loss == last.loss


def test_a_model_whose_weights_are_averaged_is_returned_ready_to_train_with_the_loss_that_it_yielded():
    config = with_mean(0.5, model={"dropout": 0.1})
    progress, model = drain(config)
    windows = validation_windows(torch.from_numpy(CORPUS.validation.astype("int32")), config.windows)
    assert model.training
    assert evaluate(model, windows).loss == progress[-1].loss


# --- the test part

WITH_TEST = replace(CORPUS, test=CORPUS.validation[::-1].copy())


class Untouched:
    """Stands for token ids that nothing may look at."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} of the test part was asked for")

    def __len__(self):
        raise AssertionError("the length of the test part was asked for")


@pytest.mark.parametrize("average_fraction", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_test_part_is_scored_once_with_the_last_evaluation(precision, average_fraction):
    config = small_run(
        train={"max_steps": 7, "precision": precision}, schedule={"average_fraction": average_fraction}
    )
    progress, model = drain(config, lambda results: 3, WITH_TEST, score_test=True)
    assert [p.step for p in progress if p.loss is not None] == [3, 6, 7]
    assert [p.step for p in progress if p.test_loss is not None] == [7]
    windows = windows_of_test_part(torch.from_numpy(WITH_TEST.test.astype("int32")), config.windows)
    scored = evaluate(model, windows)
    last = progress[-1]
    assert (last.test_loss, last.test_loss_stderr) == (scored.loss, scored.stderr)
    assert last.test_loss != last.loss
    assert last.evaluated_tokens == 160 + scored.tokens
    assert progress[-2].phase == "eval"


def test_scoring_the_test_part_changes_neither_weights_nor_mode_nor_random_state():
    config = small_run(model={"dropout": 0.2})
    ends = []
    for scores in (False, True):
        progress, model = drain(config, corpus=WITH_TEST, score_test=scores)
        ends.append((train_losses(progress), evaluations(progress), torch.get_rng_state(), model))
    (losses, found, state, model), (losses_too, found_too, state_too, model_too) = ends
    assert (losses, found) == (losses_too, found_too)
    assert torch.equal(state, state_too)
    assert model.training
    assert model_too.training
    for one, other in zip(model.parameters(), model_too.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_that_is_not_to_score_the_test_part_never_looks_at_it():
    progress, _ = drain(small_run(), corpus=replace(CORPUS, test=Untouched()))
    assert progress[-1].step == 10
    assert all(p.test_loss is None and p.test_loss_stderr is None for p in progress)


@pytest.mark.parametrize("n", [0, 32])
def test_a_test_part_without_two_windows_gives_no_loss(n):
    progress, _ = drain(small_run(), corpus=replace(CORPUS, test=CORPUS.validation[:n]), score_test=True)
    assert progress[-1].loss is not None
    assert progress[-1].test_loss is None
    assert progress[-1].evaluated_tokens == 160


# --- it learns


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loss_falls(precision):
    progress, _ = drain(
        small_run(
            model={"n_embd": 32},
            optimizer={"lr": 1e-2},
            train={"max_steps": 60, "precision": precision},
            evaluation={"interval": 1},
        ),
        lambda curve: 1 if not curve else 100,
    )
    [(_, first), (_, last)] = evaluations(progress)
    assert first == pytest.approx(math.log(CORPUS.vocab_size), abs=0.3)
    assert last < first - 0.5


def test_bf16_trains_close_to_fp32_but_in_bf16():
    fp32, bf16 = (drain(small_run(train={"precision": p}))[0] for p in ("fp32", "bf16"))
    assert train_losses(fp32) != train_losses(bf16)
    assert train_losses(bf16) == pytest.approx(train_losses(fp32), abs=0.02)


def test_each_step_takes_the_rate_of_its_schedule():
    """With a warm-up of w steps the first step of Adam moves a weight by lr / (w + 1)."""
    start = drain(small_run(train={"max_steps": 1}, optimizer={"lr": 1e-12}))[1].wpe.weight.detach()
    for warmup_steps in (0, 1, 4):
        config = small_run(
            train={"max_steps": 1},
            optimizer={"lr": 1e-2, "weight_decay": 0.0},
            schedule={"warmup_steps": warmup_steps, "decay_steps": 100},
        )
        moved = float((drain(config)[1].wpe.weight.detach() - start).abs().median())
        assert moved == pytest.approx(1e-2 / (warmup_steps + 1), rel=0.02)


def test_the_schedule_has_a_length_of_its_own():
    """With nothing left of the rate after `decay_steps`, further steps change nothing."""
    schedule = {"decay_steps": 4, "min_lr_ratio": 0.0}
    short, long = (
        drain(small_run(schedule=schedule, train={"max_steps": max_steps}))[1] for max_steps in (4, 7)
    )
    assert all(map(torch.equal, short.parameters(), long.parameters()))


def test_a_step_takes_the_gradient_of_its_own_batch_alone():
    """Where all batches are one window, and Adam is set to plain descent, n steps go n times as far."""

    def end(steps, lr):
        config = small_run(
            optimizer={
                "lr": lr,
                "eps": 1e3,
                "beta1": 0.0,
                "beta2": 0.0,
                "weight_decay": 0.0,
                "grad_clip": 0.0,
            },
            schedule={"warmup_steps": 0, "min_lr_ratio": 1.0},
            train={"max_steps": steps},
            evaluation={"context": 8, "tokens": None},
        )
        model = drain(config, corpus=counting_corpus(17))[1]
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    start = end(1, lr=1e-30)
    one, four = ((end(steps, lr=1.0) - start).norm() for steps in (1, 4))
    assert float(four) == pytest.approx(4 * float(one), rel=0.02)


def test_gradients_are_clipped_to_the_norm_asked_for():
    """Adam does not see the size of its gradients unless `eps` is large beside them: then a tighter clip
    moves the weights less."""

    def distance(grad_clip):
        optimizer = {"eps": 1e3, "lr": 1.0, "weight_decay": 0.0, "grad_clip": grad_clip}
        run = {"train": {"max_steps": 1}, "schedule": {"warmup_steps": 0}}
        end = drain(small_run(optimizer=optimizer, **run))[1]
        start = drain(small_run(optimizer=optimizer | {"lr": 1e-12}, **run))[1]
        squares = [
            float((a - b).detach().square().sum())
            for a, b in zip(end.parameters(), start.parameters(), strict=True)
        ]
        return math.sqrt(sum(squares))

    assert distance(grad_clip=0.02) == pytest.approx(distance(grad_clip=0.01) * 2, rel=0.01)
    assert distance(grad_clip=0.02) == pytest.approx(0.02 / 1e3, rel=0.01)
    assert distance(grad_clip=0.0) == pytest.approx(distance(grad_clip=1e6), rel=1e-6)


@pytest.mark.parametrize("block_size", [1, 7])
def test_batches_are_windows_of_the_training_part_each_target_the_token_after(block_size):
    """A text that counts upwards is learnt to its last token, which needs every window with its targets."""
    config = small_run(
        model={"block_size": block_size, "dropout": 0.0},
        train={"max_steps": 200, "batch_size": 8},
        optimizer={"lr": 0.02, "weight_decay": 0.0},
        evaluation={"context": block_size, "tokens": None},
    )
    _, model = drain(config, corpus=counting_corpus(20))
    windows = torch.arange(20).unfold(0, block_size + 1, 1)
    with torch.no_grad():
        predicted = model(windows[:, :-1]).argmax(dim=-1)
    assert predicted.tolist() == windows[:, 1:].tolist()


COMBINATIONS = random.Random(5).sample(
    [
        combination
        for combination in itertools.product(SCHEDULES, KERNELS, ATTENTION, ["fp32", "bf16"])
        if "cpu" in KERNELS[combination[1]].devices & ATTENTION[combination[2]].devices
        and combination[1] != "compiled"  # seconds each; held to the others in test_adamw
    ],
    12,
)


@pytest.mark.parametrize(("schedule", "kernel", "attention", "precision"), COMBINATIONS)
def test_variants_train_together(schedule, kernel, attention, precision):
    config = small_run(
        model={"attention": attention},
        schedule={"name": schedule, "warmup_steps": 1},
        optimizer={"kernel": kernel},
        train={"max_steps": 3, "precision": precision},
    )
    progress, _ = drain(config)
    plain, _ = drain(
        small_run(
            model={"attention": "manual"},
            schedule={"name": schedule, "warmup_steps": 1},
            train={"max_steps": 3},
        )
    )
    assert train_losses(progress) == pytest.approx(train_losses(plain), abs=0.01)


# --- what cannot run


def refusal(config, corpus=CORPUS):
    with pytest.raises(ConfigError) as error:
        next(train(config, corpus, CPU))
    [line] = str(error.value).splitlines()
    return line


def test_flash_attention_with_dropout_is_refused_on_a_cpu():
    line = refusal(small_run(model={"attention": "sdpa_flash", "dropout": 0.1}))
    assert "model.attention=sdpa_flash" in line
    assert "model.dropout=0" in line


def test_flash_attention_without_dropout_trains_on_a_cpu():
    progress, _ = drain(small_run(model={"attention": "sdpa_flash"}, train={"max_steps": 1}))
    assert len(train_losses(progress)) == 1


def test_averaging_weights_in_bf16_is_refused():
    line = refusal(
        small_run(schedule={"average_fraction": 0.2}, train={"precision": "bf16_weights"}, optimizer=MUON)
    )
    assert "schedule.average_fraction=0.2" in line
    assert "set train.precision=bf16 or schedule.average_fraction=0" in line


@pytest.mark.parametrize("block_size", [3, 10, 15])
def test_a_context_that_is_no_multiple_of_a_shorter_block_is_refused(block_size):
    line = refusal(small_run(model={"block_size": block_size}, evaluation={"context": 16}))
    assert "evaluation.context=16" in line
    assert f"model.block_size={block_size}" in line


@pytest.mark.parametrize("block_size", [4, 16, 23, 64])
def test_a_block_that_divides_the_context_or_is_longer_trains(block_size):
    progress, _ = drain(small_run(model={"block_size": block_size}, train={"max_steps": 1}))
    assert len(evaluations(progress)) == 1


def test_a_validation_part_that_is_too_short_is_refused_before_anything_is_yielded():
    line = refusal(
        small_run(evaluation={"tokens": len(CORPUS.validation), "context": 1}, model={"block_size": 1})
    )
    assert f"needs {len(CORPUS.validation) + 1}" in line


# --- driven from outside


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_caller_may_stop_at_any_value(after):
    generator = train(small_run(), CORPUS, CPU)
    for _ in range(after):
        next(generator)
    generator.close()
    assert list(generator) == []


def test_a_stopped_run_went_like_the_beginning_of_the_whole_one():
    config = small_run()
    whole, _ = drain(config)
    stopped = list(itertools.islice(train(config, CORPUS, CPU), 8))
    assert stopped == whole[:8]
