"""The notation of axis signatures."""

from __future__ import annotations

import pytest
from lark.exceptions import UnexpectedInput

from prunec.grammar.axes import (
    Ellipsis_,
    Factors,
    Fixed,
    One,
    Run,
    Window,
    parse_signatures,
)
from prunec.passes.axes import known_operators
from prunec.passes.axes.site import overload
from prunec.passes.axes.table import signatures


def test_a_signature_reads_like_einops() -> None:
    text = (
        "conv  input[..., g*i, h] weight[g*o, i, .] groups=g -> [..., g*o, h']"
        "  mixes o mixes ... freezes h"
    )
    found = parse_signatures(text)["conv"]
    assert found.operands == (
        ("input", (Ellipsis_(), Factors(("g", "i")), Factors(("h",)))),
        ("weight", (Factors(("g", "o")), Factors(("i",)), Fixed())),
    )
    assert found.counts == (("groups", "g"),)
    assert found.results == ((Ellipsis_(), Factors(("g", "o")), Window("h")),)
    assert (found.mixes, found.freezes) == (("o", "..."), ("h",))


def test_runs_ones_several_names_and_results() -> None:
    found = parse_signatures("a|b  x[c.., 1] shape=c.. -> [c..] [1]  # a comment")
    assert found["a"] is found["b"]
    assert found["a"].operands == (("x", (Run("c.."), One())),)
    assert found["a"].results == ((Run("c.."),), (One(),))


def test_an_indented_line_goes_on() -> None:
    assert parse_signatures("a\n    x[i] -> [i]\nb  x[i] -> [i]").keys() == {"a", "b"}


@pytest.mark.parametrize("text", ["a x[i -> [i]", "a x[i] ->", "x[i] -> [i]", "a x[I] -> [I]"])
def test_a_fault_is_refused(text: str) -> None:
    with pytest.raises(UnexpectedInput):
        parse_signatures(text)


def test_two_signatures_for_one_operator_are_refused() -> None:
    with pytest.raises(ValueError, match="two signatures for a"):
        parse_signatures("a x[i] -> [i]\na x[i] -> [i]")


def test_every_operand_of_the_table_is_an_argument_of_the_operator() -> None:
    """A name that is not in the schema would silently never match."""
    for name, signature in signatures().items():
        found = overload(f"aten.{name}.default") or overload(f"aten.{name}.input")
        assert found is not None, name
        arguments = {a.name for a in found._schema.arguments}
        assert {n for n, _ in signature.operands} <= arguments, name
        assert {n for n, _ in signature.counts} <= arguments, name


def test_every_known_operator_exists_in_torch() -> None:
    import torch

    ours = {"getitem", "softsign", "copy"}
    theirs = {n for n in known_operators() if "." in n}  # of other libraries, by namespace
    assert theirs == {"transformers.grouped_mm_fallback"}
    names = {*known_operators()} - ours - theirs
    assert sorted(n for n in names if not hasattr(torch.ops.aten, n)) == []
