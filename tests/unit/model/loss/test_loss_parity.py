"""Every loss computes what the reference of its row computes in fp64: `parity` says how exactly."""

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    TOKENS,
    casting,
    loss_error_ratio,
    loss_row_error_ratio,
    offered_with,
    on_cpu,
    on_gpu,
    random_tensors,
)
from this_cpu import needs_torch_for

from model.loss.head import Head
from model.loss.reference import cross_entropy
from model.tables import LOSSES


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("size", TOKENS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.loss", LOSSES))
def test_a_loss_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, softcap, table):
    if (softcap, table) in offered_with(row, "cpu"):
        assert loss_row_error_ratio(row, name, size, softcap, table) <= 1


@on_gpu("model.loss")
def test_a_loss_on_a_gpu_is_as_exact_as_the_plain_one(row):
    ratios = [
        loss_row_error_ratio(row, name, size, *head, "cuda")
        for name in FORMATS
        for size in TOKENS
        for head in offered_with(row, "cuda")
    ]
    assert max(ratios) <= 1, ratios


@pytest.mark.parametrize("row", on_cpu("model.loss", LOSSES))
def test_autocast_reaches_into_every_loss(row):
    """What it computes there is what it computes of bf16, to the last bit but the sum over tokens."""
    x, weight = random_tensors((24, 16), (32, 16))
    targets = torch.arange(24)
    loss = LOSSES[row].load()
    with casting(True):
        cast = float(loss(x, targets, Head(weight)))
    assert cast == pytest.approx(float(loss(x.bfloat16(), targets, Head(weight.bfloat16()))), rel=2**-8)
    assert cast != pytest.approx(float(loss(x, targets, Head(weight))), rel=1e-6)


def mean_of_parts(x, targets, head):
    """Parts of unequal length weigh the same."""
    parts = torch.arange(len(x)).split(12)
    return torch.stack([LOSSES["plain"].load()(x[p], targets[p], head) for p in parts]).mean()


def sum_of_tokens(x, targets, head):
    return len(x) * LOSSES["plain"].load()(x, targets, head)


def next_targets(x, targets, head):
    return LOSSES["plain"].load()(x, targets.roll(1), head)


def without_cap(x, targets, head):
    return LOSSES["plain"].load()(x, targets, head._replace(softcap=0.0))


def cap_without_slope(x, targets, head):
    logits = F.linear(x, head.weight)
    capped = head.softcap * torch.tanh(logits / head.softcap)
    return F.cross_entropy((logits + (capped - logits).detach()).float(), targets)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "wrong", [mean_of_parts, sum_of_tokens, next_targets, without_cap, cap_without_slope]
)
def test_a_wrong_loss_is_far_outside_what_is_allowed(wrong, name):
    assert loss_error_ratio(wrong, cross_entropy, name, (29, 8, 65), softcap=2.0, table=False) > 3


def without_table(x, targets, head):
    return LOSSES["plain"].load()(x, targets, head._replace(lookup_table=None)) + 0 * head.lookup_table.sum()


def rows_off_by_one(x, targets, head):
    return LOSSES["plain"].load()(x, targets, head._replace(rows=head.rows.roll(1)))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("wrong", [without_table, rows_off_by_one])
def test_a_wrong_table_of_logits_is_far_outside_what_is_allowed(wrong, name):
    assert loss_error_ratio(wrong, cross_entropy, name, (29, 8, 65), softcap=0.0, table=True) > 3


class Largest(torch.utils._python_dispatch.TorchDispatchMode):
    """The most elements of any tensor that is computed."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


@pytest.mark.parametrize(
    ("row", "most"),
    [("plain", 960 * 640), ("chunked", 960 * 640 // 16), ("linear_cross_entropy", 960 * 8)],
)
def test_all_logits_never_exist_at_once_where_the_loss_takes_a_part_at_a_time(row, most):
    needs_torch_for("model.loss", row)
    x, weight = (t.requires_grad_() for t in random_tensors((960, 8), (640, 8)))
    with Largest() as largest:
        torch.autograd.backward(LOSSES[row].load()(x, torch.zeros(960, dtype=torch.long), Head(weight)))
    assert largest.numel <= most
    assert largest.numel > 0
