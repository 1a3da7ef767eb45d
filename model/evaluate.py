"""Validation loss: the same tokens in the same windows, in fp32, whatever the configuration trained with."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import ConfigError, EvaluationConfig
from model.gpt import GPT

# Tokens per forward pass. It is part of the instrument: small on a CPU so that activations stay in cache.
_TOKENS_PER_PASS = {"cpu": 4096, "cuda": 65536}


@dataclass(frozen=True)
class Evaluation:
    """`loss` in nats per token; `stderr` is its standard error, from the spread between windows."""

    loss: float
    stderr: float
    tokens: int


def validation_windows(validation: Tensor, config: EvaluationConfig) -> Tensor:
    """(N, context + 1) overlapping by one token: every token but the first is predicted exactly once, up to
    the last whole window (the rest, less than a window, is left out).

    Raises ConfigError where the split is shorter than `config.tokens` or than two windows.
    """
    wanted = config.tokens if config.tokens is not None else len(validation) - 1
    windows = wanted // config.context
    if windows < 2 or windows * config.context + 1 > len(validation):
        raise ConfigError(
            f"the validation part has {len(validation)} tokens; evaluation.tokens={wanted} in windows "
            f"of evaluation.context={config.context} needs {max(windows, 2) * config.context + 1}"
        )
    return validation[: windows * config.context + 1].unfold(0, config.context + 1, config.context)


@torch.no_grad()
def evaluate(model: GPT, windows: Tensor) -> Evaluation:
    """Loss of `model` on `windows` (N, context + 1). Leaves weights, mode and random state as they were.

    A model of a shorter block than the context sees each window in pieces of its block: that is its handicap.
    """
    context = windows.size(1) - 1
    block = min(context, model.config.block_size)
    if context % block:
        raise ConfigError(f"windows of {context} tokens do not divide into the model's blocks of {block}")
    per_pass = max(1, _TOKENS_PER_PASS.get(windows.device.type, 4096) // context)
    was_training = model.training
    model.eval()
    means = []
    for chunk in torch.split(windows, per_pass):
        inputs = chunk[:, :-1].reshape(-1, block).long()
        targets = chunk[:, 1:].reshape(-1, block).long()
        with torch.autocast(windows.device.type, enabled=False):  # fp32, wherever this is called from
            logits = model(inputs)
        losses = F.cross_entropy(
            logits.view(-1, logits.size(-1)).float(), targets.reshape(-1), reduction="none"
        )
        means.append(losses.view(-1, context).double().mean(dim=1))
    model.train(was_training)
    every = torch.cat(means)
    stderr = float(every.std()) / math.sqrt(len(every))
    return Evaluation(loss=float(every.mean()), stderr=stderr, tokens=len(every) * context)
