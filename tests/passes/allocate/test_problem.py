"""Widths that are allowed, and what is said when budgets are out of reach or already met."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunec.diagnostics import InternalError, PruneError, Source, Span
from prunec.ir.axis import Atom
from prunec.ir.group import Group
from prunec.ir.plan import Ranking
from prunec.passes.allocate.problem import Budget, Problem, allowed_widths, check
from prunec.passes.cost import Costs, Term

SOURCE = Source("net.prune", "target macs <= 10\ntarget params <= 50\n")


def line(number: int) -> Span:
    return Span(SOURCE, number, 8, number, len(SOURCE.text.split("\n")[number - 1]) + 1)


def two_layers(*budgets: Budget) -> Problem:
    """macs = 9 a b, of which 4 a are in `head`; params = 3 a + b; a may have 4 or 8, b is not
    selected."""
    a, b = (
        Group(n, Atom(i, s), "channels", (), (), ())
        for i, (n, s) in enumerate((("a", 8), ("b", 5)))
    )
    terms = (
        Term("conv", "macs", frozenset({"conv"}), {(0, 1): 9}),
        Term("head", "macs", frozenset({"head"}), {(0,): 4}),
        Term("w", "params", frozenset({"conv"}), {(0,): 3, (1,): 1}),
    )
    ranking = Ranking(np.arange(8), np.arange(9.0))
    return Problem((a, b), {"a": ranking}, Costs(terms, {0: 8, 1: 5}), budgets, {"a": (4, 8)})


@pytest.mark.parametrize(
    ("size", "least", "multiple", "widths"),
    [
        (4, 1, 1, (1, 2, 3, 4)),
        (4, 0, 1, (1, 2, 3, 4)),
        (16, 5, 4, (8, 12, 16)),
        (20, 6, 8, (8, 16, 20)),
        (6, 1, 8, (6,)),
        (8, 8, 1, (8,)),
        (8, 99, 1, (8,)),
        (1, 1, 1, (1,)),
    ],
)
def test_allowed_widths(size: int, least: int, multiple: int, widths: tuple[int, ...]) -> None:
    assert allowed_widths(size, least, multiple) == widths


def test_every_target_out_of_reach_is_named_with_what_is_reachable() -> None:
    problem = two_layers(
        Budget("macs", 100, "macs <= 100", span=line(1)),
        Budget("params", 16, "params <= 16", span=line(2)),
        Budget("macs", 200, "macs <= 200"),
    )
    with pytest.raises(PruneError) as caught:
        check(problem)
    first, second = caught.value.diagnostics
    assert (first.code, second.code) == ("P0601", "P0601")
    assert (first.span, second.span) == (line(1), line(2))
    assert first.message == "target `macs <= 100` cannot be reached: at least 196, asked 100"
    assert first.label == "at least 196"
    assert first.help is not None
    assert "`keep`" in first.help
    assert first.notes[0] == "dense: 392; one channel in every selected group: 49"
    assert first.notes[1] == "free, but not selected: b"


def test_floors_are_not_blamed_for_what_is_not_selected() -> None:
    with pytest.raises(PruneError) as caught:
        check(two_layers(Budget("macs", 48, "macs <= 48")))
    help_ = caught.value.diagnostics[0].help
    assert help_ is not None
    assert "more groups" in help_


def test_numbers_that_look_alike_are_written_out() -> None:
    problem = two_layers()
    terms = (Term("conv", "macs", frozenset({"conv"}), {(): 1_000_001}),)
    problem = replace(problem, costs=Costs(terms, {}), budgets=(Budget("macs", 10**6, "m"),))
    with pytest.raises(PruneError, match="at least 1_000_001, asked 1_000_000"):
        check(problem)


def test_targets_that_already_hold_are_refused_all_together_and_noted_alone() -> None:
    easy, hard = Budget("params", 29, "params <= 29"), Budget("macs", 300, "macs <= 300")
    with pytest.raises(PruneError, match="already met: 29, asked 29") as caught:
        check(two_layers(easy))
    assert caught.value.diagnostics[0].code == "P0602"
    assert check(two_layers(easy, hard)) == (
        "`params <= 29` already holds in the dense model (29)",
    )


def test_no_target_at_all_is_refused() -> None:
    with pytest.raises(PruneError, match="P0603"):
        check(two_layers())


def test_a_group_without_a_smaller_width_is_noted() -> None:
    problem = two_layers(Budget("macs", 300, "m"))
    ranking = Ranking(np.arange(5), np.arange(6.0))
    problem = replace(
        problem, rankings={**problem.rankings, "b": ranking}, widths={"a": (4, 8), "b": (5,)}
    )
    assert check(problem) == ("b keeps all 5: no smaller width is allowed",)


def test_budgets_count_in_their_scope() -> None:
    problem = two_layers()
    assert problem.cost(Budget("macs", 0, "", frozenset({"head"}))) == 32
    assert problem.cost(Budget("macs", 0, "", frozenset({"head"})), {"a": 4}) == 16
    assert problem.cost(Budget("macs", 0, ""), {"a": 4, "b": 1}) == 52


def test_the_report_has_the_whole_model_and_every_scope() -> None:
    head = Budget("macs", 16, "macs <= 50% in head", frozenset({"head"}), where='"head"')
    costs = two_layers(head, Budget("params", 20, "p")).report({"a": 4})
    assert [(c.metric, c.scope, c.dense, c.slim, c.bound) for c in costs] == [
        ("macs", None, 392, 196, None),
        ("params", None, 29, 17, 20),
        ("macs", '"head"', 32, 16, 16),
    ]


def test_widths_that_break_the_contract_are_a_defect() -> None:
    problem = replace(two_layers(), widths={"a": (0, 8)})
    with pytest.raises(InternalError, match="illegal widths"):
        problem.allowed(problem.groups[0])
