"""Documents: text with places where it may break, and the choice of those.

The language of Wadler's "prettier printer", with what ruff's formatter adds to it: contents that
depend on whether a group breaks, brackets that may open while what is around them counts as one
line, and values that get parentheses only if these make them fit.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeAlias

INDENT = 4

Doc: TypeAlias = "str | tuple[Doc, ...] | Line | Indent | Group | IfBreaks | Opens | Fits | Wrap"

_number = itertools.count()


def mark() -> int:
    """A new mark, by which contents refer to the group that they depend on."""
    return next(_number)


@dataclass(frozen=True, slots=True)
class Line:
    """The flat text, or a line break where the group around it breaks or where it is hard."""

    flat: str = ""
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Indent:
    """Lines one step further in; with a mark only where that group breaks."""

    inner: Doc
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """On one line if it fits there. With ``within`` only where that group breaks."""

    inner: Doc
    mark: int | None = None
    within: int | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class IfBreaks:
    """One of two, by the group around it or by the marked one."""

    broken: Doc
    flat: Doc = ""
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Opens:
    """Brackets: while the marked group is one line, these may still break."""

    inner: Doc
    mark: int


@dataclass(frozen=True, slots=True)
class Fits:
    """The first variant whose first line fits, else the last."""

    variants: tuple[Doc, ...]


@dataclass(frozen=True, slots=True)
class Wrap:
    """A value that gets parentheses if it does not fit without and fits with them."""

    inner: Doc
    mark: int


class _Lines(Enum):
    """Which lines have to fit: the first, every one, or none but what is before and after."""

    FIRST = auto()
    EVERY = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class _Item:
    """A document that is still to be printed or measured."""

    doc: Doc
    flat: bool = False
    indent: int = 0
    lines: _Lines = _Lines.FIRST


def render(doc: Doc, indent: int, width: int) -> list[str]:
    """The lines of a document that starts so many columns in, at most so wide where that can be."""
    return _Printer(width).run(doc, indent)


def block(left: str, inner: Doc, right: str) -> Doc:
    """Brackets around a line of contents, or around contents on lines of their own."""
    return (left, Indent((Line(), inner)), Line(), right)


@dataclass
class _Printer:
    width: int
    todo: list[_Item] = field(default_factory=list)
    flat: dict[int, bool] = field(default_factory=dict)
    measured: bool = False

    def run(self, doc: Doc, indent: int) -> list[str]:
        self.todo = [_Item(doc, indent=indent)]
        lines, self.column = [" " * indent], indent
        while self.todo:
            item = self.todo.pop()
            match item.doc:
                case str() as text:
                    lines[-1] += text
                    self.column += columns(text)
                case Line(flat=text, hard=hard):
                    if item.flat and not hard:
                        lines[-1] += text
                        self.column += len(text)
                    else:
                        lines.append(" " * item.indent)
                        self.column, self.measured = item.indent, False
                case Group() as group:
                    self._group(group, item)
                case Opens(inner=inner, mark=marked):
                    if self.flat[marked]:
                        self.measured = False
                    self.todo.append(replace(item, doc=inner))
                case Fits(variants=variants):
                    self._variant(variants, item)
                case Wrap() as wrap:
                    self._wrap(wrap, item)
                case _:
                    self.todo.extend(self._parts(item))
        return lines

    def _parts(self, item: _Item) -> Iterator[_Item]:
        """What stands for a document without a choice of its own, last first."""
        match item.doc:
            case tuple() as parts:
                for part in reversed(parts):
                    yield replace(item, doc=part)
            case Indent(inner=inner, mark=marked):
                deeper = marked is None or not self.flat[marked]
                yield replace(item, doc=inner, indent=item.indent + INDENT * deeper)
            case IfBreaks(broken=broken, flat=flat, mark=marked):
                one_line = item.flat if marked is None else self.flat[marked]
                yield replace(item, doc=flat if one_line else broken)

    def _group(self, group: Group, item: _Item) -> None:
        if group.within is not None and self.flat[group.within]:
            self.todo.append(replace(item, doc=group.inner))
            return
        if group.mark is not None:
            self.flat[group.mark] = True
        flat = not group.open and (
            (item.flat and self.measured) or self._fits(_Item(group.inner, True, item.indent))
        )
        if group.mark is not None:
            self.flat[group.mark] = flat
        self.todo.append(_Item(group.inner, flat, item.indent))

    def _variant(self, variants: tuple[Doc, ...], item: _Item) -> None:
        for variant in variants[:-1]:
            attempt = _Item(variant, True, item.indent)
            if self._fits(attempt):
                self.todo.append(attempt)
                return
        self.todo.append(_Item(variants[-1], False, item.indent))

    def _wrap(self, wrap: Wrap, item: _Item) -> None:
        bare = _Item(wrap.inner, True, item.indent)
        self.flat[wrap.mark] = True
        if self._fits(bare):
            self.todo.append(bare)
            return
        self.flat[wrap.mark] = False
        inside: Doc = ("(", Indent((Line(hard=True), wrap.inner)))
        if self._fits(_Item(inside, False, item.indent, _Lines.EVERY), alone=True):
            self.todo.append(_Item((inside, Line(hard=True), ")"), False, item.indent))
            return
        self.flat[wrap.mark] = True
        self.todo.append(bare)

    def _fits(self, first: _Item, *, alone: bool = False) -> bool:
        """Whether this fits, and with it (unless alone) what follows in its line."""
        self.measured = True
        todo, below, column = [first], len(self.todo), self.column
        while todo or (below and not alone):
            if not todo:
                below -= 1
                todo.append(self.todo[below])
            item = todo.pop()
            match item.doc:
                case str() as text:
                    column += columns(text)
                case Line(flat=text, hard=hard):
                    if item.flat and not hard:
                        column += len(text)
                    elif item.flat or item.lines is _Lines.FIRST:
                        return True
                    else:
                        column = item.indent
                        continue
                case _:
                    todo.extend(self._measured(item))
                    continue
            if column > self.width and item.lines is not _Lines.NONE:
                return False
        return True

    def _measured(self, item: _Item) -> Iterator[_Item]:
        """What stands for a document while it is measured."""
        match item.doc:
            case Group(inner=inner, mark=marked, within=within, open=opened):
                flat = item.flat and not (opened and (within is None or not self.flat[within]))
                if marked is not None:
                    self.flat[marked] = flat
                yield replace(item, doc=inner, flat=flat)
            case Opens(inner=inner, mark=marked):
                free = item.flat and self.flat[marked]
                lines = _Lines.NONE if free else item.lines
                yield replace(item, doc=inner, flat=item.flat and not free, lines=lines)
            case Fits(variants=variants):
                yield replace(item, doc=variants[0 if item.flat else -1])
            case Wrap(inner=inner, mark=marked):
                self.flat[marked] = item.flat
                yield replace(item, doc=inner)
            case _:
                yield from self._parts(item)


def columns(text: str) -> int:
    """How wide a text is on a screen."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
