"""Whether a text is long enough for what a run asks of it: known without torch and before any training."""

from __future__ import annotations

from model.config import RunConfig
from model.data.corpus import Corpus
from model.runnable import lookup_table_too_large


def too_short(config: RunConfig, corpus: Corpus) -> str | None:
    """Why `corpus` does not hold what `config` asks for, and what to type; None where it does."""
    rules = (no_window, _batch, _windows, _tokens)
    return next((problem for rule in rules if (problem := rule(config, corpus))), None)


def unfit(config: RunConfig, corpus: Corpus) -> str | None:
    """As `too_short`, or why a lookup table over this vocabulary would not fit in any memory."""
    return too_short(config, corpus) or lookup_table_too_large(config.model, corpus.vocab_size)


def scored_tokens(config: RunConfig, corpus: Corpus) -> int:
    """How many validation tokens an evaluation predicts: whole windows of what there is, or is asked for."""
    return config.windows.scored(len(corpus.validation))


def no_window(config: RunConfig, corpus: Corpus) -> str | None:
    """As `too_short`, where not a single window can be trained on."""
    block, available = config.model.block_size, len(corpus.train) - 1
    if block <= available:
        return None
    return (
        f"model.block_size={block} is longer than the training part of data={corpus.name}, which has "
        f"{len(corpus.train):,} tokens; {_at_most('model.block_size', available)}"
    )


def _batch(config: RunConfig, corpus: Corpus) -> str | None:
    batch, block = config.train.batch_size, config.model.block_size
    if batch * block <= len(corpus.train):
        return None
    return (
        f"train.batch_size={batch} sequences of {block} tokens are more than the training part of "
        f"data={corpus.name}, which has {len(corpus.train):,}; "
        f"{_at_most('train.batch_size', len(corpus.train) // block)}"
    )


def _windows(config: RunConfig, corpus: Corpus) -> str | None:
    (_, context, stride), available = config.windows, len(corpus.validation) - 1
    if max(context, 2 * stride) <= available:
        return None
    if stride < context:
        return (
            f"model.block_size={context} is a window of the evaluation's stream, and the validation part of "
            f"data={corpus.name} has {len(corpus.validation):,} tokens; "
            f"{_at_most('model.block_size', available)}"
        )
    return (
        f"evaluation.context={context} needs two windows, and the validation part of data={corpus.name} has "
        f"{len(corpus.validation):,} tokens; {_at_most('evaluation.context', available // 2)}"
    )


def _tokens(config: RunConfig, corpus: Corpus) -> str | None:
    wanted, available = config.evaluation.tokens, len(corpus.validation) - 1
    if wanted is None or scored_tokens(config, corpus) <= available:
        return None
    return (
        f"evaluation.tokens={wanted} asks for more than the {available:,} validation tokens of "
        f"data={corpus.name}; type evaluation.tokens=null for all of them, or give a longer text"
    )


def _at_most(key: str, most: int) -> str:
    return f"type {key}={most} or less, or give a longer text" if most >= 1 else "give a longer text"
