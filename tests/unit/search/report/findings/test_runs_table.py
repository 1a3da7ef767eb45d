from __future__ import annotations

from records_factory import (
    make_lookup_study,
    study_config,
)

from search.report.findings.runs_table import runs_table
from search.report.view.data import study_view


def test_the_runs_table_marks_what_joins_the_front_without_lookup_like_runs() -> None:
    rows = runs_table(study_view(make_lookup_study(), study_config())).rows
    assert {row.trial: row.mark for row in rows if row.mark not in ("", "killed")} == {
        17: "best", 16: "front", 12: "front",
        7: "front without lookup-like", 10: "front without lookup-like",
    }  # fmt: skip
