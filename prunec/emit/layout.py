"""Layout: statements on lines of at most 88 columns, broken where ruff's formatter breaks them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prunec.emit import breaks
from prunec.emit.document import INDENT, columns, render
from prunec.emit.expr import Expr

WIDTH = 88
"""The formatter's own default: what a project gets that says nothing."""


def statement(expr: Expr, indent: int, prefix: str = "", suffix: str = "") -> list[str]:
    """The line of ``prefix expr suffix``, indented by so many steps."""
    return [f"{' ' * INDENT * indent}{prefix}{expr.text}{suffix}"]


def define(name: str, parameters: list[str]) -> list[str]:
    """The head of a method, one step in."""
    return statement(Expr(f"def {name}({', '.join(parameters)}):"), 1)


def run(text: str) -> str:
    """Source whose long lines are broken; each of them must be a statement or the head of one."""
    return "\n".join(shown for line in text.split("\n") for shown in _broken(line))


def _broken(line: str) -> Iterator[str]:
    code = line.lstrip(" ")
    indent = len(line) - len(code)
    if columns(line) <= WIDTH or code.startswith("#"):
        yield line
        return
    try:
        found = ast.parse(f"{code}\n pass" if code.endswith(":") else code).body
    except (SyntaxError, ValueError):
        yield line
        return
    doc = breaks.statement(found[0], code) if len(found) == 1 else None
    yield from [line] if doc is None else render(doc, indent, WIDTH)
