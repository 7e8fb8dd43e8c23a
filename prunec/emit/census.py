"""Census: how much source there is, and what of it torch has no public name for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

OPERATORS = "torch.ops."
BUILDING = frozenset({"__init__", "load"})
"""Functions that build the model; all others compute with it."""


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of an emitted file.

    ``lines`` are those that hold code (no comments, no docstrings), ``calls`` the call sites of all
    that runs in a forward, ``private`` how many of them call each operator that has no public
    spelling in torch.
    """

    lines: int
    classes: int
    calls: int
    private: Mapping[str, int]

    @property
    def unspelled(self) -> int:
        """Call sites without a public spelling."""
        return sum(self.private.values())

    def as_dict(self) -> dict[str, object]:
        """The counts as plain JSON values."""
        return {
            "lines": self.lines,
            "classes": self.classes,
            "calls": self.calls,
            "without_public_spelling": dict(self.private),
        }

    def __str__(self) -> str:
        """What to tell where something has no public spelling: ``1 of 141 calls has ...``."""
        verb = "has" if self.unspelled == 1 else "have"
        names = ", ".join(self.private)
        return f"{self.unspelled} of {self.calls} calls {verb} no public spelling in torch: {names}"


def run(source: str) -> Census:
    """The counts of a file's source."""
    tree = ast.parse(source)
    calls = [call for function in _running(tree) for call in _calls(function)]
    found = Counter(name for name in map(_operator, calls) if name is not None)
    return Census(
        lines=len(_code(tree, source)),
        classes=sum(isinstance(node, ast.ClassDef) for node in tree.body),
        calls=len(calls),
        private=dict(sorted(found.items())),
    )


def _running(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name not in BUILDING:
            yield node


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call))


def _operator(call: ast.Call) -> str | None:
    """``aten.mul.Tensor`` of ``torch.ops.aten.mul.Tensor(...)``."""
    name = ast.unparse(call.func) if isinstance(call.func, ast.Attribute) else ""
    return name.removeprefix(OPERATORS) if name.startswith(OPERATORS) else None


def _code(tree: ast.Module, source: str) -> set[int]:
    """The numbers of the lines that hold code."""
    told: set[int] = set()
    for node in ast.walk(tree):
        body = node.body if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else []
        match body:
            case [ast.Expr(value=ast.Constant(value=str())) as text, *_]:
                told.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    rows = enumerate(source.split("\n"), 1)
    return {n for n, row in rows if row.strip() and not row.strip().startswith("#")} - told
