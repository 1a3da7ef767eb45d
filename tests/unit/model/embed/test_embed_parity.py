"""Every row of positions does what its reference does in fp64: `parity` says how exactly."""

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    error_ratio,
    on_gpu,
    random_tensors,
)
from torch.func import functional_call

from model.config import ModelConfig
from model.embed.reference import LEARNED, ROPE, turned
from model.tables import POSITIONS


def position_error_ratio(module, plain, name, size, device="cpu"):
    """The worse of what a row does to the input and to the heads. size: (B, T, heads, D)."""
    module = module.to(device)
    B, T, heads, D = size
    table = dict(module.named_parameters())
    (weight,) = random_tensors(*[p.shape for p in table.values()]) if table else [torch.zeros(64, heads * D)]

    def at_input(x, weight):
        values = {f"module.{key}": weight for key in table}
        return functional_call(At(module, "at_input"), values, (x,))

    x, h, weight = (t.to(device) for t in (*random_tensors((B, T, heads * D), size, seed=1), weight))
    return max(
        error_ratio(at_input, plain[0], [x, weight], name),
        error_ratio(lambda h: functional_call(At(module, "at_heads"), {}, (h,)), plain[1], [h], name),
    )


class At(torch.nn.Module):
    """One method of a module as its forward."""

    def __init__(self, module, method):
        super().__init__()
        self.module, self.method = module, method

    def forward(self, x):
        return getattr(self.module, self.method)(x)


# (B, T, heads, D) and the block, which may be longer than what comes in.
PLACES = [((2, 7, 3, 16), 7), ((1, 1, 2, 8), 4), ((1, 33, 1, 6), 64)]


def position_row_error_ratio(row, name, size, block, device="cpu"):
    config = ModelConfig(n_embd=size[2] * size[3], n_head=size[2], block_size=block, positions=row)
    module, plain = POSITIONS[row].load()(config), POSITIONS[row].load_reference()
    return position_error_ratio(module, plain, name, size, device)


@pytest.mark.parametrize(("size", "block"), PLACES, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", POSITIONS)
def test_positions_and_their_gradients_are_as_exact_as_the_plain_ones(row, name, size, block):
    assert position_row_error_ratio(row, name, size, block) <= 1


@on_gpu("model.positions")
def test_positions_on_a_gpu_are_as_exact_as_the_plain_ones(row):
    ratios = [position_row_error_ratio(row, n, *places, "cuda") for n in FORMATS for places in PLACES]
    assert max(ratios) <= 1, ratios


def one_place_late(x):
    return turned(F.pad(x, (0, 0, 0, 0, 1, 0)))[:, 1:]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        pytest.param("rope", (ROPE[0], one_place_late), id="off by one"),
        pytest.param("rope", (ROPE[0], lambda x: turned(x.flip(1)).flip(1)), id="backwards"),
        pytest.param("rope", (ROPE[0], lambda x: x), id="not turned"),
        pytest.param("rope", LEARNED, id="added to the input"),
        pytest.param("learned", (lambda x, t: x + t[1 : x.size(1) + 1], lambda x: x), id="table off by one"),
    ],
)
def test_wrong_positions_are_far_outside_what_is_allowed(row, wrong, name):
    config = ModelConfig(n_embd=48, n_head=3, block_size=8, positions=row)
    assert position_error_ratio(POSITIONS[row].load()(config), wrong, name, (2, 7, 3, 16)) > 3
