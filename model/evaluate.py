"""Validation loss: the same tokens in the same windows, in fp32, whatever the configuration trained with.

Far above a target an evaluation need not be whole. Windows are taken in an order that is the same in every
run, and it ends once their loss is plainly above the target.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import EVALUATION_TOKENS_PER_PASS, ConfigError, EvaluationConfig
from model.gpt import GPT

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
    """`loss` in nats per token, over `tokens` tokens.

    Of a whole evaluation, `stderr` is its standard error as a sample of the language, from the spread between
    windows. Of one that ended early, `loss` estimates the whole evaluation's, and `stderr` is the standard
    error of that.
    """

    loss: float
    stderr: float
    tokens: int
    whole: bool = True


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
    return _windows(validation, windows, config.context)


def windows_of_test_part(test: Tensor, config: EvaluationConfig) -> Tensor | None:
    """As `validation_windows`, and as many as there are where `config.tokens` asks for more; None where there
    are not two."""
    windows = (len(test) - 1) // config.context
    if config.tokens is not None:
        windows = min(windows, config.tokens // config.context)
    return _windows(test, windows, config.context) if windows >= 2 else None


def _windows(tokens: Tensor, windows: int, context: int) -> Tensor:
    return tokens[: windows * context + 1].unfold(0, context + 1, context)


def evaluate(model: GPT, windows: Tensor) -> Evaluation:
    """Loss of `model` on all `windows` (N, context + 1). Leaves weights, mode and random state as they were.

    A model whose block is shorter than the context sees each window in pieces of its block, to its
    disadvantage.
    """
    return Evaluator(windows).evaluate(model)


class Evaluator:
    """The evaluations of one run on its way to `target_loss` (None: all are whole).

    It remembers each window's loss at the last whole evaluation. A later one compares its windows with the
    same windows then: the differences spread far less than the losses do, so that few windows tell the mean.
    The loss of a whole evaluation depends on neither the order nor on earlier evaluations.
    """

    def __init__(self, windows: Tensor, target_loss: float | None = None) -> None:
        self._windows = windows
        self._target_loss = target_loss
        order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(_ORDER_SEED))
        self._order = order.to(windows.device)
        self._last_whole: Tensor | None = None

    @torch.no_grad()
    def evaluate(self, model: GPT, whole: bool = False) -> Evaluation:
        """Loss of `model` on the windows, or an estimate above the target; `whole` asks for all of them.

        Leaves weights, mode and random state as they were.
        """
        context = self._windows.size(1) - 1
        block = min(context, model.config.block_size)
        if context % block:
            raise ConfigError(f"windows of {context} tokens do not divide into the model's blocks of {block}")
        was_training = model.training
        model.eval()
        evaluation = self._run(model, block, may_end_early=self._target_loss is not None and not whole)
        model.train(was_training)
        return evaluation

    def _run(self, model: GPT, block: int, may_end_early: bool) -> Evaluation:
        n, context = len(self._windows), self._windows.size(1) - 1
        losses = torch.empty(n, dtype=torch.float64, device=self._windows.device)
        n_scored = 0
        for now in torch.split(self._order, _windows_per_pass(self._windows)):
            losses[now] = _window_losses(model, self._windows[now], block)
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


def _windows_per_pass(windows: Tensor) -> int:
    tokens = EVALUATION_TOKENS_PER_PASS.get(windows.device.type, 1024)
    return max(1, tokens // (windows.size(1) - 1))


def _window_losses(model: GPT, windows: Tensor, block: int) -> Tensor:
    """(B,) float64, the mean loss of each of `windows` (B, context + 1)."""
    inputs = windows[:, :-1].reshape(-1, block).long()
    targets = windows[:, 1:].reshape(-1).long()
    with torch.autocast(windows.device.type, enabled=False):  # fp32, wherever this is called from
        logits = model(inputs)
    losses = F.cross_entropy(logits.view(-1, logits.size(-1)).float(), targets, reduction="none")
    return losses.view(len(windows), -1).double().mean(dim=1)


def _mean_and_spread(values: Tensor) -> tuple[float, float]:
    mean, spread = torch.stack([values.mean(), values.std()]).tolist()
    return mean, spread
