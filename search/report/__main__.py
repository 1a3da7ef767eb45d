"""`python -m search.report reports/demo`: draw the report of a study again from its records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from search.console import terminal
from search.console.leaving import end_with
from search.console.one_line_parser import OneLineParser
from search.errors import UserError
from search.files.prior import kept_prior
from search.files.records import read_records
from search.files.study_config import read_config
from search.report.console import front_table
from search.report.findings.advice import what_next
from search.report.findings.cost import cost_line
from search.report.findings.verdict import verdict_lines
from search.report.view.mixed import ReportError
from search.report.write import write_reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one line on stderr where there is nothing that can be drawn."""
    asked = _parser().parse_args(arguments)
    folder: Path = asked.folder
    try:
        if asked.storage is not None:
            from search.study.fetch import fetch  # which needs a database's driver

            fetch(asked.storage, folder, lambda line: print(line, file=sys.stderr))
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: expected the report folder of a study")
        records_path = folder / "records.jsonl"
        if not records_path.is_file():
            raise FileNotFoundError(f"no records.jsonl in {folder}: expected the report folder of a study")
        records, _ = read_records(records_path)
        config = read_config(folder / "config.yaml")
        page, view = write_reports(folder, records, config, tuple(kept_prior(folder).values()))
    except (UserError, ReportError, OSError) as error:
        print(f"python -m search.report: {error}", file=sys.stderr)
        return 2
    console = terminal.console()
    console.print(front_table(view))
    for line in verdict_lines(view):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(cost_line(view), markup=False, highlight=False)
    if line := what_next(view, str(folder)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(
        example="python -m search.report reports/demo",
        prog="python -m search.report",
        description="Draw the report of a study again from its records: "
        "report.html, summary.json, trials.csv, best.yaml and best_without_lookup.yaml are replaced, nothing "
        "else is touched.",
    )
    parser.add_argument("folder", type=Path, help="a study's report folder, the one with records.jsonl in it")
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="the database of a study that several machines share: what the folder lacks is brought first",
    )
    return parser


if __name__ == "__main__":
    end_with(main)
