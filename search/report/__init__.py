"""What a study found, for people (`report.html`), for scripts (`summary.json`) and for the terminal.

Values first, then drawings: `study_view` makes of the records everything that is said; the rest only says it.

- `data`, `cost`, `meters`: records -> `StudyView`             core
- `origin`: device, versions and dates of the records          core
- `summary_json`: `StudyView` -> `summary`                     core
- `csv_columns`: `StudyView` -> the rows of `trials.csv`       core
- `schema`: what scripts may rely on, written from these two   shell
- `importance`: which parameters mattered                      core
- `values`: nested values, flat and compared                   core
- `words`, `headline`, `style`: numbers, sentences, looks      core
- `pareto`, `pareto_figure`, `curves`, `figures`, `meters_figure`, `temperature`, `table`: infos, figures and
  rows                                                         core
- `raw_runs`: the runs by each parameter, where there are too few for importance    core
- `panels`: how a figure fits its screen                       core
- `page`, `paper`: the files, and what differs on paper       shell
- `console`: tables for the terminal                           core
"""

from search.report.console import cost_line, front_table
from search.report.cost import Accounting, SearchCost
from search.report.data import Problem, ReportError, StudyView, study_view
from search.report.importance import Importance, parameter_importance
from search.report.page import render, write_report
from search.report.summary_json import summary
from search.report.table import trials_frame

__all__ = [
    "Accounting",
    "Importance",
    "Problem",
    "ReportError",
    "SearchCost",
    "StudyView",
    "cost_line",
    "front_table",
    "parameter_importance",
    "render",
    "study_view",
    "summary",
    "trials_frame",
    "write_report",
]
