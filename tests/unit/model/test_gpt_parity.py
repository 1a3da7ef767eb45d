"""Networks of random parts compute what a plain network computes in fp64, compiled or not, and learn."""

import copy
import math
import random
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from parity import (
    FORMATS,
    casting,
    on_cpu,
    plain_linear,
    rms,
)
from this_cpu import compiles, needs_compiler

from model.config import EvaluationConfig, ModelConfig, RunConfig, TrainConfig
from model.gpt import GPT
from model.loss.head import Head
from model.loss.reference import logits as logits_of
from model.norm import reference as reference_norms
from model.runnable import unrunnable
from model.tables import ATTENTION, LOSSES, MLPS, NORMS, POSITIONS, PRECISIONS


def random_model(seed, compiled=False):
    """A small model of random rows and switches that runs on a CPU. A new row of one table changes nothing
    that is drawn of the others."""
    choose = random.Random(seed)

    def row_of(path, table):
        return random.Random(f"{seed} {path}{again}").choice(on_cpu(path, table))

    for attempt in range(1000):
        again = "" if attempt < 50 else f" {attempt}"  # two rows may exclude each other
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
    raise AssertionError(f"seed {seed} draws nothing that runs")


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
