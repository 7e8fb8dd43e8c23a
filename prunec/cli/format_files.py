"""``prunec fmt``: canonical text for files and for stdin."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from pathlib import Path

from prunec import grammar
from prunec.cli import console
from prunec.diagnostics import Source


def run(name: str, *, check: bool, diff: bool) -> bool:
    """Format one file (``-``: stdin to stdout); whether its text changes.

    With ``check`` or ``diff`` nothing is written but what they show.
    """
    source = _stdin() if name == "-" else grammar.read_source(name)
    text = grammar.fmt(source)
    changed = text != (source.text if name == "-" else Path(name).read_bytes().decode("utf-8"))
    if diff:
        sys.stdout.writelines(_difference(source, text))
    if check and changed:
        console.say(f"would reformat {source.name}")
    if not check and not diff:
        _write(name, text, changed)
    return changed


def _write(name: str, text: str, changed: bool) -> None:
    if name == "-":
        sys.stdout.write(text)
    elif changed:
        _replace(Path(name), text)
        console.say(f"reformatted {name}")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, its mode kept."""
    target = path.resolve()
    with tempfile.NamedTemporaryFile(
        "w",
        dir=target.parent,
        prefix=f".{target.name}.",
        delete=False,
        encoding="utf-8",
        newline="\n",
    ) as file:
        file.write(text)
    try:
        os.chmod(file.name, target.stat().st_mode)
        os.replace(file.name, target)
    except OSError:
        os.unlink(file.name)
        raise


def _difference(source: Source, text: str) -> list[str]:
    lines = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    return list(difflib.unified_diff(*lines, source.name, f"{source.name} (formatted)"))


def _stdin() -> Source:
    return grammar.decode("<stdin>", sys.stdin.buffer.read())
