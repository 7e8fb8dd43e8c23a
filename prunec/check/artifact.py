"""Artifact: a folder holds what its lock says, unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunec.check import imports
from prunec.diagnostics import Diagnostic

AGAIN = "compile again to write it anew"


def run(folder: Path, lock: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    """Check every file that a lock lists (``lock["files"]``: name -> SHA-256 in hexadecimal).

    P0820 a file is missing or cannot be read, P0821 it was changed, P0822 source that is not
    Python, P0812 source that imports something else than torch. Files that the lock does not list
    are not looked at.
    """
    files = lock.get("files")
    if not isinstance(files, Mapping) or not files:
        return (Diagnostic("P0820", "the lock lists no files", help=AGAIN),)
    found: list[Diagnostic] = []
    for name, digest in sorted(files.items()):
        found += _file(folder, str(name), str(digest))
    return tuple(found)


def _file(folder: Path, name: str, digest: str) -> tuple[Diagnostic, ...]:
    if Path(name).name != name:
        message = f"the lock lists `{name}`, which is no file of the folder"
        return (Diagnostic("P0820", message, help=AGAIN),)
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        return (Diagnostic("P0820", f"`{name}` is missing", help=AGAIN),)
    except OSError as error:
        message = f"`{name}` cannot be read: {error.strerror}"
        return (Diagnostic("P0820", message, help="check the permissions of the folder"),)
    changed = hashlib.sha256(data).hexdigest() != digest.removeprefix("sha256:")
    hint = "the file is not what was compiled; " + AGAIN
    faults = (Diagnostic("P0821", f"`{name}` was changed", help=hint),) if changed else ()
    return faults + (_source(name, data) if name.endswith(".py") else ())


def _source(name: str, data: bytes) -> tuple[Diagnostic, ...]:
    try:
        return imports.run(data.decode(), name)
    except UnicodeDecodeError:
        return (Diagnostic("P0822", f"`{name}` is not Python: it is not UTF-8", help=AGAIN),)
