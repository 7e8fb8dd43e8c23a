"""Lines of code and classes: of a text, and of what a model is defined by.

A line of code holds more than blanks, comments and docstrings; a statement over three lines is
three.
"""

from __future__ import annotations

import ast
import inspect
import io
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

SILENT = frozenset(
    {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
        *(tokenize.ENCODING, tokenize.ENDMARKER),
    }
)


@dataclass(frozen=True)
class Count:
    """Lines of code and classes."""

    lines: int
    classes: int


def of_text(text: str) -> Count:
    """Count a whole file, imports included."""
    tree = ast.parse(text)
    return Count(len(code_lines(text)), sum(isinstance(n, ast.ClassDef) for n in ast.walk(tree)))


def code_lines(text: str) -> frozenset[int]:
    """The numbers of the lines of code, from 1."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        found.difference_update(_docstring(node))
    return frozenset(found)


def _docstring(node: ast.AST) -> range:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(node, holders) or ast.get_docstring(node, clean=False) is None:
        return range(0)
    first = node.body[0]
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


def of_model(model: nn.Module, builders: Iterable[Callable[..., Any]] = ()) -> Count:
    """Count what a model is defined by.

    That is: the classes of its modules that are not torch's; their base classes in the same files
    (so not a library's common base); functions of these files that those classes name, and so on;
    and the functions that build the model. Nothing is counted twice. Not counted: imports, configs,
    constants, tables of weights, and classes that are no modules.
    """
    classes = dict.fromkeys(c for m in model.modules() for c in _own(type(m)))
    found = dict.fromkeys((*classes, *_helpers(classes), *builders))
    lines: set[tuple[str, int]] = set()
    for item in found:
        path, span = _place(item)
        lines.update((path, n) for n in _file_lines(path) if n in span)
    return Count(len(lines), len(classes))


def _own(cls: type) -> Iterator[type]:
    """A class and its bases from the same file; nothing of torch's."""
    if cls.__module__.split(".")[0] != "torch":
        yield from (c for c in cls.__mro__ if c.__module__ == cls.__module__)


def _helpers(classes: Iterable[type]) -> Iterator[Callable[..., Any]]:
    """Functions that classes name and their file defines, and those that these name."""
    waiting: list[Any] = list(classes)
    seen: set[Any] = set(waiting)
    while waiting:
        item = waiting.pop()
        known = vars(sys.modules[item.__module__])
        path, span = _place(item)
        for node in ast.walk(_file_tree(path)):
            named = known.get(node.id) if isinstance(node, ast.Name) else None
            inside = isinstance(node, ast.Name) and node.lineno in span
            own = inspect.isfunction(named) and named.__module__ == item.__module__
            if inside and own and named not in seen:
                seen.add(named)
                waiting.append(named)
                yield named


def _place(item: Any) -> tuple[str, range]:
    """The file and the lines of a class or function."""
    item = inspect.unwrap(item)
    path = inspect.getsourcefile(item)
    assert path is not None
    source, start = inspect.getsourcelines(item)
    return path, range(start, start + len(source))


@cache
def _file_lines(path: str) -> frozenset[int]:
    return code_lines(Path(path).read_text())


@cache
def _file_tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text())
