"""The language reference: its examples are legal, its tables those of the methods' classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunec.diagnostics import Source
from prunec.grammar import fmt
from prunec.spec import DEVICES, FORMATS, METRICS, REPAIRS, SCORES, SOLVERS, load
from prunec.spec.methods import Method
from prunec.spec.options import describe, show
from tests.grammar.specs import TOUR

TEXT = (Path(__file__).parents[2] / "prunec" / "docs" / "language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```prune\n(.*?)```", TEXT, re.DOTALL)
TABLES = (SCORES, SOLVERS, DEVICES, REPAIRS, FORMATS)
METHODS: tuple[type[Method], ...] = tuple(m for table in TABLES for m in table.values())


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_legal_and_canonical(example: str) -> None:
    source = Source("language.md", example)
    load(source, in_memory=True)
    assert fmt(source) == example


def test_the_tour_is_the_first_example() -> None:
    assert EXAMPLES[0] == TOUR


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_methods(method: type[Method]) -> None:
    meaning = " ".join((method.__doc__ or "").split())
    assert f"| `{method.name}` | {meaning} |" in TEXT


def test_metrics() -> None:
    written = re.findall(r"^\| `\w+ [<>]= AMOUNT` .*\|$", TEXT, re.MULTILINE)
    assert written == [
        f"| `{name} {about.relation} AMOUNT` | {about.meaning} "
        f"| {', '.join(f'`{u}`' if u else 'none' for u in about.units)} |"
        for name, about in METRICS.items()
    ]


def test_options() -> None:
    written = re.findall(r"^\| `\w+\(\w+\)` .*\|$", TEXT, re.MULTILINE)
    assert written == list(_options())


def _options() -> Iterator[str]:
    for method in METHODS:
        for option in method.options():
            field = method.model_fields[option]
            default = show(field.default)
            start = f"| `{method.name}({option})` | {describe(field)} |"
            yield f"{start} `{default}` | {field.description} |"
