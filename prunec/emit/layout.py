"""Layout: statements on lines of at most 100 columns, broken where ruff's formatter breaks them."""

from __future__ import annotations

from prunec.emit.expr import Expr

WIDTH = 100
INDENT = "    "


def statement(expr: Expr, indent: int, prefix: str = "", suffix: str = "") -> list[str]:
    """The lines of ``prefix expr suffix``, indented by so many steps.

    A call breaks at its brackets: first with all arguments on one line, then with one on each. A
    display breaks to one item a line. Text without brackets of its own stays whole.
    """
    margin = INDENT * indent
    flat = f"{margin}{prefix}{expr.text}{suffix}"
    if len(flat) <= WIDTH:
        return [flat]
    simple = "(" not in expr.head.removeprefix("super()")
    if not expr.items or expr.bracket is None or not simple:
        wrapped = f"{margin}{INDENT}{expr.text}"
        fits = prefix and len(wrapped) <= WIDTH
        return [f"{margin}{prefix}(", wrapped, f"{margin}){suffix}"] if fits else [flat]
    opened = f"{margin}{prefix}{expr.head}{expr.bracket[0]}"
    closed = f"{margin}{expr.bracket[1]}{suffix}"
    together = f"{margin}{INDENT}{', '.join(i.text for i in expr.items)}"
    if expr.head.rstrip("=") and expr.bracket == "()" and len(together) <= WIDTH:
        return [opened, together, closed]
    alone = len(expr.items) == 1 and _is_call(expr)
    inner: list[str] = []
    for item in expr.items:
        inner += statement(item, indent + 1, suffix="" if alone else ",")
    return [opened, *inner, closed]


def comprehension(item: str, clause: str, indent: int, prefix: str) -> list[str]:
    """The lines of ``prefix [item clause]``."""
    margin = INDENT * indent
    flat = f"{margin}{prefix}[{item} {clause}]"
    if len(flat) <= WIDTH:
        return [flat]
    inner = f"{margin}{INDENT}{item} {clause}"
    broken = [f"{margin}{INDENT}{item}", f"{margin}{INDENT}{clause}"]
    return [f"{margin}{prefix}[", *([inner] if len(inner) <= WIDTH else broken), f"{margin}]"]


def _is_call(expr: Expr) -> bool:
    return expr.bracket == "()" and bool(expr.head)


def define(name: str, parameters: list[str]) -> list[str]:
    """The head of a method, one step in."""
    head = Expr("", head=f"def {name}", items=tuple(map(Expr, parameters)), bracket="()")
    flat = Expr(f"def {name}({', '.join(parameters)})", head.level, head.head, head.items, "()")
    return statement(flat, 1, suffix=":")
