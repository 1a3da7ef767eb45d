"""The table of all runs on paper, which has no room for its columns: each run is a block of named values."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from search.report.findings.runs_table import Column


def print_names(columns: Sequence[Column]) -> Markup:
    """Style rules that put the name of its column before each value of a run, on paper.

    Every character of a name but letters and digits is escaped, so that none can end the text or the sheet.
    """
    headings = ["trial", "", "", *(column.heading for column in columns)]
    rules = [
        f'#runs tbody tr > :nth-child({place})::before {{ content: "{_css_text(heading)} "; }}'
        for place, heading in enumerate(headings, start=1)
        if heading
    ]
    return Markup("@media print {\n" + "\n".join(rules) + "\n}\n")


def _css_text(text: str) -> str:
    plain = (character if character.isascii() and character.isalnum() else None for character in text)
    return "".join(known or f"\\{ord(character):x} " for known, character in zip(plain, text, strict=True))
