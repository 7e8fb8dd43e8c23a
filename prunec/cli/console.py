"""What reaches the terminal: results on stdout, diagnostics and progress on stderr, colour on
terminals only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from prunec import __version__
from prunec.diagnostics import Diagnostic
from prunec.report import tables
from prunec.report.formats import Format, write

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_format = Format.text


def use(form: Format) -> None:
    """Write the diagnostics of this command in a format."""
    global _format  # noqa: PLW0603  one command per process
    _format = form


def machine() -> bool:
    """Whether the reader is a program."""
    return _format is not Format.text


def as_json() -> bool:
    """Whether results are wanted as JSON."""
    return _format is Format.json


def show(*parts: RenderableType) -> None:
    """Results for people."""
    if sys.stdout.isatty():
        tables.render(Console(highlight=False), *parts)
    else:
        print(tables.text(*parts))


def dump(value: object) -> None:
    """Results for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def diagnose(diagnostics: Sequence[Diagnostic], *, result: bool = False) -> None:
    """Diagnostics; on stdout where they are the ``result`` and a machine reads them."""
    if machine():
        if not diagnostics and not result:
            return
        text = write(diagnostics, _format, __version__)
        print(text, file=sys.stdout if result else sys.stderr)
        return
    console = _stderr()
    for diagnostic in diagnostics:
        console.print(_coloured(diagnostic), soft_wrap=True)


def say(message: str) -> None:
    """One line for people, beside the results."""
    _stderr().print(Text(message), soft_wrap=True)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """A function to call when a stage begins: it shows the stage and its time on a terminal, and
    nothing elsewhere.

    Meanwhile what the user's own code prints goes to stderr, so that results stay clean.
    """
    console = _stderr()
    if not console.is_terminal or machine():
        with redirect_stdout(sys.stderr):
            yield lambda name: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda name: progress.reset(task, description=name)


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how much is done, and of how much: a progress bar on a terminal, and
    nothing elsewhere.
    """
    console = _stderr()
    if not console.is_terminal or machine():
        with redirect_stdout(sys.stderr):
            yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _coloured(diagnostic: Diagnostic) -> Text:
    shown = Text(write([diagnostic], Format.text, __version__))
    head = len(f"{diagnostic.severity}[{diagnostic.code}]")
    shown.stylize(STYLES[diagnostic.severity], 0, head)
    shown.append("\n")
    return shown


def _stderr() -> Console:
    return Console(file=sys.stderr, highlight=False)
