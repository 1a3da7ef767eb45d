"""Rotary positions turn heads by their place, so that a score depends on the distance alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ModelConfig
from model.embed.rope import Rope


@given(
    distance=st.integers(0, 20), place=st.integers(0, 20), other=st.integers(0, 20), seed=st.integers(0, 999)
)
@settings(max_examples=50)
def test_rope_makes_a_score_depend_on_the_distance_and_not_on_the_place(distance, place, other, seed):
    rope = Rope(ModelConfig(n_embd=16, n_head=2, block_size=48, positions="rope"))
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(seed))

    def score(query_place, key_place):
        places = torch.zeros(2, 48, 1, 8)
        places[0, query_place], places[1, key_place] = q, k
        turned = rope.at_heads(places)
        return float(turned[0, query_place, 0] @ turned[1, key_place, 0])

    assert score(place + distance, place) == pytest.approx(score(other + distance, other), abs=1e-4)
    assert score(place, place) == pytest.approx(float(q @ k), abs=1e-4)


def test_rope_keeps_lengths_and_tells_places_apart():
    rope = Rope(ModelConfig(n_embd=16, n_head=2, block_size=32, positions="rope"))
    x = torch.randn(8).expand(1, 32, 1, 8)
    turned = rope.at_heads(x)[0, :, 0]
    torch.testing.assert_close(turned.norm(dim=-1), x[0, :, 0].norm(dim=-1))
    apart = (turned[:, None] - turned[None]).norm(dim=-1) + torch.eye(32)
    assert float(apart.min()) > 1e-2
