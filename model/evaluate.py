"""Validation loss, or the error rate of greedy predictions (`model.metric`): the same tokens in the same
windows, in fp32, whatever the configuration trained with.

A text is read in windows side by side, or as a stream: windows of the model's whole block that overlap, of
which each scores the predictions that none before it does, its last `stride`. So a prediction sees at least
block + 1 - stride of the true tokens before it and at most the block; of the text's first block, all that
there are. The first token is given. What comes after a prediction is hidden from it by the model's causal
mask. Every prediction would see the whole block with a stride of 1, at `stride` times the work.

Far above a target an evaluation need not be whole. Windows are taken in an order that is the same in every
run, and it ends once their loss is plainly above the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import EVALUATION_TOKENS_PER_PASS, ConfigError, EvaluationWindows
from model.gpt import GPT
from model.metric import ACCURACY, LOSS

# An evaluation ends early where the estimate lies above the target by this many of its standard errors. It is
# judged after every pass, so that the risk adds up: on recorded runs of nanoGPT's CPU recipe 3 % where the
# whole loss is exactly at the target, 0.6 % where it lies 0.001 nats below, 0.2 % at 0.002.
PLAINLY_ABOVE = 3.0
# Fewer windows give no spread that can be relied on.
FEWEST_WINDOWS = 32
# Without a whole evaluation to compare with, one that is undecided after this share of the windows runs to
# its end: it then serves the later ones, which need a sixteenth of the windows for the same certainty.
UNAIDED_SHARE = 0.1
_ORDER_SEED = 0


@dataclass(frozen=True)
class Evaluation:
    """`loss` in nats per token, or the error rate; for it, `tokens` tokens went through the model.

    Of a whole evaluation, `stderr` is its standard error as a sample of the language, from the spread between
    windows. Of one that ended early, `loss` estimates the whole evaluation's, and `stderr` is the standard
    error of that.
    """

    loss: float
    stderr: float
    tokens: int
    whole: bool = True


@dataclass(frozen=True)
class Windows:
    """`tokens` (N, context + 1): each of the first `context` predicts the next. In window i the `scored`
    predictions from `first[i]` on count."""

    tokens: Tensor
    first: Tensor
    scored: int

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, chosen: Tensor | slice) -> Windows:
        return Windows(self.tokens[chosen], self.first[chosen], self.scored)

    @property
    def context(self) -> int:
        return self.tokens.size(1) - 1

    def to(self, device: torch.device) -> Windows:
        return Windows(self.tokens.to(device), self.first.to(device), self.scored)


Cost = Callable[[Tensor, Tensor], Tensor]
"""Of predictions, from their logits (T, V) and the true tokens (T,): what is minimised, (T,)."""


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="none")


def _is_wrong(logits: Tensor, targets: Tensor) -> Tensor:
    """Of the most likely token. NaN where the logits are none to choose by: such a model has diverged."""
    best, chosen = logits.max(dim=-1)
    return (chosen != targets).float().where(best.isfinite(), math.nan)


_COSTS: Mapping[str, Cost] = {LOSS: _cross_entropy, ACCURACY: _is_wrong}


def validation_windows(validation: Tensor, shape: EvaluationWindows) -> Windows:
    """Every token but the first is predicted exactly once, up to the last whole window (the rest, less than
    one scores, is left out).

    Raises ConfigError where the split is shorter than `shape.tokens` or than two windows.
    """
    wanted = shape.tokens if shape.tokens is not None else len(validation) - 1
    n, stride = wanted // shape.stride, shape.stride
    needed = max(max(n, 2) * stride, shape.context) + 1
    if n < 2 or needed > len(validation):
        raise ConfigError(
            f"the validation part has {len(validation)} tokens; evaluation.tokens={wanted} in windows "
            f"of {_named(shape)} needs {needed}"
        )
    return _windows(validation, n, shape)


def windows_of_test_part(test: Tensor, shape: EvaluationWindows) -> Windows | None:
    """As `validation_windows`, and as many as there are where `shape.tokens` asks for more; None where there
    are not two."""
    available = len(test) - 1
    n = min(available, shape.tokens or available) // shape.stride
    return _windows(test, n, shape) if n >= 2 and available >= shape.context else None


def _named(shape: EvaluationWindows) -> str:
    """By the key that sets how long they are."""
    is_stream = shape.stride < shape.context
    return f"{'model.block_size' if is_stream else 'evaluation.context'}={shape.context}"


def _windows(tokens: Tensor, n: int, shape: EvaluationWindows) -> Windows:
    """Window i scores predictions i * stride to (i + 1) * stride, and begins as early before as it may."""
    scored_from = torch.arange(n) * shape.stride
    starts = (scored_from + shape.stride - shape.context).clamp(min=0)
    all_windows = tokens.unfold(0, shape.context + 1, 1)
    first = (scored_from - starts).to(tokens.device)
    return Windows(all_windows[starts.to(tokens.device)], first, shape.stride)


def evaluate(model: GPT, windows: Windows, metric: str = LOSS) -> Evaluation:
    """Loss of `model` on all `windows`, or its error rate. Leaves weights, mode and random state as they
    were.

    A model whose block is shorter than the context sees each window in pieces of its block, to its
    disadvantage; a stream's windows are as long as its block.
    """
    return Evaluator(windows, metric=metric).evaluate(model)


class Evaluator:
    """The evaluations of one run on its way to `target_loss` (None: all are whole).

    It remembers each window's loss at the last whole evaluation. A later one compares its windows with the
    same windows then: the differences spread far less than the losses do, so that few windows tell the mean.
    The loss of a whole evaluation depends on neither the order nor on earlier evaluations.
    """

    def __init__(self, windows: Windows, target_loss: float | None = None, metric: str = LOSS) -> None:
        self._windows = windows
        self._target_loss = target_loss
        self._cost = _COSTS[metric]
        order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(_ORDER_SEED))
        self._order = order.to(windows.tokens.device)
        self._last_whole: Tensor | None = None

    @torch.no_grad()
    def evaluate(self, model: GPT, whole: bool = False) -> Evaluation:
        """Loss of `model` on the windows, or an estimate above the target; `whole` asks for all of them.

        Leaves weights, mode and random state as they were.
        """
        context = self._windows.context
        block = min(context, model.config.block_size)
        if context % block:
            raise ConfigError(f"windows of {context} tokens do not divide into the model's blocks of {block}")
        was_training = model.training
        model.eval()
        evaluation = self._run(model, block, may_end_early=self._target_loss is not None and not whole)
        model.train(was_training)
        return evaluation

    def _run(self, model: GPT, block: int, may_end_early: bool) -> Evaluation:
        n, context = len(self._windows), self._windows.context
        losses = torch.empty(n, dtype=torch.float64, device=self._order.device)
        n_scored = 0
        for now in torch.split(self._order, _windows_per_pass(self._windows)):
            losses[now] = _window_losses(model, self._windows[now], block, self._cost)
            n_scored += len(now)
            if may_end_early and FEWEST_WINDOWS <= n_scored < n:
                loss, stderr = self._estimate(losses, n_scored)
                if self._target_loss is not None and loss - PLAINLY_ABOVE * stderr > self._target_loss:
                    return Evaluation(loss, stderr, n_scored * context, whole=False)
                may_end_early = self._last_whole is not None or n_scored < UNAIDED_SHARE * n
        self._last_whole = losses
        return Evaluation(float(losses.mean()), float(losses.std()) / math.sqrt(n), n * context)

    def _estimate(self, losses: Tensor, n_scored: int) -> tuple[float, float]:
        """(estimated mean over all windows, its standard error), from the first `n_scored` in order: their
        own mean, or the last whole evaluation's plus the mean difference to it, whichever spreads less."""
        part = self._order[:n_scored]
        mean, spread = _mean_and_spread(losses[part])
        if self._last_whole is not None:
            difference, spread_of_differences = _mean_and_spread(losses[part] - self._last_whole[part])
            if spread_of_differences < spread:
                mean, spread = float(self._last_whole.mean()) + difference, spread_of_differences
        return mean, spread * math.sqrt(1.0 / n_scored - 1.0 / len(losses))


class NoEvaluator:
    """That of a process which leaves evaluating to another: it has seen nothing, and knows no loss."""

    def evaluate(self, model: GPT, whole: bool = False) -> Evaluation:
        return Evaluation(math.nan, math.nan, 0, whole=False)


def _windows_per_pass(windows: Windows) -> int:
    tokens = EVALUATION_TOKENS_PER_PASS.get(windows.tokens.device.type, 1024)
    return max(1, tokens // windows.context)


def _window_losses(model: GPT, windows: Windows, block: int, cost: Cost) -> Tensor:
    """(B,) float64, the mean over the scored predictions of each of B windows."""
    inputs, targets = windows.tokens[:, :-1].long(), windows.tokens[:, 1:].long()
    with torch.autocast(inputs.device.type, enabled=False):  # fp32, wherever this is called from
        logits = model(inputs.reshape(-1, block))
    logits = logits.view(*inputs.shape, -1).float()
    if windows.scored < windows.context:
        at = windows.first[:, None] + torch.arange(windows.scored, device=inputs.device)
        rows = torch.arange(len(at), device=inputs.device)[:, None]
        logits, targets = logits[rows, at], targets[rows, at]
    losses = cost(logits.flatten(0, 1), targets.flatten())
    return losses.view(len(inputs), -1).double().mean(dim=1)


def _mean_and_spread(values: Tensor) -> tuple[float, float]:
    mean, spread = torch.stack([values.mean(), values.std()]).tolist()
    return mean, spread
