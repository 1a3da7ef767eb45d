"""Continuing a text, one token after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from model.continuation import Continuation
from model.gpt import GPT


@torch.no_grad()
def continued(
    model: GPT,
    prompt: Sequence[int],
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> list[int]:
    """`count` tokens after those of `prompt`, which holds one or more; the same for the same seed.

    Each is drawn from what the model, in evaluation, predicts after the last `block_size` tokens: logits over
    `temperature` (0: always the likeliest), and only the `top_k` likeliest where that is given. Keys and
    values are kept while the text fits the context.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    text = Continuation(model, torch.tensor([list(prompt)], dtype=torch.int64, device=device), count)
    ids: list[int] = []
    for _ in range(count):
        ids.append(_drawn(text.next_logits()[0].float().cpu(), temperature, top_k, generator))
        text.append(torch.tensor(ids[-1:], device=device))
    return ids


def _drawn(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """One id by its logits (V,)."""
    if temperature == 0:
        return int(logits.argmax())
    best = logits.topk(min(top_k or len(logits), len(logits)))
    probabilities = ((best.values - best.values[0]) / temperature).softmax(dim=-1)
    return int(best.indices[torch.multinomial(probabilities, 1, generator=generator)])
