"""The formatter: canonical, stable, and it loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from prunec.diagnostics import PruneError, Source
from prunec.grammar import fmt, parse, parse_all
from tests.grammar.specs import TOUR, texts


def fmt_text(text: str) -> str:
    return fmt(Source("x", text))


@settings(max_examples=60)
@given(texts())
def test_meaning_and_comments_stay_and_twice_is_once(text: str) -> None:
    source = Source("x", text)
    once = fmt(source)
    assert parse(Source("x", once)) == parse(source)
    before, after = parse_all(source).comments, parse_all(Source("x", once)).comments
    assert [str(c).rstrip() for c in before] == list(map(str, after))
    assert fmt_text(once) == once
    assert all(line == line.rstrip() for line in once.split("\n"))
    assert once == "" or (once.endswith("\n") and not once.endswith("\n\n"))


def test_the_tour_is_canonical() -> None:
    assert fmt_text(TOUR) == TOUR


def test_nothing_stays_nothing() -> None:
    assert fmt_text(" \n\n") == ""
    assert fmt_text("\n\n# only this\n\n\n\n#  and this") == "# only this\n\n#  and this\n"


def test_layout() -> None:
    messy = """\
model   a . b:c ( x = 1,y=[ 1,2 ,"a" ] )   { input x:float32[ N,3 ] }
 prune   channels{} # z
 # own
prune channels {


  # first
  in "a"   # aa

  score l2(   # why
    # inside
    x=3 )   # end
  keep   >=25% ,multiple   of 8


  # last

}
target macs<=50% # x
# between
target params<=3 in not("a" or type B)and"c"

data x=a:b
data yy=a:b(c=1) solve dp
"""
    assert (
        fmt_text(messy)
        == """\
model a.b:c(x=1, y=[1, 2, "a"]) { input x: float32[N, 3] }
prune channels {}  # z
# own
prune channels {
  # first
  in    "a"  # aa

  score l2(  # why
        # inside
        x=3)  # end
  keep  >= 25%, multiple of 8

  # last
}
target macs   <= 50%  # x
# between
target params <= 3 in not ("a" or type B) and "c"

data x  = a:b
data yy = a:b(c=1)
solve dp
"""
    )


def test_long_lists_are_broken() -> None:
    globs = [f'"{letter * 28}"' for letter in "abcd"]
    assert (
        fmt_text(f"target macs <= 40% in {', '.join(globs)}")
        == f"""\
target macs <= 40% in {globs[0]}, {globs[1]},
              {globs[2]}, {globs[3]}
"""
    )


@pytest.mark.parametrize(
    ("written", "formatted"),
    [
        ('on cpu( threads=1 )in "a"', 'in "a" on cpu(threads=1)'),
        ('on cpu in "a" # c', 'in "a" on cpu  # c'),
        ('in "a" on cpu', 'in "a" on cpu'),
        ('on cpu # c\n in "a"', 'on cpu  # c\n                 in "a"'),
        ("on cpu # c\n", "on cpu  # c"),
    ],
)
def test_in_stands_before_on(written: str, formatted: str) -> None:
    assert fmt_text(f"target latency <= 5ms {written}") == f"target latency <= 5ms {formatted}\n"


def test_a_device_is_broken_off() -> None:
    globs = [f'"{letter * 33}"' for letter in "ab"]
    start = f"target latency <= 50% in {globs[0]}, {globs[1]}"
    assert fmt_text(f"{start} on cpu") == f"{start}\n                 on cpu\n"


def test_formats() -> None:
    assert fmt_text("emit A  with onnx ( opset=20 ) ,b") == "emit A with onnx(opset=20), b\n"
    long = f'emit A to "{"x" * 80}" with onnx, b'
    assert fmt_text(long) == f'emit A to "{"x" * 80}"\n     with onnx, b\n'


def test_a_faulty_text_is_not_formatted() -> None:
    with pytest.raises(PruneError, match="P0102"):
        fmt_text("modl x")
