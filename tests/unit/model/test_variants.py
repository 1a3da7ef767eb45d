"""Every table can be used, and what cannot run is known beforehand."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from this_cpu import CPU

from model.capabilities import Capabilities, find_compiler, find_modules
from model.config import ModelConfig, RunConfig, TrainConfig
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


# --- what cannot run here

EVERYTHING = Capabilities("cpu", "a CPU", "2.13.0", bf16=True, compiler="/usr/bin/g++")
NO_COMPILER = Capabilities("cpu", "a CPU", "2.13.0", bf16=True, compiler=None)
NO_BF16 = Capabilities("cpu", "an old CPU", "2.13.0", bf16=False, compiler="/usr/bin/g++")
CUDA_NO_COMPILER = Capabilities("cuda", "a GPU", "2.13.0", bf16=True, compiler=None)
H100 = replace(CUDA_NO_COMPILER, device_name="H100", compute_capability=90, modules=("liger_kernel",))
UNKNOWN_DEVICE = Capabilities("abacus", "wooden beads", "2.13.0", bf16=True, compiler="/usr/bin/g++")


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_a_row_is_missing_exactly_where_its_devices_say_so(path, name):
    row = TABLES[path][name]
    assert (missing(path, name, EVERYTHING) is None) == ("cpu" in row.devices)
    assert (missing(path, name, H100) is None) == ("cuda" in row.devices)
    assert missing(path, name, UNKNOWN_DEVICE) == f"{path}={name} does not run on abacus"


@pytest.mark.parametrize(("path", "name"), [(p, n) for p, n in ROWS if TABLES[p][n].compute_capability])
def test_a_row_is_missing_on_a_gpu_older_than_it_needs_or_of_unknown_age(path, name):
    least = TABLES[path][name].compute_capability
    assert missing(path, name, replace(H100, compute_capability=least)) is None
    older = missing(path, name, replace(H100, compute_capability=least - 1))
    assert older == f"{path}={name} needs compute capability {least / 10}, and H100 has {(least - 1) / 10}"
    unknown = missing(path, name, replace(H100, compute_capability=None))
    assert unknown == f"{path}={name} needs compute capability {least / 10}, and that of H100 is not known"


@pytest.mark.parametrize(("path", "name"), [(p, n) for p, n in ROWS if TABLES[p][n].modules])
def test_a_row_is_missing_where_its_packages_are(path, name):
    assert missing(path, name, H100) is None
    why = missing(path, name, replace(H100, modules=()))
    assert why == f"{path}={name} needs liger_kernel; pip install 'joulesearch[kernels]'"


@pytest.mark.parametrize(
    ("version", "runs"),
    [("2.13.0+cpu", True), ("2.13", True), ("3.0.1", True), ("2.12.1", False), ("git", False)],
)
def test_a_row_is_missing_where_torch_is_older_than_it_needs(version, runs):
    why = missing("model.loss", "linear_cross_entropy", replace(H100, torch_version=version))
    assert (why is None) == runs
    if not runs:
        assert why == f"model.loss=linear_cross_entropy needs torch 2.13, and this is {version}"


def test_capabilities_survive_the_way_through_json():
    assert Capabilities(**json.loads(json.dumps(asdict(H100)))).compute_capability == 90
    there = Capabilities(**json.loads(json.dumps(asdict(H100))))
    assert all((missing(p, n, there) is None) == (missing(p, n, H100) is None) for p, n in ROWS)


def test_modules_that_rows_need_are_found_without_importing_them():
    assert set(find_modules()) <= {"liger_kernel"}


def test_compiling_on_a_cpu_needs_a_compiler():
    assert missing("train.compile", True, EVERYTHING) is None
    assert missing("train.compile", False, NO_COMPILER) is None
    why = missing("train.compile", True, NO_COMPILER)
    assert why is not None
    assert "train.compile" in why
    assert "C++ compiler" in why


def test_compiling_on_a_gpu_needs_no_cpp_compiler():
    assert missing("train.compile", True, CUDA_NO_COMPILER) is None


def test_bf16_needs_a_device_that_has_it():
    assert missing("train.precision", "fp32", NO_BF16) is None
    for precision in ("bf16", "bf16_weights"):
        assert missing("train.precision", precision, EVERYTHING) is None
        why = missing("train.precision", precision, NO_BF16)
        assert why == f"train.precision={precision} needs bf16 arithmetic, and an old CPU has none"
    assert missing("optimizer.ns_dtype", "fp32", NO_BF16) is None
    assert missing("optimizer.ns_dtype", "bf16", EVERYTHING) is None
    why = missing("optimizer.ns_dtype", "bf16", NO_BF16)
    assert why == "optimizer.ns_dtype=bf16 needs bf16 arithmetic, and an old CPU has none"


def test_nothing_is_said_of_a_path_that_no_table_knows():
    assert missing("optimizer.lr", 1e-3, NO_BF16) is None


def test_the_compiler_is_the_one_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    compiler = tmp_path / "clang++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert find_compiler() == str(compiler)


# --- what does not run together

IMPOSSIBLE = [
    # device, model, train, what is said, what to change
    ("cpu", {"n_head": 4, "n_kv_head": 3}, {}, "model.n_kv_head=3", {"n_kv_head": None}),
    ("cpu", {"n_head": 2, "n_kv_head": 4}, {}, "model.n_kv_head=4", {"n_kv_head": 2}),
    ("cpu", {"n_head": 4, "n_embd": 20, "positions": "rope"}, {}, "model.n_head", {"n_embd": 24}),
    ("cpu", {"attention": "sdpa_flash", "dropout": 0.1}, {}, "model.dropout=0", {"dropout": 0.0}),
    ("cuda", {"attention": "sdpa_flash"}, {"precision": "fp32"}, "bf16", {"precision": "bf16"}),
    ("cuda", {"attention": "sdpa_flash"}, {"precision": "tf32"}, "bf16", {"precision": "bf16_weights"}),
    ("cuda", {"attention": "sdpa_cudnn"}, {"precision": "fp32"}, "bf16", {"precision": "bf16"}),
    (
        "cuda",
        {"attention": "sdpa_flash", "n_head": 1, "n_embd": 264},
        {"precision": "bf16"},
        "264",
        {"n_head": 2},
    ),
    (
        "cuda",
        {"attention": "sdpa_cudnn", "n_embd": 48},
        {"precision": "bf16"},
        "multiple of 8",
        {"n_head": 2},
    ),
    (
        "cuda",
        {"attention": "sdpa_cudnn", "n_head": 1, "n_embd": 136},
        {"precision": "bf16"},
        "136",
        {"n_embd": 128},
    ),
    (
        "cuda",
        {"attention": "sdpa_cudnn", "block_size": 1},
        {"precision": "bf16"},
        "block_size",
        {"block_size": 2},
    ),
    (
        "cuda",
        {"attention": "sdpa_efficient", "n_embd": 48},
        {"precision": "bf16"},
        "multiple of 8",
        {"precision": "fp32"},
    ),
    ("cuda", {"attention": "sdpa_efficient", "n_embd": 24}, {}, "multiple of 4", {"n_head": 2}),
    ("cuda", {"attention": "flex"}, {}, "train.compile=true", {"compile": True}),
    ("cuda", {"attention": "flex", "dropout": 0.1}, {"compile": True}, "model.dropout=0", {"dropout": 0.0}),
    ("cuda", {"attention": "flex", "n_embd": 32}, {"compile": True}, "16 or more", {"n_head": 2}),
    (
        "cpu",
        {"loss": "linear_cross_entropy", "lookup_table": "bigram"},
        {},
        "model.loss=chunked",
        {"loss": "chunked"},
    ),
    (
        "cpu",
        {"loss": "linear_cross_entropy", "logit_softcap": 15.0},
        {},
        "model.loss=chunked",
        {"loss": "chunked"},
    ),
    ("cpu", {"loss": "linear_cross_entropy"}, {"compile": True}, "model.loss=chunked", {"loss": "plain"}),
    ("cuda", {"loss": "liger", "lookup_table": "bigram"}, {}, "model.loss=chunked", {"lookup_table": "none"}),
    ("cuda", {"loss": "liger"}, {"compile": True}, "train.compile=false", {"compile": False}),
    ("cuda", {"norm": "rmsnorm_liger"}, {"compile": True}, "train.compile=false", {"norm": "rmsnorm"}),
    ("cuda", {"mlp": "swiglu_liger"}, {"compile": True}, "train.compile=false", {"mlp": "swiglu"}),
    (
        "cuda",
        {"attention": "flex"},
        {"compile": True, "compile_scope": "mlp"},
        "train.compile_scope=block",
        {"compile_scope": "block"},
    ),
    (
        "cuda",
        {},
        {"compile": True, "compile_mode": "reduce-overhead", "grad_accum": 2},
        "train.grad_accum=1",
        {"grad_accum": 1},
    ),
    (
        "cuda",
        {},
        {"compile": True, "compile_mode": "max-autotune", "grad_accum": 2},
        "train.grad_accum=1",
        {"compile_mode": "max-autotune-no-cudagraphs"},
    ),
    ("cuda", {"n_embd": 120}, {"precision": "fp8"}, "model.n_embd is 120", {"n_embd": 128}),
    ("cuda", {"mlp_ratio": 2.6}, {"precision": "fp8"}, "width of the MLP is 333", {"mlp_ratio": 2.5}),
    (
        "cuda",
        {"n_embd": 32, "n_kv_head": 1, "n_head": 8},
        {"precision": "fp8"},
        "q, k and v is 40",
        {"n_kv_head": 2},
    ),
    ("cuda", {"block_size": 8}, {"precision": "fp8", "batch_size": 5}, "is 40", {"block_size": 16}),
]


def joined(device, model, train):
    return unrunnable(RunConfig(model=ModelConfig(**model), train=TrainConfig(**train)), device)


@pytest.mark.parametrize(("device", "model", "train", "said", "change"), IMPOSSIBLE, ids=str)
def test_what_does_not_run_together_is_said_in_one_line_and_doing_as_told_helps(
    device, model, train, said, change
):
    why = joined(device, model, train)
    assert why is not None
    assert said in why
    assert "\n" not in why
    in_train = {key: value for key, value in change.items() if hasattr(TrainConfig, key)}
    in_model = {key: value for key, value in change.items() if key not in in_train}
    assert joined(device, model | in_model, train | in_train) is None


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nanogpts_recipe_runs_everywhere(device, precision):
    assert joined(device, {}, {"precision": precision}) is None


@pytest.mark.parametrize(("path", "name"), ROWS)
def test_every_row_runs_in_some_combination(path, name):
    section, key = path.split(".")
    runs = [
        RunConfig(model=ModelConfig(), train=TrainConfig(precision=precision, compile=compiled))
        for precision in ("fp32", "bf16")
        for compiled in (False, True)
    ]
    for run in runs:
        setattr(getattr(run, section), key, name)
    assert any(unrunnable(run, device) is None for run in runs for device in TABLES[path][name].devices)


@pytest.mark.parametrize(
    ("precision", "tensors"),
    [("fp32", "fp32"), ("tf32", "fp32"), ("bf16", "bf16"), ("bf16_weights", "bf16"), ("fp8", "bf16")],
)
def test_kernels_are_given_what_their_precision_says(precision, tensors):
    assert TABLES["train.precision"][precision].tensors == tensors


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
