"""Every norm computes what the reference of its row computes in fp64: `parity` says how exactly."""

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    NORM_INPUTS,
    error_ratio,
    norm_error_ratio,
    norm_row_error_ratio,
    on_cpu,
    on_gpu,
    random_tensors,
)

from model.norm import reference as reference_norms
from model.norm.rmsnorm import rms_norm
from model.tables import NORMS


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
@pytest.mark.parametrize(("size", "scale"), NORM_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.norm", NORMS))
def test_a_norm_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, scale, eps):
    assert norm_row_error_ratio(row, name, size, scale, eps) <= 1


@on_gpu("model.norm")
def test_a_norm_on_a_gpu_is_as_exact_as_the_plain_one(row):
    ratios = [norm_row_error_ratio(row, n, *case, 1e-5, "cuda") for n in FORMATS for case in NORM_INPUTS]
    assert max(ratios) <= 1, ratios


class Wrong(torch.nn.Module):
    """A norm by a function of (x, weight, bias)."""

    def __init__(self, function, width=48):
        super().__init__()
        self.function = function
        self.weight = torch.nn.Parameter(torch.ones(width))
        self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return self.function(x, self.weight, self.bias)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda x, w, b: reference_norms.layernorm(x, 1e-6, w, b), id="wrong eps"),
        pytest.param(lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 0.0), id="no eps"),
        pytest.param(lambda x, w, b: reference_norms.rmsnorm(x, 1e-5, w) + b, id="mean left in"),
        pytest.param(lambda x, w, b: reference_norms.layernorm(x, 1e-5, w), id="no bias"),
        pytest.param(
            lambda x, w, b: reference_norms.layernorm(x, 1e-5, w.detach(), b), id="weight learns nothing"
        ),
        pytest.param(
            lambda x, w, b: reference_norms.layernorm(x.flip(-1), 1e-5, w, b).flip(-1), id="weights backwards"
        ),
    ],
)
def test_a_wrong_norm_is_far_outside_what_is_allowed(wrong, name):
    assert norm_error_ratio(Wrong(wrong), reference_norms.layernorm, name, (3, 5, 48), 1e-3, 1e-5) > 3


@pytest.mark.parametrize("name", FORMATS)
def test_normalised_heads_are_as_exact_as_the_plain_ones(name):
    (x,) = random_tensors((2, 7, 3, 16))
    assert (
        error_ratio(
            lambda x: rms_norm(x, None, 1e-5),
            lambda x: reference_norms.rmsnorm_weightless(x, 1e-5),
            [x],
            name,
        )
        <= 1
    )


@pytest.mark.parametrize("name", FORMATS)
def test_heads_normalised_all_together_are_far_outside_what_is_allowed(name):
    (x,) = random_tensors((2, 7, 3, 16))
    wrong = lambda x: rms_norm(x.flatten(2), None, 1e-5).view(x.shape)  # noqa: E731
    assert error_ratio(wrong, lambda x: reference_norms.rmsnorm_weightless(x, 1e-5), [x], name) > 3
