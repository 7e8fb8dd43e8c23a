"""Symbols: sizes that change from call to call, under the names that the user gave them.

torch calls a dynamic size ``s77``; here it is ``N`` or ``T``, and what is computed from it reads
``4*N`` or ``N//2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy  # type: ignore[import-untyped]
import torch

from prunec.ir.graph import ScalarType, TensorType, Type

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class DataDependentError(Exception):
    """A ``size`` or ``number`` that is known only when the values of a tensor are."""


@dataclass(frozen=True)
class Symbols:
    """The user's name for each of torch's symbols (by torch's name)."""

    names: Mapping[str, str] = field(default_factory=dict)

    def text(self, size: int | torch.SymInt) -> str | None:
        """``"4*N"`` for a dynamic size, None for a fixed one."""
        return self.show(size.node.expr) if is_dynamic(size) else None

    def show(self, expression: Any) -> str:
        """An expression of torch's symbols in the user's names, as Python."""
        symbols = expression.free_symbols
        renamed = {s: sympy.Symbol(self.name(str(s)), integer=True) for s in symbols}
        return _infix(expression.xreplace(renamed))

    def name(self, symbol: str) -> str:
        """The user's name of a symbol.

        Raises:
            DataDependentError: it has none, for it depends on the values of a tensor.
        """
        if symbol not in self.names:
            raise DataDependentError("size")
        return self.names[symbol]

    def type(self, value: Any) -> Type:
        """The type of a value that torch recorded: a tensor, a number, a tuple of these or None."""
        match value:
            case torch.Tensor():
                sizes = tuple(value.shape)
                symbols = tuple(map(self.text, sizes))
                return TensorType(tuple(map(example, sizes)), dtype_name(value.dtype), symbols)
            case bool() | torch.SymBool():
                return ScalarType("bool", bool(example(value)))
            case int() | torch.SymInt():
                self.text(value)
                return ScalarType("int", example(value))
            case float() | torch.SymFloat():
                return ScalarType("float", example(value))
            case tuple() | list():
                return tuple(map(self.type, value))
            case _:
                return None


def named(tensors: Iterable[tuple[torch.Tensor, Mapping[int, str]]]) -> Symbols:
    """Name the symbols that the inputs introduce: of each, which dimension has which name."""
    names: dict[str, str] = {}
    for tensor, wanted in tensors:
        for dim, size in enumerate(tensor.shape):
            if not is_dynamic(size):
                continue
            for symbol in sorted(map(str, size.node.expr.free_symbols)):
                plain = str(size.node.expr) == symbol
                name = wanted.get(dim, f"D{len(names)}")
                if symbol not in names or (plain and names[symbol].endswith("_")):
                    names[symbol] = name if plain else f"{name}_"
    return Symbols(names)


def is_dynamic(size: int | torch.SymInt) -> TypeIs[torch.SymInt]:
    """Whether a size may change; a symbolic one may not where torch found its only value."""
    return isinstance(size, torch.SymInt) and bool(size.node.expr.free_symbols)


def example(value: Any) -> Any:
    """The number that a symbolic number had in the example."""
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        hint = value.node.hint
        if hint is None:
            raise DataDependentError("number")
        return hint
    return value


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def _infix(expression: Any) -> str:
    """A sympy expression of torch as a Python reader would write it."""
    name = type(expression).__name__
    if name in {"FloorDiv", "CleanDiv"}:
        return "//".join(map(_operand, expression.args))
    if name in {"Mod", "PythonMod"}:
        return "%".join(map(_operand, expression.args))
    if expression.is_Relational:
        return f"{_infix(expression.lhs)} {expression.rel_op} {_infix(expression.rhs)}"
    if expression.is_Add:
        terms = sorted(expression.args, key=lambda term: (bool(term.is_number), str(term)))
        return " + ".join(map(_operand, terms)).replace("+ -", "- ")
    if expression.is_Mul:
        factors = sorted(expression.args, key=lambda term: (not term.is_number, str(term)))
        return "*".join(map(_operand, factors))
    return str(expression)


def _operand(expression: Any) -> str:
    text = _infix(expression)
    return text if expression.is_Atom or expression.is_Mul else f"({text})"
