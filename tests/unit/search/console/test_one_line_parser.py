"""A mistake among a program's options takes one line."""

import pytest

from search.console.one_line_parser import OneLineParser


def test_a_mistake_is_one_line_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        OneLineParser(prog="program", example="program 3").parse_args(["--chek"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said == "program: unrecognized arguments: --chek; for example: program 3\n"
