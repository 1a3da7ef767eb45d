"""The running mean of a model's weights against torch's own and against the plain mean."""

import pytest
import torch
from small_gpt import give_gradients, optimizer_of, small_gpt, weights_of
from torch.optim.swa_utils import AveragedModel

from model.averaging import RunningMean


def walk(model, steps):
    """The model after each of some steps of training."""
    optimizer = optimizer_of(model, lr=0.01)
    for step in range(steps):
        give_gradients(model, seed=step)
        optimizer.step()
        optimizer.zero_grad()
        yield model


@pytest.mark.parametrize("tied", [True, False])
def test_the_mean_is_that_of_the_weights_that_were_taken(tied):
    model = small_gpt(tied_head=tied)
    mean, seen = RunningMean(model), []
    for now in walk(model, 5):
        mean.take(now)
        seen.append([weight.double() for weight in weights_of(now)])
    for ours, *each in zip(mean.model.parameters(), *seen, strict=True):
        torch.testing.assert_close(ours.double(), torch.stack(each).mean(dim=0), rtol=1e-6, atol=1e-7)
    assert (mean.model.wte.weight is mean.model.lm_head.weight) is tied
    assert len(list(mean.model.parameters())) == len(list(model.parameters()))


def test_the_mean_is_torchs_own():
    model = small_gpt()
    ours, theirs = RunningMean(model), AveragedModel(model, use_buffers=False)
    for now in walk(model, 5):
        ours.take(now)
        theirs.update_parameters(now)
    for one, other in zip(ours.model.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_the_mean_of_one_is_that_one_bit_for_bit():
    model = small_gpt()
    mean = RunningMean(model)
    for now in walk(model, 1):
        mean.take(now)
    assert all(map(torch.equal, mean.model.parameters(), model.parameters()))


def test_the_model_that_is_averaged_stays_as_it_is_and_shares_nothing_with_the_mean():
    model = small_gpt(dropout=0.1)
    before, state = weights_of(model), torch.get_rng_state()
    mean = RunningMean(model)
    mean.take(model)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        for parameter in mean.model.parameters():
            parameter.fill_(7.0)
    assert all(map(torch.equal, before, model.parameters()))
    assert torch.equal(mean.model.hidden, model.hidden)
