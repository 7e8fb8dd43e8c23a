"""The last guard: whatever a command raises becomes words on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress

import typer

from prunec.cli import console
from prunec.diagnostics import InternalError, PruneError

CLEAN, FINDINGS, USAGE, INTERRUPTED = 0, 1, 2, 130


def guarded(app: typer.Typer, argv: list[str]) -> int:
    """The exit code of a command line."""
    try:
        code = app(argv, prog_name="prunec", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # newer versions of typer catch it themselves
            console.say("interrupted")
        return code if isinstance(code, int) else CLEAN
    except PruneError as error:
        console.diagnose(error.diagnostics)
        return FINDINGS
    except _usage_error() as error:
        error.show(sys.stderr)  # type: ignore[attr-defined]
        return USAGE
    except (typer.Abort, KeyboardInterrupt):
        console.say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has gone; what is left in the buffer must not be flushed at exit.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLEAN
    except InternalError as error:
        console.say(f"{error}{_place(error)}")
        return USAGE
    except Exception as error:
        what = str(InternalError(f"{type(error).__name__}: {error}"))
        console.say(what + _place(error))
        return USAGE


def _usage_error() -> type[Exception]:
    """The class of every wrong usage: typer has come with click beside and inside of it."""
    return next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def _place(error: BaseException, last: int = 3) -> str:
    """The innermost frames, for the report."""
    frames = traceback.extract_tb(error.__traceback__)[-last:]
    shown = [f"{'/'.join(f.filename.split(os.sep)[-3:])}:{f.lineno} in {f.name}" for f in frames]
    return "".join(f"\n  at {frame}" for frame in reversed(shown))
