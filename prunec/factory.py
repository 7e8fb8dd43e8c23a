"""Factories: import and call what a `.prune` file names, such as ``zoo.cifar:resnet56``.

This is the only place where a compile runs the user's code before tracing, and it runs just what
the file names. The folder of the file and the working folder are importable while it does.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from prunec.diagnostics import Diagnostic, PruneError, Span, nearest


def call(
    target: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    folder: Path | None = None,
    span: Span | None = None,
) -> Any:
    """What ``module:attribute`` returns for the arguments; ``folder`` is that of the spec.

    Raises:
        PruneError: P0301 (the module cannot be imported), P0302 (no such attribute, or not
            callable), P0303 (it raised).
    """
    module_name, _, attribute = target.partition(":")
    with _importable(folder, module_name):
        factory = _attribute(_module(module_name, span), attribute, span)
        try:
            return factory(**(arguments or {}))
        except (Exception, SystemExit) as error:
            raise _raised("P0303", f"`{target}` raised {_title(error)}", error, span) from error


@contextmanager
def _importable(folder: Path | None, module: str) -> Iterator[None]:
    """Put the spec's folder and the working folder first on ``sys.path``, and take them off again.

    A module of the wanted name that was imported from elsewhere (another spec's ``model.py``) is
    forgotten first.
    """
    before = list(sys.path)
    folders = [str(f.resolve()) for f in (folder, Path.cwd()) if f is not None]
    sys.path[:0] = dict.fromkeys(folders)
    importlib.invalidate_caches()
    _forget_namesake(module.partition(".")[0])
    try:
        yield
    finally:
        sys.path[:] = before


def _forget_namesake(top: str) -> None:
    known = sys.modules.get(top)
    found = PathFinder.find_spec(top) if known is not None and top.isidentifier() else None
    origin = getattr(known, "__file__", None)
    if found is None or origin is None or found.origin in (None, origin):
        return
    for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
        del sys.modules[name]


def _module(name: str, span: Span | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _raised(
                "P0301", f"importing `{name}` failed: {_title(error)}", error, span
            ) from error
        raise PruneError(
            Diagnostic(
                "P0301",
                f"there is no module `{error.name}`",
                span=span,
                label="named here",
                help="modules are looked for beside the `.prune` file, in the working folder and "
                "among the installed packages",
            )
        ) from error
    except (Exception, SystemExit) as error:
        raise _raised(
            "P0301", f"importing `{name}` failed: {_title(error)}", error, span
        ) from error


def _attribute(module: ModuleType, name: str, span: Span | None) -> Any:
    """A dotted attribute of a module, which must be callable."""
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [
                n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n, None))
            ]
            hint = nearest(part, known) or f"it has {', '.join(known[:8]) or 'nothing callable'}"
            raise _unusable(f"`{module.__name__}` has no `{name}`", span, hint)
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise _unusable(
            f"`{module.__name__}:{name}` is a {kind}, which cannot be called",
            span,
            "name a function or a class",
        )
    return found


def _unusable(message: str, span: Span | None, hint: str) -> PruneError:
    return PruneError(Diagnostic("P0302", message, span=span, label="named here", help=hint))


def _raised(code: str, message: str, error: BaseException, span: Span | None) -> PruneError:
    """The fault of user code that raised, with where it did."""
    return PruneError(
        Diagnostic(
            code,
            message,
            span=span,
            label="called here" if code == "P0303" else "imported here",
            notes=tuple(_frames(error.__traceback__)),
            help="run it in Python by itself to see the whole traceback",
        )
    )


def _frames(trace: TracebackType | None, last: int = 3) -> Iterator[str]:
    """The last frames of a traceback that lie in the user's code."""
    own = (str(Path(__file__).parent), "<frozen importlib", importlib.__file__ or "importlib")
    frames = [f for f in traceback.extract_tb(trace) if not f.filename.startswith(own)]
    for frame in frames[-last:]:
        yield f"{Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {frame.line}"


def _title(error: BaseException, limit: int = 300) -> str:
    """``ValueError: what it said``, on one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
