"""The baseline of every comparison: nanoGPT's documented CPU recipe ends at the loss that it is known for."""

import functools
import hashlib
import os
from pathlib import Path

import pytest
import torch

from model.config import RunConfig
from model.data.corpus import Corpus
from model.data.held_out import HeldOut
from model.train import train

pytestmark = pytest.mark.slow

VARIABLE = "JOULESEARCH_TINYSHAKESPEARE"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SEEDS = (1337, 1338, 1339)

# nanoGPT validates on all of the held-out tenth, and so does this file, though studies do on its first half.
# Three earlier runs gave 1.9014, 1.9050 and 1.9141 on it. The seeds below gave
# 1.9195, 1.9044 and 1.8854 (torch 2.13, one x86 thread): mean 1.9031. All six: standard deviation 0.012.
EXPECTED_LOSS = 1.907
MEAN_WITHIN = 0.015
SEED_WITHIN = 0.03


@pytest.fixture(scope="module")
def corpus():
    path = os.environ.get(VARIABLE)
    if not path:
        pytest.skip(f"{VARIABLE} is unset; set it to the path of tinyshakespeare's input.txt")
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert digest == SHA256, f"{path} is not tinyshakespeare: sha256 {digest}, expected {SHA256}"
    return Corpus.from_text("tinyshakespeare", data.decode(), HeldOut.WHOLE)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def final_loss(corpus):
    @functools.cache
    def run(seed):
        config = RunConfig(seed=seed)
        at_the_end_only = config.train.max_steps
        progress = train(config, corpus, torch.device("cpu"), lambda curve: at_the_end_only)
        return [(p.step, p.loss) for p in progress if p.loss is not None]

    def loss(seed):
        [(step, value)] = run(seed)
        assert step == 2000
        return value

    return loss


def test_tinyshakespeare_has_nanogpts_65_characters(corpus):
    assert corpus.vocab_size == 65


@pytest.mark.parametrize("seed", SEEDS)
def test_each_seed_ends_near_the_known_loss(final_loss, seed):
    assert final_loss(seed) == pytest.approx(EXPECTED_LOSS, abs=SEED_WITHIN)


def test_the_mean_of_the_seeds_is_the_known_loss(final_loss):
    mean = sum(final_loss(seed) for seed in SEEDS) / len(SEEDS)
    assert mean == pytest.approx(EXPECTED_LOSS, abs=MEAN_WITHIN)
