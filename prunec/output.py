"""Single files that the user asked for: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from prunec.diagnostics import Diagnostic, PruneError


def write(path: Path, data: bytes) -> None:
    """Replace a file; its folder must be there.

    Raises:
        PruneError: P0649 if it cannot be written.
    """
    try:
        replace(path, data, path.stat().st_mode if path.exists() else 0o666 & ~_umask())
    except OSError as error:
        message = f"`{path}` cannot be written: {error.strerror or error}"
        hint = "name a file in a folder that there is"
        raise PruneError(Diagnostic("P0649", message, help=hint)) from error


def replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file under a name of its own first, then rename it. Raises OSError."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(made, mode)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found
