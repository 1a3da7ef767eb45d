import ast
import errno
import io
import sys

import pytest
from conftest import run
from rich.table import Table

from search.console.terminal import console, plain
from search.errors import Stopped, refusal
from search.files.paths import root

SOURCES = [path for package in ("search", "model") for path in sorted((root() / package).rglob("*.py"))]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("3.1 ± 0.2 J ≥ 5 × 2", "3.1 +- 0.2 J >= 5 x 2"),
        ("größe", "grosse".replace("ss", "?")),
        ("naïve – café…", "naive - cafe..."),
        ("日本", "??"),
        ("\udcc3", "?"),
        ("plain", "plain"),
    ],
)
def test_every_text_has_a_form_in_plain_letters(text: str, letters: str) -> None:
    assert plain(text) == letters
    assert plain(text).isascii()


def test_a_file_that_the_machine_refuses_is_named_and_other_errors_are_bugs() -> None:
    assert refusal(OSError(errno.EACCES, "Permission denied", "/x/y")) == "Permission denied: /x/y"
    assert refusal(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert refusal(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_what_stops_a_program_is_no_error_of_a_run() -> None:
    assert not issubclass(Stopped, Exception)


def test_texts_are_read_and_written_as_utf8_whatever_the_locale() -> None:
    calls = [
        (path, node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    lax = [
        f"{path}, line {node.lineno}"
        for path, node in calls
        if node.func.attr in ("read_text", "write_text")
        and "encoding" not in {kw.arg for kw in node.keywords}
    ]
    assert lax == []


def test_io_knows_the_handler_that_replaces_what_a_terminal_lacks() -> None:
    from search.console import terminal

    terminal.register()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="plain")
    stream.write("± 1")
    stream.flush()
    assert stream.detach().getvalue() == b"+- 1"


def test_a_pipe_is_as_wide_as_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("path", "values")
    table.add_row("schedule.cooldown_fraction", ", ".join(map(str, range(200))))
    console().print(table)
    out = capsys.readouterr().out
    assert "schedule.cooldown_fraction" in out
    assert ", ".join(map(str, range(200))) in out


def test_columns_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert console().width == 90


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"COLUMNS": "80"}], ids=["piped", "80 columns"])
def test_no_name_in_the_listing_of_a_space_is_cut(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    done = run([sys.executable, "-m", "search.space", "+study=demo", "device=cpu"], **environment)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    if not environment:
        assert "schedule.cooldown_fraction" in done.stdout
