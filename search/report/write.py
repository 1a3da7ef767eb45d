"""The files that a study leaves for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.files.whole_file import write_atomically
from search.record.prior import PriorStudy
from search.record.record import Record
from search.record.stratum import Stratum
from search.report.csv_columns import trials_frame
from search.report.findings.recipes import OTHER_BEST, recipes
from search.report.page.page import render
from search.report.summary_json import summary
from search.report.view.data import StudyView, study_view
from search.report.view.strata import divided, others


def write_report(directory: Path, view: StudyView, config: Mapping[str, Any]) -> Path:
    """Write the report of a study into `directory` and return the path of `report.html`.

    Each file is replaced as a whole, so a reader never sees half of one. `best.yaml` is written where a
    trial reached the target, `best_without_lookup.yaml` where that one is lookup-like and another is not. A
    `best_without_lookup.yaml` of an earlier report is removed where it no longer holds.
    """
    folder = folder_in_commands(directory.resolve(), config)
    contents = {
        "summary.json": json.dumps(summary(view), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
        "trials.csv": trials_frame(view).to_csv(index=False, lineterminator="\n"),
        "report.html": render(view, config, folder),
    }
    contents |= {recipe.file: recipe.content for recipe in recipes(view, config, folder)}
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(directory / name, content)
    if OTHER_BEST not in contents:
        (directory / OTHER_BEST).unlink(missing_ok=True)
    return directory / "report.html"


def write_reports(
    directory: Path,
    records: Sequence[Record],
    config: Mapping[str, Any],
    prior: Sequence[PriorStudy] = (),
    first: Stratum | None = None,
) -> tuple[Path, StudyView]:
    """Write the report of a study, and below it one for each further kind of device that worked on it.
    Returns the path and the view of the main one: of `first`, or of the kind with the most runs. Raises
    ReportError where records cannot share a front."""
    strata = divided(records, config, first)
    written = []
    for one in strata:
        view = study_view(one.records, config, prior, others(strata, one))
        written.append((write_report(directory / one.folder, view, config), view))
    return written[0]


def folder_in_commands(folder: Path, config: Mapping[str, Any]) -> str:
    """A study's folder as commands name it: from the repository, or in full where it was sent elsewhere."""
    return f"reports/{folder.name}" if config.get("reports") is None else str(folder)
