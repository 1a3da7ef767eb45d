"""What every norm has and reads, whatever it computes."""

import pytest
import torch
from parity import on_cpu

from model.config import ModelConfig
from model.tables import NORMS


@pytest.mark.parametrize("norm", on_cpu("model.norm", NORMS))
def test_norms_have_parameters_unless_they_are_weightless(norm):
    module = NORMS[norm].load()(ModelConfig(norm=norm, bias=True))
    assert (not list(module.parameters())) == norm.endswith("weightless")


@pytest.mark.parametrize("norm", on_cpu("model.norm", NORMS))
def test_every_norm_takes_its_eps_from_the_configuration(norm):
    """So small an input is nothing but eps."""
    module = NORMS[norm].load()(ModelConfig(n_embd=4, n_head=1, norm=norm, norm_eps=1e-2))
    x = 1e-4 * torch.tensor([1.0, -1.0, 1.0, -1.0])
    torch.testing.assert_close(module(x), x / 1e-1, rtol=1e-4, atol=0)
