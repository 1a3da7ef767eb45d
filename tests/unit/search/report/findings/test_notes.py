from __future__ import annotations

import dataclasses

from records_factory import (
    BASELINE,
    CHEAP,
    PROVENANCE,
)
from report_page import view_of

from search.report.findings.notes import notes


def test_runs_on_different_hardware_are_noted_by_what_differs() -> None:
    moved = PROVENANCE | {"hardware": PROVENANCE["hardware"] | {"cpu": "EPYC 9754"}}
    found = notes(view_of(BASELINE, dataclasses.replace(CHEAP, provenance=moved)))
    assert found == ("The runs do not share one hardware; these differ: cpu.",)


def test_uncommitted_code_is_noted() -> None:
    dirty = PROVENANCE | {"code": PROVENANCE["code"] | {"git_dirty": True}}
    assert any("uncommitted" in note for note in notes(view_of(dataclasses.replace(CHEAP, provenance=dirty))))
