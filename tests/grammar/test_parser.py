"""The parser: what it reads, what it refuses, and that it always ends with one or the other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunec.diagnostics import PruneError, Source, Span
from prunec.grammar import decode, parse, parse_all, read_source, tree
from tests.grammar.specs import TOUR, texts


def read(text: str) -> tree.File:
    return parse(Source("test.prune", text))


def codes(text: str) -> list[str]:
    return [d.code for d in parse_all(Source("test.prune", text)).faults]


def test_the_tour() -> None:
    kinds = " ".join(type(s).__name__ for s in read(TOUR).statements)
    assert kinds == ("Model Data Data Target Target Target Prune Freeze Freeze Solve Repair Emit")


def test_spans_point_at_what_they_name() -> None:
    source = Source("test.prune", TOUR)
    emit = parse(source).statements[-1]
    assert isinstance(emit, tree.Emit)
    assert emit.span == Span(source, 23, 1, 23, 32)
    assert emit.name.span == Span(source, 23, 8, 23, 20)


def test_spans_do_not_count_in_comparisons() -> None:
    assert read("solve dp") == read("\n\n   solve # x\n dp")
    assert read("solve dp") != read("solve lp")


def test_values() -> None:
    (solve,) = read(r'solve x(-1.5e-3, a=1_000KiB, b=["\"\u00e9\n", [], true, none])').statements
    assert isinstance(solve, tree.Solve)
    first, second, third = (a.value for a in solve.call.arguments)
    assert isinstance(first, tree.Number)
    assert (first.value, first.whole, first.unit) == (Decimal("-0.0015"), False, "")
    assert isinstance(second, tree.Number)
    assert (second.value, second.whole, second.unit) == (Decimal(1000), True, "KiB")
    assert isinstance(third, tree.Array)
    text, empty, yes, none = third.items
    assert isinstance(text, tree.String)
    assert text.value == '"é\n'
    assert isinstance(empty, tree.Array)
    assert [v.value for v in (yes, none) if isinstance(v, tree.Constant)] == [True, None]


def test_and_binds_before_or_and_not_before_and() -> None:
    assert read('freeze "a" or not "b" and "c"') == read('freeze "a" or ((not "b") and "c")')
    assert read('freeze "a" or not "b" and "c"') != read('freeze ("a" or not "b") and "c"')


def test_keywords_are_names_where_only_a_name_can_stand() -> None:
    text = "data model = target.data:emit(freeze=1,\n  model=2)\nemit solve"
    data, emit = read(text).statements
    assert isinstance(data, tree.Data)
    assert isinstance(emit, tree.Emit)
    assert (data.name.text, data.factory.target) == ("model", "target.data:emit")
    assert emit.name.text == "solve"


def test_targets() -> None:
    first, second, third = read(
        'target latency <= 5ms on cpu(threads=2) in "a"\n'
        'target latency <= 5ms in "a" on cpu(threads=2)\n'
        "target sparsity >= 40%"
    ).statements
    assert first == second
    assert isinstance(first, tree.Target)
    assert isinstance(third, tree.Target)
    assert first.device is not None
    assert (first.device.call.name.text, first.relation.text) == ("cpu", "<=")
    assert (third.relation.text, third.within, third.device) == (">=", None, None)
    assert codes('target a <= 5 in "a" in "b"') == ["P0101"]
    assert codes("target a <= 5 on b on c") == ["P0101"]
    assert codes("target a <= 5 on") == ["P0101"]
    assert read("target on <= 5 on on") == read("target on<=5 on on")


def test_multiple_of_auto() -> None:
    (prune,) = read("prune auto { keep multiple of auto }").statements
    assert isinstance(prune, tree.Prune)
    (keep,) = prune.entries
    assert isinstance(keep, tree.Keep)
    assert isinstance(keep.multiple, tree.Auto)
    assert codes("prune channels { keep multiple of automatic }") == ["P0101"]


def test_formats() -> None:
    (emit,) = read('emit with to "a" with with(b=1), c').statements
    assert isinstance(emit, tree.Emit)
    assert emit.name.text == "with"
    assert emit.folder is not None
    assert [c.name.text for c in emit.formats] == ["with", "c"]
    assert [len(c.arguments) for c in emit.formats] == [1, 0]


def test_statements_may_share_a_line() -> None:
    assert read("target macs <= 50% solve dp repair none") == read(
        "target macs <= 50%\nsolve dp\nrepair none"
    )


def test_every_faulty_statement_is_reported_once() -> None:
    text = """\
sparsify "a" by 50%
target macs 50%
prune channels {
  inn "x"
  scor l2
} solve lp
freeze "abc
data x = a:b(
emit 3
target params <= 5%
"""
    found = parse_all(Source("test.prune", text))
    assert [(d.code, d.span and d.span.line) for d in found.faults] == [
        ("P0102", 1),
        ("P0101", 2),
        ("P0103", 4),
        ("P0105", 7),
        ("P0105", 8),
        ("P0101", 9),
    ]
    assert [type(s).__name__ for s in found.file.statements] == ["Solve", "Target"]


@pytest.mark.parametrize("opening", ["(", "not ", "(not ", "x(["])
def test_deep_nesting_is_one_fault(opening: str) -> None:
    text = "freeze " if opening != "x([" else "solve x("
    assert codes(text + 10_000 * opening.removeprefix("x(")) == ["P0109"]


def test_nesting_that_is_used_is_allowed() -> None:
    assert codes("freeze " + 60 * "(" + '"a"' + 60 * ")") == []
    assert codes("freeze " + " or ".join(500 * ['not "a"'])) == []


def test_a_long_file_is_read() -> None:
    assert len(read(TOUR * 45).statements) == 45 * 12


def test_faults_without_end_are_cut_off() -> None:
    found = parse_all(Source("test.prune", 1000 * "x\n")).faults
    assert len(found) == 100
    assert found[-1].notes == ("reading stopped after 100 faults",)


def test_a_text_that_is_no_text(tmp_path: Path) -> None:
    for data, code, where in (
        (b"\xef\xbb\xbfsolve \xff", "P0107", "byte 9 (0xff) on line 1"),
        (b"a\n\x00", "P0107", "NUL"),
        (b"#" * (1 << 20) + b"#", "P0106", "1 MiB"),
    ):
        path = tmp_path / "x.prune"
        path.write_bytes(data)
        with pytest.raises(PruneError) as caught:
            read_source(path)
        assert [d.code for d in caught.value.diagnostics] == [code]
        assert where in str(caught.value)
    for bad in (tmp_path, tmp_path / "none.prune", "a\0b"):
        with pytest.raises(PruneError, match="P0108"):
            read_source(bad)
    with pytest.raises(PruneError, match="surrogate"):
        parse_all(Source("x", "# \ud800"))


def test_line_ends_and_the_byte_order_mark_do_not_matter() -> None:
    assert decode("x", b"\xef\xbb\xbfsolve dp\r\n# a\rsolve lp").text == "solve dp\n# a\nsolve lp"


@settings(max_examples=60)
@given(
    texts(),
    st.integers(0),
    st.sampled_from([*'{}()[]"#$=,.:<>%', "\n", "model", ""]),
    st.integers(0, 9),
)
def test_broken_texts_end_in_diagnostics(text: str, at: int, put: str, drop: int) -> None:
    at %= len(text) + 1
    found = parse_all(Source("x", text[:at] + put + text[at + drop :]))
    places = [(d.span.line, d.span.column) for d in found.faults if d.span]
    assert places == sorted(places)
    assert all(str(d).startswith("error[P01") for d in found.faults)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_ends_in_a_tree_or_diagnostics(text: str) -> None:
    found = parse_all(Source("x", text))
    assert found.faults or len(found.file.statements) == len(found.statements)
