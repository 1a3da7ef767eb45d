"""What the studies of `study.prior` cost: read from their folders, and kept in `prior.json` of this one, so
that a report can be drawn again without them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.files.paths import absolute, shown
from search.files.records import read_records
from search.files.whole_file import naming, read_json, write_atomically
from search.record.meter_info import Kind
from search.record.prior import PriorStudy

FILE = "prior.json"
SUMMARY, RECORDS = "summary.json", "records.jsonl"
SCHEMAS = (1, 2)


def read_prior(named: Sequence[str], own_folder: Path) -> dict[str, PriorStudy]:
    """By folder, as `study.prior` names them. One that is gone is taken from what was kept of it.

    Raises UserError where a folder is no study's, is named twice or is this study's own, or its joules are
    not known.
    """
    kept = kept_prior(own_folder) if named else {}
    found: dict[str, PriorStudy] = {}
    places = {own_folder.resolve(): "this study itself"}
    for name in named:
        folder = absolute(name)
        before = places.setdefault(folder.resolve(), name)
        if before != name or name in found:
            raise UserError(f"study.prior names {name}, which is {before}; drop it")
        found[name] = kept[name] if name in kept and not folder.exists() else _cost_of(folder, name)
    return found


def kept_prior(folder: Path) -> dict[str, PriorStudy]:
    """What `keep_prior` wrote into a study's folder, empty where it did not. Raises UserError where the file
    says something else."""
    path = folder / FILE
    content = read_json(path) if path.exists() else {}
    try:
        return {name: PriorStudy(**{**one, "kind": Kind(one["kind"])}) for name, one in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"{shown(path)} does not say what the studies of study.prior cost; remove it and continue the "
            "study"
        ) from None


def keep_prior(folder: Path, prior: Mapping[str, PriorStudy]) -> None:
    """Raises FileError."""
    path = folder / FILE
    if prior:
        content = {name: asdict(one) for name, one in prior.items()}
        write_atomically(path, json.dumps(content, indent=1) + "\n")
    else:
        with naming(path, "removed"):
            path.unlink(missing_ok=True)


def check_kind(prior: Mapping[str, PriorStudy], kind: Kind) -> None:
    """Raises UserError where joules cannot be added to those of this study's meter."""
    for name, one in prior.items():
        if one.kind is not kind:
            raise UserError(
                f"study.prior names {name}, whose joules are {one.kind.value}, and this study's are "
                f"{kind.value}: they do not add up; drop it, or choose another meter"
            )


def _cost_of(folder: Path, name: str) -> PriorStudy:
    """From its summary, or where there is none from its records."""
    if (folder / SUMMARY).is_file():
        found = _from_summary(read_json(folder / SUMMARY), name)
    elif (folder / RECORDS).is_file():
        found = _from_records(folder, name)
    else:
        raise UserError(
            f"study.prior names {name}, which is not the report folder of a study: expected {SUMMARY} or "
            f"{RECORDS} in it"
        )
    if not (math.isfinite(found.energy_j) and found.energy_j > 0):
        raise UserError(f"study.prior names {name}, of which no run has joules that are known; drop it")
    return found


def _from_summary(content: Any, name: str) -> PriorStudy:
    try:
        if content["schema"] in SCHEMAS:
            kind = Kind(content["meter"]["kind"])
            return PriorStudy(str(content["study"]), float(content["search_cost"]["energy_j"]), kind)
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(
        f"study.prior names {name}, whose {SUMMARY} does not say what it cost (schema 1 or 2 does); type "
        f"python -m search.report {name}"
    )


def _from_records(folder: Path, name: str) -> PriorStudy:
    records, _ = read_records(folder / RECORDS)
    kinds = {record.meter.kind for record in records}
    if len(kinds) > 1:
        raise UserError(f"study.prior names {name}, whose runs have joules of several kinds; drop it")
    energy_j = math.fsum(record.gross_energy_j or 0.0 for record in records)
    return PriorStudy(records[-1].study if records else name, energy_j, next(iter(kinds), Kind.ESTIMATED))
