"""What a trained model takes to generate text: the same generation again and again between two readings,
until the meter can tell its joules."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from model.errors import one_line
from model.generation import Generation
from search.energy.account import Account
from search.record.inference import SINGLE, BatchInference, Inference, InferencePlan
from search.record.ledger import Phase
from search.run.observations import long_enough_s

Generate = Callable[[Generation], int]
"""Generates once and returns how many of the tokens took a pass over the whole context. Raises MemoryError
where the device's memory does not hold the batch."""
Book = Callable[[], Account]
"""Reads the meters now and returns the account of the one that ranks."""


def measured_inference(plan: InferencePlan, generate: Generate, book: Book, uncached: str) -> Inference:
    """At a batch of 1, then at the largest that fits; those that do not fit are kept with their reason. Never
    raises for what `generate` raises, but for an interruption."""
    batches = [_measured(plan, SINGLE, generate, book)]
    for size in plan.larger_batches:
        batches.append(_measured(plan, size, generate, book))
        if batches[-1].generations:
            break
    return Inference(plan.prompt_tokens, plan.tokens, tuple(batches), uncached)


def _measured(plan: InferencePlan, batch_size: int, generate: Generate, book: Book) -> BatchInference:
    generation = plan.generation(batch_size)
    try:
        generate(generation)  # what is built or allocated on first use is no part of the window
        return _window(plan, generation, generate, book)
    except MemoryError as error:
        return BatchInference(batch_size, reason=str(error) or "it does not fit the device's memory")
    except Exception as error:
        return BatchInference(batch_size, reason=one_line(error))


def _window(plan: InferencePlan, generation: Generation, generate: Generate, book: Book) -> BatchInference:
    """The meter is read few times: how often to repeat follows from what the repetitions so far took."""
    start, done, recomputed, more = book(), 0, 0, 1
    wanted_s = _wanted_s(plan, start)
    while True:
        recomputed += sum(generate(generation) for _ in range(more))
        done += more
        now = book()
        lasted_s = now.last.time_s - start.last.time_s
        if lasted_s >= wanted_s:
            break
        more = _repetitions(done, lasted_s, wanted_s)
    found = BatchInference(
        generation.batch_size, done, done * generation.generated_tokens, recomputed, time_s=lasted_s
    )
    return _with_joules(found, start, now)


def _wanted_s(plan: InferencePlan, account: Account) -> float:
    """0 where joules do not come with time: a modelled generation is the same each time."""
    if not account.counter.clocked:
        return 0.0
    return min(plan.limit_s, max(plan.window_s, long_enough_s(account.counter.update_period_s)))


def _repetitions(done: int, lasted_s: float, wanted_s: float) -> int:
    """How many more fill the window, by what those before took; no more than ten times as many, since the
    first ones may have been too short to tell."""
    if lasted_s <= 0:
        return 9 * done
    return min(9 * done, math.ceil(done * (wanted_s - lasted_s) / lasted_s))


def _with_joules(found: BatchInference, start: Account, end: Account) -> BatchInference:
    """Unknown, never 0: where the meter failed, or counted no more than its own period may have moved."""
    if end.ledger() is None:
        return replace(found, reason=end.reason)
    joules = end.energy_j[Phase.INFERENCE] - start.energy_j[Phase.INFERENCE]
    error_j = end.edge_j() or 0.0
    if joules <= error_j:
        told = f"the meter counted {joules:.3g} J over {found.time_s:.3f} s of generating"
        return replace(found, reason=f"{told}, +- {error_j:.3g} J by its period and resolution")
    return replace(found, energy_j=joules, energy_error_j=error_j)
