import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError, EvaluationConfig, ModelConfig
from model.evaluate import evaluate, validation_windows
from model.gpt import GPT

V = 13


def some_tokens(n, seed=0):
    return torch.randint(V, (n,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def small_model(**changes):
    """Weights large enough for every token to have a loss of its own."""
    torch.manual_seed(0)
    config = {"n_layer": 2, "n_embd": 16, "n_head": 2, "block_size": 8} | changes
    model = GPT(ModelConfig(**config), V)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.5)
    return model


def losses_token_by_token(model, windows, piece):
    """-log p of every target in fp64, from the logits of the piece of `piece` tokens that it lies in."""
    training = model.training
    model = model.double().eval()
    losses = []
    with torch.no_grad():
        for window in windows.long():
            for t in range(len(window) - 1):
                start = t - t % piece
                logits = model(window[start : t + 1][None])[0, -1]
                losses.append(float(torch.logsumexp(logits, 0) - logits[window[t + 1]]))
    model.float().train(training)
    return losses


@given(n=st.integers(9, 400), context=st.integers(1, 4))
def test_every_validation_token_but_the_first_is_predicted_exactly_once(n, context):
    """Up to the last whole window: what is left over is shorter than a context."""
    split = torch.arange(n)
    windows = validation_windows(split, EvaluationConfig(context=context))
    assert windows.shape[1] == context + 1
    predicted = windows[:, 1:].flatten()
    assert torch.equal(predicted, torch.arange(1, len(predicted) + 1))
    left_over = n - 1 - len(predicted)
    assert 0 <= left_over < context


@given(tokens=st.integers(20, 90))
def test_a_stated_part_is_the_first_tokens_of_the_split_in_whole_windows(tokens):
    windows = validation_windows(torch.arange(100), EvaluationConfig(tokens=tokens, context=10))
    assert torch.equal(windows[:, 1:].flatten(), torch.arange(1, tokens // 10 * 10 + 1))


def test_each_window_sees_the_token_before_its_first_target():
    windows = validation_windows(torch.arange(13), EvaluationConfig(context=4))
    assert windows.tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]]


@pytest.mark.parametrize("n", [0, 1, 8, 20])
def test_a_split_shorter_than_two_windows_is_refused_with_the_length_that_is_needed(n):
    with pytest.raises(ConfigError) as error:
        validation_windows(some_tokens(n), EvaluationConfig(context=10))
    [line] = str(error.value).splitlines()
    assert f"has {n} tokens" in line
    assert "evaluation.context=10" in line
    assert line.endswith("needs 21")


def test_a_split_of_exactly_two_windows_is_enough():
    assert len(validation_windows(some_tokens(21), EvaluationConfig(context=10))) == 2


def test_a_split_shorter_than_the_stated_part_is_refused_with_the_length_that_is_needed():
    with pytest.raises(ConfigError) as error:
        validation_windows(some_tokens(50), EvaluationConfig(tokens=50, context=10))
    [line] = str(error.value).splitlines()
    assert "has 50 tokens" in line
    assert "evaluation.tokens=50" in line
    assert line.endswith("needs 51")


@pytest.mark.parametrize("context", [8, 24])
def test_loss_is_the_mean_over_all_tokens_and_stderr_comes_from_the_spread_between_windows(context):
    model = small_model(block_size=context)
    windows = validation_windows(some_tokens(241), EvaluationConfig(context=context))
    result = evaluate(model, windows)
    losses = torch.tensor(losses_token_by_token(model, windows, piece=context), dtype=torch.float64)
    assert result.loss == pytest.approx(float(losses.mean()), rel=1e-6)
    assert result.tokens == len(losses) == 240
    means = losses.view(-1, context).mean(dim=1)
    variance = float(((means - means.mean()) ** 2).sum()) / (len(means) - 1)
    assert result.stderr == pytest.approx(math.sqrt(variance / len(means)), rel=1e-5)


def test_many_windows_are_evaluated_in_passes_without_losing_any():
    model = small_model(n_layer=1)
    windows = validation_windows(some_tokens(9001), EvaluationConfig(context=8))
    result = evaluate(model, windows)
    with torch.no_grad():
        logits = model.eval()(windows[:, :-1].long())
    expected = F.cross_entropy(logits.flatten(0, 1).double(), windows[:, 1:].flatten().long())
    assert result.tokens == 9000
    assert result.loss == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("block_size", [1, 4, 12])
def test_a_block_shorter_than_the_context_predicts_the_same_targets_from_less(block_size):
    model = small_model(block_size=block_size)
    windows = validation_windows(some_tokens(121), EvaluationConfig(context=12))
    result = evaluate(model, windows)
    losses = losses_token_by_token(model, windows, piece=block_size)
    assert result.tokens == len(losses) == 120
    assert result.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)


def test_a_block_longer_than_the_context_sees_the_context_only():
    model = small_model(block_size=64)
    windows = validation_windows(some_tokens(121), EvaluationConfig(context=12))
    losses = losses_token_by_token(model, windows, piece=12)
    assert evaluate(model, windows).loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)


@settings(deadline=None, max_examples=10)
@given(training=st.booleans(), dropout=st.sampled_from([0.0, 0.5]))
def test_evaluation_leaves_weights_gradients_mode_and_random_state_alone(training, dropout):
    model = small_model(dropout=dropout).train(training)
    tokens = some_tokens(9).long()[None]
    torch.autograd.backward(model.loss(tokens[:, :-1], tokens[:, 1:]))
    weights = [p.detach().clone() for p in model.parameters()]
    gradients = [p.grad.clone() for p in model.parameters()]
    random_state = torch.get_rng_state()

    evaluate(model, validation_windows(some_tokens(81), EvaluationConfig(context=8)))

    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()
    assert all(module.training == training for module in model.modules())
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(torch.equal(p.grad, before) for p, before in zip(model.parameters(), gradients, strict=True))


def test_evaluation_is_without_dropout_and_repeats_to_the_last_bit():
    windows = validation_windows(some_tokens(81), EvaluationConfig(context=8))
    with_dropout = small_model(dropout=0.5).train()
    assert evaluate(with_dropout, windows) == evaluate(with_dropout, windows)
    assert evaluate(with_dropout, windows) == evaluate(small_model(dropout=0.0), windows)


def test_the_loss_does_not_depend_on_the_attention_that_a_model_trains_with():
    windows = validation_windows(some_tokens(81), EvaluationConfig(context=8))
    losses = {evaluate(small_model(attention=name), windows).loss for name in ("manual", "sdpa", "sdpa_math")}
    assert len(losses) == 1
