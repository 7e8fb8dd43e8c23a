"""The cache: what was scored and measured, on disk, under the hash of all that it depends on.

Files are safetensors and JSON. Each holds the key that it was written for and a hash of its
content, and appears whole or not at all. One that is damaged, or of another program, is ignored
with a note and written again. A key is never written twice with different content, so several
processes may share a folder.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from prunec import hashing, output
from prunec.diagnostics import Diagnostic

TOOL = "prunec cache 1"
VARIABLE = "PRUNEC_CACHE"
FOREIGN = "it is not what prunec wrote there"


def default() -> Path:
    """The folder of the command line: ``$PRUNEC_CACHE``, or the user's own for prunec."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    return Path(named) if named else user_cache_path("prunec")


def key(*parts: str) -> str:
    """One key from all that an entry depends on."""
    return hashing.digest(json.dumps(parts).encode())


@dataclass(eq=False)
class Cache:
    """Entries under a folder; without one nothing is found and nothing is kept.

    ``notes`` say what the user should know: files that were ignored, a folder that takes none.
    """

    folder: Path | None = None
    notes: list[Diagnostic] = field(default_factory=list)

    def tensors(self, name: str) -> dict[str, Tensor] | None:
        """Named tensors; None where there are none under this key."""
        path = self._path(name, "safetensors")
        if path is None or not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                found = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            self._ignore(path, str(error))
            return None
        if told == _about(name, hashing.tensors(found)):
            return found
        self._ignore(path, FOREIGN)
        return None

    def keep_tensors(self, name: str, found: Mapping[str, Tensor]) -> None:
        """Write named tensors."""
        about = _about(name, hashing.tensors(found))
        self._write(name, "safetensors", save(dict(found), metadata=about))

    def number(self, name: str) -> float | None:
        """A finite number; None where there is none under this key."""
        path = self._path(name, "json")
        if path is None or not path.is_file():
            return None
        try:
            told = json.loads(path.read_bytes())
        except (ValueError, OSError) as error:
            self._ignore(path, str(error))
            return None
        found = told.pop("value", None) if isinstance(told, dict) else None
        if isinstance(found, float) and told == _about(name, _of(found)):
            return found
        self._ignore(path, FOREIGN)
        return None

    def keep_number(self, name: str, value: float) -> None:
        """Write a number; one that is not finite is not kept."""
        if math.isfinite(value):
            about = {**_about(name, _of(float(value))), "value": float(value)}
            self._write(name, "json", json.dumps(about).encode())

    def _path(self, name: str, suffix: str) -> Path | None:
        return self.folder and self.folder / name[:2] / f"{name[2:]}.{suffix}"

    def _write(self, name: str, suffix: str, data: bytes) -> None:
        """Whole or not at all, and for this user alone."""
        path = self._path(name, suffix)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            output.replace(path, data, 0o600)
        except OSError as error:
            self._cannot(error)

    def _ignore(self, path: Path, reason: str) -> None:
        self.notes.append(
            Diagnostic(
                "P0610",
                f"a file of the cache is ignored and made again: `{path}`: {reason}",
                severity="note",
            )
        )

    def _cannot(self, error: OSError) -> None:
        message = f"nothing is kept in the cache `{self.folder}`: {error.strerror or error}"
        hint = f"name a folder that can be written in `${VARIABLE}`, or say `--no-cache`"
        if all(note.code != "P0611" for note in self.notes):
            self.notes.append(Diagnostic("P0611", message, severity="note", help=hint))


def _about(name: str, content: str) -> dict[str, str]:
    return {"tool": TOOL, "key": name, "content": content}


def _of(value: float) -> str:
    return hashing.digest(value.hex().encode())
