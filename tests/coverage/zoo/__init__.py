"""The zoo: every model that is measured, how to build it small, and an example of its inputs.

Names are ``suite/model``. Listing imports none of the libraries; building does.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from tests.coverage.zoo import own, timm, torchvision, transformers
from tests.coverage.zoo.case import Case

SUITES = {
    "own": own.CASES,
    "transformers": transformers.CASES,
    "timm": timm.CASES,
    "torchvision": torchvision.CASES,
}
"""The cases of each suite, quick ones first."""
PUBLIC = ("transformers", "timm", "torchvision")


def find(globs: Iterable[str] = (), suites: Iterable[str] = PUBLIC) -> tuple[Case, ...]:
    """The cases that match a glob: ``suite/model`` in any suite, ``model`` in those given.

    Without globs all cases of the suites.
    """
    wanted, chosen = tuple(globs), set(suites)
    return tuple(
        case
        for suite, cases in SUITES.items()
        for case in cases
        if any(fnmatchcase(case.full, glob) for glob in wanted if "/" in glob)
        or (suite in chosen and (not wanted or any(fnmatchcase(case.name, g) for g in wanted)))
    )


def missing(cases: Iterable[Case]) -> Iterator[str]:
    """The libraries that cases need and that are not installed."""
    for suite in dict.fromkeys(case.suite for case in cases):
        if suite != "own" and importlib.util.find_spec(suite) is None:
            yield suite
