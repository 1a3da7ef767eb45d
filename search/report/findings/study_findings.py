"""All that a report says of a study, section by section, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.report.findings.ablation import AblationFindings, ablation_findings
from search.report.findings.cost import Accountings, Tile, accountings, cost_tiles
from search.report.findings.flags import FlagRow, flags
from search.report.findings.front import Front, error_note, front
from search.report.findings.glossary import glossary
from search.report.findings.importance import importance_words
from search.report.findings.inference import InferenceFindings, inference_findings
from search.report.findings.meters import measured_hint
from search.report.findings.opening import Opening, opening
from search.report.findings.provenance import Part, provenance_parts
from search.report.findings.recipes import Recipe, recipes
from search.report.findings.runs_table import RunsTable, runs_table
from search.report.findings.side_by_side import MetersBeside, meters_beside
from search.report.findings.verdict_section import VerdictFindings, verdict_findings
from search.report.view.data import StudyView
from search.report.view.importance import Importance
from search.report.view.varied import Varied, varied


@dataclass(frozen=True)
class StudyFindings:
    """`kind` is what every joule of the study is, `kind_title` the same as a sentence; empty where no run has
    finished. `verdict` is None where nothing was run to confirm the best."""

    kind: str
    kind_title: str
    opening: Opening
    verdict: VerdictFindings | None
    front: Front
    ablation: AblationFindings | None
    cost: tuple[Tile, ...]
    accountings: Accountings
    inference: InferenceFindings
    meters: MetersBeside
    importance: str
    varied: tuple[Varied, ...]
    recipes: tuple[Recipe, ...]
    runs: RunsTable
    runs_note: str
    flags: tuple[FlagRow, ...]
    measured_hint: str
    provenance: tuple[Part, ...]
    glossary: tuple[tuple[str, str], ...]


def study_findings(
    view: StudyView, importance: Importance, config: Mapping[str, Any], folder: str
) -> StudyFindings:
    """`folder` is the study's, as commands name it."""
    meter = view.meter
    return StudyFindings(
        kind="" if meter is None else meter.kind.value,
        kind_title="" if meter is None else f"Every joule here is {meter.kind.value} by {meter.name}",
        opening=opening(view, config, folder),
        verdict=verdict_findings(view),
        front=front(view),
        ablation=ablation_findings(view),
        cost=cost_tiles(view),
        accountings=accountings(view),
        inference=inference_findings(view),
        meters=meters_beside(view),
        importance=importance_words(importance),
        varied=varied(view),
        recipes=recipes(view, config, folder),
        runs=runs_table(view),
        runs_note=_RUNS_NOTE + error_note(view),
        flags=flags(view),
        measured_hint=measured_hint(view),
        provenance=provenance_parts(view),
        glossary=glossary(view),
    )


_RUNS_NOTE = (
    "≥: the target was not reached, and this much had been spent. The exact values, with every phase and "
    "parameter, are in trials.csv beside this file."
)
