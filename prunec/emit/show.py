"""Show: constructions as source."""

from __future__ import annotations

from collections.abc import Sequence

from prunec.emit import expr, tables
from prunec.emit.construct import Arg, Construct, Hole, Text, same
from prunec.emit.expr import Expr
from prunec.emit.tables import Table


def run(value: Construct | Hole | Text, names: Sequence[str] = ()) -> Expr:
    """The source; ``names`` are the parameters that fill the holes."""
    match value:
        case Text(source=source):
            return source
        case Hole(number=number, called=called):
            return expr.call(names[number], []) if called else Expr(names[number])
    parts = [p for p in tables.of(value) if isinstance(p, Table) or not same(p.value, p.default)]
    items = [_table(p, names) if isinstance(p, Table) else _item(p, names) for p in parts]
    match value.form:
        case "value":
            return items[0]
        case "call":
            return expr.call(value.callee, items)
        case "list" if len(parts) == 1 and isinstance(parts[0], Table):
            return expr.call(value.callee, [Expr(items[0].text.removeprefix("*"), bracket="[]")])
        case "list":
            return expr.call(value.callee, [_repeated(items)])
        case "dict":
            pairs = map(expr.pair, value.keys, items)
            return expr.call(value.callee, [expr.display(pairs, "{}")])


def _item(arg: Arg, names: Sequence[str]) -> Expr:
    match arg.value:
        case Construct() | Hole() | Text() as value:
            shown = run(value, names)
        case value:
            shown = expr.literal(value)
    return shown if arg.name is None else expr.named(arg.name, shown)


def _table(table: Table, names: Sequence[str]) -> Expr:
    """``*[Block(width) for width in (4, 5, 6)]``."""
    variable = f"each_{table.noun}" if table.noun in names else table.noun
    made = run(table.fill(len(names)), (*names, variable))
    values = expr.literal(table.values).text
    values = f"range({len(table.values)})" if table.number is None else values
    return Expr(f"*[{made} for {variable} in {values}]")


def _repeated(items: list[Expr]) -> Expr:
    """A list; many equal items are a comprehension, which constructs each anew."""
    if len(items) > 2 and len({i.text for i in items}) == 1:
        return Expr(f"[{items[0].text} for _ in range({len(items)})]", bracket="[]")
    return expr.display(items, "[]")
