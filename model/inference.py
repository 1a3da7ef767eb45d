"""Generating text for its own sake: what a trained model takes for each token that it writes."""

from __future__ import annotations

import torch

from model.continuation import Continuation
from model.generation import Generation
from model.gpt import GPT


@torch.no_grad()
def generate(model: GPT, generation: Generation) -> int:
    """Generate once; returns how many of the tokens took a pass over the whole context.

    Every token is the likeliest one, and stays on the device. The prompts are the same random tokens each
    time: how much work a token is does not depend on which it is. The model's mode and the random state are
    left as they were. Raises MemoryError where the device's memory does not hold it.
    """
    was_training = model.training
    model.eval()
    try:
        text = Continuation(model, _prompts(model, generation), generation.tokens)
        for _ in range(generation.tokens):
            text.append(text.next_logits().argmax(dim=-1))
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"a batch of {generation.batch_size} does not fit the device's memory") from error
    finally:
        model.train(was_training)
    return text.recomputed


def _prompts(model: GPT, generation: Generation) -> torch.Tensor:
    shape = (generation.batch_size, generation.prompt_tokens)
    vocab_size, device = model.lm_head.weight.size(0), model.lm_head.weight.device
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(0)).to(device)
