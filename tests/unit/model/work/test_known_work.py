"""Every variant and every key of a configuration is counted, or said to cost nothing."""

from __future__ import annotations

from dataclasses import fields

import pytest
from counted_work import VOCAB, run_config

from model.config import (
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)
from model.tables import TABLES
from model.work import (
    UncountedWork,
    step_work,
)

VARIANTS = [
    (path, name) for path, table in TABLES.items() if not path.startswith("schedule.") for name in table
]


def with_variant(path, name):
    config = run_config()
    section, _, key = path.partition(".")
    setattr(getattr(config, section), key, name)
    return config


@pytest.mark.parametrize(("path", "name"), VARIANTS)
def test_the_work_of_every_variant_is_known(path, name):
    work = step_work(with_variant(path, name), VOCAB)
    assert work.bytes_moved > 0
    assert min(work.flops.values()) > 0


@pytest.mark.parametrize("path", sorted({path for path, _ in VARIANTS if "compile" not in path}))
def test_the_work_of_an_unknown_variant_is_an_error_and_not_zero(path):
    with pytest.raises(UncountedWork, match=f"{path}=nosuch is not modelled; add its row to model/work/"):
        step_work(with_variant(path, "nosuch"), VOCAB)


# Keys that change which numbers are computed and not how many. Any other must be read by model/work/.
FREE = {
    "model": {"zero_init_projections", "norm_eps"},
    "optimizer": {
        *("lr", "beta1", "beta2", "eps", "weight_decay", "muon_lr", "muon_momentum", "muon_weight_decay"),
        *("embedding_lr_ratio", "table_lr_ratio", "head_lr_ratio", "vector_lr_ratio", "muon_scale"),
    },
    "train": {"max_steps", "compile", "compile_mode", "compile_scope"},
}
COUNTED = {
    "model": {
        *("n_layer", "n_head", "n_embd", "block_size", "mlp_ratio", "dropout", "bias", "tied_head"),
        *(
            "attention",
            "attention_window",
            "mlp",
            "norm",
            "loss",
            "positions",
            "n_kv_head",
            "qk_norm",
            "logit_softcap",
        ),
        *("logit_softcap", "embedding_skip", "value_embedding", "smear"),
        *("lookup_table", "lookup_rows"),
    },
    "optimizer": {"name", "grad_clip", "kernel", "muon_split_qkv", "ns_steps", "ns_dtype"},
    "train": {"batch_size", "grad_accum", "precision", "processes"},
}


@pytest.mark.parametrize("section", [ModelConfig, OptimizerConfig, TrainConfig])
def test_every_key_of_a_configuration_is_counted_or_costs_nothing(section):
    name = section.__name__.removesuffix("Config").lower()
    assert {one.name for one in fields(section)} == COUNTED[name] | FREE.get(name, set())
