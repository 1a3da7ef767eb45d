"""What scripts may rely on, written from the code: `python -m search.report.schema docs` writes the JSON
schema of `summary.json` and the dictionary of the columns of `trials.csv`.

`docs/summary-1.schema.json` is that of files that version 0.1.0 wrote, and is not written any more."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from search.files.whole_file import write_atomically
from search.report.csv_columns import dictionary
from search.report.summary_json import Summary

SUMMARY_SCHEMA = "summary.schema.json"
CSV_DICTIONARY = "trials-csv.md"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def summary_schema(*, closed: bool = False) -> dict[str, Any]:
    """The JSON schema of `summary.json`. `closed` refuses fields that it does not name; later versions may
    have such."""
    definitions: dict[str, Any] = {}
    _reference(Summary, definitions, closed)
    whole = definitions.pop(Summary.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "summary.json of joulesearch, schema 2",
        **whole,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _reference(kind: Any, definitions: dict[str, Any], closed: bool) -> dict[str, Any]:
    """A reference to the definition of a class with fields, which is added where it is not there yet."""
    name: str = kind.__name__
    if name not in definitions:
        definitions[name] = {}
        hints = get_type_hints(kind, include_extras=True)
        fields = [item.name for item in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else hints
        optional = [field for field in fields if get_origin(hints[field]) is NotRequired]
        definitions[name] = {
            "description": " ".join((kind.__doc__ or "").split("\n\n")[0].split()),
            "type": "object",
            "properties": {field: _schema(hints[field], definitions, closed) for field in fields},
            "required": [field for field in fields if field not in optional],
            **({"additionalProperties": False} if closed else {}),
        }
    return {"$ref": f"#/$defs/{name}"}


def _schema(kind: Any, definitions: dict[str, Any], closed: bool) -> dict[str, Any]:
    """The schema of a type: of those that the summary is made of."""
    shape, arguments = get_origin(kind), get_args(kind)
    if shape is Annotated:
        text = next(item for item in arguments[1:] if isinstance(item, str))
        return {"description": text, **_schema(arguments[0], definitions, closed)}
    if shape is Literal:
        return {"const": arguments[0]}
    if shape is NotRequired:
        return _schema(arguments[0], definitions, closed)
    if shape in (Union, types.UnionType):
        return _union([_schema(argument, definitions, closed) for argument in arguments])
    if shape in (list, tuple):
        return {"type": "array", "items": _schema(arguments[0], definitions, closed)}
    if shape in (dict, Mapping):
        names = {} if arguments[0] is str else {"propertyNames": _schema(arguments[0], definitions, closed)}
        return {
            "type": "object",
            **names,
            "additionalProperties": _schema(arguments[1], definitions, closed),
        }
    if kind is Any:
        return {}
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return _reference(kind, definitions, closed)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return {"type": _PLAIN[kind]}


def _union(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """One `type` or `enum` where that says it."""
    if all(list(choice) == ["type"] for choice in choices):
        return {"type": [choice["type"] for choice in choices]}
    values = [[None] if choice == {"type": "null"} else choice.get("enum") for choice in choices]
    if all(values):
        return {"enum": [value for some in values for value in some or ()]}
    return {"anyOf": choices}


def documents() -> dict[str, str]:
    """File -> its text."""
    return {
        SUMMARY_SCHEMA: json.dumps(summary_schema(), indent=2, ensure_ascii=False) + "\n",
        CSV_DICTIONARY: dictionary(),
    }


def main(arguments: list[str]) -> int:
    """Write both files into the folder that is named."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print(
            "python -m search.report.schema: type the folder to write to, for example docs", file=sys.stderr
        )
        return 2
    for name, text in documents().items():
        write_atomically(Path(arguments[0]) / name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
