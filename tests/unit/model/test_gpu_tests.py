"""Every row that runs on a GPU has a test that runs it there. What pytest collects tells, without a GPU."""

from pathlib import Path

import pytest

from model.tables import TABLES

# Numbers of a step, which Python computes on every device.
NO_TENSORS = {"schedule.name"}


def collected_rows(items):
    """(path, row) of every test that `parity.on_gpu` made and nobody switched off."""
    run = [item for item in items if item.get_closest_marker("skip") is None]
    marks = [(item, mark) for item in run for mark in item.iter_markers("gpu") if "table" in mark.kwargs]
    return {(mark.kwargs["table"], item.callspec.params["row"]) for item, mark in marks}


def untested(tables, items):
    of_tensors = {path: table for path, table in tables.items() if path not in NO_TENSORS}
    on_a_gpu = {
        (path, name)
        for path, table in of_tensors.items()
        for name, row in table.items()
        if "cuda" in row.devices
    }
    return sorted(on_a_gpu - collected_rows(items))


@pytest.fixture(scope="module")
def items(request):
    """What pytest collects of the files that ask for a GPU."""
    files = [path for path in Path(__file__).parent.rglob("test_*.py") if "@on_gpu(" in path.read_text()]
    files.remove(Path(__file__))
    modules = [pytest.Module.from_parent(request.session, path=path) for path in sorted(files)]
    return [item for module in modules for item in request.session.genitems(module)]


def test_every_row_that_runs_on_a_gpu_has_a_test_that_runs_it_there(items):
    assert untested(TABLES, items) == []


def test_a_row_that_has_no_such_test_is_found(items):
    more = {
        **TABLES,
        "model.attention": {**TABLES["model.attention"], "new": TABLES["model.norm"]["rmsnorm"]},
    }
    assert untested(more, items) == [("model.attention", "new")]
    fewer = [item for item in items if "fp8" not in item.name]
    assert untested(TABLES, fewer) == [("train.precision", "fp8")]
