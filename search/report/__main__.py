"""`python -m search.report reports/demo`: draw the report of a study again from its records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from search.console import terminal
from search.console.leaving import end_with
from search.console.one_line_parser import OneLineParser
from search.files.records import RecordsError, read_records
from search.report import cost_line, front_table, study_view, summary, write_report
from search.report.advice import what_next
from search.report.data import ReportError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one line on stderr where there is nothing that can be drawn."""
    folder: Path = _parser().parse_args(arguments).folder
    try:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: expected the report folder of a study")
        records_path = folder / "records.jsonl"
        if not records_path.is_file():
            raise FileNotFoundError(f"no records.jsonl in {folder}: expected the report folder of a study")
        records, _ = read_records(records_path)
        config = read_config(folder / "config.yaml")
        page = write_report(folder, records, config)
    except (RecordsError, ReportError, OSError) as error:
        print(f"python -m search.report: {error}", file=sys.stderr)
        return 2
    content = summary(study_view(records, config))
    console = terminal.console()
    console.print(front_table(content))
    console.print(cost_line(content), markup=False, highlight=False)
    if line := what_next(content, str(folder / "best.yaml")):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)
    return 0


def read_config(path: Path) -> dict[str, Any]:
    """A study's `config.yaml`, empty where there is none. Raises ReportError where it is no mapping.

    A group with a reference that only resolves while a study runs is kept as it is written.
    """
    if not path.is_file():
        return {}
    try:
        config = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: expected a YAML mapping, got {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise ReportError(f"{path}: expected a YAML mapping, got a list")
    return {str(key): _group(config, key) for key in config}


def _group(config: DictConfig, key: Any) -> Any:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    try:
        value = config[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return plain[key]


def _parser() -> OneLineParser:
    parser = OneLineParser(
        example="python -m search.report reports/demo",
        prog="python -m search.report",
        description="Draw the report of a study again from its records: "
        "report.html, summary.json, trials.csv, best.yaml and best_without_lookup.yaml are replaced, nothing "
        "else is touched.",
    )
    parser.add_argument("folder", type=Path, help="a study's report folder, the one with records.jsonl in it")
    return parser


if __name__ == "__main__":
    end_with(main)
