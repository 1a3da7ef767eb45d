"""Groups of levers: every setting is in one, and a group goes back whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import RunConfig
from model.tables import TABLES
from search.confirm.length import at_length
from search.confirm.levers import SETTINGS, Group, changes, group_of, put_back
from search.space.canonical import SEARCHABLE, config_key

BASELINE = asdict(RunConfig())


def winner(**values: Any) -> dict[str, Any]:
    """The baseline with other values, as `model__n_layer=2`."""
    config = {part: dict(BASELINE[part]) for part in SEARCHABLE}
    for path, value in values.items():
        part, name = path.split("__")
        config[part][name] = value
    return config


def paths(config: Mapping[str, Any]) -> set[str]:
    return {f"{part}.{name}" for part in SEARCHABLE for name in config[part]}


def test_every_setting_of_a_run_is_in_exactly_one_group() -> None:
    listed = [path for of_group in SETTINGS.values() for path in of_group]
    assert sorted(listed) == sorted(paths(BASELINE)), "assign the new setting to a group in levers.py"
    assert set(SETTINGS) == set(Group)


def test_kernels_of_one_function_go_back_with_the_kernels_and_other_functions_with_the_block() -> None:
    assert group_of("model.attention", "manual", "sdpa") is Group.KERNELS
    assert group_of("model.attention", "sliding_window", "sdpa") is Group.BLOCK
    assert group_of("model.mlp", "swiglu_liger", "swiglu") is Group.KERNELS
    assert group_of("model.mlp", "relu2", "gelu") is Group.BLOCK
    assert {group_of("model.loss", name, "plain") for name in TABLES["model.loss"]} == {Group.KERNELS}


def test_a_shape_goes_back_as_a_whole_so_that_widths_stay_divisible() -> None:
    small = winner(model__n_embd=96, model__n_head=3, model__norm="rmsnorm")
    back = put_back(small, BASELINE, Group.SHAPE)
    assert (back["model"]["n_embd"], back["model"]["n_head"]) == (128, 4)
    assert back["model"]["norm"] == "rmsnorm"
    RunConfig.from_mapping(back)


def test_settings_of_muon_go_back_with_the_optimizer() -> None:
    fast = winner(optimizer__name="muon", optimizer__muon_lr=0.05, optimizer__kernel="fused")
    back = put_back(fast, BASELINE, Group.OPTIMIZER)["optimizer"]
    assert (back["name"], back["muon_lr"], back["kernel"]) == ("adamw", 0.02, "fused")


def test_the_momentum_over_steps_goes_back_with_the_optimizer_and_averaging_with_the_schedule() -> None:
    fast = winner(
        optimizer__name="muon",
        schedule__momentum_from=0.9,
        schedule__momentum_warmup_fraction=0.3,
        schedule__average_fraction=0.2,
    )
    names = ("momentum_from", "momentum_warmup_fraction", "average_fraction")
    for group, values in ((Group.OPTIMIZER, [1.0, 0.0, 0.2]), (Group.SCHEDULE, [0.9, 0.3, 0.0])):
        back = put_back(fast, BASELINE, group)["schedule"]
        assert [back[name] for name in names] == values
    found = [change.path for change in changes(fast, BASELINE, Group.SCHEDULE)]
    assert found == ["schedule.average_fraction"]


def test_what_goes_back_is_at_the_winners_length_with_the_baselines_share_of_warm_up() -> None:
    short = winner(train__max_steps=400, schedule__name="linear", schedule__warmup_steps=7)
    for group in Group:
        assert put_back(short, BASELINE, group)["train"]["max_steps"] == 400
    assert put_back(short, BASELINE, Group.SCHEDULE)["schedule"]["warmup_steps"] == 20
    assert put_back(short, BASELINE, Group.BATCH)["schedule"]["warmup_steps"] == 7


def test_another_length_alone_is_no_change_and_another_warm_up_is() -> None:
    scaled = winner(train__max_steps=400, schedule__warmup_steps=20)
    assert [group for group in Group if changes(scaled, BASELINE, group)] == []
    shorter = winner(train__max_steps=400, schedule__warmup_steps=7)
    (change,) = changes(shorter, BASELINE, Group.SCHEDULE)
    assert (change.path, change.baseline, change.winner) == ("schedule.warmup_steps", 20, 7)


@pytest.mark.parametrize("group", Group)
def test_a_setting_that_nothing_reads_is_no_change(group: Group) -> None:
    idle = winner(optimizer__muon_lr=0.5, optimizer__ns_dtype="fp32", train__compile_mode="max-autotune")
    assert changes(idle, BASELINE, group) == ()


def test_a_rate_that_only_the_winners_optimizer_reads_is_a_change_and_one_that_none_reads_is_not() -> None:
    fast = winner(optimizer__name="muon", optimizer__muon_lr=0.05, optimizer__table_lr_ratio=3.0)
    found = [change.path for change in changes(fast, BASELINE, Group.OPTIMIZER)]
    assert found == ["optimizer.name", "optimizer.muon_lr"]


def test_a_configuration_of_an_earlier_version_that_lacks_settings_has_their_defaults() -> None:
    old = {"model": {"n_layer": 2}, "optimizer": {}, "schedule": {}, "train": {"max_steps": 2000}}
    assert [one.path for one in changes(old, BASELINE, Group.SHAPE)] == ["model.n_layer"]
    assert changes(old, BASELINE, Group.BLOCK) == ()


VALUES = {
    "model__n_layer": st.integers(1, 6),
    "model__n_embd": st.sampled_from([64, 96, 128]),
    "model__norm": st.sampled_from(sorted(TABLES["model.norm"])),
    "model__attention": st.sampled_from(sorted(TABLES["model.attention"])),
    "model__tied_head": st.booleans(),
    "optimizer__name": st.sampled_from(["adamw", "muon"]),
    "optimizer__muon_lr": st.sampled_from([0.02, 0.05]),
    "optimizer__ns_dtype": st.sampled_from(["fp32", "bf16"]),
    "optimizer__kernel": st.sampled_from(["forloop", "fused"]),
    "schedule__warmup_steps": st.integers(0, 200),
    "schedule__batch_ramp_fraction": st.sampled_from([0.0, 0.5]),
    "schedule__batch_ramp_from": st.sampled_from([1.0, 0.5]),
    "schedule__momentum_from": st.sampled_from([1.0, 0.9]),
    "schedule__momentum_warmup_fraction": st.sampled_from([0.0, 0.3]),
    "schedule__average_fraction": st.sampled_from([0.0, 0.2]),
    "train__batch_size": st.integers(1, 64),
    "train__max_steps": st.integers(50, 2000),
    "train__precision": st.sampled_from(["fp32", "bf16"]),
}
configs = st.fixed_dictionaries(VALUES).map(lambda values: winner(**values))


@given(configs, configs, st.permutations(list(Group)))
def test_all_groups_put_back_one_after_another_are_the_baseline_at_the_winners_length(
    mine: dict[str, Any], theirs: dict[str, Any], order: list[Group]
) -> None:
    back: dict[str, Any] = mine
    for group in order:
        back = put_back(back, theirs, group)
    assert back == at_length(theirs, mine["train"]["max_steps"])


@settings(max_examples=25)
@given(configs, configs)
def test_a_group_without_changes_trains_the_same_put_back_and_one_with_changes_does_not(
    mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    for group in Group:
        same = config_key(put_back(mine, theirs, group)) == config_key(mine)
        assert bool(changes(mine, theirs, group)) is not same


def test_a_power_limit_and_a_clock_go_back_together_to_what_was_found() -> None:
    held = winner(device__power_limit_w=300.0, device__sm_clock_mhz=1200)
    assert [one.path for one in changes(held, BASELINE, Group.POWER)] == [
        "device.power_limit_w",
        "device.sm_clock_mhz",
    ]
    back = put_back(held, BASELINE, Group.POWER)
    assert config_key(back) == config_key(winner()) != config_key(held)
