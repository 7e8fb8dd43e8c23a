"""Selectors against a plain reading of their definition, and what is said of those that fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunec.diagnostics import PruneError, Source
from prunec.grammar import parse, tree
from prunec.spec import select, text, unmatched
from prunec.spec.glob import PathGlob
from tests.spec.resnet import MODULES

parts = st.text("ab*?", min_size=1, max_size=3).filter(lambda p: "**" not in p) | st.just("**")
patterns = st.lists(parts, min_size=1, max_size=4)
paths = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5)


def selector(written: str) -> tree.Selector:
    (freeze,) = parse(Source("test.prune", f"freeze {written}")).statements
    assert isinstance(freeze, tree.Freeze)
    return freeze.selector


def chosen(written: str) -> set[str]:
    return set(select(selector(written), MODULES))


def fits(parts: list[str], path: list[str]) -> bool:
    """Whether a glob fits a path, both as components, word for word as the reference says."""
    if not parts:
        return not path
    if parts[0] == "**":
        return any(fits(parts[1:], path[n:]) for n in range(len(path) + 1))
    return bool(path) and word_fits(parts[0], path[0]) and fits(parts[1:], path[1:])


def word_fits(part: str, word: str) -> bool:
    if not part:
        return not word
    if part[0] == "*":
        return any(word_fits(part[1:], word[n:]) for n in range(len(word) + 1))
    return bool(word) and part[0] in ("?", word[0]) and word_fits(part[1:], word[1:])


@given(patterns, paths)
def test_globs_by_definition(parts: list[str], path: list[str]) -> None:
    expected = any(fits(parts, path[:n]) for n in range(len(path) + 1))
    assert PathGlob(".".join(parts)).chooses(".".join(path)) == expected


def test_globs() -> None:
    assert chosen('"conv1"') == {"conv1"}
    assert chosen('"layer3.*"') == {p for p, _ in MODULES if p.startswith("layer3.")}
    assert chosen('"layer3"') == chosen('"layer3.*"') | {"layer3"}
    assert len(chosen('"layer*.*.conv1"')) == 27
    assert len(chosen('"**.conv1"')) == 28
    assert len(chosen('"layer[12].?.conv1"')) == 18
    assert chosen('"**"') == {p for p, _ in MODULES}


def test_types_are_chosen_with_all_below_them() -> None:
    assert len(chosen("type Conv2d")) == 55
    assert chosen("type BasicBlock") == chosen('"layer*.*"')
    assert chosen("type ResNet") == {p for p, _ in MODULES}


def test_not_leaves_out_what_holds_an_excluded_part() -> None:
    found = chosen('not "layer3.0.conv1"')
    assert found.isdisjoint({"", "layer3", "layer3.0", "layer3.0.conv1"})
    assert {"layer3.0.conv2", "layer3.1", "layer2", "conv1"} <= found


@pytest.mark.parametrize(
    "written",
    [
        '"layer1"',
        "type Conv2d",
        'not "layer1"',
        'type Conv2d and not "layer1.*"',
        '"conv1" or "**.bn1"',
    ],
)
def test_a_module_comes_with_all_that_is_below_it(written: str) -> None:
    found = chosen(written)
    for path, _ in MODULES:
        if any(path.startswith(f"{top}.") for top in found if top):
            assert path in found


def test_both_and_either() -> None:
    a, b = chosen('"layer1"'), chosen("type Conv2d")
    assert chosen('"layer1" and type Conv2d') == a & b
    assert chosen('"layer1" or type Conv2d') == a | b == chosen('"layer1", type Conv2d')


def test_order_is_that_of_the_modules() -> None:
    assert select(selector('"linear" or "conv1"'), MODULES) == ("conv1", "linear")
    assert select(None, MODULES) == tuple(p for p, _ in MODULES)


@pytest.mark.parametrize(
    "written",
    ['"a\\"b"', "type A", 'not (type A or "b") and "c"', 'not not "a"', '"a" or "b" and not "c"'],
)
def test_text_reads_back(written: str) -> None:
    assert selector(text(selector(written))) == selector(written)


@pytest.mark.parametrize(
    ("written", "help_"),
    [
        ('"layer5.*.conv1"', 'did you mean "layer3.*.conv1" (9 modules)?'),
        ('"conv"', 'did you mean "conv1" (1 module)?'),
        ('"layr*"', 'did you mean "layer*"'),
        ('"layer1.conv1"', 'did you mean "layer1.*.conv1" (9 modules)?'),
        ('"features.layer1.0.conv1"', 'did you mean "layer1.0.conv1" (1 module)?'),
        ('"layer1.9.conv1"', 'did you mean "layer1.8.conv1" (1 module)?'),
        ('"zzz"', "modules here are `conv1`"),
        ("type Conv3d", "did you mean `Conv2d`"),
        ("type Xyz", "classes here are `ResNet`"),
        ('"conv1" and "linear"', "each part of it matches"),
    ],
)
def test_the_nearest_is_named(written: str, help_: str) -> None:
    with pytest.raises(PruneError) as caught:
        chosen(written)
    (found,) = caught.value.diagnostics
    assert found.code == "P0204"
    assert found.label == f"0 of {len(MODULES) - 1} modules"
    assert (found.help or "").startswith(help_)


def test_every_empty_part_is_reported() -> None:
    found = unmatched(selector('"x" or (type Y and not "z") or "conv1"'), MODULES)
    assert [d.span and d.span.column for d in found] == [8, 16, 31]


def test_a_suggestion_matches() -> None:
    for written in ('"layr2.0.cnv1"', '"layer9.**.bn"', '"backbone.**.conv1.x"'):
        (found,) = unmatched(selector(written), MODULES)
        near = re.search(r'"(.+)"', found.help or "")
        if near:
            assert chosen(near[0])


def test_hostile_globs_end() -> None:
    """Matching by backtracking would not come back from these in a lifetime."""
    long = [("", "Net"), *((".".join(["a" * 200] * n), "Linear") for n in range(1, 9))]
    for pattern in ("*a" * 90 + "b", ".".join(["**", "*a*a*b"] * 20), "a*" * 2000 + ".b" * 500):
        assert unmatched(selector(f'"{pattern}"'), long)
