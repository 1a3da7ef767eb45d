"""Every variant computes what the reference that its row names computes in fp64: `parity` says how exactly.
Every row of every table is checked; one without a reference fails.
"""

import copy
import math
import random
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    MLP_INPUTS,
    NORM_INPUTS,
    TOKENS,
    casting,
    error_ratio,
    loss_error_ratio,
    loss_row_error_ratio,
    mlp_error_ratio,
    mlp_row_error_ratio,
    norm_error_ratio,
    norm_row_error_ratio,
    offered_with,
    plain_linear,
    random_tensors,
    rms,
)
from this_cpu import CPU, compiles, needs_compiler
from torch.func import functional_call

from model.attention.reference import causal
from model.attention.sdpa import repeated
from model.capabilities import Capabilities, find_modules
from model.config import EvaluationConfig, ModelConfig, RunConfig, TrainConfig
from model.embed.reference import LEARNED, ROPE, turned
from model.gpt import GPT
from model.loss.head import Head
from model.loss.reference import cross_entropy
from model.loss.reference import logits as logits_of
from model.mlp.reference import swiglu
from model.norm import reference as reference_norms
from model.norm.rmsnorm import rms_norm
from model.runnable import missing, unrunnable
from model.tables import ATTENTION, LOSSES, MLPS, NORMS, POSITIONS, PRECISIONS

# --- where rows run


def on_cpu(path, table):
    return [name for name in table if missing(path, name, CPU) is None]


def need_gpu_for(path, name):
    """Skip where there is no GPU, or none that runs this row."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    major, minor = torch.cuda.get_device_capability()
    here = Capabilities(
        "cuda",
        torch.cuda.get_device_name(),
        torch.__version__,
        torch.cuda.is_bf16_supported(),
        None,
        10 * major + minor,
        find_modules(),
    )
    if reason := missing(path, name, here):
        pytest.skip(reason)


# --- attention

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


@pytest.mark.gpu
@pytest.mark.parametrize("row", ATTENTION)
def test_attention_on_a_gpu_is_as_exact_as_the_plain_one(row):
    need_gpu_for("model.attention", row)
    offered = [(n, s) for n in FORMATS for s in HEADS if refused(row, n, s, "cuda") is None]
    ratios = {case: attention_row_error_ratio(row, *case, "cuda", row == "flex") for case in offered}
    assert ratios
    assert max(ratios.values()) <= 1, ratios


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


# --- norms


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
@pytest.mark.parametrize(("size", "scale"), NORM_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.norm", NORMS))
def test_a_norm_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, scale, eps):
    assert norm_row_error_ratio(row, name, size, scale, eps) <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("row", NORMS)
def test_a_norm_on_a_gpu_is_as_exact_as_the_plain_one(row):
    need_gpu_for("model.norm", row)
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


# --- MLPs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("size", "ratio"), MLP_INPUTS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.mlp", MLPS))
def test_an_mlp_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, ratio, bias):
    assert mlp_row_error_ratio(row, name, size, ratio, bias) <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("row", MLPS)
def test_an_mlp_on_a_gpu_is_as_exact_as_the_plain_one(row):
    need_gpu_for("model.mlp", row)
    ratios = [mlp_row_error_ratio(row, n, *case, True, "cuda") for n in FORMATS for case in MLP_INPUTS]
    assert max(ratios) <= 1, ratios


@pytest.mark.parametrize(
    ("row", "wrong", "name"),
    [
        *[("gelu", lambda h: F.relu(h), name) for name in FORMATS],
        ("gelu", lambda h: F.gelu(h, approximate="tanh"), "fp32"),  # in bf16 nobody could tell
        *[("relu2", lambda h: h * h, name) for name in FORMATS],
        *[("relu2", lambda h: F.relu(h), name) for name in FORMATS],
        *[("swiglu", lambda h: swiglu(h.roll(h.size(-1) // 2, -1)), name) for name in FORMATS],
        *[
            ("swiglu", lambda h: torch.sigmoid(h.chunk(2, -1)[0]) * h.chunk(2, -1)[1], name)
            for name in FORMATS
        ],
    ],
)
def test_a_wrong_activation_is_far_outside_what_is_allowed(row, wrong, name):
    module = MLPS[row].load()(ModelConfig(n_embd=24, n_head=1, mlp=row, mlp_ratio=2.5))
    assert mlp_error_ratio(module, wrong, name, (2, 7, 24)) > 3


# --- positions


def position_error_ratio(module, plain, name, size):
    """The worse of what a row does to the input and to the heads. size: (B, T, heads, D)."""
    B, T, heads, D = size
    table = dict(module.named_parameters())
    (weight,) = random_tensors(*[p.shape for p in table.values()]) if table else [torch.zeros(64, heads * D)]

    def at_input(x, weight):
        values = {f"module.{key}": weight for key in table}
        return functional_call(At(module, "at_input"), values, (x,))

    x, h = random_tensors((B, T, heads * D), size, seed=1)
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


@pytest.mark.parametrize(("size", "block"), PLACES, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", POSITIONS)
def test_positions_and_their_gradients_are_as_exact_as_the_plain_ones(row, name, size, block):
    config = ModelConfig(n_embd=size[2] * size[3], n_head=size[2], block_size=block, positions=row)
    assert (
        position_error_ratio(POSITIONS[row].load()(config), POSITIONS[row].load_reference(), name, size) <= 1
    )


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


# --- losses


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("size", TOKENS, ids=str)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", on_cpu("model.loss", LOSSES))
def test_a_loss_and_its_gradients_are_as_exact_as_the_plain_ones(row, name, size, softcap, table):
    if (softcap, table) in offered_with(row, "cpu"):
        assert loss_row_error_ratio(row, name, size, softcap, table) <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("row", LOSSES)
def test_a_loss_on_a_gpu_is_as_exact_as_the_plain_one(row):
    need_gpu_for("model.loss", row)
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
    x, weight = (t.requires_grad_() for t in random_tensors((960, 8), (640, 8)))
    with Largest() as largest:
        torch.autograd.backward(LOSSES[row].load()(x, torch.zeros(960, dtype=torch.long), Head(weight)))
    assert largest.numel <= most
    assert largest.numel > 0


# --- the whole network, in random combinations


def random_model(seed, compiled=False):
    """A small model of random rows and switches that runs on a CPU. A new row of one table changes nothing
    that is drawn of the others."""
    choose = random.Random(seed)

    def row_of(path, table):
        return random.Random(f"{seed} {path}").choice(on_cpu(path, table))

    while True:
        n_head = choose.choice([1, 2, 4, 6])
        config = ModelConfig(
            n_layer=1 if compiled else choose.choice([1, 2, 3]),  # a block more is seconds more to compile
            n_head=n_head,
            n_kv_head=choose.choice([None, 1, 2, 3]),
            n_embd=n_head * choose.choice([4, 6, 8]),
            block_size=choose.choice([5, 8, 13]),
            mlp_ratio=choose.choice([1.0, 2.5, 4.0]),
            bias=choose.random() < 0.5,
            positions=row_of("model.positions", POSITIONS),
            norm=row_of("model.norm", NORMS),
            norm_eps=choose.choice([1e-5, 1e-6]),
            qk_norm=choose.random() < 0.5,
            mlp=row_of("model.mlp", MLPS),
            attention=row_of("model.attention", ATTENTION),
            attention_window=choose.choice([1, 3, 4, 100]),
            loss=row_of("model.loss", LOSSES),
            tied_head=choose.random() < 0.5,
            logit_softcap=choose.choice([0.0, 2.0, 15.0]),
            embedding_skip=choose.random() < 0.5,
            value_embedding=choose.random() < 0.5,
            lookup_table=choose.choice(["none", "none", "bigram", "trigram"]),
            lookup_rows=choose.choice([None, 5, 40]),
            smear=choose.random() < 0.5,
        )
        evaluation = EvaluationConfig(context=config.block_size)
        run = RunConfig(config, train=TrainConfig(compile=compiled), evaluation=evaluation)
        if unrunnable(run, "cpu") is None:
            return config


def shown(config):
    """What differs from the default."""
    default = asdict(ModelConfig())
    return ", ".join(f"{key}={value}" for key, value in asdict(config).items() if value != default[key])


def every_weight_matters(model, seed=0):
    """At the start biases are zero, norms one and gates shut: a mistake in any of them would not show."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=1.0 / math.sqrt(parameter.size(-1)))
            else:
                parameter.normal_(mean=0.0 if name.endswith("bias") else 1.0, std=0.3)
    return model


def plain_network(config, w, tokens):
    """Logits (B, T, V) from the parameters `w`, by name."""
    B, T = tokens.shape
    D, (H, K) = config.head_size, (config.n_head, config.kv_heads)
    at_input, at_heads = POSITIONS[config.positions].load_reference()
    attend = ATTENTION[config.attention]

    def linear(x, name):
        return plain_linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(x, name):
        parameters = {key: w[f"{name}.{key}"] for key in ("weight", "bias") if f"{name}.{key}" in w}
        return NORMS[config.norm].load_reference()(x, config.norm_eps, **parameters)

    def attention(x, name):
        parts = linear(x, f"{name}.c_attn").split([H * D, K * D, K * D], dim=-1)
        q, k, v = (part.unflatten(-1, (-1, D)) for part in parts)
        if config.qk_norm:
            q, k = (reference_norms.rmsnorm_weightless(x, config.norm_eps) for x in (q, k))
        q, k = at_heads(q), at_heads(k)
        if config.value_embedding:
            v = v + w[f"{name}.value_gate"] * w["values.weight"][tokens].unflatten(-1, (K, D))
        heads = (t.transpose(1, 2) for t in (q, k, v.to(q.dtype)))
        y = attend.load_reference()(*heads, **attend.settings_of(config))
        return linear(y.transpose(1, 2).flatten(2), f"{name}.c_proj")

    x = w["wte.weight"][tokens]
    if config.smear:
        before = torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)
        x = x + w["smear"] * before
    x = first = at_input(x, w.get("wpe.weight"))
    for i in range(config.n_layer):
        name = f"blocks.{i}"
        if config.embedding_skip:
            x = w[f"{name}.mix"][0] * x + w[f"{name}.mix"][1] * first
        x = x + attention(norm(x, f"{name}.ln_1"), f"{name}.attn")
        h = linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc")
        x = x + linear(MLPS[config.mlp].load_reference()(h), f"{name}.mlp.c_proj")
    table = w.get("lookup_table.weight")
    contexts = tokens
    if config.lookup_table == "trigram":
        contexts = tokens + w["wte.weight"].size(0) * F.pad(tokens[:, :-1], (1, 0))
    rows = None if table is None else contexts.flatten() % len(table)
    states = norm(x, "ln_f").flatten(0, 1)
    logits = logits_of(states, Head(w["lm_head.weight"], config.logit_softcap, table, rows))
    return logits.unflatten(0, (B, T))


def network_error_ratio(model, name, batch=2, plain_logits_of=plain_network, compiled=False):
    """The worst of the logits and the gradient of every parameter: error against fp64 as a share of what is
    allowed, both relative to the size of the tensor.

    The plain code may be right by luck, so its error is taken as that of its usual tensor at least. The
    gradient of a gate is one number, a sum of many that nearly cancel: it may be thirty times as far off.
    """
    dtype, autocast, format_ = FORMATS[name]
    V, T = model.lm_head.weight.size(0), model.config.block_size
    tokens, targets = torch.randint(V, (2, batch, T), generator=torch.Generator().manual_seed(3))

    def network():
        copied = copy.deepcopy(model).to(dtype)
        loss = torch.compile(copied.loss, fullgraph=True, dynamic=False) if compiled else copied.loss
        with casting(autocast):
            logits = copied(tokens)
            torch.autograd.backward(loss(tokens, targets))
        return {"logits": logits.detach()} | {key: p.grad for key, p in copied.named_parameters()}

    def plain(dtype, autocast=False):
        w = {key: p.detach().to(FORMATS[name][0]).to(dtype) for key, p in model.named_parameters()}
        w = {key: p.requires_grad_() for key, p in w.items()}
        with casting(autocast):
            logits = plain_logits_of(model.config, {"lm_head.weight": w["wte.weight"]} | w, tokens)
            chosen = torch.log_softmax(logits.flatten(0, 1), dim=-1)[
                range(targets.numel()), targets.flatten()
            ]
        torch.autograd.backward(-chosen.mean())
        return {"logits": logits.detach()} | {key: p.grad for key, p in w.items()}

    exact, same_format, ours = plain(torch.float64), plain(dtype, autocast), network()
    errors = {
        key: relative_error(same_format[key], truth) for key, truth in exact.items() if truth is not None
    }
    usual = rms(torch.tensor(list(errors.values())))
    worst = 0.0
    for key, plain_error in errors.items():
        times = 30 if exact[key].numel() <= 2 else 3
        allowed = 2 * plain_error if key == "logits" else times * max(plain_error, usual)
        worst = max(worst, relative_error(ours[key], exact[key]) / (allowed + torch.finfo(format_).eps))
    return worst


def relative_error(got, truth):
    if not bool(got.isfinite().all()):
        return math.inf
    return rms(got.double() - truth) / rms(truth)


@pytest.mark.parametrize("seed", range(30))
def test_a_network_of_random_parts_and_its_gradients_are_as_exact_as_the_plain_one(seed):
    config = random_model(seed)
    model = every_weight_matters(GPT(config, 13), seed)
    name = list(FORMATS)[seed % 3]
    assert network_error_ratio(model, name, batch=1 + seed % 3) <= 1, shown(config)


SWITCHED_ON = ModelConfig(
    n_layer=2,
    n_head=4,
    n_kv_head=2,
    n_embd=32,
    block_size=13,
    positions="rope",
    norm="rmsnorm",
    qk_norm=True,
    mlp="swiglu",
    tied_head=False,
    logit_softcap=2.0,
    embedding_skip=True,
    value_embedding=True,
    lookup_table="trigram",
    lookup_rows=25,
    smear=True,
)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        {"positions": "none"},
        {"norm_eps": 1e-1},
        {"attention": "sliding_window", "attention_window": 5},
        {"norm": "layernorm"},
        {"qk_norm": False},
        {"logit_softcap": 0.0},
        {"embedding_skip": False},
        {"value_embedding": False},
        {"smear": False},
        {"lookup_table": "bigram"},
    ],
    ids=str,
)
def test_a_network_that_leaves_something_out_is_far_outside_what_is_allowed(change, name):
    """As the plain one does here: the comparison goes both ways."""
    model = every_weight_matters(GPT(SWITCHED_ON, 13))
    assert network_error_ratio(model, name) <= 1

    def changed(config, w, tokens):
        return plain_network(replace(config, **change), w, tokens)

    assert network_error_ratio(model, name, plain_logits_of=changed) > 3


@pytest.mark.parametrize("name", FORMATS)
def test_a_network_with_its_table_of_pairs_shifted_is_far_outside_what_is_allowed(name):
    def shifted(config, w, tokens):
        return plain_network(config, w | {"lookup_table.weight": w["lookup_table.weight"].roll(1, 0)}, tokens)

    model = every_weight_matters(GPT(SWITCHED_ON, 13))
    assert network_error_ratio(model, name, plain_logits_of=shifted) > 3


# --- compiled

# Compiling calls things of torch's that torch itself has deprecated.
FUNCTION_MADE = "ignore:.*autograd.function.Function.* should not be instantiated:DeprecationWarning"


@compiles
@pytest.mark.filterwarnings(FUNCTION_MADE)
@needs_compiler
@pytest.mark.parametrize(
    "seed",
    # A quarter of a minute each; `test_combinations.py` has compiled networks that generate no code.
    [pytest.param(seed, marks=pytest.mark.slow) for seed in range(15)],
)
def test_a_compiled_network_of_random_parts_is_as_exact_as_the_plain_one(seed):
    config = random_model(seed, compiled=True)
    model = every_weight_matters(GPT(config, 13), seed)
    name = list(FORMATS)[seed % 3]
    torch.compiler.reset()
    assert network_error_ratio(model, name, compiled=True) <= 1, shown(config)


# --- training


@pytest.mark.parametrize("seed", range(100, 115))
def test_ten_steps_of_a_network_of_random_parts_lower_its_loss(seed):
    """Dropout and the number format vary as well; one batch, which anything that learns learns by heart."""
    choose = random.Random(seed)
    config = random_model(seed)
    dropout = choose.choice([0.0, 0.1])
    if config.attention != "sdpa_flash":
        config = replace(config, dropout=dropout)
    config = replace(config, zero_init_projections=choose.random() < 0.5)
    torch.manual_seed(seed)
    precision = PRECISIONS[choose.choice(on_cpu("train.precision", PRECISIONS))].load()
    model = GPT(config, 13)
    precision.prepare(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens, targets = torch.randint(13, (2, 4, config.block_size))
    losses = []
    for _ in range(10):
        with precision.both_passes():
            with precision.forward("cpu"):
                loss = model.loss(tokens, targets)
            torch.autograd.backward(loss)
        losses.append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert losses[0] == pytest.approx(math.log(13), abs=0.3), shown(config)
    assert losses[-1] < losses[0] - 0.05, (losses, shown(config))
