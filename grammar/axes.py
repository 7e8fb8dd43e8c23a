"""The notation of axis signatures: `grammar/axes.lark` to frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from lark import Lark, Token, Transformer, v_args


@dataclass(frozen=True, slots=True)
class Factors:
    """One axis: a row-major product of named axes (mostly of one)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ellipsis_:
    """Any number of axes, the same in every tensor of the signature."""


@dataclass(frozen=True, slots=True)
class Run:
    """A named run of axes (``c..``), as long as the list argument that counts it."""

    name: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """An axis of its own that never changes (``.``)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A new axis computed from the named one (``h'``); both are frozen."""

    name: str


@dataclass(frozen=True, slots=True)
class One:
    """An axis of size one."""


Dim: TypeAlias = Factors | Ellipsis_ | Run | Fixed | Window | One
Dims: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator says of the axes of its tensors; ``operands`` and ``counts`` name schema
    arguments.
    """

    names: tuple[str, ...]
    operands: tuple[tuple[str, Dims], ...]
    counts: tuple[tuple[str, str], ...]
    results: tuple[Dims, ...]
    mixes: tuple[str, ...]
    freezes: tuple[str, ...]


def parse_signatures(text: str) -> dict[str, Signature]:
    """Operator name -> signature. Raises lark.UnexpectedInput on a fault, ValueError on a repeated
    name.
    """
    found: dict[str, Signature] = {}
    for signature in _build().transform(_parser().parse(text.strip() + "\n")):
        for name in signature.names:
            if name in found:
                raise ValueError(f"two signatures for {name}")
            found[name] = signature
    return found


@cache
def _parser() -> Lark:
    grammar = files("prunec.grammar").joinpath("axes.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=False)


@cache
def _build() -> _Builder:
    return _Builder()


@v_args(inline=True)
class _Builder(Transformer[Token, list[Signature]]):
    def start(self, *signatures: Signature) -> list[Signature]:
        return [s for s in signatures if isinstance(s, Signature)]

    def signature(self, names: tuple[str, ...], *parts: tuple[str, Any]) -> Signature:
        def of(kind: str) -> tuple[Any, ...]:
            return tuple(value for tag, value in parts if tag == kind)

        return Signature(
            names, of("operand"), of("counts"), of("result"), of("mixes"), of("freezes")
        )

    def names(self, *names: Token) -> tuple[str, ...]:
        return tuple(map(str, names))

    def operand(self, name: Token, dims: Dims) -> tuple[str, object]:
        return "operand", (str(name), dims)

    def counts(self, argument: Token, axis: Token) -> tuple[str, object]:
        return "counts", (str(argument), str(axis))

    def result(self, dims: Dims) -> tuple[str, object]:
        return "result", dims

    def axes(self, *dims: Dim) -> Dims:
        return dims

    def product(self, *names: Token) -> Factors:
        return Factors(tuple(map(str, names)))

    def ellipsis(self, _: Token) -> Ellipsis_:
        return Ellipsis_()

    def run(self, name: Token) -> Run:
        return Run(str(name))

    def fixed(self) -> Fixed:
        return Fixed()

    def window(self, name: Token) -> Window:
        return Window(str(name)[:-1])

    def one(self) -> One:
        return One()

    def mixes(self, name: Token) -> tuple[str, object]:
        return "mixes", str(name)

    def freezes(self, name: Token) -> tuple[str, object]:
        return "freezes", str(name)
