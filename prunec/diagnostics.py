"""Diagnostics: what is wrong, where, and what to do about it.

Every fault that a user can cause is a `Diagnostic` with a stable code; a stage collects all of its
faults and raises one `PruneError`. A broken invariant of the compiler itself is an `InternalError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal
from unicodedata import combining, east_asian_width

Severity = Literal["error", "warning", "note"]

WIDTH = 96
"""Characters of a source line that a diagnostic shows."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text that diagnostics point into. ``name`` is shown to the user (a path, or ``<spec>``)."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A region of a source; lines and columns count from 1, ``end_column`` is exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Place:
    """Another place that a diagnostic is about, and what is to be said of it."""

    span: Span
    label: str

    def as_dict(self) -> dict[str, object]:
        """The place as plain JSON values."""
        return {"label": self.label, **_where(self.span)}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. ``label`` stands at the caret, ``also`` are further places, ``notes`` stand
    below them, ``help`` says what to do.
    """

    code: str
    message: str
    severity: Severity = "error"
    span: Span | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    help: str | None = None
    also: tuple[Place, ...] = ()

    def __str__(self) -> str:
        return render(self)

    def as_dict(self) -> dict[str, object]:
        """The diagnostic as plain JSON values; places are null where it points nowhere."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "label": self.label,
            "notes": list(self.notes),
            "help": self.help,
            **_where(self.span),
            "also": [place.as_dict() for place in self.also],
        }


class PruneError(Exception):
    """One or more faults that the user can mend.

    Attributes:
        diagnostics: the faults, in source order.
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n\n".join(map(render, diagnostics)))


class InternalError(Exception):
    """An invariant of the compiler is broken; please report it."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"internal error: {message}\nThis is a defect of prunec; please report it."
        )


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as text, with the source line and a caret under the place that it names, and
    with dashes under the others.
    """
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    spans = [s for s in (diagnostic.span, *(p.span for p in diagnostic.also)) if s is not None]
    margin = " " * max((len(str(span.line)) for span in spans), default=1)
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic.span, diagnostic.label, margin)
    for place in diagnostic.also:
        lines += _excerpt(place.span, place.label, margin, arrow=":::", mark="-")
    lines += [f"{margin} = note: {note}" for note in diagnostic.notes]
    if diagnostic.help is not None:
        lines.append(f"{margin} = help: {diagnostic.help}")
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str], count: int = 3) -> str | None:
    """``did you mean ...?`` for the known words nearest to ``word``; None when nothing is near."""
    close = get_close_matches(word, sorted(set(known)), n=count, cutoff=0.5)
    return f"did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else None


def _where(span: Span | None) -> dict[str, object]:
    return {
        "file": span.source.name if span else None,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
    }


def _excerpt(
    span: Span, label: str, margin: str, *, arrow: str = "-->", mark: str = "^"
) -> list[str]:
    head = f"{margin}{arrow} {span.source.name}:{span.line}:{span.column}"
    rows = span.source.text.split("\n")
    if not 1 <= span.line <= len(rows):
        return [head]
    row = rows[span.line - 1].rstrip("\r")
    end = span.end_column if span.end_line == span.line else len(row) + 1
    shown, start, stop = _window(row, span.column - 1, max(span.column, end - 1))
    before, marked = _columns(shown[:start]), _columns(shown[start:stop])
    pointer = " " * before + mark * max(1, marked)
    return [
        head,
        f"{margin} |",
        f"{span.line:{len(margin)}} | {_printable(shown)}".rstrip(),
        f"{margin} | {pointer} {label}".rstrip(),
    ]


def _window(row: str, start: int, stop: int) -> tuple[str, int, int]:
    """At most `WIDTH` characters of a row, the marked ones among them; and where these are."""
    if len(row) <= WIDTH:
        return row, start, stop
    first = max(0, min(start - WIDTH // 3, len(row) - WIDTH))
    last = first + WIDTH
    left, right = "..." * (first > 0), "..." * (last < len(row))
    shift = len(left) - first
    return left + row[first:last] + right, start + shift, min(stop, last) + shift


def _printable(text: str) -> str:
    """Text that a terminal shows as it is: a tab is a space, control characters are dots."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "·" for c in text)


def _columns(text: str) -> int:
    """Columns of a terminal that a text takes: wide characters two, combining ones none."""
    return sum(2 if east_asian_width(c) in "WF" else not combining(c) for c in text)
