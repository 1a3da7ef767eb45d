"""Training by several processes as a generator that yields what `model.train.train` yields.

Every rank runs that loop on its share and stops at each of its values until the driver goes on, so that
nothing is running while a meter is read at the end of a phase. Rank 0 evaluates. Where the next evaluation is
due is decided here, for all.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import torch

from model.config import ConfigError, RunConfig
from model.data.corpus import Corpus
from model.distributed.messages import GIVE_WEIGHTS, GO, Ask, Done, Here, Job, Weights
from model.distributed.ranks import Ranks
from model.fits import no_window
from model.gpt import GPT
from model.progress import EvaluationResult, Progress
from model.train import NextEvaluation, check_runnable
from model.weights import from_bytes

LEADER = 0


def train_together(
    config: RunConfig,
    corpus: Corpus,
    device_type: str,
    next_evaluation: NextEvaluation | None = None,
    target_loss: float | None = None,
    compile_backend: str = "inductor",
    score_test: bool = False,
    hand_over: Callable[[GPT], None] | None = None,
    on_peaks: Callable[[Sequence[int | None]], None] = lambda peaks_bytes: None,
) -> Generator[Progress, None, None]:
    """As `train`, by `config.train.processes` processes: on the first GPUs that torch sees, one each, or on a
    CPU with as many threads each as this process has.

    `hand_over` gets the model once, on the CPU, when the training ends or the driver stops following it
    between two values; without it no weights leave the ranks. `on_peaks` gets what memory each rank has held
    at most, some times a second. Raises ConfigError for what cannot run, and RankLost, once all of them have
    ended, where a rank dies or fails.
    """
    check_runnable(config, torch.device(device_type))
    if problem := no_window(config, corpus):
        raise ConfigError(problem)
    if device_type == "cuda":  # rank 0 shares this process' GPU
        gc.collect()
        torch.cuda.empty_cache()
    threads = torch.get_num_threads()
    ranks = Ranks(config.train.processes, threads)
    at_rest = False
    try:
        ranks.send(
            Job.of(
                corpus,
                config=config,
                device_type=device_type,
                threads=threads,
                target_loss=target_loss,
                compile_backend=compile_backend,
                score_test=score_test,
            )
        )
        results: list[EvaluationResult] = []
        next_evaluation = next_evaluation or (lambda results: config.evaluation.interval)
        while True:
            messages = ranks.receive()
            match messages[LEADER]:
                case Ask(result):
                    results += [] if result is None else [result]
                    ranks.send(next_evaluation(results))
                case Here(progress):
                    everybody = [message for message in messages if isinstance(message, Here)]
                    on_peaks([one.peak_bytes for one in everybody])
                    waited_s = max(one.progress.waited_s for one in everybody)
                    at_rest = True
                    yield replace(progress, waited_s=waited_s)
                    at_rest = False
                    ranks.send(GO)
                case Done():
                    at_rest = True
                    return
    finally:
        try:
            if at_rest and hand_over is not None:
                hand_over(_fetch(ranks, config, corpus))
        finally:
            ranks.end(at_rest)


def _fetch(ranks: Ranks, config: RunConfig, corpus: Corpus) -> GPT:
    ranks.send(GIVE_WEIGHTS, LEADER)
    message = ranks.receive_from(LEADER)
    assert isinstance(message, Weights)
    return from_bytes(message.payload, config, corpus.vocab_size)
