"""A text that is predicted as a stream, and the accuracy of that."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError, EvaluationWindows, ModelConfig, RunConfig
from model.data.corpus import Corpus
from model.evaluate import Evaluator, evaluate, validation_windows, windows_of_test_part
from model.gpt import GPT
from model.metric import ACCURACY
from model.runnable import unrunnable
from model.train import train

V, BLOCK = 11, 8


def some_tokens(n, seed=0):
    return torch.randint(V, (n,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def some_model(seed=0, block=BLOCK, **changes):
    """Weights large enough for its choice to depend on all that it sees."""
    torch.manual_seed(seed)
    model = GPT(ModelConfig(n_layer=1, n_embd=16, n_head=2, block_size=block, **changes), V)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.5)
    return model.eval()


@torch.no_grad()
def one_by_one(model, tokens, context=BLOCK):
    """(choice, truth, loss) of every token but the first, each from up to `context` tokens before it, fed
    alone."""
    found = []
    for i in range(1, len(tokens)):
        logits = model(tokens[max(0, i - context) : i].long()[None])[0, -1].double()
        loss = float(torch.logsumexp(logits, 0) - logits[tokens[i]])
        found.append((int(logits.argmax()), int(tokens[i]), loss))
    return found


def stream(tokens, stride, block=BLOCK, wanted=None):
    return validation_windows(tokens, EvaluationWindows(wanted, block, stride))


@given(n=st.integers(17, 200), stride=st.integers(1, BLOCK))
def test_a_stream_scores_every_token_but_the_first_exactly_once_in_order(n, stride):
    windows = stream(torch.arange(n), stride)
    at = windows.first[:, None] + torch.arange(windows.scored)
    scored = windows.tokens[:, 1:].gather(1, at).flatten()
    assert torch.equal(scored, torch.arange(1, len(scored) + 1))
    assert 0 <= n - 1 - len(scored) < stride


@given(n=st.integers(17, 200), stride=st.integers(1, BLOCK))
def test_each_scored_prediction_sees_its_share_of_the_block_or_all_that_there_is(n, stride):
    windows = stream(torch.arange(n), stride)
    at = windows.first[:, None] + torch.arange(windows.scored)
    truths = windows.tokens[:, 1:].gather(1, at)
    seen = truths - windows.tokens[:, :1]  # tokens of the window before the true one
    assert (seen >= truths.clamp(max=BLOCK + 1 - stride)).all()
    assert (seen <= BLOCK).all()


@settings(deadline=None, max_examples=15)
@given(n=st.integers(BLOCK + 1, 60), seed=st.integers(0, 5))
def test_with_a_stride_of_one_a_stream_is_what_feeding_token_by_token_gives(n, seed):
    model, tokens = some_model(seed), some_tokens(n, seed)
    found = one_by_one(model, tokens)
    wrong = sum(choice != truth for choice, truth, _ in found) / len(found)
    assert evaluate(model, stream(tokens, 1), ACCURACY).loss == pytest.approx(wrong, abs=1e-12)
    losses = [loss for *_, loss in found]
    assert evaluate(model, stream(tokens, 1)).loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@settings(deadline=None, max_examples=15)
@given(stride=st.integers(1, BLOCK), at=st.integers(BLOCK + 1, 39), seed=st.integers(0, 5))
def test_no_prediction_depends_on_its_truth_or_on_what_follows(stride, at, seed):
    """Another text from the token `at` on changes no choice up to that for it."""
    model, tokens = some_model(seed), some_tokens(41, seed)
    other = tokens.clone()
    other[at:] = (other[at:] + 1) % V
    assert choices(model, tokens, stride)[:at] == choices(model, other, stride)[:at]


@torch.no_grad()
def choices(model, tokens, stride):
    """What `evaluate` compares with the truths, told by what it counts as right: one text a symbol, in which
    only the truths that are scored differ from those that are seen."""
    windows = stream(tokens, stride)
    logits = model(windows.tokens[:, :-1].long())
    at = windows.first[:, None] + torch.arange(windows.scored)
    return logits.argmax(-1).gather(1, at).flatten().tolist()


def test_one_wrong_choice_more_is_one_scored_token_more():
    model, tokens = some_model(), some_tokens(41)
    picked = choices(model, tokens, 4)
    agreed = sum(choice == int(truth) for choice, truth in zip(picked, tokens[1:], strict=True))
    result = evaluate(model, stream(tokens, 4), ACCURACY)
    assert result.loss == pytest.approx(1 - agreed / 40, abs=1e-12)
    assert result.tokens == 10 * BLOCK


def test_logits_that_are_no_numbers_are_no_accuracy():
    model = some_model()
    with torch.no_grad():
        model.wte.weight[0] = math.nan
    assert math.isnan(evaluate(model, stream(some_tokens(41), 4), ACCURACY).loss)


@pytest.mark.parametrize("training", [True, False])
def test_an_accuracy_leaves_weights_mode_and_random_state_alone(training):
    model = some_model(dropout=0.5).train(training)
    weights = [p.detach().clone() for p in model.parameters()]
    random_state = torch.get_rng_state()
    evaluate(model, stream(some_tokens(81), 4), ACCURACY)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(module.training == training for module in model.modules())
    assert all(map(torch.equal, model.parameters(), weights))


def test_far_below_the_accuracy_a_part_of_the_stream_is_enough():
    model, windows = some_model(), stream(some_tokens(4001), 4)
    result = Evaluator(windows, target_loss=0.1, metric=ACCURACY).evaluate(model)
    assert not result.whole
    assert result.loss > 0.1
    whole = evaluate(model, windows, ACCURACY)
    assert abs(result.loss - whole.loss) < 5 * result.stderr


def test_a_test_part_is_as_many_windows_as_it_has_and_none_where_it_is_shorter_than_the_block():
    shape = EvaluationWindows(1000, BLOCK, 4)
    assert len(windows_of_test_part(torch.arange(21), shape)) == 5
    assert windows_of_test_part(torch.arange(BLOCK), shape) is None


def test_a_text_shorter_than_a_window_is_refused_by_the_key_that_sets_its_length():
    with pytest.raises(ConfigError, match=r"model.block_size=64 needs 65"):
        stream(some_tokens(50), 16, block=64)


def run(**changes):
    model = {"n_layer": 1, "n_embd": 16, "n_head": 2, "block_size": BLOCK}
    values = {"model": model, "train": {"max_steps": 3, "batch_size": 2}, "schedule": {"warmup_steps": 0}}
    return RunConfig.from_mapping(values | changes)


def test_an_accuracy_is_that_of_a_stream_and_a_loss_that_of_windows_side_by_side():
    assert run().windows == (None, 64, 64)
    wide = {"n_layer": 1, "n_embd": 16, "n_head": 2, "block_size": 32}
    assert run(model=wide, target_metric=ACCURACY).windows == (None, 32, 16)
    assert run(evaluation={"stride": 4}).windows == (None, BLOCK, 4)


def test_a_stride_longer_than_the_block_is_refused_with_what_to_type():
    reason = unrunnable(run(target_metric=ACCURACY), "cpu")
    assert reason is not None
    assert reason.endswith("type evaluation.stride=8 or less")


def test_what_training_yields_is_the_error_rate_of_the_stream():
    text = "".join(np.random.default_rng(0).choice(list("abcd "), 3000))
    corpus = Corpus.from_text("noise", text)
    config = run(target_metric=ACCURACY, evaluation={"stride": 4, "tokens": 128})
    models, losses = [], []
    for progress in train(config, corpus, torch.device("cpu"), hand_over=models.append):
        losses += [] if progress.loss is None else [progress.loss]
    windows = validation_windows(torch.from_numpy(corpus.validation.astype("int32")), config.windows)
    assert losses == [evaluate(models[-1], windows, ACCURACY).loss]
    assert 0.0 < losses[0] < 1.0
