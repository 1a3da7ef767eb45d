from __future__ import annotations

from search.report.view.values import brief_names, redacted


def test_only_passwords_are_masked_in_text() -> None:
    text = "postgresql://me:secret@host/db, http://host:8080/a@b, ratio 1:2"
    assert redacted(text) == "postgresql://me:***@host/db, http://host:8080/a@b, ratio 1:2"


def test_names_of_parameters_are_brief_but_never_the_same() -> None:
    assert brief_names(["optimizer.name", "optimizer.lr", "head.lr", "model.n_layer"]) == {
        "optimizer.name": "optimizer.name",
        "optimizer.lr": "optimizer.lr",
        "head.lr": "head.lr",
        "model.n_layer": "n_layer",
    }
