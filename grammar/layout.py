"""Lines on a page: columns aligned, long lines broken, comments behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

WIDTH = 100
INDENT = 2


@dataclass(frozen=True, slots=True)
class Note:
    """A comment on a line of its own. ``blank``: an empty line stands before it."""

    text: str
    blank: bool = False
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that stays on one line. ``notes`` stand on lines before it; ``ends``: what follows is on
    a new line.
    """

    text: str
    notes: tuple[str, ...] = ()
    comment: str = ""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line, broken between its pieces where it is too long.

    Neighbours of a ``group`` with a ``head`` have what follows it in one column. ``hang`` is how
    far lines after the first stand behind that column.
    """

    indent: int
    head: str
    pieces: tuple[Piece, ...]
    comment: str
    blank: bool
    group: str
    hang: int

    @property
    def length(self) -> int:
        """Columns that it takes on one line."""
        return self.indent + len(" ".join([self.head, *(p.text for p in self.pieces)]).strip())


def page(items: Sequence[Row | Note]) -> str:
    """The text of all lines; it ends with one line end, or is empty."""
    aligned = [row for run in _runs(items) for row in _columns(run)]
    lines: list[str] = []
    for _, run in groupby(_broken(aligned), key=_commented):
        lines += _with_comments(list(run))
    return "\n".join(lines).strip("\n") + "\n" if lines else ""


@dataclass(frozen=True, slots=True)
class _Lines:
    """A row or a note as it stands on the page, but for its comment."""

    lines: tuple[str, ...]
    comment: str
    blank: bool
    number: int
    indent: int


def _runs(items: Sequence[Row | Note]) -> Iterator[list[Row | Note]]:
    """Items whose rows are aligned with each other: of one group, notes between them, and outside
    of blocks no gap.
    """
    run: list[Row | Note] = []
    group = None
    for item in items:
        apart = item.blank and item.indent == 0
        other = isinstance(item, Row) and item.group != group
        if run and (apart or (other and group is not None)):
            yield run
            run, group = [], None
        run.append(item)
        if isinstance(item, Row):
            group = item.group
    if run:
        yield run


def _columns(run: Sequence[Row | Note]) -> Iterator[Row | Note]:
    """The rows of a run with their heads as wide as the widest."""
    width = max((len(item.head) for item in run if isinstance(item, Row)), default=0)
    for item in run:
        if isinstance(item, Row) and item.head:
            yield replace(item, head=f"{item.head:<{width}} ")
        else:
            yield item


def _broken(items: Iterable[Row | Note]) -> Iterator[_Lines]:
    for number, item in enumerate(items):
        if isinstance(item, Note):
            text = " " * item.indent + item.text
            yield _Lines((text,), "", item.blank, number, item.indent)
        else:
            yield _Lines(tuple(_fill(item)), item.comment, item.blank, number, item.indent)


def _fill(row: Row) -> Iterator[str]:
    """The lines of one row: as many pieces on each as fit."""
    line = " " * row.indent + row.head
    margin = " " * (len(line) + row.hang if row.head else row.indent + 2 * INDENT)
    fresh = True
    for piece in row.pieces:
        if piece.notes:
            yield from [line.rstrip()] * (not fresh)
            yield from (margin + note for note in piece.notes)
            line, fresh = margin, True
        if not fresh and len(line) + 1 + len(piece.text) > WIDTH:
            yield line
            line, fresh = margin, True
        line += piece.text if fresh else f" {piece.text}"
        fresh = False
        if piece.ends:
            yield f"{line}  {piece.comment}".rstrip()
            line, fresh = margin, True
    yield line


def _commented(item: _Lines) -> tuple[bool, int]:
    """Neighbours with equal keys have their comments in one column."""
    return bool(item.comment), item.indent if item.comment else 0


def _with_comments(run: Sequence[_Lines]) -> Iterator[str]:
    """The lines of items, comments in one column; an empty line starts a new column."""
    column = 0
    for at, item in enumerate(run):
        if item.comment and (at == 0 or item.blank):
            block = _until_blank(run[at:])
            column = max(len(i.lines[-1]) for i in block)
        yield from [""] * item.blank
        yield from item.lines[:-1]
        last = item.lines[-1]
        yield f"{last:<{column}}  {item.comment}" if item.comment else last


def _until_blank(run: Sequence[_Lines]) -> list[_Lines]:
    found = [run[0]]
    for item in run[1:]:
        if item.blank:
            break
        found.append(item)
    return found
