"""The pages that ship inside prunec: one per diagnostic code."""

from __future__ import annotations

import re
from importlib.resources import files

from rich.console import RenderableType
from rich.markdown import Markdown

from prunec.diagnostics import Diagnostic, PruneError, nearest


def is_code(word: str) -> bool:
    """Whether a word has the form of a diagnostic's code."""
    return re.fullmatch(r"[Pp]\d{3,5}", word) is not None


def page(code: str) -> RenderableType:
    """The page of a code.

    Raises:
        PruneError: P0901 when there is no such code.
    """
    pages = {f.name.removesuffix(".md"): f for f in (files("prunec") / "docs" / "codes").iterdir()}
    found = pages.get(code.upper())
    if found is None:
        hint = nearest(code.upper(), pages) or f"codes run from {min(pages)} to {max(pages)}"
        raise PruneError(Diagnostic("P0901", f"there is no diagnostic {code}", help=hint))
    return Markdown(found.read_text(encoding="utf-8"))
