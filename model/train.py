"""Training as a generator: it yields progress and is driven from outside, which may meter it or simply stop.

for progress in train(config, corpus, torch.device("cpu")):
    print(progress)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from model.config import ConfigError, RunConfig
from model.data.corpus import Corpus
from model.evaluate import Evaluator, validation_windows
from model.gpt import GPT
from model.optim import OPTIMIZERS
from model.progress import Look, Progress
from model.schedule import learning_rate
from model.variants import unrunnable

# On a GPU a look at the training loss waits for the queue, so it is only taken every so many steps.
_LOSS_EVERY = {"cpu": 1, "cuda": 10}

NextEvaluation = Callable[[Sequence[Look]], int]
"""How many steps to train until the next evaluation, from the evaluations so far alone: a run must repeat
exactly."""


def train(
    config: RunConfig,
    corpus: Corpus,
    device: torch.device,
    next_evaluation: NextEvaluation | None = None,
    target_loss: float | None = None,
) -> Generator[Progress, None, GPT]:
    """Train for `config.train.max_steps`, evaluating where `next_evaluation` says and at the end; return the
    model.

    An evaluation that finds itself plainly above `target_loss` ends early; without a target, and at the last
    step, it is whole. The work before the first value is the setup phase. Raises ConfigError for a
    combination that cannot run.
    """
    check_runnable(config, device)
    if len(corpus.train) <= config.model.block_size:
        raise ConfigError(
            f"the training part has {len(corpus.train)} tokens, and a model.block_size of "
            f"{config.model.block_size} needs more; give a longer text"
        )
    next_evaluation = next_evaluation or (lambda looks: config.evaluation.interval)
    torch.manual_seed(config.seed)
    batches = torch.Generator().manual_seed(config.seed)
    tokens = torch.from_numpy(corpus.train.astype("int32")).to(device)
    windows = validation_windows(torch.from_numpy(corpus.validation.astype("int32")), config.evaluation).to(
        device
    )
    evaluator = Evaluator(windows, target_loss)
    model = GPT(config.model, corpus.vocab_size).to(device)
    optimizer = OPTIMIZERS[config.optimizer.name].load()(config.optimizer, model)
    compute_loss = _loss_function(model, config, device)
    step = 0
    try:
        if config.train.compile:
            yield Progress(0, 0, "compile")
            compute_loss = _compile(compute_loss, config, tokens)
            model.zero_grad(set_to_none=True)
        yield Progress(0, 0, "train")

        looks: list[Look] = []
        due = next_evaluation(looks)
        while step < config.train.max_steps:
            lr = learning_rate(step, config.optimizer.lr, config.schedule, config.decay_steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            mean_loss = torch.zeros((), device=device)
            for _ in range(config.train.grad_accum):
                x, y = _batch(tokens, config, batches)
                loss = compute_loss(x, y) / config.train.grad_accum
                torch.autograd.backward(loss)
                mean_loss += loss.detach()
            if config.optimizer.grad_clip > 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1

            seen = step * config.tokens_per_step
            looked = step % _LOSS_EVERY.get(device.type, 10) == 0
            train_loss = float(mean_loss) if looked else None
            is_due = step >= due or step == config.train.max_steps
            yield Progress(step, seen, "eval" if is_due else "train", train_loss)
            if is_due:
                result = evaluator.evaluate(model, whole=step == config.train.max_steps)
                share = result.tokens / windows[:, 1:].numel()
                looks.append(Look(step, result.loss, result.stderr, share))
                due = step + max(1, next_evaluation(looks))
                yield Progress(
                    step,
                    seen,
                    "train",
                    loss=result.loss,
                    loss_stderr=result.stderr,
                    evaluated_tokens=result.tokens,
                    whole=result.whole,
                )
    finally:
        if config.train.compile:
            torch.compiler.set_stance("default")
    return model


def check_runnable(config: RunConfig, device: torch.device) -> None:
    """Raises ConfigError for combinations of valid values that no code can run, saying what to change."""
    context, block = config.evaluation.context, config.model.block_size
    if block < context and context % block:
        raise ConfigError(
            f"evaluation.context={context} must be a multiple of model.block_size={block}, which is shorter"
        )
    problem = unrunnable(config, device.type)
    if problem:
        raise ConfigError(problem)


def _loss_function(model: GPT, config: RunConfig, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    def precision() -> AbstractContextManager[object]:
        if config.train.precision == "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return nullcontext()

    def compute_loss(x: Tensor, y: Tensor) -> Tensor:
        with precision():
            return model.loss(x, y)

    return compute_loss


def _compile(
    compute_loss: Callable[[Tensor, Tensor], Tensor], config: RunConfig, tokens: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    """Compile forward and backward on a batch of the true shape. Anything that recompiles afterwards raises.

    The compiler's cache is empty, or what a compilation costs would depend on what was compiled before. The
    training's random state is as it was, so that a compiled run sees the same batches and dropout seeds.
    """
    # Inductor's own way to an empty cache; torch.compiler has no public one (2.13).
    from torch._inductor.utils import fresh_cache

    torch.compiler.reset()
    compiled: Callable[[Tensor, Tensor], Tensor] = torch.compile(compute_loss, fullgraph=True, dynamic=False)
    devices = [tokens.device] if tokens.device.type == "cuda" else []
    with fresh_cache(), torch.random.fork_rng(devices=devices):
        for _ in range(2):
            x, y = _batch(tokens, config, torch.Generator().manual_seed(0))
            torch.autograd.backward(compiled(x, y))
    torch.compiler.set_stance("fail_on_recompile")
    return compiled


def _batch(tokens: Tensor, config: RunConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random windows of the training part: inputs and targets, both (B, T) int64."""
    block = config.model.block_size
    starts = torch.randint(len(tokens) - block, (config.train.batch_size, 1), generator=generator)
    index = (starts + torch.arange(block + 1)).to(tokens.device)
    window = tokens[index].long()
    return window[:, :-1], window[:, 1:]
