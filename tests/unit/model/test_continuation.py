"""Generation with kept keys and values gives the logits of a whole forward pass."""

from __future__ import annotations

import pytest
import torch
from small_gpt import SMALL, VOCAB, small_gpt
from this_cpu import CPU

from model.config import ModelConfig
from model.continuation import Continuation
from model.generation import Generation
from model.gpt import GPT
from model.inference import generate
from model.kv_cache import KeyValueCache
from model.runnable import missing, not_cached
from model.tables import ATTENTION, TABLES
from model.variant import Variant

# Of the largest logit. In fp32 the two add the same numbers in another order: 2.1e-6 apart with AVX-512.
TOLERANCE = 4e-6
ROWS = [
    {path.removeprefix("model."): name}
    for path in ("model.attention", "model.positions", "model.norm", "model.mlp")
    for name in TABLES[path]
    if missing(path, name, CPU) is None or path == "model.attention"  # evaluated by a row that runs anywhere
]
SETTINGS = [
    {"n_kv_head": 1},
    {"attention": "sliding_window", "attention_window": 3, "n_kv_head": 1, "positions": "rope"},
    {"qk_norm": True, "positions": "rope"},
    {"qk_norm": True},
    {"value_embedding": True, "embedding_skip": True, "n_kv_head": 1},
    {"smear": True, "lookup_table": "trigram", "logit_softcap": 3.0},
    {"lookup_table": "bigram", "tied_head": False, "bias": True},
]


def lively(**changes) -> GPT:
    """A small model of which every parameter, zero ones too, moves the logits."""
    model = small_gpt(**changes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    return model


@pytest.mark.parametrize("changes", [*ROWS, *SETTINGS], ids=str)
@pytest.mark.parametrize("prompt_tokens", [1, 5])
def test_every_next_token_is_predicted_as_by_a_whole_pass(changes, prompt_tokens):
    model = lively(**changes)
    tokens = torch.randint(VOCAB, (2, SMALL["block_size"] + 3), generator=torch.Generator().manual_seed(2))
    text = Continuation(model, tokens[:, :prompt_tokens], most=tokens.size(1) - prompt_tokens)
    for end in range(prompt_tokens, tokens.size(1)):
        with torch.no_grad():
            whole = model(tokens[:, max(0, end - SMALL["block_size"]) : end])[:, -1]
        assert torch.isfinite(whole).all()
        torch.testing.assert_close(
            text.next_logits(), whole, rtol=0, atol=TOLERANCE * float(whole.abs().max())
        )
        text.append(tokens[:, end])
    assert text.recomputed == 2 * 2  # after the context is full, of two texts


def test_a_model_without_attention_over_kept_keys_is_recomputed_and_says_so(monkeypatch):
    own_function = Variant("model.attention.sdpa:attend", "as sdpa", "a function of its own")
    monkeypatch.setitem(ATTENTION, "unkept", own_function)
    assert "model.attention=unkept" in not_cached(ModelConfig(**SMALL, attention="unkept"))
    generation = Generation(batch_size=3, prompt_tokens=2, tokens=5)
    assert generate(small_gpt(attention="unkept"), generation) == 3 * 4
    assert generate(small_gpt(), generation) == 0


def test_only_the_heads_of_keys_and_values_are_kept():
    shapes = [ModelConfig(**{**SMALL, "n_head": 4, "n_kv_head": kv}) for kv in (None, 2, 1)]
    all_heads, half, one = (KeyValueCache(shape, 3, 10, torch.empty(0)).bytes for shape in shapes)
    assert all_heads == 4 * 3 * 10 * SMALL["n_layer"] * 2 * SMALL["n_embd"]
    assert (half, one) == (all_heads / 2, all_heads / 4)


def test_generating_leaves_mode_and_random_state_as_they_were():
    model, before = small_gpt(dropout=0.5).train(), torch.get_rng_state()
    generate(model, Generation(2, 3, 4))
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("prompt", "tokens", "passes"),
    [
        (16, 48, (16, 47, 0)),
        (16, 49, (16, 48, 0)),
        (16, 50, (16, 48, 1)),
        (99, 3, (64, 0, 2)),
        (1, 1, (1, 0, 0)),
    ],
)
def test_what_is_kept_and_what_is_computed_again_is_known_beforehand(prompt, tokens, passes):
    generation = Generation(2, prompt, tokens)
    assert generation.passes(block_size=64) == passes
    assert generate(small_gpt(block_size=64), generation) == 2 * passes[2]
