"""`report.html` as one self-contained text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.report.figures.drawings import drawings, meters_name
from search.report.figures.panels import responsive
from search.report.findings.study_findings import study_findings
from search.report.page.paper import print_names
from search.report.view.data import StudyView
from search.report.view.importance import parameter_importance


def render(view: StudyView, config: Mapping[str, Any], folder: str) -> str:
    """The page as one self-contained HTML text. `folder` is the study's, as commands name it.

    Its content security policy allows no request, and of scripts only the two that are written here.
    """
    plotly_js, page_js = get_plotlyjs(), _asset("page.js")
    importance = parameter_importance(view)
    findings = study_findings(view, importance, config, folder)
    drawn = drawings(view, importance)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            findings=findings,
            drawings=drawn,
            figures={name: embedded(responsive(drawing.figure)) for name, drawing in drawn.items()},
            meters_name=meters_name,
            plotly_js=Markup(plotly_js),
            page_js=Markup(page_js),
            page_css=Markup(_asset("page.css")),
            print_names=print_names(findings.runs.columns),
            script_hashes=[_csp_hash(plotly_js), _csp_hash(page_js)],
        )
    )


def _environment() -> Environment:
    """Templates lie beside this file, one a section, and escape what they print."""
    return Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _asset(name: str) -> str:
    return files("search.report.page").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def embedded(figure: go.Figure) -> Markup:
    """JSON without `<`, `>` and `&`, so that no text in it can end the script element around it."""
    text = json.dumps(json.loads(figure.to_json()), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
