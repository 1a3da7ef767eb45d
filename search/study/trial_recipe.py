"""`recipe=reports/NAME trial=N`: any trial of a study, to be trained again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.errors import UserError
from search.files.paths import shown
from search.files.records import read_records
from search.files.study_config import read_config
from search.report.findings.recipes import recipe_of

RECORDS, CONFIG = "records.jsonl", "config.yaml"


def read_trial(folder: Path, trial: int) -> dict[str, Any]:
    """The trial's configuration and target, and its study's data, device and meter. Raises UserError where
    there is no such trial."""
    if not (folder / RECORDS).is_file():
        study = folder.parent if (folder.parent / RECORDS).is_file() else Path("reports/NAME")
        raise UserError(
            f"trial={trial} is one of a study's, and {shown(folder)} is no folder with {RECORDS} in it; type "
            f"recipe={shown(study)} trial={trial}"
        )
    records, _ = read_records(folder / RECORDS)
    record = next((record for record in records if record.trial == trial), None)
    if record is None:
        there = in_words([record.trial for record in records])
        raise UserError(f"{shown(folder)} has no trial {trial}; it has {there}")
    config = read_config(folder / CONFIG)
    if "data" not in config:
        raise UserError(
            f"{shown(folder / CONFIG)} does not say what trial {trial} was trained on; put the file back"
        )
    recipe = recipe_of(record.config, record.target_loss, config)
    return recipe | {"to_the_end": True} if record.role.confirms else recipe


def in_words(trials: Sequence[int]) -> str:
    """`0 to 4, 7`; `none` where there are none."""
    stretches: list[list[int]] = []
    for trial in sorted(set(trials)):
        if stretches and trial == stretches[-1][1] + 1:
            stretches[-1][1] = trial
        else:
            stretches.append([trial, trial])
    return ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in stretches) or "none"
