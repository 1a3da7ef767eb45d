"""How well counting predicts a text: the loss that a language model must beat to be one.

Interpolated Witten-Bell n-grams, exact, by sorting and counting whole arrays:

    p_k(w | h) = (c(hw) + T(h) p_{k-1}(w | h')) / (c(h) + T(h))

where h is the k - 1 tokens before w, h' is h without its first token, c counts in the training tokens, T(h)
is how many different tokens follow h there, and p_0 is uniform. An h that nothing follows leaves p_{k-1}.
(Witten and Bell 1991, "The zero-frequency problem", method C; Chen and Goodman 1998, "An empirical study of
smoothing techniques for language modeling".) The best of them is never above guessing, which is order 0: on a
validation part unlike the training part, all counts may mislead.

Counting takes some 80 bytes of memory a training token, and 2 CPU-seconds a million where the vocabulary is
GPT-2's. So of a large data set only the beginning is counted, and the result says how much: counting all of
it would do better.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.data import cache
from model.data.corpus import Corpus, corpus_folder
from model.data.download import OnProgress, silent
from model.data.grams import count, look_up
from model.data.held_out import HeldOut
from model.data.ngram_choices import ngram_choices
from model.metric import LOSS, METRICS

MAX_ORDER = 6
COUNTED_TOKENS = 20_000_000
_FORMAT = 3  # of the cached loss; a change in the formula or in what is counted needs a new one

Tokens = npt.NDArray[Any]
OnOrder = Callable[[int], None]


@dataclass(frozen=True)
class NgramLoss:
    """The best of several n-grams: its order and loss, and the losses of orders 1, 2, ... in nats a token; or
    the error rates of their greedy predictions, where that is what is measured.

    Order 0 is guessing: every token alike. They were counted on the first `counted_tokens` of the training
    part.
    """

    order: int
    loss: float
    losses: tuple[float, ...]
    counted_tokens: int


def ngram_losses(
    train: Tokens,
    validation: Tokens,
    vocab_size: int,
    max_order: int = MAX_ORDER,
    on_order: OnOrder = lambda order: None,
) -> tuple[float, ...]:
    """Mean nats per token of predicting `validation[1:]`, for orders 1 to `max_order`; `on_order` is told of
    each that is done.

    Both are token ids below `vocab_size`, shape (tokens,). A token is predicted from the tokens before it
    within `validation`; near its start, where there are fewer than an order looks at, from all of them.
    Raises ValueError for fewer than two validation tokens, or an id that is out of range.
    """
    _check(train, validation, vocab_size)
    p = np.full(len(validation), 1 / vocab_size)
    n_contexts = 1  # the empty one
    context = np.zeros(len(train), dtype=np.int64)  # of each token: id of the order - 1 tokens before it
    validation_context = np.zeros(len(validation), dtype=np.int64)  # the same; -1: not in the training tokens
    losses = []
    for order in range(1, max_order + 1):
        grams, ids = count(context * vocab_size + train[order - 1 :], n_contexts * vocab_size)
        # One row more than there are contexts: zeros, which the id -1 finds.
        context_of_gram = grams.codes[:-1] // vocab_size
        total = np.bincount(context_of_gram, weights=grams.counts[:-1], minlength=n_contexts + 1)
        followers = np.bincount(context_of_gram, minlength=n_contexts + 1)

        at, validation_ids = look_up(grams, validation_context * vocab_size + validation[order - 1 :])
        counted = np.where(validation_ids >= 0, grams.counts[at], 0)
        c, t = total[validation_context], followers[validation_context]
        p_lower = p[order - 1 :]
        p[order - 1 :] = np.where(c > 0, (counted + t * p_lower) / np.maximum(c + t, 1), p_lower)
        losses.append(float(-np.log(p[1:]).mean()))
        on_order(order)

        n_contexts, context, validation_context = len(grams), ids[:-1], validation_ids[:-1]
    return tuple(losses)


def ngram_error_rates(
    train: Tokens,
    validation: Tokens,
    vocab_size: int,
    max_order: int = MAX_ORDER,
    on_order: OnOrder = lambda order: None,
) -> tuple[float, ...]:
    """As `ngram_losses`: the shares of `validation[1:]` that the most likely token of each order misses."""
    _check(train, validation, vocab_size)
    rates = []
    for order, choices in enumerate(ngram_choices(train, validation, vocab_size, max_order), start=1):
        rates.append(float((choices[1:] != validation[1:]).mean()))
        on_order(order)
    return tuple(rates)


def _check(train: Tokens, validation: Tokens, vocab_size: int) -> None:
    if len(validation) < 2:
        raise ValueError(f"expected two validation tokens or more, got {len(validation)}")
    for tokens in (train, validation):
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
            raise ValueError(f"expected token ids in 0..{vocab_size - 1}, got {tokens.min()}..{tokens.max()}")


def best_ngram(
    train: Tokens,
    validation: Tokens,
    vocab_size: int,
    max_order: int = MAX_ORDER,
    on_order: OnOrder = lambda order: None,
    metric: str = LOSS,
) -> NgramLoss:
    """The order with the lowest loss, or error rate, the shortest of equal ones; 0 where guessing does better
    than all of them. Arguments and errors as `ngram_losses`."""
    if METRICS[metric].is_error_rate:
        losses = ngram_error_rates(train, validation, vocab_size, max_order, on_order)
        guessing = 1 - 1 / vocab_size
    else:
        losses = ngram_losses(train, validation, vocab_size, max_order, on_order)
        guessing = math.log(vocab_size)
    best = min(losses)
    if guessing < best:
        return NgramLoss(0, guessing, losses, len(train))
    return NgramLoss(losses.index(best) + 1, best, losses, len(train))


def cached_best_ngram(
    corpus: Corpus,
    n_validation_tokens: int,
    cache_dir: Path,
    counted_tokens: int = COUNTED_TOKENS,
    on_progress: OnProgress = silent,
    metric: str = LOSS,
) -> NgramLoss:
    """The best n-gram by `metric` at predicting `validation[1 : n_validation_tokens + 1]`, kept in
    `cache_dir`.

    These are the tokens that an evaluation of `n_validation_tokens` scores. At most the first
    `counted_tokens` of the training part are counted. Raises ValueError where the corpus has fewer validation
    tokens, and `DataError` where `cache_dir` cannot be written.
    """
    if not 1 <= n_validation_tokens < len(corpus.validation):
        raise ValueError(
            f"expected 1 to {len(corpus.validation) - 1} validation tokens, got {n_validation_tokens}"
        )
    train = np.asarray(corpus.train[:counted_tokens])
    kind = "" if metric == LOSS else f"{metric}-"
    if corpus.held_out is HeldOut.PUBLISHED:  # whose characters are more
        kind += f"{corpus.held_out}-"
    name = f"ngram-v{_FORMAT}-{kind}{corpus.tokenizer}-{len(train)}-{n_validation_tokens}.cache"
    path = corpus_folder(corpus.sha256, cache_dir) / name
    if (payload := cache.read(path)) is not None:
        facts = json.loads(payload)
        return NgramLoss(facts["order"], facts["loss"], tuple(facts["losses"]), facts["counted_tokens"])
    scored = corpus.validation[: n_validation_tokens + 1]

    def on_order(order: int) -> None:
        on_progress("counting n-grams", train.nbytes * order // MAX_ORDER, train.nbytes)

    result = best_ngram(train, scored, corpus.vocab_size, MAX_ORDER, on_order, metric)
    cache.write(path, json.dumps(asdict(result)).encode())
    return result
