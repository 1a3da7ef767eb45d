"""What a study found, for people (`report.html`), for scripts (`summary.json`) and for the terminal.

Each folder imports only those above it in this list:

- `view`: what the records say, as values: baseline, fronts, costs, meters side by side
- `findings`: the view in words: headline, caveats, notes, advice, the texts of every table
- `figures`: one file a figure: what it shows, then the drawing
- `page`: `report.html`, which prints findings and figures

`summary_json` and `csv_columns` tell scripts what the view holds, `schema` writes down what they may rely on,
`console` draws the front on a terminal, `write` writes the files.
"""

from search.report.console import front_table
from search.report.csv_columns import trials_frame
from search.report.findings.advice import what_next
from search.report.findings.cost import cost_line
from search.report.findings.verdict import verdict_lines
from search.report.summary_json import summary
from search.report.view.data import StudyView, study_view
from search.report.view.mixed import ReportError
from search.report.write import write_report, write_reports

__all__ = [
    "ReportError",
    "StudyView",
    "cost_line",
    "front_table",
    "study_view",
    "summary",
    "trials_frame",
    "verdict_lines",
    "what_next",
    "write_report",
    "write_reports",
]
