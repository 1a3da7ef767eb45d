"""Which role every parameter has, in which group of an optimizer it is, and at which rate it trains."""

import pytest
from small_gpt import optimizer_of, small_gpt
from torch import nn

from model.optim.groups import ROLES, roles
from model.tables import KERNELS, OPTIMIZERS, TABLES

VARIANTS = [
    {},
    {"tied_head": False},
    {"bias": True, "n_layer": 1},
    {"lookup_table": "bigram"},
    *({"mlp": name} for name, row in TABLES["model.mlp"].items() if "cpu" in row.devices),
    *({"norm": name} for name, row in TABLES["model.norm"].items() if "cpu" in row.devices),
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_parameter_has_exactly_one_role(changes):
    model = small_gpt(**changes)
    found = roles(model)
    assert tuple(found) == ROLES
    named = [one for members in found.values() for one in members]
    assert sorted(name for name, _ in named) == sorted(name for name, _ in model.named_parameters())
    assert {id(p) for _, p in named} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_hidden_are_the_matrices_of_the_blocks_and_vectors_have_less_than_two_dimensions(changes):
    model = small_gpt(**changes)
    found = roles(model)
    in_blocks = {id(p) for p in model.blocks.parameters() if p.dim() == 2}
    assert {id(p) for _, p in found["hidden"]} == in_blocks
    assert {id(p) for _, p in found["vector"]} == {id(p) for p in model.parameters() if p.dim() < 2}


def test_a_tied_head_is_an_embedding_and_an_untied_one_a_head():
    tied, untied = roles(small_gpt()), roles(small_gpt(tied_head=False))
    assert tied["head"] == []
    assert [name for name, _ in untied["head"]] == ["lm_head.weight"]
    assert len(untied["embedding"]) == len(tied["embedding"]) == 2


def test_a_bigram_table_is_a_table_and_other_lookups_are_embeddings():
    found = roles(small_gpt(lookup_table="bigram", value_embedding=True))
    assert [name for name, _ in found["lookup_table"]] == ["lookup_table.weight"]
    assert [name for name, _ in found["embedding"]] == ["wte.weight", "wpe.weight", "values.weight"]


def test_a_table_inside_a_block_is_an_embedding_and_what_does_not_train_has_no_role():
    module = nn.ModuleDict({"blocks": nn.ModuleList([nn.Embedding(3, 4), nn.Linear(4, 4)])})
    module["blocks"][1].bias.requires_grad_(False)
    found = {role: [name for name, _ in named] for role, named in roles(module).items()}
    assert found == {
        "hidden": ["blocks.1.weight"],
        "embedding": ["blocks.0.weight"],
        "lookup_table": [],
        "head": [],
        "vector": [],
    }


# --- groups and rates


def test_without_ratios_the_groups_are_nanogpts_two_in_the_order_of_the_model():
    model = small_gpt(bias=True, tied_head=False)
    decaying, others = optimizer_of(model).param_groups
    for group, members, decay in (
        (decaying, [p for p in model.parameters() if p.dim() >= 2], 0.1),
        (others, [p for p in model.parameters() if p.dim() < 2], 0.0),
    ):
        assert [id(p) for p in group["params"]] == [id(p) for p in members]
        assert group["weight_decay"] == decay


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_role_trains_at_its_ratio_of_the_rate(name):
    model = small_gpt(tied_head=False, lookup_table="bigram")
    ratios = {"embedding_lr_ratio": 3.0, "table_lr_ratio": 20.0, "head_lr_ratio": 0.5, "vector_lr_ratio": 7.0}
    optimizer = optimizer_of(model, name=name, lr=0.004, muon_lr=0.02, **ratios)
    optimizer.set_lr(0.002)

    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    expected = {
        "hidden": 0.01 if name == "muon" else 0.002,
        "embedding": 0.006,
        "lookup_table": 0.04,
        "head": 0.001,
        "vector": 0.014,
    }
    for role, named in roles(model).items():
        assert [rate_of[id(p)] for _, p in named] == pytest.approx([expected[role]] * len(named), rel=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_parameter_is_in_exactly_one_group(name, kernel):
    model = small_gpt(bias=True, tied_head=False)
    optimizer = optimizer_of(model, name=name, kernel=kernel, head_lr_ratio=2.0)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_at_a_ratio_of_one_the_rate_is_passed_on_exactly(name):
    optimizer = optimizer_of(small_gpt(), name=name, muon_lr=1e-3)
    for lr in (1e-3, 0.1 + 0.2, 1e-3 / 101):
        optimizer.set_lr(lr)
        assert {group["lr"] for group in optimizer.param_groups} == {lr}
