"""What an n-gram predicts greedily: the most likely next token by the interpolation of `model.data.ngram`.

The distribution over all tokens is never made. With p_k as there, the most likely token after h is either one
that followed h in the training tokens, or, of all others, the most likely after h': for those p_k is the same
share of p_{k-1}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.data.grams import Grams, Ids, count, look_up

Tokens = npt.NDArray[Any]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """An n-gram of one order, in training tokens. Of each k-gram: its probability `p` after its context, and
    which k-gram of the order below it ends with. Of each context: the most likely token and its probability.
    """

    p: Shares
    suffix: Ids
    chosen: Ids
    p_chosen: Shares


def ngram_choices(train: Tokens, validation: Tokens, vocab_size: int, max_order: int) -> Iterator[Ids]:
    """For orders 1 to `max_order`: the most likely token at every place of `validation`, from the tokens
    before it there; of equally likely ones the smallest that followed its context. Arguments as
    `model.data.ngram.ngram_losses`."""
    guess = np.full(1, 1 / vocab_size)
    below = _Order(guess, np.zeros(1, np.int64), np.zeros(1, np.int64), guess)
    ids = np.zeros(len(train) + 1, np.int64)  # of the gram that ends before each place: at first, nothing
    validation_ids = np.zeros(len(validation) + 1, np.int64)
    n_contexts = 1
    choices = np.zeros(len(validation), np.int64)
    for order in range(1, max_order + 1):
        context, validation_context = ids[:-1], validation_ids[:-1]
        grams, ids_here = count(context * vocab_size + train[order - 1 :], n_contexts * vocab_size)
        here = _order(grams, below, _suffixes(len(grams), ids_here, ids[1:]), vocab_size, n_contexts)
        seen = validation_context >= 0
        choices = choices.copy()
        choices[order - 1 :][seen] = here.chosen[validation_context[seen]]
        yield choices
        _, found = look_up(grams, validation_context * vocab_size + validation[order - 1 :])
        below, ids, validation_ids, n_contexts = here, ids_here, np.where(seen, found, -1), len(grams)


def _suffixes(n_grams: int, ids: Ids, ids_below: Ids) -> Ids:
    """Of each k-gram, the id of the (k-1)-gram that it ends with: both by the places where they end."""
    suffix = np.zeros(n_grams, np.int64)
    suffix[ids] = ids_below
    return suffix


def _order(grams: Grams, below: _Order, suffix: Ids, vocab_size: int, n_contexts: int) -> _Order:
    context, token = np.divmod(grams.codes[:-1], vocab_size)
    total = np.bincount(context, weights=grams.counts[:-1], minlength=n_contexts)
    followers = np.bincount(context, minlength=n_contexts)
    left_over = np.where(total > 0, followers / np.maximum(total + followers, 1), 1.0)
    p = grams.counts[:-1] / (total + followers)[context] + left_over[context] * below.p[suffix]
    first = np.unique(context, return_index=True)[1]
    chosen = below.chosen[below.suffix]
    p_chosen = left_over * below.p_chosen[below.suffix]
    by_context = np.lexsort((-p, context))[first]  # of each context that has any, its most likely follower
    wins = p[by_context] >= p_chosen[context[by_context]]
    winners = by_context[wins]
    chosen[context[winners]], p_chosen[context[winners]] = token[winners], p[winners]
    return _Order(p, suffix, chosen, p_chosen)
