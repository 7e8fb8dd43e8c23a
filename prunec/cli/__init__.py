"""The command line: ``prunec compile|plan|diff|check|explain|groups|fmt|new``.

Results go to stdout and diagnostics to stderr. The exit code is 0 where all is well, 1 where
something was found (a fault in a file, a failed check, unformatted text), 2 for wrong usage or a
defect of prunec.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from prunec.cli.app import app
from prunec.cli.guard import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Never raises for what a user can do."""
    return guarded(app, list(sys.argv[1:] if argv is None else argv))
