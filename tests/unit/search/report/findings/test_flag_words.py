from __future__ import annotations

import pytest

from search.record.flags import Flag
from search.report.findings.flags import flag_words


@pytest.mark.parametrize("name", Flag)
def test_every_flag_has_words(name: Flag) -> None:
    text = flag_words(name)
    assert text != name
    assert "_" not in text
    assert not text.endswith(".")


def test_an_unknown_flag_is_shown_by_its_name() -> None:
    assert flag_words("something_new") == "something_new"
