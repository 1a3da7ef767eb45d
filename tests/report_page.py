"""A report's page, read by its elements; and the short ways to a view and to a page of records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from records_factory import Truth, confirmed_config, make_confirmed_study, study_config

from search.record.record import Record
from search.report.view.data import StudyView, study_view
from search.report.write import write_report

# A name that would run as a script if a page took it for markup.
ATTACK = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """Elements with their attributes and the text in them, scripts and styles apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self._open or self._open[-1] != "style":
            self.words.append(data)

    def with_id(self, name: str) -> list[str]:
        return [tag for tag, attributes in self.elements if attributes.get("id") == name]

    def figures(self) -> dict[str, Any]:
        return {
            str(attributes["id"]): json.loads(text)
            for attributes, text in self.scripts
            if attributes.get("type") == "application/json"
        }


def view_of(*records: Record, names: tuple[str, ...] = ()) -> StudyView:
    """`names` are the objectives."""
    return study_view(records, study_config(*names))


def confirmed_view(
    verdict: str = "SAVES",
    most: int | None = None,
    truths: Mapping[int, Truth] | None = None,
    **confirm: Any,
) -> StudyView:
    """Of a study whose confirmation ends in this verdict; see `make_confirmed_study`."""
    records = make_confirmed_study(verdict, most=most, truths=truths, **confirm)
    return study_view(records, confirmed_config(**confirm))


def report_of(folder: Path, records: Sequence[Record], config: Mapping[str, Any] | None = None) -> Path:
    """The report of these records, written into a folder: the path of its page."""
    composed = study_config() if config is None else config
    return write_report(folder, study_view(records, composed), composed)


def page_of(tmp_path: Path, *records: Record) -> Page:
    return Page(report_of(tmp_path / "demo", records).read_text())
