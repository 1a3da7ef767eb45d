import math
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import best_ngram, cached_best_ngram, ngram_error_rates, ngram_losses
from model.data.corpus import Corpus, corpus_folder
from model.data.ngram_choices import ngram_choices
from model.metric import ACCURACY

ORDERS = 4


def tokens(vocab_size, min_size=0, max_size=60):
    ids = st.lists(st.integers(0, vocab_size - 1), min_size=min_size, max_size=max_size)
    return ids.map(lambda values: np.array(values, dtype=np.uint16))


@st.composite
def problems(draw):
    """(train, validation, vocab_size): few symbols, so that contexts repeat, or many, for large codes."""
    vocab_size = draw(st.sampled_from([1, 2, 3, 5, 2**16]))
    return draw(tokens(vocab_size)), draw(tokens(vocab_size, min_size=2)), vocab_size


def slow_probability(train, vocab_size, max_order):
    """The formula of the module docstring, word by word: of (token, context, order)."""
    train = train.tolist()
    follower_counts = defaultdict(Counter)
    for order in range(1, max_order + 1):
        for i in range(order - 1, len(train)):
            follower_counts[tuple(train[i - order + 1 : i])][train[i]] += 1

    def probability(token, context, order):
        if order == 0:
            return 1 / vocab_size
        counts = follower_counts[context]
        lower = probability(token, context[1:], order - 1)
        if not counts:
            return lower
        return (counts[token] + len(counts) * lower) / (counts.total() + len(counts))

    return probability


def slow_losses(train, validation, vocab_size, max_order):
    probability, validation = slow_probability(train, vocab_size, max_order), validation.tolist()

    def loss(i, order):
        length = min(order - 1, i)
        return -math.log(probability(validation[i], tuple(validation[i - length : i]), length + 1))

    n = len(validation)
    return [sum(loss(i, order) for i in range(1, n)) / (n - 1) for order in range(1, max_order + 1)]


@given(problems())
def test_losses_are_those_of_counting_one_token_at_a_time(problem):
    assert ngram_losses(*problem, ORDERS) == pytest.approx(slow_losses(*problem, ORDERS), rel=1e-12)


@given(tokens(3, max_size=80), tokens(3, min_size=1, max_size=8))
def test_the_probabilities_of_all_symbols_after_a_context_sum_to_one(train, context):
    before = np.zeros(ORDERS)
    if len(context) > 1:
        before = np.array(ngram_losses(train, context, 3, ORDERS)) * (len(context) - 1)
    after = np.array([ngram_losses(train, np.append(context, w), 3, ORDERS) for w in range(3)]) * len(context)
    assert np.exp(before - after).sum(axis=0) == pytest.approx(np.ones(ORDERS))


@given(tokens(5), tokens(5, min_size=2), st.permutations(range(5)))
def test_losses_do_not_depend_on_how_tokens_are_numbered(train, validation, names):
    renamed = np.array(names)
    assert ngram_losses(renamed[train], renamed[validation], 5) == ngram_losses(train, validation, 5)


def test_a_large_vocabulary_does_not_overflow_at_a_high_order():
    train = np.random.default_rng(0).integers(2**16 - 50, 2**16, 2_000).astype(np.uint16)
    assert ngram_losses(train, train[:200], 2**16, 8) == pytest.approx(
        slow_losses(train, train[:200], 2**16, 8), rel=1e-12
    )


def test_without_training_tokens_every_symbol_is_as_likely():
    nothing = np.array([], dtype=np.uint16)
    assert ngram_losses(nothing, np.array([0, 1, 2]), 4) == pytest.approx([math.log(4)] * 6)


def test_what_can_be_predicted_exactly_costs_almost_nothing():
    cycle = np.tile(np.arange(10), 1_000)
    losses = ngram_losses(cycle, cycle[:500], 10, 3)
    assert losses[0] == pytest.approx(math.log(10), abs=0.01)
    assert losses[1] < 0.01


def test_the_best_order_is_the_shortest_of_those_with_the_lowest_loss():
    cycle = np.tile([0, 1], 50)
    best = best_ngram(cycle, cycle[:20], 2, 3)
    assert best.losses == ngram_losses(cycle, cycle[:20], 2, 3)
    assert best.loss == min(best.losses) == best.losses[best.order - 1]
    constant = best_ngram(np.zeros(5, int), np.zeros(3, int), 1)
    assert (constant.order, constant.loss) == (1, 0)


@given(problems())
def test_the_best_is_never_above_guessing(problem):
    best = best_ngram(*problem, ORDERS)
    assert best.loss <= math.log(problem[2])
    assert best.loss == min(math.log(problem[2]), *best.losses)


def test_where_all_counts_mislead_the_best_is_guessing():
    corpus = Corpus.from_text("text", "so it goes on. " * 600 + "так и идёт дальше. " * 52)
    best = best_ngram(corpus.train, corpus.validation, corpus.vocab_size)
    assert min(best.losses) > math.log(corpus.vocab_size)
    assert (best.order, best.loss) == (0, math.log(corpus.vocab_size))


def test_each_order_that_is_done_is_told(corpus, tmp_path):
    told = []
    cached_best_ngram(corpus, 100, tmp_path, on_progress=lambda *what: told.append(what))
    total = corpus.train.nbytes
    assert [done for _, done, _ in told] == [total * order // 6 for order in range(1, 7)]
    assert {(what, size) for what, _, size in told} == {("counting n-grams", total)}


@pytest.mark.parametrize("bad", [[0, 3], [0, -1]])
def test_ids_outside_the_vocabulary_are_refused(bad):
    with pytest.raises(ValueError, match=r"expected token ids in 0\.\.2"):
        ngram_losses(np.array(bad), np.array([0, 1]), 3)
    with pytest.raises(ValueError, match=r"expected token ids in 0\.\.2"):
        ngram_losses(np.array([0, 1]), np.array(bad), 3)


def test_a_single_validation_token_is_refused():
    with pytest.raises(ValueError, match="two validation tokens"):
        ngram_losses(np.array([0, 1]), np.array([0]), 2)


@pytest.fixture(scope="module")
def corpus():
    words = np.random.default_rng(0).choice(["so ", "it ", "goes\n", "on "], 2_000)
    return Corpus.from_text("words", "".join(words))


@settings(max_examples=10)
@given(n=st.integers(1, 300))
def test_the_cached_loss_is_of_the_first_tokens_that_have_one_before_them(corpus, tmp_path_factory, n):
    expected = best_ngram(corpus.train, corpus.validation[: n + 1], corpus.vocab_size)
    assert cached_best_ngram(corpus, n, tmp_path_factory.mktemp("cache")) == expected


def test_a_cached_loss_is_not_counted_again(corpus, tmp_path):
    first = cached_best_ngram(corpus, 100, tmp_path)
    (file,) = corpus_folder(corpus.sha256, tmp_path).iterdir()
    written = file.stat().st_mtime_ns
    assert cached_best_ngram(corpus, 100, tmp_path) == first
    assert file.stat().st_mtime_ns == written


def test_a_damaged_cached_loss_is_counted_again(corpus, tmp_path):
    first = cached_best_ngram(corpus, 100, tmp_path)
    (file,) = corpus_folder(corpus.sha256, tmp_path).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"order": ', b'"order": 9'))
    assert cached_best_ngram(corpus, 100, tmp_path) == first
    assert file.read_bytes() == whole


def test_different_numbers_of_tokens_are_cached_apart(corpus, tmp_path):
    losses = [cached_best_ngram(corpus, n, tmp_path).loss for n in (50, 100, 50)]
    assert losses[0] == losses[2] != losses[1]


def test_of_a_large_training_part_the_beginning_is_counted_and_said_so(corpus, tmp_path):
    capped = cached_best_ngram(corpus, 100, tmp_path, counted_tokens=500)
    assert capped == best_ngram(corpus.train[:500], corpus.validation[:101], corpus.vocab_size)
    assert capped.counted_tokens == 500
    whole = cached_best_ngram(corpus, 100, tmp_path)
    assert whole.counted_tokens == len(corpus.train)
    assert whole.loss < capped.loss
    assert cached_best_ngram(corpus, 100, tmp_path, counted_tokens=500) == capped


def test_a_text_as_other_tokens_has_another_loss(corpus, tmp_path):
    other = replace(corpus, tokenizer="bytes", validation=corpus.validation[::-1].copy())
    assert cached_best_ngram(other, 100, tmp_path) != cached_best_ngram(corpus, 100, tmp_path)


def test_tokens_mapped_from_a_file_are_counted_alike(corpus, tmp_path):
    corpus.train.tofile(tmp_path / "train.bin")
    mapped = replace(corpus, train=np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r"))
    assert cached_best_ngram(mapped, 100, tmp_path / "a") == cached_best_ngram(corpus, 100, tmp_path / "b")


def test_more_tokens_than_the_corpus_holds_are_refused(corpus, tmp_path):
    n = len(corpus.validation)
    with pytest.raises(ValueError, match=f"expected 1 to {n - 1} validation tokens, got {n}"):
        cached_best_ngram(corpus, n, tmp_path)


# --- greedy predictions


@given(tokens(4), tokens(4, min_size=2))
def test_a_choice_is_a_most_likely_token_and_what_it_misses_is_the_error_rate(train, validation):
    probability = slow_probability(train, 4, ORDERS)
    rates = ngram_error_rates(train, validation, 4, ORDERS)
    for order, choices in enumerate(ngram_choices(train, validation, 4, ORDERS), start=1):
        for i, choice in enumerate(choices.tolist()):
            length = min(order - 1, i)
            context = tuple(validation.tolist()[i - length : i])
            every = [probability(w, context, length + 1) for w in range(4)]
            assert every[choice] == pytest.approx(max(every), rel=1e-12)
        assert rates[order - 1] == (choices[1:] != validation[1:]).mean()


def test_the_best_at_choosing_is_never_worse_than_guessing():
    cycle = np.tile([0, 1, 2], 50)
    best = best_ngram(cycle, cycle[:20], 3, 3, metric=ACCURACY)
    assert (best.order, best.loss) == (2, 0.0)
    other_text = best_ngram(np.zeros(50, int), np.ones(20, int), 2, 2, metric=ACCURACY)
    assert (other_text.order, other_text.loss) == (0, 0.5)


def test_losses_and_error_rates_are_kept_apart(tmp_path):
    corpus = Corpus.from_text("text", "so it goes on, and on. " * 100)
    loss = cached_best_ngram(corpus, 100, tmp_path)
    by_choice = cached_best_ngram(corpus, 100, tmp_path, metric=ACCURACY)
    assert cached_best_ngram(corpus, 100, tmp_path) == loss != by_choice
    assert cached_best_ngram(corpus, 100, tmp_path, metric=ACCURACY) == by_choice
