"""Diagnostics in each format say the same."""

from __future__ import annotations

import json

from prunec.diagnostics import Diagnostic, Place, Source, Span
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


def test_every_further_place_is_told() -> None:
    source = Source("x.prune", "target macs <= 1%\n" + "\n" * 9 + "freeze type Conv2d\n")
    further = Place(Span(source, 11, 1, 11, 19), "alone leaves 90%")
    found = Diagnostic("P0601", "no", span=Span(source, 1, 8, 1, 18), label="1%", also=(further,))
    assert (
        write([found], Format.text, "1")
        == """\
error[P0601]: no
  --> x.prune:1:8
   |
 1 | target macs <= 1%
   |        ^^^^^^^^^^ 1%
  ::: x.prune:11:1
   |
11 | freeze type Conv2d
   | ------------------ alone leaves 90%"""
    )
    (told,) = json.loads(write([found], Format.json, "1"))["diagnostics"]
    assert told["also"] == [
        {
            "label": "alone leaves 90%",
            "file": "x.prune",
            "line": 11,
            "column": 1,
            "end_line": 11,
            "end_column": 19,
        }
    ]
    result = json.loads(write([found], Format.sarif, "1"))["runs"][0]["results"][0]
    (related,) = result["relatedLocations"]
    assert related["message"]["text"] == "alone leaves 90%"
    assert related["physicalLocation"]["region"]["startLine"] == 11
    assert "%0Ax.prune:11: alone leaves 90%25" in write([found], Format.github, "1")
