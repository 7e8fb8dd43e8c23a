"""Reading a `.prune` file: bytes to a `Source`, or a diagnostic."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prunec.diagnostics import Diagnostic, PruneError, Source, Span

MOST_BYTES = 1 << 20
ILLEGAL = re.compile("[\0\ud800-\udfff]")
TOO_LARGE = "a spec is a page of text: keep data in the modules that it names"


def read_source(path: str | os.PathLike[str]) -> Source:
    """The text of a file, under the path as given.

    Raises:
        PruneError: P0108 (cannot be read), P0106 (over 1 MiB), P0107 (not UTF-8, or NUL bytes).
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        message = f"`{os.fspath(path)}` cannot be read: {reason}"
        hint = "check the path, which is relative to the working folder"
        raise PruneError(Diagnostic("P0108", message, help=hint)) from error
    return decode(os.fspath(path), data)


def decode(name: str, data: bytes) -> Source:
    """The text that bytes hold, with any kind of line end made ``\\n``.

    Raises:
        PruneError: P0106 (over 1 MiB), P0107 (not UTF-8, or NUL bytes).
    """
    if len(data) > MOST_BYTES:
        raise PruneError(Diagnostic("P0106", f"`{name}` is larger than 1 MiB", help=TOO_LARGE))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a byte order mark, `error.start` counts from behind it.
        offset = len(data) - len(error.object) + error.start
        where = f"byte {offset} (0x{data[offset]:02x})"
        line = data.count(b"\n", 0, offset) + 1
        message = f"`{name}` is not UTF-8: {where} on line {line}"
        hint = "save the file as UTF-8 text"
        raise PruneError(Diagnostic("P0107", message, help=hint)) from error
    source = Source(name, text.replace("\r\n", "\n").replace("\r", "\n"))
    check(source)
    return source


def check(source: Source) -> None:
    """Refuse a text that is no spec, wherever it came from.

    Raises:
        PruneError: P0106 (over 1 MiB), P0107 (NUL or surrogate characters).
    """
    if len(source.text.encode(errors="replace")) > MOST_BYTES:
        message = f"`{source.name}` is larger than 1 MiB"
        raise PruneError(Diagnostic("P0106", message, help=TOO_LARGE))
    illegal = ILLEGAL.search(source.text)
    if illegal is not None:
        at = illegal.start()
        line = source.text.count("\n", 0, at) + 1
        column = at - source.text.rfind("\n", 0, at)
        what = "a NUL character" if illegal[0] == "\0" else "half of a surrogate pair"
        raise PruneError(
            Diagnostic(
                "P0107",
                f"`{source.name}` is not text: it holds {what}",
                span=Span(source, line, column, line, column + 1),
                help="save the file as UTF-8 text",
            )
        )
