"""Diagnostics as text and as data."""

from __future__ import annotations

import json

from prunec.diagnostics import Diagnostic, InternalError, PruneError, Source, Span, nearest, render


def _at(text: str, column: int, end: int, line: int = 1) -> str:
    span = Span(Source("x.prune", text), line, column, line, end)
    return render(Diagnostic("P0101", "wrong", span=span, label="here", notes=("a",), help="b"))


def test_the_whole_form() -> None:
    text = "\n" * 11 + '  in    "layer5.*.conv1"\n'
    assert (
        _at(text, 9, 25, line=12)
        == """\
error[P0101]: wrong
  --> x.prune:12:9
   |
12 |   in    "layer5.*.conv1"
   |         ^^^^^^^^^^^^^^^^ here
   = note: a
   = help: b"""
    )


def test_the_caret_stands_below_wide_and_combining_characters() -> None:
    for row in ("日本 x", "e\u0301 x", "\tx"):
        _, _, _, shown, pointer, *_ = _at(row, len(row), len(row) + 1).splitlines()
        assert shown.endswith("x")
        narrow = shown.replace("日本", "1122").replace("\u0301", "")
        assert pointer.index("^") == narrow.index("x")


def test_a_long_line_is_cut_around_its_caret() -> None:
    row = 500 * "a" + "b" + 500 * "a"
    _, _, _, shown, pointer, *_ = _at(row, 501, 502).splitlines()
    assert len(shown) < 120
    assert shown[pointer.index("^")] == "b"
    assert shown.startswith("1 | ...a")
    assert shown.endswith("a...")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in _at("a\x1b[31mb", 2, 3)


def test_a_place_behind_the_end_is_named_without_the_line() -> None:
    assert "--> x.prune:7:1" in _at("a", 1, 2, line=7)


def test_a_span_of_many_lines_marks_its_first() -> None:
    span = Span(Source("x", "abc def\nghi"), 1, 5, 2, 3)
    assert render(Diagnostic("P0101", "m", span=span)).splitlines()[-1] == "  |     ^^^"


def test_as_dict_is_json() -> None:
    span = Span(Source("x.prune", "abc"), 1, 2, 1, 3)
    found = Diagnostic("P0101", "m", span=span, notes=("n",)).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["file"], found["column"], found["notes"]) == ("x.prune", 2, ["n"])
    assert Diagnostic("P0101", "m").as_dict()["line"] is None


def test_errors_show_their_diagnostics() -> None:
    first, second = Diagnostic("P0101", "a"), Diagnostic("P0102", "b", severity="warning")
    error = PruneError(first, second)
    assert error.diagnostics == (first, second)
    assert str(error) == "error[P0101]: a\n\nwarning[P0102]: b"
    assert "please report it" in str(InternalError("x"))


def test_nearest() -> None:
    assert nearest("tailor", ["taylor", "obs"]) == "did you mean `taylor`?"
    assert nearest("zzz", ["taylor", "obs"]) is None
