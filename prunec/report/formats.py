"""Diagnostics for people and machines: text, JSON, SARIF 2.1.0, GitHub's workflow commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, assert_never

from prunec.diagnostics import Diagnostic, Severity, Span, render


class Format(StrEnum):
    """How diagnostics are written."""

    text = "text"
    json = "json"
    sarif = "sarif"
    github = "github"


def write(diagnostics: Sequence[Diagnostic], form: Format, version: str) -> str:
    """The diagnostics in a format, without a final newline; ``version`` is that of prunec."""
    match form:
        case Format.text:
            return "\n\n".join(map(render, diagnostics))
        case Format.json:
            return _dump({"diagnostics": [d.as_dict() for d in diagnostics]})
        case Format.sarif:
            return _dump(_sarif(diagnostics, version))
        case Format.github:
            return "\n".join(map(_github, diagnostics))
        case _:
            assert_never(form)


def _sarif(diagnostics: Sequence[Diagnostic], version: str) -> dict[str, object]:
    rules = [{"id": code} for code in sorted({d.code for d in diagnostics})]
    driver = {"name": "prunec", "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_result(d) for d in diagnostics]}],
    }


def _result(diagnostic: Diagnostic) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "level": diagnostic.severity,
        "message": {"text": _message(diagnostic)},
    }
    if diagnostic.span is not None:
        result["locations"] = [_location(diagnostic.span)]
    if diagnostic.also:
        result["relatedLocations"] = [
            {**_location(place.span), "message": {"text": place.label}} for place in diagnostic.also
        ]
    return result


def _location(span: Span) -> dict[str, Any]:
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    return {"physicalLocation": {"artifactLocation": {"uri": span.source.name}, "region": region}}


LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}


def _github(diagnostic: Diagnostic) -> str:
    properties = {"title": diagnostic.code}
    span = diagnostic.span
    if span is not None:
        properties |= {
            "file": span.source.name,
            "line": str(span.line),
            "col": str(span.column),
            "endLine": str(span.end_line),
            "endColumn": str(span.end_column),
        }
    shown = ",".join(f"{k}={_escape(v, ':,')}" for k, v in properties.items())
    return f"::{LEVELS[diagnostic.severity]} {shown}::{_escape(_message(diagnostic))}"


def _message(diagnostic: Diagnostic) -> str:
    """All that the text form says, but for the excerpt."""
    label = f" ({diagnostic.label})" if diagnostic.label else ""
    also = (f"{p.span.source.name}:{p.span.line}: {p.label}" for p in diagnostic.also)
    lines = [diagnostic.message + label, *also, *(f"note: {n}" for n in diagnostic.notes)]
    return "\n".join([*lines, f"help: {diagnostic.help}"] if diagnostic.help else lines)


def _escape(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
