import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError, ModelConfig
from model.gpt import GPT, count_parameters
from model.mlp.swiglu import SwigluMLP
from model.norm.rmsnorm import RMSNorm
from model.tables import ATTENTION, MLPS, NORMS, POSITIONS


def on_cpu(table):
    return [name for name, row in table.items() if "cpu" in row.devices]


configs = st.builds(
    lambda head_width, group, n_kv_head, **rest: ModelConfig(
        n_embd=head_width * group * n_kv_head, n_head=group * n_kv_head, n_kv_head=n_kv_head, **rest
    ),
    head_width=st.sampled_from([2, 4, 6]),
    group=st.integers(1, 3),
    n_kv_head=st.integers(1, 3),
    n_layer=st.integers(1, 3),
    block_size=st.integers(1, 16),
    mlp_ratio=st.floats(0.1, 6),
    bias=st.booleans(),
    tied_head=st.booleans(),
    positions=st.sampled_from(sorted(POSITIONS)),
    norm=st.sampled_from(on_cpu(NORMS)),
    qk_norm=st.booleans(),
    mlp=st.sampled_from(on_cpu(MLPS)),
    zero_init_projections=st.booleans(),
    logit_softcap=st.sampled_from([0.0, 3.0]),
    embedding_skip=st.booleans(),
    value_embedding=st.booleans(),
    lookup_table=st.sampled_from(["none", "bigram", "trigram"]),
    lookup_rows=st.sampled_from([None, 7]),
    smear=st.booleans(),
)

# Everything that nanoGPT does not have.
ALL_ON = {
    "n_kv_head": 2,
    "positions": "rope",
    "norm": "rmsnorm",
    "qk_norm": True,
    "mlp": "swiglu",
    "logit_softcap": 3.0,
    "embedding_skip": True,
    "value_embedding": True,
    "lookup_table": "bigram",
    "smear": True,
}


def with_random_weights(config, vocab_size, seed=0):
    """A model in which every parameter matters: at initialisation the biases are zero, the norms one and the
    attention all but uniform, so that a mistake in any of them would not show."""
    torch.manual_seed(seed)
    model = GPT(config, vocab_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=1.0 / math.sqrt(parameter.size(-1)))
            else:
                parameter.normal_(mean=0.0 if name.endswith("bias") else 1.0, std=0.3)
    return model


def expected_parameters(config, vocab_size):
    C, V, W = config.n_embd, vocab_size, config.mlp_width
    kv_width = C // config.n_head * config.kv_heads
    linears = [
        (C, C + 2 * kv_width),
        (C, C),
        (C, W * (2 if config.mlp == "swiglu" else 1)),
        (W, C),
    ]
    norm = {"layernorm": C + config.bias * C, "rmsnorm": C}.get(config.norm, 0)
    block = sum(n_in * n_out + config.bias * n_out for n_in, n_out in linears) + 2 * norm
    block += 2 * config.embedding_skip + config.value_embedding
    total = V * C * (1 if config.tied_head else 2) + config.n_layer * block + norm
    total += config.block_size * C * (config.positions == "learned") + C * config.smear
    total += V * kv_width * config.value_embedding
    rows = {"none": 0, "bigram": V, "trigram": V**2}[config.lookup_table]
    return total + (config.lookup_rows or rows) * V * (config.lookup_table != "none")


def test_nanogpts_cpu_recipe_has_the_0_80_million_parameters_that_nanogpt_prints():
    config = ModelConfig(n_layer=4, n_embd=128, n_head=4, block_size=64, bias=False)
    total = count_parameters(config, 65)
    without_positions = total - 64 * 128  # nanoGPT prints the number without position embeddings
    assert without_positions == 65 * 128 + 4 * (12 * 128**2 + 2 * 128) + 128
    assert f"{without_positions / 1e6:.2f}M" == "0.80M"


def test_gpt2_small_has_its_published_124_million_parameters():
    config = ModelConfig(n_layer=12, n_head=12, n_embd=768, block_size=1024, bias=True)
    assert count_parameters(config, 50257) == 124_439_808


@given(config=configs, vocab_size=st.integers(2, 70))
@settings(deadline=None, max_examples=60)
def test_counted_parameters_are_those_of_the_real_model_and_of_the_formula(config, vocab_size):
    counted = count_parameters(config, vocab_size)
    assert counted == sum(p.numel() for p in GPT(config, vocab_size).parameters())
    assert counted == expected_parameters(config, vocab_size)


def test_counting_parameters_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    count_parameters(ModelConfig(), 65)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tied_head_is_the_token_embedding_itself():
    model = GPT(ModelConfig(n_embd=8, n_head=2, tied_head=True), 11)
    assert model.lm_head.weight is model.wte.weight


def test_an_untied_head_is_a_tensor_of_its_own():
    model = GPT(ModelConfig(n_embd=8, n_head=2, tied_head=False), 11)
    assert model.lm_head.weight is not model.wte.weight
    assert not torch.equal(model.lm_head.weight, model.wte.weight)


def test_a_default_model_is_the_one_of_the_runs_on_record():
    """Weights, loss and gradients as they were before there were variants: every draw in its old order."""
    torch.manual_seed(1337)
    model = GPT(ModelConfig(), 65)
    tokens = torch.arange(64).repeat(2, 1)
    loss = model.loss(tokens, tokens + 1)
    torch.autograd.backward(loss)
    w = {name: p.detach() for name, p in model.named_parameters()}
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])

    assert float(w["wte.weight"][0, 0]) == pytest.approx(0.000255851453, rel=1e-5)
    assert float(w["wpe.weight"][5, 7]) == pytest.approx(0.00534260692, rel=1e-5)
    assert float(w["blocks.0.attn.c_attn.weight"][3, 3]) == pytest.approx(0.0233028624, rel=1e-5)
    assert float(w["blocks.3.mlp.c_proj.weight"][-1, -1]) == pytest.approx(0.00112723385, rel=1e-5)
    assert float(loss.detach()) == pytest.approx(4.24275494, abs=1e-5)
    assert float(gradient.norm()) == pytest.approx(4.33026886, rel=1e-5)


@pytest.mark.parametrize("tied_head", [True, False])
def test_initialisation_follows_the_table(tied_head):
    torch.manual_seed(0)
    n_layer = 3
    config = ModelConfig(n_layer=n_layer, n_embd=192, n_head=4, bias=True, tied_head=tied_head)
    checked = 0
    for name, parameter in GPT(config, 65).named_parameters():
        parameter = parameter.detach()
        if parameter.dim() >= 2:
            std = 0.02 / math.sqrt(2 * n_layer) if name.endswith("c_proj.weight") else 0.02
            n = parameter.numel()
            assert float(parameter.mean()) == pytest.approx(0.0, abs=5 * std / math.sqrt(n)), name
            assert float(parameter.std()) == pytest.approx(std, abs=5 * std / math.sqrt(2 * n)), name
        elif name.endswith("bias"):
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
        else:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        checked += 1
    assert checked == 2 + n_layer * 12 + 2 + (not tied_head)


def test_the_loss_starts_near_that_of_a_uniform_guess():
    torch.manual_seed(0)
    V = 65
    model = GPT(ModelConfig(), V)
    x, y = torch.randint(V, (2, 16, 64))
    assert float(model.loss(x, y).detach()) == pytest.approx(math.log(V), abs=0.1)


@pytest.mark.parametrize("tied_head", [True, False])
def test_with_projections_that_start_at_zero_the_blocks_pass_on_their_input(tied_head):
    torch.manual_seed(0)
    config = ModelConfig(n_layer=3, n_embd=32, n_head=4, tied_head=tied_head, zero_init_projections=True)
    model = GPT(config, 65)
    zero = {name for name, p in model.named_parameters() if not p.any()}
    assert zero == {f"blocks.{i}.{part}.c_proj.weight" for i in range(3) for part in ("attn", "mlp")}
    x = torch.randint(65, (2, 64))
    passed_on = model.ln_f(model.wpe.at_input(model.wte(x)))
    assert torch.equal(model(x), F.linear(passed_on, model.lm_head.weight))


def test_projections_that_start_at_zero_leave_the_other_weights_as_they_were():
    models = []
    for zero in (False, True):
        torch.manual_seed(0)
        models.append(GPT(ModelConfig(n_layer=2, n_embd=16, n_head=2, zero_init_projections=zero), 11))
    for (name, one), (_, other) in zip(*(m.named_parameters() for m in models), strict=True):
        assert torch.equal(one, other) != name.endswith("c_proj.weight"), name


ADDITIONS = [{"embedding_skip": True}, {"value_embedding": True}, {"lookup_table": "bigram"}, {"smear": True}]


@pytest.mark.parametrize("addition", ADDITIONS, ids=str)
def test_what_nanogpt_does_not_have_starts_as_if_it_were_not_there_and_learns(addition):
    config = ModelConfig(n_layer=2, n_embd=16, n_head=2, block_size=8)
    torch.manual_seed(0)
    plain, model = (
        GPT(config, 11),
        GPT(replace(config, **addition), 11),
    )
    added = set(model.state_dict()) - set(plain.state_dict())
    model.load_state_dict(plain.state_dict(), strict=False)
    x, y = torch.randint(11, (2, 3, 8))
    assert added
    assert torch.equal(model(x), plain(x))
    torch.autograd.backward(model.loss(x, y))
    gradients = {name: p.grad for name, p in model.named_parameters() if name in added}
    assert any(bool(g.any()) for g in gradients.values())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        *({"attention": name} for name in on_cpu(ATTENTION)),
        *({name: on} for name, on in ALL_ON.items()),
        ALL_ON,
    ],
    ids=str,
)
def test_no_logit_depends_on_a_later_token(changes, training):
    V, T = 17, 12
    config = ModelConfig(n_layer=2, n_embd=16, n_head=2, block_size=T, **changes)
    model = with_random_weights(config, V).train(training)
    tokens = torch.randint(V, (3, T))
    with torch.no_grad():
        before = model(tokens)
        for t in range(T):
            changed = tokens.clone()
            changed[:, t] = (changed[:, t] + 1) % V
            after = model(changed)
            torch.testing.assert_close(after[:, :t], before[:, :t], rtol=1e-6, atol=1e-6)
            every_later_one = (after[:, t:] - before[:, t:]).abs().amax(dim=-1)
            assert float(every_later_one.min()) > 1e-4


def logits_by_the_book(model, tokens):
    """The network once more, token by token and head by head, in fp64 from the same weights."""
    w = {name: p.detach().double() for name, p in model.named_parameters(remove_duplicate=False)}
    config = model.config
    D = config.n_embd // config.n_head

    def linear(x, name):
        y = x @ w[f"{name}.weight"].T
        return y + w[f"{name}.bias"] if f"{name}.bias" in w else y

    def layer_norm(x, name):
        centred = x - x.mean(dim=-1, keepdim=True)
        y = centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + 1e-5) * w[f"{name}.weight"]
        return y + w[f"{name}.bias"] if f"{name}.bias" in w else y

    def attention(x, name):
        q, k, v = linear(x, f"{name}.c_attn").chunk(3, dim=-1)
        y = torch.zeros_like(x)
        for head in range(config.n_head):
            part = slice(head * D, (head + 1) * D)
            for t in range(x.size(0)):
                weights = torch.softmax(k[: t + 1, part] @ q[t, part] / D**0.5, dim=0)
                y[t, part] = weights @ v[: t + 1, part]
        return linear(y, f"{name}.c_proj")

    def mlp(x, name):
        h = linear(x, f"{name}.c_fc")
        return linear(0.5 * h * (1 + torch.erf(h / 2**0.5)), f"{name}.c_proj")

    x = w["wte.weight"][tokens] + w["wpe.weight"][: len(tokens)]
    for i in range(config.n_layer):
        x = x + attention(layer_norm(x, f"blocks.{i}.ln_1"), f"blocks.{i}.attn")
        x = x + mlp(layer_norm(x, f"blocks.{i}.ln_2"), f"blocks.{i}.mlp")
    return layer_norm(x, "ln_f") @ w["lm_head.weight"].T


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tied_head", [True, False])
@pytest.mark.parametrize("T", [1, 7, 16])
def test_logits_are_those_of_the_network_written_out(training, bias, tied_head, T):
    config = ModelConfig(
        n_layer=2, n_embd=24, n_head=3, block_size=16, mlp_ratio=2.5, bias=bias, tied_head=tied_head
    )
    model = with_random_weights(config, 13).train(training)
    tokens = torch.randint(13, (2, T))
    with torch.no_grad():
        logits = model(tokens).double()
    expected = torch.stack([logits_by_the_book(model, sequence) for sequence in tokens])
    assert float(expected.std()) > 0.3  # or the comparison would say little
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_training_loss_is_the_mean_cross_entropy_of_every_position():
    model = with_random_weights(ModelConfig(n_layer=1, n_embd=16, n_head=2, block_size=8), 13)
    x, y = torch.randint(13, (2, 3, 8))
    with torch.no_grad():
        log_probabilities = F.log_softmax(model(x).double(), dim=-1)
        expected = -sum(log_probabilities[b, t, y[b, t]] for b in range(3) for t in range(8)) / 24
        assert float(model.loss(x, y)) == pytest.approx(float(expected), abs=1e-6)


def model_with_dropout():
    config = ModelConfig(n_layer=2, n_embd=16, n_head=2, dropout=0.5, attention="manual")
    return with_random_weights(config, 13)


def test_dropout_acts_in_training_and_not_in_evaluation():
    model = model_with_dropout()
    tokens = torch.randint(13, (1, 8))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize("place", ["embedding", "attention weights", "attention output", "mlp output"])
def test_dropout_acts_in_each_of_nanogpts_places(place):
    model = model_with_dropout()
    for name, module in model.named_modules():
        kept = {
            "embedding": name == "dropout",
            "attention weights": False,
            "attention output": name.endswith("attn.resid_dropout"),
            "mlp output": name.endswith("mlp.dropout"),
        }[place]
        if isinstance(module, torch.nn.Dropout) and not kept:
            module.p = 0.0
        if hasattr(module, "dropout_p") and place != "attention weights":
            module.dropout_p = 0.0
    tokens = torch.randint(13, (1, 8))
    assert not torch.equal(model(tokens), model(tokens))


def test_without_positions_a_network_of_one_layer_cannot_tell_the_order_of_what_came_before():
    for positions, same in (("none", True), ("learned", False), ("rope", False)):
        model = with_random_weights(ModelConfig(n_layer=1, n_embd=16, n_head=2, positions=positions), 13)
        with torch.no_grad():
            one, other = model(torch.tensor([[1, 2, 3, 4], [3, 1, 2, 4]]))[:, -1]
        assert torch.allclose(one, other, atol=1e-5) == same


def test_as_many_heads_of_keys_as_of_queries_are_nanogpts_attention():
    x = torch.randint(13, (2, 8))
    outputs = [
        with_random_weights(ModelConfig(n_layer=2, n_embd=16, n_head=4, n_kv_head=n), 13)(x)
        for n in (None, 4)
    ]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("attention", on_cpu(ATTENTION))
@pytest.mark.parametrize("training", [True, False])
def test_grouped_queries_are_heads_of_keys_and_values_repeated(attention, training):
    config = ModelConfig(n_layer=1, n_embd=24, n_head=6, n_kv_head=2, attention=attention)
    grouped = with_random_weights(config, 13).train(training)
    full = with_random_weights(replace(config, n_kv_head=6), 13).train(training)
    weights = grouped.state_dict()
    q, k, v = weights["blocks.0.attn.c_attn.weight"].split([24, 8, 8])
    k, v = (part.view(2, 4, 24).repeat_interleave(3, dim=0).flatten(0, 1) for part in (k, v))
    full.load_state_dict(weights | {"blocks.0.attn.c_attn.weight": torch.cat((q, k, v))})
    x = torch.randint(13, (2, 8))
    torch.testing.assert_close(grouped(x), full(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [None, 40, 5, 1])
def test_the_table_of_pairs_adds_the_row_of_the_token_or_of_its_remainder(rows):
    config = ModelConfig(n_layer=1, n_embd=16, n_head=2, lookup_table="bigram", lookup_rows=rows)
    model = with_random_weights(config, 13)
    tokens = torch.arange(13)[None]
    with torch.no_grad():
        both = model(tokens)
        table = model.lookup_table.weight.clone()
        model.lookup_table.weight.zero_()
        added = both - model(tokens)
    assert table.shape == (rows or 13, 13)
    torch.testing.assert_close(added[0], table[torch.arange(13) % (rows or 13)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [None, 200, 5])
def test_a_table_of_order_three_adds_the_row_of_the_last_two_tokens(rows):
    config = ModelConfig(n_layer=1, n_embd=16, n_head=2, lookup_table="trigram", lookup_rows=rows)
    model = with_random_weights(config, 13)
    tokens = torch.tensor([[4, 12, 0, 7], [12, 4, 7, 0]])
    with torch.no_grad():
        both = model(tokens)
        table = model.lookup_table.weight.clone()
        model.lookup_table.weight.zero_()
        added = both - model(tokens)
    contexts = torch.tensor([[4, 4 * 13 + 12, 12 * 13, 7], [12, 12 * 13 + 4, 4 * 13 + 7, 7 * 13]])
    assert table.shape == (rows or 169, 13)
    torch.testing.assert_close(added, table[contexts % len(table)], rtol=0, atol=1e-5)


def test_a_table_that_no_memory_holds_is_refused_before_it_is_made():
    config = ModelConfig(n_layer=1, n_embd=16, n_head=2, lookup_table="trigram")
    with pytest.raises(ConfigError, match=r"set model\.lookup_rows to fewer rows"):
        GPT(config, 50_257)


def test_smearing_takes_in_the_token_before_and_none_before_the_first():
    model = with_random_weights(ModelConfig(n_layer=1, n_embd=16, n_head=2, smear=True), 13)
    with torch.no_grad():
        model.blocks[0].attn.c_proj.weight.zero_()  # so that only smearing looks back
        one, other = model(torch.tensor([[1, 2, 3, 4], [5, 2, 3, 4]]))
    changed = (one - other).abs().amax(dim=-1) > 1e-4
    assert changed.tolist() == [True, True, False, False]


@pytest.mark.parametrize("changes", [{}, ALL_ON], ids=["nanoGPT's", "all on"])
@pytest.mark.parametrize("attention", on_cpu(ATTENTION))
def test_evaluation_computes_what_training_computes(attention, changes):
    config = ModelConfig(n_layer=2, n_embd=16, n_head=4, block_size=12, attention=attention, **changes)
    model = with_random_weights(config, 13)
    tokens = torch.randint(13, (2, 12))
    with torch.no_grad():
        torch.testing.assert_close(model.train()(tokens), model.eval()(tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "kernel"),
    [(RMSNorm, lambda x, weight, eps: 0 * x), (SwigluMLP, lambda gate, value: 0 * gate)],
    ids=["rmsnorm", "swiglu"],
)
def test_a_kernel_runs_in_training_and_the_plain_one_in_evaluation(part, kernel):
    config = ModelConfig(n_embd=16, n_head=1)
    module, plain = part(config, kernel), part(config)
    plain.load_state_dict(module.state_dict())
    x = torch.randn(3, 16)
    assert not module.train()(x).any()
    assert torch.equal(module.eval()(x), plain.eval()(x))


def test_logits_are_fp32_whatever_runs_around_them():
    model = GPT(ModelConfig(n_layer=1, n_embd=16, n_head=2), 13)
    tokens = torch.randint(13, (2, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(tokens).dtype == torch.float32
    assert model.bfloat16()(tokens).dtype == torch.float32
