from __future__ import annotations

import dataclasses

from records_factory import (
    PROVENANCE,
    make_record,
)
from report_page import view_of

from search.report.findings.notes import notes

BASELINE = make_record(0, energy_j=60.0, time_s=20.0)


CHEAP = make_record(1, energy_j=12.0, time_s=5.0)


def test_runs_on_different_hardware_are_noted_by_what_differs() -> None:
    moved = PROVENANCE | {"hardware": PROVENANCE["hardware"] | {"cpu": "EPYC 9754"}}
    found = notes(view_of(BASELINE, dataclasses.replace(CHEAP, provenance=moved)))
    assert found == ("The runs do not share one hardware; these differ: cpu.",)


def test_uncommitted_code_is_noted() -> None:
    dirty = PROVENANCE | {"code": PROVENANCE["code"] | {"git_dirty": True}}
    assert any("uncommitted" in note for note in notes(view_of(dataclasses.replace(CHEAP, provenance=dirty))))
