import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import (
    ConfigError,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from model.tables import TABLES

rows = {path: st.sampled_from(sorted(table)) for path, table in TABLES.items()}
positive = st.integers(1, 1000)

models = st.builds(
    lambda head_width, n_head, **rest: ModelConfig(n_embd=head_width * n_head, n_head=n_head, **rest),
    head_width=positive,
    n_head=positive,
    n_layer=positive,
    block_size=positive,
    mlp_ratio=st.floats(1e-3, 100),
    dropout=st.floats(0, 1, exclude_max=True),
    bias=st.booleans(),
    tied_head=st.booleans(),
    attention=rows["model.attention"],
    mlp=rows["model.mlp"],
    norm=rows["model.norm"],
    loss=rows["model.loss"],
)
optimizers = st.builds(
    OptimizerConfig,
    name=rows["optimizer.name"],
    lr=st.floats(1e-9, 100),
    beta1=st.floats(0, 1, exclude_max=True),
    beta2=st.floats(0, 1, exclude_max=True),
    eps=st.floats(1e-20, 1),
    weight_decay=st.floats(0, 10),
    grad_clip=st.floats(0, 10),
    kernel=rows["optimizer.kernel"],
)
schedules = st.builds(
    ScheduleConfig,
    name=rows["schedule.name"],
    warmup_steps=st.integers(0, 1000),
    decay_steps=st.none() | positive,
    min_lr_ratio=st.floats(0, 1),
    cooldown_fraction=st.floats(0, 1, exclude_min=True),
    momentum_from=st.floats(0, 1, exclude_min=True),
    momentum_warmup_fraction=st.floats(0, 0.5),
    momentum_cooldown_fraction=st.floats(0, 0.5),
    average_fraction=st.floats(0, 1),
)
trains = st.builds(
    TrainConfig,
    batch_size=positive,
    grad_accum=positive,
    max_steps=positive,
    precision=st.sampled_from(list(TABLES["train.precision"])),
    compile=st.booleans(),
)
evaluations = st.builds(
    EvaluationConfig,
    tokens=st.none() | st.integers(200, 10_000),
    context=st.integers(1, 100),
    interval=positive,
)
runs = st.builds(
    RunConfig,
    model=models,
    optimizer=optimizers,
    schedule=schedules,
    train=trains,
    evaluation=evaluations,
    seed=st.integers(0, 2**31),
)


@given(runs)
def test_a_run_survives_the_way_to_plain_values_and_back(run):
    assert RunConfig.from_mapping(dataclasses.asdict(run)) == run


@pytest.mark.parametrize("section", ["model", "optimizer", "schedule", "train", "device", "evaluation"])
def test_a_value_that_is_given_counts_and_the_others_keep_their_defaults(section):
    given_values = {
        "model": {"n_layer": 7},
        "optimizer": {"lr": 0.5},
        "schedule": {"warmup_steps": 3},
        "train": {"max_steps": 9},
        "device": {"power_limit_w": 300.0},
        "evaluation": {"interval": 11},
    }[section]
    run = RunConfig.from_mapping({section: given_values, "seed": 5})
    changed = dataclasses.replace(getattr(RunConfig(), section), **given_values)
    assert run == dataclasses.replace(RunConfig(), **{section: changed}, seed=5)


def test_nothing_given_is_nanogpts_documented_cpu_recipe():
    run = RunConfig.from_mapping({})
    assert run == RunConfig()
    assert (run.model.n_layer, run.model.n_head, run.model.n_embd) == (4, 4, 128)
    assert (run.model.block_size, run.model.mlp_ratio, run.model.dropout) == (64, 4.0, 0.0)
    assert (run.model.bias, run.model.tied_head) == (False, True)
    assert (run.train.batch_size, run.train.grad_accum, run.train.max_steps) == (12, 1, 2000)
    assert (run.train.precision, run.train.compile) == ("fp32", False)
    assert (run.optimizer.name, run.optimizer.lr, run.optimizer.eps) == ("adamw", 1e-3, 1e-8)
    assert (run.optimizer.beta1, run.optimizer.beta2) == (0.9, 0.99)
    assert (run.optimizer.weight_decay, run.optimizer.grad_clip) == (0.1, 1.0)
    assert (run.schedule.name, run.schedule.warmup_steps, run.decay_steps) == ("cosine", 100, 2000)
    assert run.schedule.min_lr_ratio * run.optimizer.lr == pytest.approx(1e-4)
    assert (run.evaluation.tokens, run.evaluation.context) == (None, 64)


def refusal(values):
    with pytest.raises(ConfigError) as error:
        RunConfig.from_mapping(values)
    [line] = str(error.value).splitlines()
    return line


def test_an_unknown_part_is_refused_with_the_parts_that_a_run_has():
    line = refusal({"modle": {}})
    assert "'modle'" in line
    for part in dataclasses.fields(RunConfig):
        assert part.name in line


@pytest.mark.parametrize("section", ["model", "optimizer", "schedule", "train", "device", "evaluation"])
def test_an_unknown_key_is_refused_with_the_keys_of_its_part(section):
    line = refusal({section: {"no_such_key": 1}})
    assert f"{section}.no_such_key" in line
    for item in dataclasses.fields(getattr(RunConfig(), section)):
        assert item.name in line


BAD_VALUES = {
    "model.n_layer": [0, -1],
    "model.n_head": [0, -4],
    "model.n_embd": [0, -128, 126],
    "model.block_size": [0, -1],
    "model.attention_window": [0, -1],
    "model.mlp_ratio": [0.0, -1.0, math.nan, math.inf],
    "model.dropout": [-0.1, 1.0, math.nan],
    "model.n_kv_head": [0, -1],
    "model.lookup_rows": [0, -1],
    "model.lookup_table": ["fourgram", ""],
    "model.norm_eps": [0.0, -1e-6, math.nan, math.inf],
    "model.logit_softcap": [-1.0, math.nan, math.inf],
    "optimizer.lr": [0.0, -1e-3, math.nan, math.inf],
    "optimizer.beta1": [-0.1, 1.0, math.nan],
    "optimizer.beta2": [-0.1, 1.0, math.nan],
    "optimizer.eps": [0.0, -1e-8, math.nan, math.inf],
    "optimizer.weight_decay": [-0.1, math.nan, math.inf],
    "optimizer.grad_clip": [-1.0, math.nan, math.inf],
    **{f"optimizer.{role}_lr_ratio": [0.0, -1.0] for role in ("embedding", "table", "head", "vector")},
    "optimizer.muon_lr": [0.0, -0.1, math.inf],
    "optimizer.muon_momentum": [-0.1, 1.0],
    "optimizer.muon_weight_decay": [-0.1],
    "optimizer.muon_scale": ["x"],
    "optimizer.ns_steps": [0, 7],
    "optimizer.ns_dtype": ["fp16", "fp8"],
    "schedule.cooldown_shape": ["cubic"],
    **{f"schedule.{what}_ramp_from": [0.0, 0.3, math.nan] for what in ("batch", "context")},
    **{f"schedule.{what}_ramp_fraction": [-0.1, 1.1, math.nan] for what in ("batch", "context")},
    "schedule.momentum_from": [0.0, -0.5, 1.1, math.nan],
    **{f"schedule.momentum_{end}_fraction": [-0.1, 1.1, math.nan] for end in ("warmup", "cooldown")},
    "schedule.average_fraction": [-0.1, 1.1, math.nan],
    "schedule.warmup_steps": [-1],
    "schedule.decay_steps": [0, -5],
    "schedule.min_lr_ratio": [-0.1, 1.1, math.nan],
    "schedule.cooldown_fraction": [0.0, -0.1, 1.1, math.nan],
    "train.batch_size": [0, -1],
    "train.grad_accum": [0, -1],
    "train.max_steps": [0, -1],
    "train.processes": [0, -1],
    "device.power_limit_w": [0.0, -1.0, math.inf],
    "device.sm_clock_mhz": [0, -1, 600.5],
    "train.precision": ["fp16", "", "FP32"],
    "evaluation.context": [0, -1],
    "evaluation.interval": [0, -1],
    "evaluation.stride": [0, -1],
    "evaluation.tokens": [0, -1, 127],
    **{path: ["no_such_row", ""] for path in TABLES},
}
WITHOUT_BAD_VALUES = {
    "model.bias",
    "model.tied_head",
    "model.qk_norm",
    "model.zero_init_projections",
    "model.embedding_skip",
    "model.value_embedding",
    "model.smear",
    "optimizer.muon_split_qkv",
    "train.compile",
}


@pytest.mark.parametrize(("path", "value"), [(p, v) for p, values in BAD_VALUES.items() for v in values])
def test_a_bad_value_is_refused_in_one_line_that_names_its_path_and_the_value(path, value):
    section, key = path.split(".")
    line = refusal({section: {key: value}})
    assert line.startswith(f"{path} must be ")
    assert f"got {value!r}" in line or f"got {value}" in line


def test_every_field_has_its_bad_values_tested():
    fields = {
        f"{part.name}.{item.name}"
        for part in dataclasses.fields(RunConfig)
        if part.name not in ("seed", "target_metric")
        for item in dataclasses.fields(getattr(RunConfig(), part.name))
    }
    assert fields == set(BAD_VALUES) | WITHOUT_BAD_VALUES


@pytest.mark.parametrize("path", TABLES)
def test_a_row_that_does_not_exist_is_refused_with_those_that_do(path):
    section, key = path.split(".")
    line = refusal({section: {key: "no_such_row"}})
    assert all(name in line for name in TABLES[path])


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("model", {"dropout": 0.0, "n_embd": 1, "n_head": 1, "n_layer": 1, "block_size": 1}),
        ("optimizer", {"beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0, "grad_clip": 0.0}),
        ("schedule", {"warmup_steps": 0, "decay_steps": 1, "min_lr_ratio": 0.0, "cooldown_fraction": 1.0}),
        ("schedule", {"min_lr_ratio": 1.0, "momentum_from": 1e-9, "average_fraction": 1.0}),
        ("schedule", {"momentum_warmup_fraction": 0.3, "momentum_cooldown_fraction": 0.7}),
        ("train", {"batch_size": 1, "grad_accum": 1, "max_steps": 1, "precision": "bf16"}),
        ("evaluation", {"context": 1, "tokens": 2, "interval": 1}),
    ],
)
def test_values_at_the_edge_of_what_is_allowed_are_allowed(section, values):
    assert dataclasses.asdict(getattr(RunConfig.from_mapping({section: values}), section)).items() >= (
        values.items()
    )


@given(batch_size=positive, grad_accum=positive, block_size=positive)
def test_a_step_takes_every_token_of_every_sequence_of_every_micro_batch(batch_size, grad_accum, block_size):
    run = RunConfig(
        model=ModelConfig(block_size=block_size),
        train=TrainConfig(batch_size=batch_size, grad_accum=grad_accum),
    )
    assert run.tokens_per_step == batch_size * grad_accum * block_size


def test_the_schedule_lasts_as_long_as_the_training_unless_said_otherwise():
    train = TrainConfig(max_steps=70)
    assert RunConfig(train=train).decay_steps == 70
    assert RunConfig(train=train, schedule=ScheduleConfig(decay_steps=30)).decay_steps == 30


@pytest.mark.parametrize(("ratio", "n_embd", "width"), [(4.0, 128, 512), (2.5, 24, 60), (0.001, 8, 1)])
def test_the_mlp_is_its_ratio_times_as_wide_as_the_embedding_and_at_least_one(ratio, n_embd, width):
    assert ModelConfig(n_embd=n_embd, n_head=2, mlp_ratio=ratio).mlp_width == width


def test_a_configuration_is_checked_without_torch():
    code = "import sys; from model.config import RunConfig; RunConfig.from_mapping({}); print(*sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "model.config" in done.stdout.split()
    assert "torch" not in done.stdout.split()


@pytest.mark.parametrize("key", ["bigram_table", "table_order"])
def test_an_old_key_is_refused_with_the_new_one(key):
    line = refusal({"model": {key: 3}})
    assert line == f"model.{key} is model.lookup_table now; type model.lookup_table=none or bigram or trigram"
    line = refusal({"model": {"bigram_rows": 3}})
    assert line == "model.bigram_rows is model.lookup_rows now; type model.lookup_rows=NUMBER"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((f"{role}_lr_ratio", bad) for role in ("embedding", "head", "vector") for bad in (0.0, -1.0)),
        *(("muon_lr", bad) for bad in (0.0, -0.1, math.inf)),
        *(("muon_momentum", bad) for bad in (-0.1, 1.0)),
        ("muon_weight_decay", -0.1),
        ("muon_scale", "spectral"),
        ("ns_steps", 0),
        ("ns_steps", 7),
        ("ns_dtype", "fp16"),
        ("ns_dtype", "fp8"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_its_name(key, value):
    with pytest.raises(ConfigError, match=f"^optimizer.{key} must be "):
        OptimizerConfig(**{key: value})
