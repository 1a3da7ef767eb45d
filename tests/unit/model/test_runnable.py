"""What cannot run is known beforehand, with what to type instead."""

import json
from dataclasses import asdict, replace

import pytest

from model.capabilities import Capabilities, find_compiler, find_modules
from model.config import ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from model.runnable import absent, missing, unrunnable
from model.tables import TABLES

ROWS = [(path, name) for path, table in TABLES.items() for name in table]


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
    ("cpu", {"dropout": 0.1}, {"processes": 2}, "model.dropout=0", {"dropout": 0.0}),
    ("cuda", {"dropout": 0.1}, {"processes": 2}, "train.processes=1", {"processes": 1}),
    ("cuda", {}, {"processes": 2, "precision": "fp8"}, "train.precision=bf16", {"precision": "bf16"}),
    (
        "cuda",
        {},
        {"processes": 2, "compile": True, "compile_mode": "reduce-overhead"},
        "train.compile_mode=default",
        {"compile_mode": "default"},
    ),
    (
        "cpu",
        {},
        {"processes": 2, "batch_size": 5},
        "one is of 5 sequences; set train.batch_size or train.grad_accum to a multiple of 2",
        {"batch_size": 6},
    ),
    (
        "cpu",
        {},
        {"processes": 4, "batch_size": 6, "grad_accum": 2},
        "train.processes=4 must divide train.grad_accum=2",
        {"grad_accum": 8},
    ),
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


def test_every_micro_batch_of_a_ramp_divides_by_the_processes():
    ramp = ScheduleConfig(batch_ramp_fraction=0.5, batch_ramp_from=0.25)
    ramped = RunConfig(train=TrainConfig(batch_size=12, processes=2), schedule=ramp)
    why = unrunnable(ramped, "cpu")
    assert why is not None
    assert "of 3 sequences (train.batch_size=12, ramped); set train.grad_accum to a multiple of 2" in why
    assert unrunnable(replace(ramped, train=TrainConfig(batch_size=16, processes=2)), "cpu") is None
    assert unrunnable(replace(ramped, train=TrainConfig(grad_accum=2, processes=2)), "cpu") is None


@pytest.mark.parametrize(
    ("device", "most", "line"),
    [
        ("cuda", 2, "needs one GPU each, and a GPU has them for 2 processes; set train.processes=2"),
        (
            "cpu",
            1,
            "needs device.threads cores each, and a GPU has them for 1 process; set train.processes=1",
        ),
    ],
)
def test_more_processes_than_the_machine_has_room_for_are_missing(device, most, line):
    here = replace(CUDA_NO_COMPILER, device_type=device, processes=most)
    run = RunConfig(train=TrainConfig(processes=4))
    assert missing("train.processes", 4, here) == absent(run, here) == f"train.processes=4 {line}"
    assert missing("train.processes", most, here) is None
    assert absent(RunConfig(train=TrainConfig(processes=most)), here) is None


@pytest.mark.parametrize("precision", TABLES["train.precision"])
def test_weights_are_averaged_where_they_are_in_fp32(precision):
    run = RunConfig(train=TrainConfig(precision=precision), schedule=ScheduleConfig(average_fraction=0.2))
    why = unrunnable(run, "cuda")
    assert (why is None) == (TABLES["train.precision"][precision].weights == "fp32")
    assert unrunnable(replace(run, schedule=ScheduleConfig()), "cuda") is None
    if why is not None:
        assert why == (
            "schedule.average_fraction=0.2 takes the mean of weights in fp32, and "
            "train.precision=bf16_weights has none; set train.precision=bf16 or schedule.average_fraction=0"
        )


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
