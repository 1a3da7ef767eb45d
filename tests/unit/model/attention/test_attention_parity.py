"""Every attention computes what the reference of its row computes in fp64: `parity` says how exactly."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    error_ratio,
    on_cpu,
    on_gpu,
    random_tensors,
)

from model.attention.reference import causal
from model.attention.sdpa import repeated
from model.config import EvaluationConfig, ModelConfig, RunConfig, TrainConfig
from model.runnable import unrunnable
from model.tables import ATTENTION

# (B, H, K, T, D)
HEADS = [(2, 3, 3, 64, 32), (1, 2, 2, 1, 8), (3, 1, 1, 17, 5), (2, 6, 2, 33, 48), (1, 4, 1, 129, 16)]


def attending(attend, T, device="cpu", **settings):
    hidden = torch.zeros(T, T, device=device).masked_fill(
        ~torch.ones(T, T, dtype=torch.bool, device=device).tril(), -math.inf
    )
    return lambda q, k, v: attend(q, k, v, hidden, 0.0, **settings)


def head_tensors(shape, device="cpu"):
    B, H, K, T, D = shape
    return [x.to(device) for x in random_tensors((B, H, T, D), (B, K, T, D), (B, K, T, D))]


def attention_error_ratio(attend, name, shape, device="cpu", plain=causal, **settings):
    """The slope of a softmax is the difference of two numbers of about size 1, and 0 for a single token."""
    function = attending(attend, shape[3], device, **settings)
    return error_ratio(function, partial(plain, **settings), head_tensors(shape, device), name, floor=1.0)


def attention_row_error_ratio(row, name, shape, device="cpu", compiled=False, **changes):
    variant = ATTENTION[row]
    attend = torch.compile(variant.load()) if compiled else variant.load()
    settings = variant.settings_of(ModelConfig(**changes))
    return attention_error_ratio(attend, name, shape, device, variant.load_reference(), **settings)


def refused(row, name, shape, device):
    """Why the kernel is not offered for this shape and format, or None."""
    _, H, K, T, D = shape
    precision = {"fp32": "fp32", "bf16": "bf16_weights", "bf16 autocast": "bf16"}[name]
    model = ModelConfig(n_embd=H * D, n_head=H, n_kv_head=K, block_size=T, attention=row)
    train = TrainConfig(precision=precision, compile=row == "flex")
    return unrunnable(RunConfig(model, train=train, evaluation=EvaluationConfig(context=T)), device)


@pytest.mark.parametrize("shape", HEADS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.attention", ATTENTION))
def test_attention_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, shape):
    assert refused(row, name, shape, "cpu") is None
    assert attention_row_error_ratio(row, name, shape) <= 1


def offered_on_gpu(row):
    return [(n, s) for n in FORMATS for s in HEADS if refused(row, n, s, "cuda") is None]


@on_gpu("model.attention")
def test_attention_on_a_gpu_is_as_exact_as_the_plain_one(row):
    ratios = {
        case: attention_row_error_ratio(row, *case, "cuda", row == "flex") for case in offered_on_gpu(row)
    }
    assert max(ratios.values()) <= 1, ratios


@pytest.mark.parametrize("row", ATTENTION)
def test_a_gpu_takes_several_shapes_of_every_attention_and_those_without_fp32_in_bf16(row):
    formats = {name for name, _ in offered_on_gpu(row)}
    assert formats == (set(FORMATS) - {"fp32"} if "cuda" in ATTENTION[row].bf16_only_on else set(FORMATS))
    assert len({shape for _, shape in offered_on_gpu(row)}) >= 3


@pytest.mark.parametrize("shape", HEADS, ids=str)
def test_repeated_keys_and_values_serve_a_kernel_that_knows_no_groups(shape):
    q, k, v = head_tensors(shape)
    assert repeated(q, k).size(1) == q.size(1)
    got = causal(q, repeated(q, k), repeated(q, v))
    torch.testing.assert_close(got, causal(q, k, v))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("shape", HEADS, ids=str)
def test_flex_attention_looks_at_what_the_plain_one_looks_at(shape):
    """Forward alone: it has no backward pass on a CPU."""
    q, k, v = head_tensors(shape)
    with torch.no_grad():
        got = attending(ATTENTION["flex"].load(), shape[3])(q, k, v)
    torch.testing.assert_close(got, causal(q, k, v), rtol=0, atol=1e-5)


def without_scale(q, k, v, hidden, dropout_p):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)


def scaled_by_width(q, k, v, hidden, dropout_p):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0 / q.size(-1))


def not_causal(q, k, v, hidden, dropout_p):
    return F.scaled_dot_product_attention(q, k, v)


def one_token_ahead(q, k, v, hidden, dropout_p):
    visible = torch.ones(hidden.shape, dtype=torch.bool).tril(1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible)


def blind_to_itself(q, k, v, hidden, dropout_p):
    visible = torch.ones(hidden.shape, dtype=torch.bool).tril(-1)
    visible[0, 0] = True
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible)


def blind_to_keys_backward(q, k, v, hidden, dropout_p):
    return F.scaled_dot_product_attention(q, k.detach(), v, is_causal=True)


def not_a_number_in_one_place(q, k, v, hidden, dropout_p):
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.index_fill(2, torch.tensor([out.size(2) - 1]), math.nan)


# A window of one token, one that divides the context or not, one that is longer than it.
WINDOWS = [1, 2, 7, 16, 32, 64, 1000]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", HEADS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_attention_within_a_window_is_as_exact_as_its_reference_at_any_window(name, shape, window):
    assert attention_row_error_ratio("sliding_window", name, shape, attention_window=window) <= 1


@pytest.mark.parametrize("window", WINDOWS)
def test_a_token_depends_on_those_of_its_window_and_on_no_other(window):
    """Neither a later token nor one before the window moves the output, nor gets a gradient from it."""
    T = 40
    q, k, v = (x.requires_grad_() for x in head_tensors((1, 4, 2, T, 8)))
    y = attending(ATTENTION["sliding_window"].load(), T, attention_window=window)(q, k, v)
    for place in (0, 1, 15, 16, 17, T - 1):
        seen = range(max(0, place - window + 1), place + 1)
        for grad in torch.autograd.grad(y[0, :, place].square().sum(), (k, v), retain_graph=True):
            moved = grad[0].abs().amax(dim=(0, 2)) > 0
            # A single score has no slope: its softmax is 1 whatever it is.
            assert set(moved.nonzero().flatten().tolist()) in (set(seen), set())
        changed = v.detach().clone()
        changed[:, :, [t for t in range(T) if t not in seen]] += 1.0
        other = attending(ATTENTION["sliding_window"].load(), T, attention_window=window)(q, k, changed)
        torch.testing.assert_close(other[:, :, place], y[:, :, place])


@pytest.mark.parametrize("shape", HEADS, ids=str)
def test_a_window_as_long_as_the_context_is_causal_attention(shape):
    heads = [x.double() for x in head_tensors(shape)]
    whole = ATTENTION["sliding_window"].load_reference()(*heads, attention_window=shape[3])
    torch.testing.assert_close(whole, causal(*heads))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("wrong", [15, 17, 64])
def test_attention_within_another_window_is_far_outside_what_is_allowed(wrong, name):
    window = ATTENTION["sliding_window"]
    off = lambda *heads, attention_window: window.load()(*heads, attention_window=wrong)  # noqa: E731
    ratio = attention_error_ratio(
        off, name, (2, 3, 3, 64, 32), plain=window.load_reference(), attention_window=16
    )
    assert ratio > 3


WRONG_ATTENTION = [
    without_scale,
    scaled_by_width,
    not_causal,
    one_token_ahead,
    blind_to_itself,
    blind_to_keys_backward,
    not_a_number_in_one_place,
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("wrong", WRONG_ATTENTION)
def test_a_wrong_attention_is_far_outside_what_is_allowed(wrong, name):
    assert attention_error_ratio(wrong, name, (2, 3, 3, 64, 32)) > 5


def groups_dealt_out(q, k, v, hidden, dropout_p):
    """Head h takes keys h mod K instead of h div (H / K)."""
    group = q.size(1) // k.size(1)
    return F.scaled_dot_product_attention(
        q, k.repeat(1, group, 1, 1), v.repeat(1, group, 1, 1), is_causal=True
    )


def first_keys_for_all(q, k, v, hidden, dropout_p):
    k, v = (x[:, :1].expand(-1, q.size(1), -1, -1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("wrong", [groups_dealt_out, first_keys_for_all])
def test_wrong_groups_of_queries_are_far_outside_what_is_allowed(wrong, name):
    assert attention_error_ratio(wrong, name, (2, 6, 2, 33, 48)) > 5
