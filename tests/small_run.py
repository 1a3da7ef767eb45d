"""Runs of some milliseconds a step, and what training yields of them."""

import random

import numpy as np
import torch

from model.config import RunConfig
from model.data.corpus import Corpus
from model.train import train

CPU = torch.device("cpu")


WORDS = ["to", "be", "or", "not", "that", "is", "the", "question", "whether", "nobler", "in", "mind"]


def generated_corpus(words=1500):
    choice = random.Random(0).choice
    return Corpus.from_text("generated", " ".join(choice(WORDS) for _ in range(words)))


CORPUS = generated_corpus()


def counting_corpus(n):
    """0, 1, 2 ... n - 1 for training, and as many after that for validation."""
    return Corpus(
        name="counting",
        sha256="",
        tokenizer="chars",
        vocabulary=tuple(map(chr, range(64, 64 + 2 * n))),
        train=np.arange(n, dtype=np.uint16),
        validation=np.arange(n, 2 * n, dtype=np.uint16),
        validation_bytes_per_token=1.0,
    )


def small_run(seed=1337, **parts):
    """A run of some milliseconds a step. `parts` are merged into it, a section each."""
    small = {
        "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16},
        "schedule": {"warmup_steps": 2},
        "train": {"batch_size": 4, "max_steps": 10},
        "evaluation": {"context": 16, "tokens": 160, "interval": 5},
    }
    merged = {name: small.get(name, {}) | parts.get(name, {}) for name in {*small, *parts}}
    return RunConfig.from_mapping({**merged, "seed": seed})


def drain(config, next_evaluation=None, corpus=CORPUS, target_loss=None, score_test=False):
    """(everything that training yields, the model that it returns)."""
    generator = train(config, corpus, CPU, next_evaluation, target_loss, score_test=score_test)
    seen = []
    try:
        while True:
            seen.append(next(generator))
    except StopIteration as stop:
        return seen, stop.value


def train_losses(progress):
    return [p.train_loss for p in progress if p.train_loss is not None]


def evaluations(progress):
    return [(p.step, p.loss) for p in progress if p.loss is not None]
