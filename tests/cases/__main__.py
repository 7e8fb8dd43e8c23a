"""``python -m tests.cases [WORD ...]``: a table of what prunec and torch-pruning make of the cases.

With words, the cases whose names hold one of them. How the peer is judged: `tests/cases/judge.py`.
"""

from __future__ import annotations

import contextlib
import io
import sys

from prunec import PruneError
from tests.cases import ours, peer
from tests.cases.case import Case
from tests.cases.models import CASES


def main(words: list[str]) -> None:
    """Print the table, row by row."""
    print("| case | prunec | torch-pruning 1.6.1 |\n|---|---|---|")
    for name, case in CASES.items():
        if not words or any(word in name for word in words):
            with contextlib.redirect_stdout(io.StringIO()):
                theirs = peer.run(case)
            print(f"| {name} | {_ours(case)} | {theirs} |", flush=True)


def _ours(case: Case) -> str:
    try:
        made = ours.run(case)
    except PruneError as error:
        return f"refused: {error.diagnostics[0].code}"
    except Exception as error:  # a defect: to be seen in the table
        return f"crash: {type(error).__name__}"
    whole = "" if made.group_of(case.together) else ", but the group is whole"
    frozen = ", the rest frozen with a reason" if case.frozen else ""
    return f"EQUAL{whole}{frozen}, {made.removed:.0%}"


if __name__ == "__main__":
    main(sys.argv[1:])
