"""From lark's parse tree of one statement to the nodes of `prunec.grammar.tree`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from lark import Token, Transformer, v_args
from lark.tree import Meta

from prunec.diagnostics import Diagnostic, Source, Span
from prunec.grammar import tree

NUMBER = re.compile(r"(-?[\d_]+(?:\.[\d_]+)?(?:[eE][+-]?\d+)?)(.*)")
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
ALLOWED = r"the escapes are \" \\ \n \t and \uXXXX; a path is written with `/`"
UNITS = "large numbers have units: `60M`, `1.5G`"
LONGEST = 40
"""Characters of a number."""
LARGEST = 300
"""Decimal exponent of a number: what a float can hold."""


@v_args(inline=True, meta=True)
class Builder(Transformer[Token, tree.Statement]):
    """Makes the nodes of one source; ``faults`` collects what is wrong inside single tokens
    (P0104).
    """

    def __init__(self, source: Source) -> None:
        super().__init__(visit_tokens=False)
        self.source = source
        self.faults: list[Diagnostic] = []

    # Statements

    def model(self, meta: Meta, factory: tree.Factory, *entries: Any) -> tree.Model:
        return tree.Model(self._span(meta), factory, _present(entries))

    def own(self, meta: Meta, *entries: Any) -> tree.Model:
        return tree.Model(self._span(meta), None, _present(entries))

    def part(self, meta: Meta, path: Token) -> tree.Part:
        return tree.Part(self._span(meta), self._string(path))

    def weights(self, meta: Meta, path: Token) -> tree.Weights:
        return tree.Weights(self._span(meta), self._string(path))

    def input(self, meta: Meta, name: Token, dtype: Token, *dims: Token | None) -> tree.Input:
        sizes = tuple(
            self._number(d) if d.type == "NUMBER" else self._name(d) for d in dims if d is not None
        )
        return tree.Input(self._span(meta), self._name(name), self._name(dtype), sizes)

    def data(self, meta: Meta, name: Token, factory: tree.Factory) -> tree.Data:
        return tree.Data(self._span(meta), self._name(name), factory)

    def target(
        self,
        meta: Meta,
        metric: Token,
        relation: Token,
        bound: Token,
        *clauses: tree.Within | tree.Device | None,
    ) -> tree.Target:
        return tree.Target(
            self._span(meta),
            self._name(metric),
            tree.Relation(self._span(relation), str(relation)),
            self._number(bound),
            next((c for c in clauses if isinstance(c, tree.Within)), None),
            next((c for c in clauses if isinstance(c, tree.Device)), None),
        )

    def device(self, meta: Meta, call: tree.Call) -> tree.Device:
        return tree.Device(self._span(meta), call)

    def prune(self, meta: Meta, kind: Token, *entries: Any) -> tree.Prune:
        return tree.Prune(self._span(meta), self._name(kind), _present(entries))

    def within(self, meta: Meta, *selectors: tree.Selector) -> tree.Within:
        return tree.Within(self._span(meta), _any_of(selectors))

    def score(self, meta: Meta, call: tree.Call) -> tree.Score:
        return tree.Score(self._span(meta), call)

    def keep(self, meta: Meta, *parts: tuple[str, tree.Number | tree.Auto] | None) -> tree.Keep:
        given: dict[str, Any] = dict(_present(parts))
        return tree.Keep(self._span(meta), given.get("least"), given.get("multiple"))

    def least(self, meta: Meta, number: Token) -> tuple[str, tree.Number]:
        return "least", self._number(number)

    def multiple(self, meta: Meta, of: Token) -> tuple[str, tree.Number | tree.Auto]:
        return "multiple", tree.Auto(self._span(of)) if of.type == "AUTO" else self._number(of)

    def freeze(self, meta: Meta, inputs: bool | None, *selectors: tree.Selector) -> tree.Freeze:
        return tree.Freeze(self._span(meta), bool(inputs), _any_of(selectors))

    def inputs(self, meta: Meta) -> bool:
        return True

    def solve(self, meta: Meta, call: tree.Call) -> tree.Solve:
        return tree.Solve(self._span(meta), call)

    def repair(self, meta: Meta, *calls: tree.Call) -> tree.Repair:
        return tree.Repair(self._span(meta), calls)

    def emit(
        self, meta: Meta, name: Token, folder: Token | None, *formats: tree.Call | None
    ) -> tree.Emit:
        path = None if folder is None else self._string(folder)
        return tree.Emit(self._span(meta), self._name(name), path, _present(formats))

    # Calls and values

    def factory(
        self, meta: Meta, module: str, attribute: str, arguments: tuple[tree.Argument, ...] | None
    ) -> tree.Factory:
        return tree.Factory(self._span(meta), f"{module}:{attribute}", arguments or ())

    def path(self, meta: Meta, *names: Token) -> str:
        return ".".join(names)

    def call(
        self, meta: Meta, name: Token, arguments: tuple[tree.Argument, ...] | None
    ) -> tree.Call:
        return tree.Call(self._span(meta), self._name(name), arguments or ())

    def arguments(self, meta: Meta, *items: tree.Argument | None) -> tuple[tree.Argument, ...]:
        return _present(items)

    def argument(self, meta: Meta, name: Token | None, value: Any) -> tree.Argument:
        word = None if name is None else self._name(name)
        return tree.Argument(self._span(meta), word, self._value(value))

    def array(self, meta: Meta, *items: Any) -> tree.Array:
        return tree.Array(self._span(meta), tuple(map(self._value, _present(items))))

    # Selectors

    def glob(self, meta: Meta, pattern: Token) -> tree.Glob:
        return tree.Glob(self._span(meta), self._string(pattern).value)

    def kind(self, meta: Meta, name: Token) -> tree.Kind:
        return tree.Kind(self._span(meta), str(name))

    def complement(self, meta: Meta, operand: tree.Selector) -> tree.Not:
        return tree.Not(self._span(meta), operand)

    def both(self, meta: Meta, *operands: tree.Selector) -> tree.And:
        return tree.And(self._span(meta), operands)

    def either(self, meta: Meta, *operands: tree.Selector) -> tree.Or:
        return tree.Or(self._span(meta), operands)

    # Tokens

    def _span(self, place: Meta | Token) -> Span:
        return span(self.source, place)

    def _name(self, token: Token) -> tree.Name:
        return tree.Name(self._span(token), str(token))

    def _value(self, value: Token | tree.Array) -> tree.Value:
        if not isinstance(value, Token):
            return value
        match value.type:
            case "STRING":
                return self._string(value)
            case "NUMBER":
                return self._number(value)
        constants = {"TRUE": True, "FALSE": False, "NONE": None}
        return tree.Constant(self._span(value), constants[value.type])

    def _number(self, token: Token) -> tree.Number:
        found = NUMBER.fullmatch(token)
        assert found is not None, "the terminal and this pattern agree"
        digits, unit = found[1].replace("_", ""), found[2]
        value = _decimal(digits)
        if value is None:
            self._fault(self._span(token), "this number is out of range", UNITS)
            value = Decimal(1)
        return tree.Number(self._span(token), value, digits.lstrip("-").isdigit(), unit)

    def _string(self, token: Token) -> tree.String:
        whole = self._span(token)
        for found in ESCAPE.finditer(token):
            if _unescape(found) is None:
                column = whole.column + found.start()
                place = replace(whole, column=column, end_column=column + len(found[0]))
                self._fault(place, f"`{found[0]}` is no escape that a string may hold", ALLOWED)
        return tree.String(whole, ESCAPE.sub(lambda found: _unescape(found) or "", token[1:-1]))

    def _fault(self, place: Span, message: str, help: str) -> None:
        self.faults.append(Diagnostic("P0104", message, span=place, help=help))


def span(source: Source, place: Meta | Token) -> Span:
    """Where a token or a rule of lark's lies."""
    line, column, end_line, end_column = (
        cast(int, getattr(place, n)) for n in ("line", "column", "end_line", "end_column")
    )
    return Span(source, line, column, end_line, end_column)


def _present(items: Iterable[Any]) -> tuple[Any, ...]:
    """Without the placeholders of what was left out."""
    return tuple(item for item in items if item is not None)


def _any_of(selectors: tuple[tree.Selector, ...]) -> tree.Selector:
    if len(selectors) == 1:
        return selectors[0]
    first, last = selectors[0].span, selectors[-1].span
    whole = Span(first.source, first.line, first.column, last.end_line, last.end_column)
    return tree.Or(whole, selectors)


def _decimal(digits: str) -> Decimal | None:
    """The exact value, or None where it is longer or larger than any use of it."""
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return None
    inside = len(digits) <= LONGEST and value.is_finite() and abs(value.adjusted()) <= LARGEST
    return value if inside else None


def _unescape(found: re.Match[str]) -> str | None:
    """The character that an escape means; None if there is none, or none that text may hold."""
    code = found[1]
    if len(code) == 1:
        return ESCAPES.get(code)
    point = int(code[1:], 16)
    return None if point == 0 or 0xD800 <= point <= 0xDFFF else chr(point)
