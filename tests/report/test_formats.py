"""Diagnostics in each format say the same."""

from __future__ import annotations

import json

from prunec.diagnostics import Diagnostic, Source, Span
from prunec.report.formats import Format, write

SPAN = Span(Source("a,b:c.prune", "prune 50%\n"), 1, 7, 1, 10)
FOUND = (
    Diagnostic("P0204", "no such\nthing: 50%", span=SPAN, label="here", help="do that"),
    Diagnostic("P0602", "already met", severity="note", notes=("dense: 1K",)),
)


def test_text() -> None:
    assert write(FOUND, Format.text, "1").endswith("note[P0602]: already met\n  = note: dense: 1K")


def test_json() -> None:
    first, second = json.loads(write(FOUND, Format.json, "1"))["diagnostics"]
    assert first["file"] == "a,b:c.prune"
    assert (first["line"], first["column"], first["end_column"]) == (1, 7, 10)
    assert second["file"] is None
    assert second["notes"] == ["dense: 1K"]


def test_sarif() -> None:
    found = json.loads(write(FOUND, Format.sarif, "1.2"))
    run = found["runs"][0]
    assert found["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"] == [{"id": "P0204"}, {"id": "P0602"}]
    assert [r["level"] for r in run["results"]] == ["error", "note"]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 7, "endLine": 1, "endColumn": 10}


def test_github_escapes() -> None:
    first, second = write(FOUND, Format.github, "1").splitlines()
    assert first == (
        "::error title=P0204,file=a%2Cb%3Ac.prune,line=1,col=7,endLine=1,endColumn=10"
        "::no such%0Athing: 50%25 (here)%0Ahelp: do that"
    )
    assert second == "::notice title=P0602::already met%0Anote: dense: 1K"


def test_nothing_to_say() -> None:
    assert write((), Format.text, "1") == ""
    assert write((), Format.github, "1") == ""
    assert json.loads(write((), Format.json, "1")) == {"diagnostics": []}
