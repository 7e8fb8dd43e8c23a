"""Faults of tracing: how a refusal names the source line, the operator and the way out."""

from __future__ import annotations

import traceback

from prunec.diagnostics import Diagnostic, PruneError
from prunec.trace import scopes


def refuse(code: str, message: str, line: str | None = None, help: str | None = None) -> PruneError:
    """A `PruneError` with one diagnostic; the user's source line, when known, becomes a note."""
    notes = (f"at {line}",) if line else ()
    return PruneError(Diagnostic(code, message, notes=notes, help=help))


def reason(error: BaseException, limit: int = 300) -> str:
    """The first paragraph of what was raised, on one line, without torch's advice."""
    text = str(error).strip().split("\n\n")[0]
    first = " ".join(f"{type(error).__name__}: {text}".split())
    return first if len(first) <= limit else first[: limit - 3] + "..."


def source_line(error: BaseException) -> str | None:
    """The innermost line of the user's code that an exception passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    names = [(frame.filename, frame.lineno or 0) for frame in frames]
    return scopes.innermost(
        [(f, n) for f, n in names if "prunec/trace" not in f.replace("\\", "/")]
    )
