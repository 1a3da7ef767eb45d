from __future__ import annotations

from dataclasses import replace

from records_factory import BASELINE, CHEAP, make_lookup_study, make_record, study_config
from report_page import view_of

from search.report.findings.runs_table import runs_table
from search.report.view.data import study_view


def test_the_runs_table_marks_what_joins_the_front_without_lookup_like_runs() -> None:
    rows = runs_table(study_view(make_lookup_study(), study_config())).rows
    assert {row.trial: row.mark for row in rows if row.mark not in ("", "killed")} == {
        17: "best", 16: "front", 12: "front",
        7: "front without lookup-like", 10: "front without lookup-like",
    }  # fmt: skip


def test_a_replicate_says_whose_it_is() -> None:
    again = replace(make_record(3, energy_j=30.0), config=CHEAP.config)
    rows = runs_table(view_of(BASELINE, CHEAP, make_record(2, energy_j=9.0), again)).rows
    assert {row.trial: row.mark for row in rows}[3] == f"trial {CHEAP.trial} again"
