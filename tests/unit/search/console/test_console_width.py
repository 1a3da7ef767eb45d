"""What is printed into a pipe has no right edge."""

from __future__ import annotations

import sys

import pytest
from conftest import run
from rich.table import Table

from search.console.terminal import console


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
