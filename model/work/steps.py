"""What the parts of a run compute and move: a step, an evaluation, the setup."""

from __future__ import annotations

from model.config import EVALUATION_TOKENS_PER_PASS, RunConfig
from model.schedule import Plateau, plateaus
from model.share import Share
from model.work.network import Pass, parameter_count
from model.work.optimizers import OPTIMIZER_WORK
from model.work.units import FP32_BYTES, Kernels, Work, bytes_of, format_of, row_of

# Tokens of one evaluation pass, for which the weights are read once.
TOKENS_PER_PASS = EVALUATION_TOKENS_PER_PASS["cpu"]

# Per parameter.
ACCUMULATE = Kernels(ops=1, wide=3)
CLIP = Kernels(ops=3, wide=3)
AVERAGE = Kernels(ops=3, wide=3)


def step_work(
    config: RunConfig, vocab_size: int, batch_size: int | None = None, context: int | None = None
) -> Work:
    """One optimizer step: all its micro-batches forward and backward, clipping, and the optimizer.

    Micro-batches are `batch_size` sequences of `context` tokens, by default those after any ramp. Several
    processes each do their share of the passes, and all of the rest. What they send each other is left
    out."""
    model, train = config.model, config.train
    share = Share.of(0, train.processes, train.grad_accum)
    micro_batches = share.micro_batches(train.grad_accum)
    micro_batch = Pass(
        model,
        vocab_size,
        sequences=share.sequences(batch_size or train.batch_size),
        context=context or model.block_size,
        format=format_of("train.precision", train.precision),
        training=True,
    )
    parameters = parameter_count(model, vocab_size)
    work = micro_batch.network().times(micro_batches)
    work += micro_batch.kernels(ACCUMULATE, parameters).times(micro_batches - 1)
    if config.optimizer.grad_clip > 0:
        work += micro_batch.kernels(CLIP, parameters)
    work += row_of(OPTIMIZER_WORK, "optimizer.name", config.optimizer.name)(config, vocab_size)
    return work.times(train.processes) if train.processes > 1 else work


def average_work(config: RunConfig, vocab_size: int) -> Work:
    """Taking the weights into their mean after one step. The copy that the mean begins with is left out."""
    parameters = parameter_count(config.model, vocab_size)
    form = format_of("train.precision", config.train.precision)
    return Work({}, float(AVERAGE.ops * parameters), bytes_of(AVERAGE, form) * parameters)


def plateau_steps(config: RunConfig, steps: int) -> tuple[tuple[Plateau, int], ...]:
    """How many of a run's first `steps` steps lie on each of its plateaus."""
    found = plateaus(config)
    ends = [*(later.first_step for later in found[1:]), steps]
    return tuple(
        (one, max(0, min(end, steps) - one.first_step)) for one, end in zip(found, ends, strict=True)
    )


def evaluation_work(config: RunConfig, vocab_size: int, tokens: float) -> Work:
    """Forward only, in fp32 and with an evaluation's kernels, for `tokens` that go through the model;
    proportional to them."""
    context = min(config.windows.context, config.model.block_size)
    one_pass = Pass(
        config.model,
        vocab_size,
        sequences=TOKENS_PER_PASS / context,
        context=context,
        format=format_of("train.precision", "fp32"),
        training=False,
    )
    return one_pass.network().times(tokens / TOKENS_PER_PASS)


def setup_work(config: RunConfig, vocab_size: int) -> Work:
    """Building the model: weights written twice (torch's initialisation, then the model's own) and two zeroed
    moments, in each process. Drawing random numbers and moving the data are left out."""
    copies = 4.0 * config.train.processes
    return Work(bytes_moved=copies * FP32_BYTES * parameter_count(config.model, vocab_size))
