"""Choices that cannot run on this machine are left out of a space and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from space_entries import DEMO, HEADS, LAYERS, always, choice_entry, float_entry, int_entry, parse

from model.capabilities import Capabilities
from model.config import ConfigError, RunConfig
from search.space.model import Space
from search.space.offer import never_varies, offered, slow_here

HERE = Capabilities("cpu", "a processor", "2.11.0", bf16=True, compiler="/usr/bin/g++")


def test_a_condition_that_can_never_hold_is_named() -> None:
    rate = float_entry(when={"optimizer.name": ["muon"]})
    never = {LAYERS: int_entry(when={"train.compile": [True]})}
    assert never_varies(parse(never)) == [
        "model.n_layer never varies: train.compile is never true, only false"
    ]
    chosen = {"optimizer.name": choice_entry("adamw", "muon"), "optimizer.muon_lr": rate}
    assert never_varies(parse(chosen)) == []
    narrowed = {"optimizer.name": choice_entry("adamw"), "optimizer.muon_lr": rate}
    (line,) = never_varies(parse(narrowed))
    assert line == "optimizer.muon_lr never varies: optimizer.name is never muon, only adamw"


def test_a_device_that_can_do_everything_is_offered_everything() -> None:
    space = parse(DEMO)
    assert offered(space, HERE) == (space, [])


def test_choices_that_cannot_run_here_are_left_out_and_named() -> None:
    small = replace(HERE, compiler=None, bf16=False)
    space, left_out = offered(parse(DEMO), small)
    kept = {entry.path: entry.choices for entry in space.entries if entry.choices}
    assert kept["train.compile"] == (False,)
    assert kept["train.precision"] == ("fp32",)
    assert kept[HEADS] == (2, 4, 8)
    assert len(left_out) == 2
    assert any("train.compile" in line and "compiler" in line for line in left_out)
    assert any("train.precision=bf16" in line and HERE.device_name in line for line in left_out)
    assert "bf16" in parse(DEMO).describe()["train.precision"]["choices"]


def test_formats_of_the_configuration_that_are_slow_here_are_named() -> None:
    """Where a run can use them, and the space does not vary them: then they are left out of it."""
    small = replace(HERE, bf16=False)
    name, bf16 = choice_entry("adamw", "muon"), choice_entry("fp32", "bf16")
    assert slow_here(parse({LAYERS: int_entry()}), small) == []
    assert slow_here(parse({"optimizer.name": name}), HERE) == []
    assert slow_here(parse({"optimizer.name": name, "optimizer.ns_dtype": bf16}), small) == []
    (line,) = slow_here(parse({"optimizer.name": name}), small)
    assert line == (
        "optimizer.ns_dtype=bf16 takes several times as long as fp32 on a processor, which has no bf16 "
        "arithmetic; type optimizer.ns_dtype=fp32"
    )


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "bf16_weights"])
def test_a_configured_precision_that_is_slow_here_is_named(precision: str) -> None:
    space = Space((), {"optimizer": {"name": "adamw"}, "train": {"precision": precision}})
    lines = slow_here(space, replace(HERE, bf16=False))
    assert [line.split()[0] for line in lines] == (
        [f"train.precision={precision}"] if precision.startswith("bf16") else []
    )


def test_a_gpu_needs_no_compiler_of_its_own() -> None:
    assert offered(parse(DEMO), replace(HERE, device_type="cuda", compiler=None))[1] == []


def test_the_space_that_is_offered_is_still_drawn_from_as_before() -> None:
    space, _ = offered(parse(DEMO), replace(HERE, compiler=None))
    params = space.sample(always())
    assert params["train.compile"] is False
    RunConfig.from_mapping(space.config(params))


def test_an_entry_of_which_nothing_runs_here_is_refused() -> None:
    space = parse({"train.compile": choice_entry(True)})
    with pytest.raises(ConfigError, match=r"space\.train\.compile has no choice that runs here.*compiler"):
        offered(space, replace(HERE, compiler=None))


@pytest.mark.parametrize(
    ("entry", "kept"),
    [(choice_entry(1, 2, 4, 8), (1, 2)), (int_entry(high=8), (1.0, 2.0)), (int_entry(high=2), (1.0, 2.0))],
)
def test_more_processes_than_the_machine_has_room_for_are_not_offered(
    entry: dict[str, Any], kept: tuple[float, ...]
) -> None:
    two = replace(HERE, device_type="cuda", device_name="a GPU", processes=2)
    space, left_out = offered(parse({"train.processes": entry}), two)
    (left,) = space.entries
    assert (left.choices or (left.low, left.high)) == kept
    if entry.get("high") == 2:
        assert left_out == []
        return
    assert len(left_out) == (2 if left.choices else 1)
    assert left_out[-1].startswith(
        "train.processes=8 needs one GPU each, and a GPU has them for 2 processes; set train.processes=2"
    )


def test_processes_of_which_none_fits_are_refused() -> None:
    for entry in (choice_entry(2, 4), int_entry(low=2)):
        with pytest.raises(ConfigError, match=r"space\.train\.processes has no \w+ that runs here"):
            offered(parse({"train.processes": entry}), HERE)


def test_the_refusal_gives_the_reasons_of_that_entry_alone() -> None:
    space = parse({"train.precision": choice_entry("fp32", "bf16"), "train.compile": choice_entry(True)})
    with pytest.raises(ConfigError) as caught:
        offered(space, replace(HERE, compiler=None, bf16=False))
    assert "precision" not in str(caught.value)
