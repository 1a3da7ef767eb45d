import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import ModelConfig
from model.gpt import GPT
from model.sample import continued

VOCABULARY = 11


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    config = ModelConfig(n_layer=1, n_head=2, n_embd=16, block_size=8)
    gpt = GPT(config, VOCABULARY).eval()
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.mul_(10)  # so that tokens differ in how likely they are
    return gpt


prompts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20)


@given(prompts, st.integers(0, 2**63 - 1), st.sampled_from([None, 1, 3, 99]))
def test_a_seed_gives_the_same_tokens_whatever_else_is_drawn(model, prompt, seed, top_k):
    first = continued(model, prompt, 5, temperature=0.9, top_k=top_k, seed=seed)
    torch.rand(3)
    assert continued(model, prompt, 5, temperature=0.9, top_k=top_k, seed=seed) == first
    assert len(first) == 5
    assert all(0 <= token < VOCABULARY for token in first)


def test_another_seed_gives_other_tokens(model):
    assert len({tuple(continued(model, [1], 20, seed=seed)) for seed in range(5)}) == 5


@given(prompts)
def test_no_temperature_and_one_candidate_both_take_the_likeliest(model, prompt):
    likeliest = continued(model, prompt, 6, temperature=0)
    assert continued(model, prompt, 6, temperature=5.0, top_k=1) == likeliest
    with torch.no_grad():
        assert likeliest[0] == int(model(torch.tensor([prompt[-8:]]))[0, -1].argmax())


@given(prompts)
def test_no_more_is_seen_than_the_context(model, prompt):
    assert continued(model, prompt, 9, seed=1) == continued(model, prompt[-8:], 9, seed=1)


def test_only_the_likeliest_are_drawn(model):
    with torch.no_grad():
        best = model(torch.tensor([[4]]))[0, -1].topk(3).indices.tolist()
    drawn = {continued(model, [4], 1, temperature=50.0, top_k=3, seed=seed)[0] for seed in range(100)}
    assert drawn == set(best)


def test_a_hotter_text_is_less_predictable(model):
    cold = {tuple(continued(model, [4], 3, temperature=0.01, seed=seed)) for seed in range(20)}
    hot = {tuple(continued(model, [4], 3, temperature=3.0, seed=seed)) for seed in range(20)}
    assert len(cold) == 1 < len(hot)
