"""Files: what a compile leaves on disk, all or nothing.

Everything is written to a temporary folder beside the target, which then takes the target's place
in one rename. A folder is replaced only if what it holds comes from an earlier compile: files that
a ``*.lock.json`` in it, which says ``"tool": "prunec"``, lists or that are named like it.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import safetensors.torch
from torch import Tensor

from prunec.diagnostics import Diagnostic, InternalError, PruneError

LOCK = ".lock.json"
DERIVED = frozenset({"__pycache__"})
"""What Python itself leaves beside a source file."""


def weights_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """A safetensors file; the same tensors give the same bytes, in any order and layout."""
    ordered = {name: weights[name].detach().cpu().clone().contiguous() for name in sorted(weights)}
    return safetensors.torch.save(ordered, metadata={"format": "pt"})


def write(folder: Path, artefacts: Mapping[str, bytes | str]) -> None:
    """Write files, by name, into a folder; on any failure everything is as it was before.

    Files of an earlier compile with other names (another model's) stay.

    Raises:
        PruneError: P0702 where the folder is a file, P0703 where it cannot be written, P0704 where
        it holds
            something that is not of an earlier compile.
    """
    for name in artefacts:
        if name != Path(name).name or name in ("", ".", ".."):
            raise InternalError(f"{name!r} is not a plain file name")
    target = folder.resolve()
    if target.exists() and not target.is_dir():
        raise _fault(
            "P0702", f"`{folder}` is a file, and the output needs a folder", "name another folder"
        )
    try:
        kept = _kept(folder, target, artefacts)
        _replace(target, artefacts, kept)
    except OSError as error:
        reason = error.strerror or str(error)
        help_ = "check the permissions and the free space, or name another folder"
        raise _fault("P0703", f"`{folder}` cannot be written: {reason}", help_) from error


def _kept(folder: Path, target: Path, artefacts: Mapping[str, bytes | str]) -> tuple[Path, ...]:
    """Files of other models that stay; refuses what no compile has left there."""
    if not target.exists():
        return ()
    found = sorted(p for p in target.iterdir() if p.name not in DERIVED)
    locks = _locks(found)
    owner = {p: _owner(p.name, locks) for p in found}
    foreign = [p.name for p in found if not p.is_file() or owner[p] is None]
    if foreign:
        shown = ", ".join(f"`{n}`" for n in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise _fault(
            "P0704",
            f"`{folder}` holds something that prunec has not written: {shown}",
            "name an empty or a new folder; a folder of an earlier compile is replaced",
        )
    new = {name.removesuffix(LOCK) for name in artefacts if name.endswith(LOCK)}
    return tuple(p for p in found if p.name not in artefacts and owner[p] not in new)


def _replace(target: Path, artefacts: Mapping[str, bytes | str], kept: tuple[Path, ...]) -> None:
    made = list(_make_parents(target.parent))
    mark = uuid.uuid4().hex
    staging = target.with_name(f".{target.name}.{mark}.new")
    backup = target.with_name(f".{target.name}.{mark}.old")
    try:
        staging.mkdir()
        for path in kept:
            shutil.copy2(path, staging / path.name)
        for name, content in artefacts.items():
            data = (
                content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
            )
            _write(staging / name, data)
        _swap(target, staging, backup)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise
    shutil.rmtree(backup, ignore_errors=True)


def _swap(target: Path, staging: Path, backup: Path) -> None:
    """Put the new folder in the old one's place, or leave the old one there."""
    existed = target.exists()
    if existed:
        target.rename(backup)
    try:
        staging.rename(target)
    except BaseException:
        if existed:
            backup.rename(target)
        raise


def _make_parents(folder: Path) -> Iterator[Path]:
    """Make missing parents; yields those that were made, outermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir()
        yield path


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _locks(found: Iterable[Path]) -> dict[str, frozenset[str]]:
    """The files that each lock lists, by the lock's stem."""
    locks = {p.name.removesuffix(LOCK): _listed(p) for p in found if p.name.endswith(LOCK)}
    return {stem: files for stem, files in locks.items() if files is not None}


def _listed(path: Path) -> frozenset[str] | None:
    """The files that a lock lists; None if it is no lock of ours."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("tool") != "prunec":
        return None
    files = found.get("files")
    return frozenset(files) if isinstance(files, dict) else frozenset()


def _owner(name: str, locks: Mapping[str, frozenset[str]]) -> str | None:
    """The stem of the lock that a file belongs to."""
    owners = (s for s, files in locks.items() if name in files or name.startswith(f"{s}."))
    return next(owners, None)


def _fault(code: str, message: str, help_: str) -> PruneError:
    return PruneError(Diagnostic(code, message, help=help_))
