"""Logits of the states that a network ends in, capped or not."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.loss.head import Head, logits_of


@given(softcap=st.floats(0.5, 50), scale=st.floats(0.1, 1000))
@settings(max_examples=40)
def test_a_cap_bounds_logits_and_keeps_their_order(softcap, scale):
    x, weight, table = torch.randn(3, 11, 11, generator=torch.Generator().manual_seed(0))
    raw = logits_of(scale * x, Head(weight, 0.0, table, torch.arange(11)))
    capped = logits_of(scale * x, Head(weight, softcap, table, torch.arange(11)))
    assert float(capped.abs().max()) <= softcap * (1 + 1e-6)
    assert bool((capped.sort(dim=-1).values >= capped.gather(1, raw.argsort(dim=-1)) - 1e-6).all())
    small = raw.abs() < 0.01 * softcap
    torch.testing.assert_close(capped[small], raw[small], rtol=1e-3, atol=1e-6)


def test_no_cap_is_no_cap():
    x, weight = torch.randn(2, 5, 5)
    assert torch.equal(logits_of(x, Head(weight)), F.linear(x, weight))
