import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError, EvaluationWindows, ModelConfig
from model.evaluate import Evaluator, evaluate, validation_windows, windows_of_test_part
from model.gpt import GPT

V = 13


def side_by_side(context, tokens=None):
    return EvaluationWindows(tokens, context, context)


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
        for window in windows.tokens.long():
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
    windows = validation_windows(split, side_by_side(context=context))
    assert windows.tokens.shape[1] == context + 1
    predicted = windows.tokens[:, 1:].flatten()
    assert torch.equal(predicted, torch.arange(1, len(predicted) + 1))
    left_over = n - 1 - len(predicted)
    assert 0 <= left_over < context


@given(tokens=st.integers(20, 90))
def test_a_stated_part_is_the_first_tokens_of_the_split_in_whole_windows(tokens):
    windows = validation_windows(torch.arange(100), side_by_side(tokens=tokens, context=10))
    assert torch.equal(windows.tokens[:, 1:].flatten(), torch.arange(1, tokens // 10 * 10 + 1))


def test_each_window_sees_the_token_before_its_first_target():
    windows = validation_windows(torch.arange(13), side_by_side(context=4))
    assert windows.tokens.tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10, 11, 12]]


@pytest.mark.parametrize("n", [0, 1, 8, 20])
def test_a_split_shorter_than_two_windows_is_refused_with_the_length_that_is_needed(n):
    with pytest.raises(ConfigError) as error:
        validation_windows(some_tokens(n), side_by_side(context=10))
    [line] = str(error.value).splitlines()
    assert f"has {n} tokens" in line
    assert "evaluation.context=10" in line
    assert line.endswith("needs 21")


def test_a_split_of_exactly_two_windows_is_enough():
    assert len(validation_windows(some_tokens(21), side_by_side(context=10))) == 2


def test_a_split_shorter_than_the_stated_part_is_refused_with_the_length_that_is_needed():
    with pytest.raises(ConfigError) as error:
        validation_windows(some_tokens(50), side_by_side(tokens=50, context=10))
    [line] = str(error.value).splitlines()
    assert "has 50 tokens" in line
    assert "evaluation.tokens=50" in line
    assert line.endswith("needs 51")


@pytest.mark.parametrize(("tokens", "expected"), [(None, 9), (40, 4), (99, 9), (10_000, 9)])
def test_windows_of_the_test_part_are_those_of_validation_as_many_as_there_are(tokens, expected):
    part = torch.arange(100)
    windows = windows_of_test_part(part, side_by_side(tokens=tokens, context=10))
    assert len(windows) == expected
    assert torch.equal(windows.tokens, validation_windows(part, side_by_side(context=10)).tokens[:expected])


@pytest.mark.parametrize("n", [0, 1, 11, 20])
def test_a_test_part_of_less_than_two_windows_is_none(n):
    assert windows_of_test_part(torch.arange(n), side_by_side(context=10)) is None


@pytest.mark.parametrize("context", [8, 24])
def test_loss_is_the_mean_over_all_tokens_and_stderr_comes_from_the_spread_between_windows(context):
    model = small_model(block_size=context)
    windows = validation_windows(some_tokens(241), side_by_side(context=context))
    result = evaluate(model, windows)
    losses = torch.tensor(losses_token_by_token(model, windows, piece=context), dtype=torch.float64)
    assert result.loss == pytest.approx(float(losses.mean()), rel=1e-6)
    assert result.tokens == len(losses) == 240
    means = losses.view(-1, context).mean(dim=1)
    variance = float(((means - means.mean()) ** 2).sum()) / (len(means) - 1)
    assert result.stderr == pytest.approx(math.sqrt(variance / len(means)), rel=1e-5)


def test_many_windows_are_evaluated_in_passes_without_losing_any():
    model = small_model(n_layer=1)
    windows = validation_windows(some_tokens(9001), side_by_side(context=8))
    result = evaluate(model, windows)
    with torch.no_grad():
        logits = model.eval()(windows.tokens[:, :-1].long())
    expected = F.cross_entropy(logits.flatten(0, 1).double(), windows.tokens[:, 1:].flatten().long())
    assert result.tokens == 9000
    assert result.loss == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("block_size", [1, 4, 12])
def test_a_block_shorter_than_the_context_predicts_the_same_targets_from_less(block_size):
    model = small_model(block_size=block_size)
    windows = validation_windows(some_tokens(121), side_by_side(context=12))
    result = evaluate(model, windows)
    losses = losses_token_by_token(model, windows, piece=block_size)
    assert result.tokens == len(losses) == 120
    assert result.loss == pytest.approx(sum(losses) / len(losses), rel=1e-6)


def test_a_block_longer_than_the_context_sees_the_context_only():
    model = small_model(block_size=64)
    windows = validation_windows(some_tokens(121), side_by_side(context=12))
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

    evaluate(model, validation_windows(some_tokens(81), side_by_side(context=8)))

    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()
    assert all(module.training == training for module in model.modules())
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(torch.equal(p.grad, before) for p, before in zip(model.parameters(), gradients, strict=True))


def test_evaluation_is_without_dropout_and_repeats_to_the_last_bit():
    windows = validation_windows(some_tokens(81), side_by_side(context=8))
    with_dropout = small_model(dropout=0.5).train()
    assert evaluate(with_dropout, windows) == evaluate(with_dropout, windows)
    assert evaluate(with_dropout, windows) == evaluate(small_model(dropout=0.0), windows)


def test_the_loss_does_not_depend_on_the_attention_that_a_model_trains_with():
    windows = validation_windows(some_tokens(81), side_by_side(context=8))
    losses = {evaluate(small_model(attention=name), windows).loss for name in ("manual", "sdpa", "sdpa_math")}
    assert len(losses) == 1


# --- on the way to a target

WINDOWS = validation_windows(some_tokens(64 * 300 + 1), side_by_side(context=64))


def some_model(seed=0, **changes):
    model = small_model(n_layer=1, block_size=64, **changes)
    return moved(model, 0.02, seed)


def moved(model, by, seed=0):
    """As a little training would: every matrix changes a little, and with it the loss of every window."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter += by * torch.randn(parameter.shape, generator=generator)
    return model


def test_without_a_target_every_evaluation_is_whole():
    evaluator = Evaluator(WINDOWS)
    results = [evaluator.evaluate(some_model(seed)) for seed in range(3)]
    assert all(result.whole and result.tokens == 300 * 64 for result in results)
    assert results == [evaluate(some_model(seed), WINDOWS) for seed in range(3)]


def test_far_above_the_target_a_small_part_is_enough():
    result = Evaluator(WINDOWS, target_loss=0.5).evaluate(some_model())
    assert not result.whole
    assert 32 * 64 <= result.tokens <= 40 * 64


@pytest.mark.parametrize("below", [0.0005, 0.01, 1.0])
def test_at_or_below_the_target_it_is_whole(below):
    whole = evaluate(some_model(), WINDOWS)
    assert Evaluator(WINDOWS, whole.loss + below).evaluate(some_model()) == whole


def test_it_is_whole_where_that_is_asked_for():
    assert Evaluator(WINDOWS, 0.5).evaluate(some_model(), whole=True) == evaluate(some_model(), WINDOWS)


def test_the_nearer_the_target_the_more_is_looked_at():
    loss = evaluate(some_model(), WINDOWS).loss
    tokens = [Evaluator(WINDOWS, loss - gap).evaluate(some_model()).tokens for gap in (1.0, 0.1, 0.0001)]
    assert tokens == sorted(tokens)
    assert tokens[0] < tokens[-1] == 300 * 64


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), gap=st.floats(0.001, 2.0), remembers=st.booleans())
def test_what_ends_early_is_above_the_target_by_what_it_says_and_near_the_whole_loss(seed, gap, remembers):
    whole = evaluate(some_model(seed), WINDOWS)
    target = whole.loss - gap
    evaluator = Evaluator(WINDOWS, target)
    if remembers:
        evaluator.evaluate(some_model(seed + 1), whole=True)
    result = evaluator.evaluate(some_model(seed))
    if result.whole:
        assert result == whole
    else:
        assert result.loss - 3 * result.stderr > target
        assert abs(result.loss - whole.loss) < 6 * result.stderr
        assert result.tokens < whole.tokens


def test_a_whole_evaluation_makes_later_ones_cheaper():
    """The windows differ much, and a window in two similar models little."""
    later = evaluate(moved(some_model(), 0.005), WINDOWS)
    target = later.loss - 0.01
    fresh, experienced = Evaluator(WINDOWS, target), Evaluator(WINDOWS, target)
    experienced.evaluate(some_model(), whole=True)
    result = experienced.evaluate(moved(some_model(), 0.005))
    assert not result.whole
    assert 4 * result.tokens < fresh.evaluate(moved(some_model(), 0.005)).tokens
    assert abs(result.loss - later.loss) < 0.01


def test_one_that_is_undecided_goes_on_to_the_end_once_so_that_later_ones_need_not():
    """By itself it would be decided after some 40 % of the windows, and the next would cost as much again."""
    whole = evaluate(some_model(), WINDOWS)
    evaluator = Evaluator(WINDOWS, whole.loss - 3 * whole.stderr * math.sqrt(1 / 0.4 - 1))
    tokens = [evaluator.evaluate(moved(some_model(), by)).tokens for by in (0.0, 0.001)]
    assert tokens[0] == whole.tokens
    assert tokens[1] < 0.3 * whole.tokens


def test_an_estimate_from_most_of_the_windows_is_better_than_one_from_as_many_of_a_larger_text():
    """What is left to see is little: 2.2 standard errors of a sample as large as the text are enough."""
    early = 0
    for seed in range(8):
        model, n = some_model(seed), len(WINDOWS)
        evaluator = Evaluator(WINDOWS, -100.0)
        evaluator.evaluate(moved(some_model(seed), 0.005), whole=True)
        far = evaluator.evaluate(model)
        spread = far.stderr / math.sqrt(1 / (far.tokens // 64) - 1 / n)
        near = Evaluator(WINDOWS, evaluate(model, WINDOWS).loss - 2.2 * spread / math.sqrt(n))
        near.evaluate(moved(some_model(seed), 0.005), whole=True)
        early += not near.evaluate(model).whole
    assert early >= 6


def test_a_whole_evaluation_depends_on_nothing_before_it():
    evaluator = Evaluator(WINDOWS, 0.5)
    for seed, whole in ((1, False), (2, True), (3, False)):
        evaluator.evaluate(some_model(seed), whole)
    assert evaluator.evaluate(some_model(), whole=True) == evaluate(some_model(), WINDOWS)


def test_the_same_evaluations_give_the_same_estimates_to_the_last_bit():
    def estimates():
        evaluator = Evaluator(WINDOWS, 2.5)
        return [evaluator.evaluate(some_model(seed), whole=seed == 1) for seed in range(3)]

    first = estimates()
    torch.rand(7)
    assert estimates() == first
    assert [result.whole for result in first] == [False, True, False]


def test_a_loss_exactly_at_the_target_is_seldom_taken_for_one_above_it():
    """Three standard errors, looked at again and again: some percent at worst, not half."""
    windows, missed = WINDOWS[:120], 0
    for seed in range(30):
        model = some_model(seed)
        evaluator = Evaluator(windows, evaluate(model, windows).loss)
        evaluator.evaluate(moved(some_model(seed), 0.02), whole=True)
        missed += not evaluator.evaluate(model).whole
    assert missed <= 4


def test_a_loss_that_is_no_number_is_told_from_all_windows():
    model = some_model()
    with torch.no_grad():
        model.wte.weight[0] = math.nan
    result = Evaluator(WINDOWS, 0.5).evaluate(model)
    assert math.isnan(result.loss)
    assert result.whole


@pytest.mark.parametrize("training", [True, False])
def test_ending_early_leaves_weights_mode_and_random_state_alone(training):
    model = some_model(dropout=0.5).train(training)
    weights = [p.detach().clone() for p in model.parameters()]
    random_state = torch.get_rng_state()
    result = Evaluator(WINDOWS, 0.5).evaluate(model)
    assert not result.whole
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()
    assert all(module.training == training for module in model.modules())
    assert all(map(torch.equal, model.parameters(), weights))


def test_a_part_too_small_to_show_its_spread_is_never_enough():
    windows = validation_windows(some_tokens(31 * 64 + 1), side_by_side(context=64))
    assert Evaluator(windows, -100.0).evaluate(some_model()).whole
