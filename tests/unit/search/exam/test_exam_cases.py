"""Which kernels an exam measures, in which order, and what their ratios say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from model.capabilities import Capabilities
from model.config import RunConfig
from model.runnable import absent
from model.tables import TABLES
from search.exam.cases import (
    COMBINATION,
    PATHS,
    REFERENCE,
    Case,
    CaseState,
    Measurement,
    combination,
    in_order,
    is_hopeless,
    kernel_cases,
    next_case,
    ratio_of,
)

H100 = Capabilities("cuda", "H100", "2.13.0", True, "g++", 90, ("liger_kernel",))
CPU = Capabilities("cpu", "a CPU", "2.13.0", True, "g++")


def baseline(**train: Any) -> dict[str, Any]:
    config = RunConfig.from_mapping(
        {
            "model": {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "dropout": 0.2},
            "train": {"precision": "bf16", "compile": True, **train},
            "evaluation": {"context": 256},
        }
    )
    return {
        part: dict(vars(getattr(config, part))) for part in ("model", "optimizer", "schedule", "train")
    } | {
        "evaluation": dict(vars(config.evaluation)),
        "seed": 1,
    }


def cases_on(capabilities: Capabilities) -> dict[str, Case]:
    def why_not(values: Mapping[str, Any]) -> str | None:
        return absent(RunConfig.from_mapping(values), capabilities)

    return {case.name: case for case in kernel_cases(baseline(), why_not)}


def test_every_row_of_the_tables_is_measured_or_says_why_not() -> None:
    names = set(cases_on(H100))
    rows = {f"{path}={name}" for path in PATHS if path in TABLES for name in TABLES[path]}
    own = {"train.precision=bf16", "train.compile_mode=default", "optimizer.kernel=forloop"}
    own |= {"model.attention=sdpa", "model.loss=plain", "model.norm=layernorm", "model.mlp=gelu"}
    assert names == (rows - own) | {"train.compile=false"}


def test_a_row_that_the_baseline_excludes_is_measured_beside_a_changed_baseline() -> None:
    cases = cases_on(H100)
    assert cases["model.norm=rmsnorm_liger"].base == {"train.compile": False}
    assert cases["model.attention=flex"].base == {"model.dropout": 0.0}
    assert cases["model.attention=manual"].base == {}


def test_a_row_that_the_device_lacks_is_a_line_with_its_reason() -> None:
    cases = cases_on(CPU)
    assert "does not run on cpu" in cases["model.attention=sdpa_cudnn"].cannot
    assert cases["model.attention=manual"].cannot == ""


KERNELS = [Case(name, {}, {"x": name}) for name in "abc"] + [Case("d", {"y": 1}, {"x": "d"})]


def measured(name: str, base: Mapping[str, Any], joules: float | None = 1.0, session: int = 1) -> Measurement:
    return Measurement(name, base, session, CaseState.MEASURED, "", joules, 0.01)


def sequence(known: tuple[Measurement, ...] = (), session: int = 1) -> list[str]:
    found = list(known)
    while (case := next_case(in_order(KERNELS), found, session)) is not None:
        found.append(measured(case.name, case.base, session=session))
        assert len(found) < 50
    return [one.case[0] for one in found[len(known) :]]


def test_references_stand_before_between_and_after_the_kernels_of_a_base() -> None:
    assert "".join(sequence()) == "rabrcrrdr"


def test_a_resumed_table_begins_with_a_reference_of_its_own_and_measures_no_kernel_twice() -> None:
    known = (measured(REFERENCE, {}), measured("a", {}))
    assert "".join(sequence(known, session=2)) == "rbcrrdr"


def test_what_cannot_run_is_never_begun() -> None:
    assert next_case([replace(KERNELS[0], cannot="no")], [], 1) is None


def test_a_reference_that_fails_twice_ends_the_table() -> None:
    failed = replace(measured(REFERENCE, {}, None), state=CaseState.FAILED)
    assert not is_hopeless(Case(REFERENCE), [failed, measured(REFERENCE, {})])
    assert is_hopeless(Case(REFERENCE), [failed, failed])
    assert not is_hopeless(KERNELS[0], [failed, failed])


def test_a_ratio_is_to_the_mean_of_the_references_beside_it_in_its_own_process() -> None:
    runs = [
        measured(REFERENCE, {}, 100.0, session=1),
        measured(REFERENCE, {}, 2.0, session=2),
        measured("a", {}, 1.5, session=2),
        measured(REFERENCE, {}, 4.0, session=2),
    ]
    ratio = ratio_of(2, runs)
    assert (ratio.energy, ratio.references) == (0.5, 2)
    assert ratio.drift == pytest.approx(1.0)


def test_an_unknown_energy_has_no_ratio() -> None:
    runs = [measured(REFERENCE, {}, 2.0), measured("a", {}, None)]
    assert ratio_of(1, runs).energy is None
    assert ratio_of(1, runs).time == 1.0


def test_the_cheapest_rows_together_compute_what_the_baseline_computes() -> None:
    names = {
        "model.attention=manual": 0.9,
        "optimizer.kernel=fused": 0.8,
        "optimizer.kernel=foreach": 0.7,
        "model.mlp=relu2": 0.5,  # another function
        "model.norm=rmsnorm": 0.6,  # another function
        "model.loss=chunked": 1.2,  # dearer
    }
    cases = [Case(name, {}, dict([name.split("=")])) for name in names]
    runs = [measured(REFERENCE, {}), *(measured(name, {}, joules) for name, joules in names.items())]
    found = combination(cases, runs, baseline(), lambda values: None)
    assert found is not None
    assert found.name == COMBINATION
    assert found.changes == {"model.attention": "manual", "optimizer.kernel": "foreach"}
    assert combination(cases[:1], runs, baseline(), lambda values: None) is None
