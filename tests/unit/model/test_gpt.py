import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attention import ATTENTION
from model.config import ModelConfig
from model.gpt import GPT, count_parameters

ON_CPU = [name for name, row in ATTENTION.items() if "cpu" in row.devices]


configs = st.builds(
    lambda head_width, n_head, **rest: ModelConfig(n_embd=head_width * n_head, n_head=n_head, **rest),
    head_width=st.integers(1, 8),
    n_head=st.integers(1, 4),
    n_layer=st.integers(1, 3),
    block_size=st.integers(1, 16),
    mlp_ratio=st.floats(0.1, 6),
    bias=st.booleans(),
    tied_head=st.booleans(),
)


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


def expected_parameters(n_layer, n_embd, block_size, vocab_size, mlp_width, bias, tied_head):
    embeddings = vocab_size * n_embd + block_size * n_embd
    attention = n_embd * 3 * n_embd + n_embd * n_embd
    mlp = 2 * n_embd * mlp_width
    norms = 2 * n_embd
    biases = bias * (3 * n_embd + n_embd + mlp_width + n_embd + 2 * n_embd)
    last_norm = n_embd + bias * n_embd
    head = 0 if tied_head else vocab_size * n_embd
    return embeddings + n_layer * (attention + mlp + norms + biases) + last_norm + head


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
    assert counted == expected_parameters(
        config.n_layer,
        config.n_embd,
        config.block_size,
        vocab_size,
        config.mlp_width,
        config.bias,
        config.tied_head,
    )


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


@pytest.mark.parametrize("attention", ON_CPU)
@pytest.mark.parametrize("training", [True, False])
def test_no_logit_depends_on_a_later_token(attention, training):
    V, T = 17, 12
    config = ModelConfig(n_layer=2, n_embd=16, n_head=2, block_size=T, attention=attention)
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
