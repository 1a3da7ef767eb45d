"""Dotted paths into nested mappings."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from space_entries import BASE, LR

from search.space.paths import ABSENT, differences, get_path, leaves, set_path, side_by_side


def test_a_path_finds_and_replaces_a_value() -> None:
    config = {"optimizer": {"lr": 0.1, "name": "adamw"}}
    set_path(config, "optimizer.lr", 0.2)
    assert get_path(config, "optimizer.lr") == 0.2
    assert get_path(config, "optimizer.name") == "adamw"


def test_leaves_are_values_and_empty_mappings_in_order() -> None:
    assert leaves({"b": {"y": 1, "x": {}}, "a": None}) == ["b.y", "b.x", "a"]


def test_side_by_side_goes_into_mappings_that_both_have() -> None:
    one, other = {"a": {"x": 1}, "b": {"y": 2}}, {"a": {"x": 1, "z": 3}, "b": 4}
    assert list(side_by_side(one, other)) == [("a.x", 1, 1), ("a.z", ABSENT, 3), ("b", {"y": 2}, 4)]


values = st.integers(0, 2) | st.text(max_size=1) | st.lists(st.integers(0, 1), max_size=2)
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    lambda children: st.dictionaries(st.sampled_from("abc"), values | children, max_size=3),
    max_leaves=8,
)


def test_a_difference_names_its_path_and_both_values() -> None:
    theirs = {"optimizer": {"lr": 0.1, "name": "adamw"}, "target_loss": 2.0, "gone": 1}
    ours = {"optimizer": {"lr": 0.2, "name": "adamw"}, "target_loss": 2.0, "new": [1]}
    assert differences(ours, theirs) == ["gone: 1 -> None", "new: None -> [1]", "optimizer.lr: 0.1 -> 0.2"]


def test_a_section_that_became_a_value_is_one_difference() -> None:
    assert differences({"space": 1}, {"space": {"lr": 2}}) == ["space: {'lr': 2} -> 1"]


@given(trees)
def test_nothing_differs_from_itself(tree: dict[str, Any]) -> None:
    assert differences(tree, copy.deepcopy(tree)) == []


@given(trees, trees)
def test_whatever_is_unequal_differs_and_the_other_way_round_as_often(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert bool(differences(ours, theirs)) == (ours != theirs)
    assert len(differences(ours, theirs)) == len(differences(theirs, ours))


def test_a_path_reads_what_it_wrote() -> None:
    config = copy.deepcopy(dict(BASE))
    set_path(config, LR, 0.5)
    assert get_path(config, LR) == 0.5
