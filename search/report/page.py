"""`report.html`, `summary.json`, `trials.csv`, `best.yaml`: the files that a study leaves for people."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.console.plural import counted
from search.files.whole_file import write_atomically
from search.record.record import CountedPhases, Kind, Outcome, Record
from search.report import words
from search.report.curves import curves_figure, curves_info
from search.report.data import StudyView, study_view
from search.report.figures import (
    importance_figure,
    outcomes_figure,
    outcomes_info,
    phases_figure,
    phases_info,
)
from search.report.headline import headline, what_it_is
from search.report.importance import Importance, parameter_importance
from search.report.meters_figure import meters_figure, meters_info
from search.report.origin import origin, origin_words, provenance
from search.report.panels import responsive
from search.report.paper import print_names
from search.report.pareto import pareto_caption, pareto_info
from search.report.pareto_figure import pareto_figure
from search.report.raw_runs import raw_runs_caption, raw_runs_figure, raw_runs_info
from search.report.summary_json import summary
from search.report.table import runs_table, trials_frame
from search.report.temperature import MIN_RUNS, temperature_figure, temperature_info, temperature_note
from search.report.values import brief_names, differing_params, flat, plain_value
from search.report.varied import varied

_LISTED = 5  # of the worst disagreements
_OTHER_BEST = "best_without_lookup.yaml"


def write_report(directory: Path, records: Sequence[Record], config: Mapping[str, Any]) -> Path:
    """Write the report of a study into `directory` and return the path of `report.html`.

    Each file is replaced as a whole, so a reader never sees half of one. `best.yaml` is written where a
    trial reached the target, `best_without_lookup.yaml` where that one is lookup-like and another is not; one
    of before is removed where it no longer holds. Raises ReportError, before anything is written, where the
    records cannot share a front.
    """
    view = study_view(records, config)
    contents = {
        "summary.json": json.dumps(summary(view), indent=2, allow_nan=False, ensure_ascii=False) + "\n",
        "trials.csv": trials_frame(view).to_csv(index=False, lineterminator="\n"),
        "report.html": render(view, config, _place(directory.resolve(), config)),
    }
    contents |= {
        name: f"# {words.redacted(what_it_is(view, record))}\n{best_yaml(record, config)}"
        for name, record in _recipes(view).items()
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(directory / name, content)
    if _OTHER_BEST not in contents:
        (directory / _OTHER_BEST).unlink(missing_ok=True)
    return directory / "report.html"


def _place(folder: Path, config: Mapping[str, Any]) -> str:
    """A study's folder as commands name it: from the repository, or in full where it was sent elsewhere."""
    return f"reports/{folder.name}" if config.get("reports") is None else str(folder)


def _recipes(view: StudyView) -> dict[str, Record]:
    """File -> the run whose configuration it holds."""
    other = None if view.best_without_lookup is view.best else view.best_without_lookup
    best = {"best.yaml": view.best, _OTHER_BEST: other}
    return {name: record for name, record in best.items() if record is not None}


def best_yaml(record: Record, config: Mapping[str, Any]) -> str:
    """One run's configuration with the study's target, data, device and meter, as `recipe=` reads it.

    Passwords in URLs are masked.
    """
    recipe = dict(record.config) | {"target_loss": record.target_loss}
    recipe |= {part: config[part] for part in ("data", "meter") if part in config}
    device = config.get("device")
    if isinstance(device, Mapping):
        recipe["device"] = {key: device[key] for key in ("name", "threads") if key in device}
    return words.redacted(yaml.safe_dump(plain_value(recipe), sort_keys=False, allow_unicode=True))


def render(view: StudyView, config: Mapping[str, Any], folder: str) -> str:
    """The page as one self-contained HTML text. `folder` is the study's, as commands name it.

    Its content security policy allows no request, and of scripts only the two that are written here.
    """
    plotly_js, page_js = get_plotlyjs(), _asset("page.js")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": words.number,
        "ratio": words.ratio,
        "nats": words.nats,
        "joules": lambda value: words.quantity(value, "J"),
        "seconds": lambda value: words.quantity(value, "s"),
        "watts": lambda value: words.quantity(value, "W"),
        "duration": words.duration,
    }
    environment.filters |= {"redacted": words.redacted, "label": words.label, "counted": counted}
    template = environment.from_string(_asset("page.html.j2"))
    return template.render(
        _context(view, config, folder),
        words=words,
        plotly_js=Markup(plotly_js),
        page_js=Markup(page_js),
        page_css=Markup(_asset("page.css")),
        script_hashes=[_csp_hash(plotly_js), _csp_hash(page_js)],
    )


def _asset(name: str) -> str:
    return files("search.report").joinpath(name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _context(view: StudyView, config: Mapping[str, Any], folder: str) -> dict[str, Any]:
    columns, rows = runs_table(view)
    importance = parameter_importance(view)
    return {
        "view": view,
        "headline": headline(view, f"{folder}/best.yaml"),
        "kind": None if view.meter is None else view.meter.kind.value,
        "figures": _figures(view, importance),
        "importance": importance,
        "raw_runs_caption": raw_runs_caption(raw_runs_info(view)),
        "pareto_caption": pareto_caption(pareto_info(view)),
        "varied": varied(view),
        "front_rows": _front_rows(view),
        "policies": list(CountedPhases),
        "columns": columns,
        "print_names": print_names(columns),
        "rows": rows,
        "recipes": [
            {
                "id": name.removesuffix(".yaml").replace("_", "-"),
                "name": words.marked_name(view, record),
                "command": f"python -m search.train {shlex.quote(f'recipe={folder}/{name}')} seed=7",
                "yaml": best_yaml(record, config),
            }
            for name, record in _recipes(view).items()
        ],
        "provenance": _provenance(view),
        "description": _description(config),
        "origin": origin_words(origin(view)),
        "bytes_per_token": origin(view).bytes_per_token,
        "meter_warning": words.meter_warning(view),
        "measured_hint": words.measured_hint(view),
        "temperature": temperature_info(view),
        "temperature_note": temperature_note(temperature_info(view)),
        "comparisons": _comparisons(view),
        "shows_error": any(map(_has_visible_error, view.records)),
        "flags": _flags(view),
        "outcomes": list(Outcome),
        "kinds": list(Kind),
    }


def _description(config: Mapping[str, Any]) -> str:
    """What the study is, in its author's words; empty where there are none."""
    study = config.get("study")
    text = study.get("description") if isinstance(study, Mapping) else None
    return words.redacted(text) if isinstance(text, str) else ""


def _figures(view: StudyView, importance: Importance) -> dict[str, Markup]:
    """Each figure that has something in it, as JSON that can stand in a script element."""
    drawn: dict[str, go.Figure] = {}
    if (pareto := pareto_info(view)).has_marks:
        drawn["pareto"] = pareto_figure(pareto)
    if (curves := curves_info(view)).curves:
        drawn["curves"] = curves_figure(curves)
    if (phases := phases_info(view)).names:
        drawn["phases"] = phases_figure(phases)
    if (outcomes := outcomes_info(view)).runs:
        drawn["outcomes"] = outcomes_figure(outcomes)
    if importance.shares:
        drawn["importance"] = importance_figure(importance)
    elif (raw := raw_runs_info(view)).worth_drawing:
        drawn["raw-runs"] = raw_runs_figure(raw)
    if (temperature := temperature_info(view)).runs >= MIN_RUNS:
        drawn["temperature"] = temperature_figure(temperature)
    for index, comparison in enumerate(view.meters.comparisons):
        if (meters := meters_info(view, comparison)) is not None:
            drawn[f"meters-{index}"] = meters_figure(meters)
    return {name: embedded(responsive(figure)) for name, figure in drawn.items()}


def embedded(figure: go.Figure) -> Markup:
    """JSON without `<`, `>` and `&`, so that no text in it can end the script element around it."""
    text = json.dumps(json.loads(figure.to_json()), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _front_rows(view: StudyView) -> list[dict[str, Any]]:
    """A row `joins` where it is on the front only without lookup-like runs."""
    names = brief_names(differing_params([view.params(record) for record in view.shown]))
    return [
        {
            "record": record,
            "name": words.name_of(view, record),
            "joins": record is not view.baseline and not any(record is other for other in view.front),
            "reached": any(record is other for other in view.feasible),
            "params": [
                (path, names[path], words.parameter(value))
                for path, value in flat(view.params(record)).items()
                if path in names
            ],
        }
        for record in view.shown
    ]


def _comparisons(view: StudyView) -> list[dict[str, Any]]:
    """Each with the name of its figure and its worst disagreements as sentences."""
    return [
        {
            "comparison": comparison,
            "figure": f"meters-{index}",
            "residuals": [
                words.residual_words(comparison, residual)
                for residual in comparison.agreement.residuals[:_LISTED]
            ],
            "swaps": [words.swap_words(comparison, swap) for swap in comparison.agreement.swaps[:_LISTED]],
        }
        for index, comparison in enumerate(view.meters.comparisons)
    ]


def _has_visible_error(record: Record) -> bool:
    value = record.values.get("energy_to_target_j")
    return (
        value is not None
        and words.visible_error_j("energy_to_target_j", value, record.energy_error_j) is not None
    )


def _flags(view: StudyView) -> list[tuple[str, int]]:
    """Flags that occurred and of how many runs, the most frequent first."""
    return Counter(flag for record in view.records for flag in record.flags).most_common()


def _provenance(view: StudyView) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of (name, value): the meter, then the provenance of the baseline, or the first known."""
    if view.meter is None:
        return []
    meter = {
        "name": view.meter.name,
        "kind": view.meter.kind.value,
        "counted phases": ", ".join(view.meter.counted_phases.phases),
        "chosen because": view.meter.chosen_because,
        **_meter_settings(view.meter.settings),
    }
    sides = {side.meter: side for record in reversed(view.records) for side in record.also}
    found = origin(view)
    beside = {
        f"meter beside it: {name}": {"kind": side.kind.value, **_meter_settings(side.settings)}
        for name, side in sides.items()
    }
    parts: dict[str, Any] = {"meter": meter, **beside, **provenance(view)}
    if found.first_started is not None:
        parts["runs"] = {"first started": found.first_started, "last ended": found.last_ended}
    return [
        (
            name,
            [(path, _provenance_text(value)) for path, value in _flat_part(part).items()],
        )
        for name, part in parts.items()
    ]


def _provenance_text(value: Any) -> str:
    """Losses and rates as people read them; `records.jsonl` has every digit."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return words.redacted("none" if value is None else str(value))


def _meter_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As they are, but for the gain error, which needs a word on what it does."""
    if "gain_error" not in settings:
        return dict(settings)
    shown = {key: value for key, value in settings.items() if key != "gain_error"}
    gain = settings["gain_error"]
    size = "unknown" if gain is None else f"± {words.number(100 * float(gain), 2)} %"
    meaning = (
        "one constant factor on every joule of this meter; ratios of runs on the same device are free of it"
    )
    return shown | {"gain error": f"{size}: {meaning}"}


def _flat_part(part: Any) -> dict[str, Any]:
    return flat(part) if isinstance(part, Mapping) else {"": part}
