"""Training as a generator: it yields progress and is driven from outside, which may meter it or simply stop.

for progress in train(config, corpus, torch.device("cpu")):
    print(progress)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.averaging import RunningMean
from model.compiling import DEFAULT, Scope, begin_pass, passes_to_warm_up
from model.config import ConfigError, RunConfig
from model.data.corpus import Corpus
from model.data.loader import Batches, open_batches
from model.evaluate import (
    Evaluation,
    Evaluator,
    NoEvaluator,
    evaluate,
    validation_windows,
    windows_of_test_part,
)
from model.fits import no_window
from model.gpt import GPT
from model.optim.stepping import OptimizerSet
from model.precision.formats import Precision, evaluable
from model.progress import Compiled, EvaluationResult, Progress
from model.reading import loss_reader
from model.runnable import unrunnable
from model.schedule import (
    averaged_from,
    batch_shape,
    learning_rate,
    momentum_changes,
    momentum_share,
    plateaus,
)
from model.share import Share
from model.tables import COMPILE_SCOPES, OPTIMIZERS, PRECISIONS
from model.team import ALONE, LossFunction, Team

# One function may have a graph for each plateau of two ramps (9), and for a first block one more of each.
_MOST_GRAPHS = 20

NextEvaluation = Callable[[Sequence[EvaluationResult]], int]
"""How many steps to train until the next evaluation. Only the evaluations so far may decide, so that a run
repeats exactly."""


def train(
    config: RunConfig,
    corpus: Corpus,
    device: torch.device,
    next_evaluation: NextEvaluation | None = None,
    target_loss: float | None = None,
    compile_backend: str = "inductor",
    score_test: bool = False,
    hand_over: Callable[[GPT], None] = lambda model: None,
    team: Team = ALONE,
) -> Generator[Progress, None, GPT]:
    """Train for `config.train.max_steps`, evaluating where `next_evaluation` says and at the end; return the
    model: that of the last step, or the mean where weights are averaged.

    An evaluation that finds itself plainly above `target_loss` ends early; without a target, and at the last
    step, it is whole. `score_test` evaluates the test part too, once, with the evaluation of the last step;
    otherwise nothing looks at it. The work before the first value is the setup phase. `compile_backend` is
    torch.compile's; one that generates no code is enough to see whether anything recompiles. `hand_over` gets
    the model before it is trained, and the mean when it takes that one's place: whoever stops the training
    early has it nevertheless. `team`: the processes that each run this very loop on their shares of it
    (`model.distributed` starts them). Raises ConfigError for a combination that cannot run.
    """
    check_runnable(config, device)
    if problem := no_window(config, corpus):
        raise ConfigError(problem)
    next_evaluation = next_evaluation or (lambda results: config.evaluation.interval)
    torch.manual_seed(config.seed)
    windows = validation_windows(_tensor(corpus.validation), config.windows).to(device)
    evaluator = Evaluator(windows, target_loss, config.target_metric) if team.leads else NoEvaluator()
    model = GPT(config.model, corpus.vocab_size).to(device)
    precision: Precision = PRECISIONS[config.train.precision].load()
    precision.prepare(model)
    hand_over(model)
    judged, mean, averages_from = model, None, averaged_from(config) if team.leads else None
    share = team.share(config.train.grad_accum)
    batches = open_batches(corpus, config.seed, device, share=share)
    micro_batches = share.micro_batches(config.train.grad_accum)
    optimizer: OptimizerSet = OPTIMIZERS[config.optimizer.name].load()(config.optimizer, model)
    compute_loss = _loss_function(model, precision, device)
    if not config.compiles:
        compute_loss = team.together(model, compute_loss)
    read_loss = loss_reader(device)
    compiled: Compiled | None = None
    step = tokens = 0
    try:
        if config.compiles:
            yield Progress(0, 0, "compile")
            compute_loss = _compile_parts(model, compute_loss, config, compile_backend)
            compute_loss = team.together(model, compute_loss)
            compiled = _warm_up(compute_loss, optimizer, precision, config, share, batches, device)
        yield Progress(0, 0, "train", compiled=compiled)

        results: list[EvaluationResult] = []
        due = next_evaluation(results)
        while step < config.train.max_steps:
            lr = learning_rate(step, config.optimizer.lr, config.schedule, config.decay_steps)
            optimizer.set_lr(lr)
            optimizer.set_momentum(momentum_share(step, config))
            batch_size, block = batch_shape(step, config)
            mean_loss = torch.zeros((), device=device)
            with precision.both_passes():
                for left in reversed(range(micro_batches)):
                    begin_pass(config)
                    with team.by_itself() if left else nullcontext():
                        loss = compute_loss(*batches.next(share.sequences(batch_size), block)) / micro_batches
                        torch.autograd.backward(loss)
                    mean_loss += loss.detach()
            if config.optimizer.grad_clip > 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if averages_from is not None and step >= averages_from:
                if mean is None:
                    mean = RunningMean(model)
                    hand_over(judged := mean.model)
                mean.take(model)
            step += 1
            tokens += batch_size * block * config.train.grad_accum

            train_loss = read_loss(team.mean(mean_loss)) if step % read_loss.every == 0 else None
            is_last = step == config.train.max_steps
            is_due = step >= due or is_last
            upcoming = "eval" if is_due else "train"
            yield Progress(step, tokens, upcoming, train_loss, waited_s=batches.waited_s, compiled=compiled)
            if is_due:
                result = evaluator.evaluate(evaluable(judged), whole=is_last)
                scores = score_test and is_last and math.isfinite(result.loss)
                on_test = _evaluate_on_test(evaluable(judged), corpus, config, device) if scores else None
                taken = result.tokens / (len(windows) * windows.context)
                results.append(EvaluationResult(step, result.loss, result.stderr, taken))
                due = step + max(1, next_evaluation(results))
                yield Progress(
                    step,
                    tokens,
                    "train",
                    loss=result.loss,
                    loss_stderr=result.stderr,
                    evaluated_tokens=result.tokens + (on_test.tokens if on_test else 0),
                    whole=result.whole,
                    test_loss=on_test.loss if on_test else None,
                    test_loss_stderr=on_test.stderr if on_test else None,
                    waited_s=batches.waited_s,
                    compiled=compiled,
                )
    finally:
        batches.close()
        if config.compiles:
            torch.compiler.set_stance("default")
    return judged


def check_runnable(config: RunConfig, device: torch.device) -> None:
    """Raises ConfigError for combinations of valid values that no code can run, saying what to change."""
    problem = unrunnable(config, device.type)
    if problem:
        raise ConfigError(problem)


def _tensor(ids: npt.NDArray[np.uint16]) -> Tensor:
    return torch.from_numpy(ids.astype("int32"))


def _evaluate_on_test(
    model: GPT, corpus: Corpus, config: RunConfig, device: torch.device
) -> Evaluation | None:
    """None where the corpus has no test part, or one too short for two windows."""
    windows = windows_of_test_part(_tensor(corpus.test), config.windows)
    return None if windows is None else evaluate(model, windows.to(device), config.target_metric)


def _loss_function(model: GPT, precision: Precision, device: torch.device) -> LossFunction:
    def compute_loss(x: Tensor, y: Tensor) -> Tensor:
        with precision.forward(device.type):
            return model.loss(x, y)

    return compute_loss


def _compile_parts(model: GPT, compute_loss: LossFunction, config: RunConfig, backend: str) -> LossFunction:
    """Wrap what the configuration wants compiled; nothing is compiled before its first call."""
    torch.compiler.reset()
    if not config.train.compile:
        return compute_loss
    mode = None if config.train.compile_mode == DEFAULT else config.train.compile_mode
    compile_ = partial(torch.compile, fullgraph=True, dynamic=False, mode=mode, backend=backend)
    scope: Scope = COMPILE_SCOPES[config.train.compile_scope].load()
    return scope(model, compute_loss, compile_)


def _warm_up(
    compute_loss: LossFunction,
    optimizer: OptimizerSet,
    precision: Precision,
    config: RunConfig,
    share: Share,
    batches: Batches,
    device: torch.device,
) -> Compiled:
    """Compile, forward and backward or the optimizer's step, on batches of every shape that the run will
    have. Anything that recompiles afterwards raises.

    The compiler's cache is emptied first, or what a compilation costs would depend on what was compiled
    before. The training's random state is left as it was, so that a compiled run sees the same batches and
    dropout seeds.
    """
    # torch.compiler has no public way to an empty cache, to counters and to the limit (2.13).
    import torch._dynamo
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_cache

    counters.clear()
    devices = [device] if device.type == "cuda" else []
    with (
        warnings.catch_warnings(),
        fresh_cache(),
        torch._dynamo.config.patch(recompile_limit=_MOST_GRAPHS),
        torch.random.fork_rng(devices=devices),
        precision.both_passes(),
    ):
        # Warnings that Dynamo (2.13) causes itself: it reads the gradient of a part's input, and makes a
        # Function.
        warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
        warnings.filterwarnings(
            "ignore", message=".*Function'> should not be instantiated", category=DeprecationWarning
        )
        for plateau in plateaus(config):
            for _ in range(passes_to_warm_up(config)):
                optimizer.zero_grad(set_to_none=True)  # CUDA graphs write over the pass before
                begin_pass(config)
                example = batches.example(share.sequences(plateau.batch_size), plateau.context)
                torch.autograd.backward(compute_loss(*example))
        optimizer.warm_up(momentum_changes(config))
    optimizer.zero_grad(set_to_none=True)
    torch.compiler.set_stance("fail_on_recompile")
    return Compiled(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))
