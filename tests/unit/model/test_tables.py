"""Every row of every table can be used, and says what it is compared with."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from this_cpu import CPU, needs_torch_for

from model.config import ModelConfig, RunConfig
from model.gpt import GPT
from model.runnable import missing, unrunnable
from model.tables import ATTENTION, TABLES, evaluated, functions, idle_settings
from model.variant import Variant

ROWS = [(path, name) for path, table in TABLES.items() for name in table]


# --- dropout

DROPPING = [
    name
    for name, row in ATTENTION.items()
    if "cpu" in row.devices
    and unrunnable(RunConfig(model=ModelConfig(attention=name, dropout=0.1)), "cpu") is None
]


@pytest.mark.parametrize("name", DROPPING)
def test_attention_dropout_drops_a_share_of_the_weights_and_keeps_their_mean(name):
    torch.manual_seed(0)
    T, p = 64, 0.25
    q = k = torch.zeros(50, 4, T, 8)  # so that of causal attention every visible weight is as large
    v = torch.eye(T).expand(50, 4, T, T)[..., -8:].contiguous()  # the weights of the last eight tokens
    hidden = torch.zeros(T, T).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -math.inf)
    row, config = ATTENTION[name], ModelConfig(attention_window=T)
    whole = row.load_reference()(q, k, v, **row.settings_of(config))[:, :, -1]
    last = row.bound(config)(q, k, v, hidden, p)[:, :, -1]
    assert float((last == 0)[whole > 0].float().mean()) == pytest.approx(p, abs=0.06)
    assert float(last.mean()) == pytest.approx(float(whole.mean()), rel=0.08)


# --- the tables


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_every_row_of_every_table_loads(path, name):
    needs_torch_for(path, name)
    row = TABLES[path][name]
    if missing(path, name, CPU) is None or not row.modules:
        assert row.load() is not None
    assert row.summary
    assert row.devices


@pytest.mark.parametrize("path", TABLES)
def test_the_default_of_a_configuration_path_is_a_row_of_its_table(path):
    section, field = path.split(".")
    assert getattr(getattr(RunConfig(), section), field) in TABLES[path]


COMPARED = ("model.attention", "model.norm", "model.mlp", "model.loss", "model.positions")


@pytest.mark.parametrize(("path", "name"), [(p, n) for p, n in ROWS if p in COMPARED])
def test_a_row_whose_output_is_compared_names_what_it_is_compared_with(path, name):
    assert TABLES[path][name].load_reference() is not None


def test_a_row_without_a_reference_says_what_it_lacks():
    with pytest.raises(LookupError, match="the row of math:sqrt names no reference; write a plain function"):
        Variant("math:sqrt", "square root").load_reference()


def test_rows_that_share_a_reference_are_kernels_of_one_function():
    assert functions("model.mlp") == (("gelu",), ("relu2",), ("swiglu", "swiglu_liger"))
    assert functions("model.loss") == (tuple(TABLES["model.loss"]),)
    causal, *others = functions("model.attention")
    assert causal[0] == "sdpa"
    assert {"manual", "sdpa_math", "sdpa_flash", "sdpa_efficient", "sdpa_cudnn", "flex"} <= set(causal)
    assert ("sliding_window",) in others
    assert ("rmsnorm", "rmsnorm_liger") in functions("model.norm")


def test_rows_that_differ_by_rounding_alone_are_of_one_function_and_optimizers_are_not():
    for path in ("optimizer.kernel", "train.precision", "train.compile_mode", "train.compile_scope"):
        assert functions(path) == (tuple(TABLES[path]),)
    for path in ("optimizer.name", "schedule.name", "model.positions"):
        assert functions(path) == tuple((name,) for name in TABLES[path])


@pytest.mark.parametrize(
    ("path", "name", "taken"),
    [
        ("model.attention", "manual", "sdpa"),
        ("model.attention", "flex", "sdpa"),
        ("model.attention", "sliding_window", "sliding_window"),
        ("model.norm", "rmsnorm_liger", "rmsnorm"),
        ("model.mlp", "swiglu_liger", "swiglu"),
        ("model.mlp", "relu2", "relu2"),
        ("model.attention", "nothing known", "nothing known"),
    ],
)
def test_an_evaluation_takes_the_first_kernel_of_the_same_function(path, name, taken):
    assert evaluated(path, name) == taken


@pytest.mark.parametrize("path", COMPARED)
def test_what_an_evaluation_takes_runs_on_every_device_that_its_function_runs_on(path):
    for first, *others in functions(path):
        assert all(TABLES[path][name].devices <= TABLES[path][first].devices for name in others)


def test_a_network_is_evaluated_with_the_function_that_it_was_trained_with():
    torch.manual_seed(0)
    tokens = torch.randint(13, (2, 16))
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16}
    networks = {}
    for attention, window in [("sdpa", 32), ("manual", 32), ("sliding_window", 3), ("sliding_window", 16)]:
        torch.manual_seed(1)
        network = GPT(ModelConfig(**shape, attention=attention, attention_window=window), 13)
        torch.nn.init.normal_(network.blocks[0].attn.c_attn.weight)
        networks[attention, window] = (network.train()(tokens), network.eval()(tokens))
    for trained, evaluated_ in networks.values():
        torch.testing.assert_close(trained, evaluated_)
    whole, windowed = networks["sdpa", 32][1], networks["sliding_window", 3][1]
    assert not torch.allclose(whole, windowed)
    torch.testing.assert_close(whole, networks["sliding_window", 16][1])
    torch.testing.assert_close(whole[:, :3], windowed[:, :3])


def test_a_row_gets_its_settings_and_nothing_else():
    row = Variant("builtins:dict", "", settings=("attention_window", "n_head"))
    assert row.bound(ModelConfig(attention_window=7))() == {"attention_window": 7, "n_head": 4}
    assert Variant("builtins:dict", "").bound(ModelConfig())() == {}


def test_a_setting_that_no_chosen_row_reads_is_idle():
    assert idle_settings(ModelConfig(attention="manual")) == ("attention_window",)
    assert idle_settings(ModelConfig(attention="sliding_window")) == ()


def test_a_row_is_loaded_from_its_module_by_name():
    assert Variant("math:sqrt", "square root").load() is math.sqrt


def test_the_tables_and_what_cannot_run_are_known_without_torch():
    code = (
        "import sys, model.work; from model.capabilities import find_modules;"
        "from model.config import RunConfig; from model.runnable import unrunnable; find_modules();"
        "unrunnable(RunConfig(), 'cpu'); print(*sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "model.tables" in done.stdout.split()
    assert "torch" not in done.stdout.split()


# --- lookup


@given(
    table=st.sampled_from(["none", "bigram", "trigram"]),
    smear=st.booleans(),
    others=st.fixed_dictionaries(
        {name: st.booleans() for name in ("value_embedding", "embedding_skip", "qk_norm", "tied_head")}
    ),
)
def test_looking_up_pairs_of_tokens_makes_a_model_lookup_like_and_nothing_else_does(table, smear, others):
    config = ModelConfig(lookup_table=table, smear=smear, **others)
    assert config.looks_up == (table != "none" or smear)
