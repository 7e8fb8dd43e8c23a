"""``python -m tests.properties 5000 [--seed-offset 0]``: as many random networks, each from its own
seed, and what came of them. The batch and the length of every fourth are dynamic.

Ends with 1 where any came out wrong; an interrupt ends with what there is. One seed alone is
``python -m tests.properties 1 --seed-offset SEED``.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import sys
import warnings
from collections import Counter
from contextlib import suppress
from statistics import mean, median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.properties import case, networks
from tests.properties.case import Outcome


def main() -> int:
    """Run the cases of the command line; 1 where any came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties", description=__doc__)
    parser.add_argument("count", type=int, help="how many networks")
    parser.add_argument("--seed-offset", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    console, notes = Console(soft_wrap=True), Console(stderr=True)
    seeds = range(given.seed_offset, given.seed_offset + given.count)
    outcomes: list[Outcome] = []
    with suppress(KeyboardInterrupt):
        for seed in track(seeds, "random networks", console=notes):
            outcomes.append(run(seed))
            if outcomes[-1].verdict != "equal":
                console.print(f"{outcomes[-1].verdict}: seed {seed}, {networks.drawn(seed)}")
                console.print(outcomes[-1].reason[:600], markup=False, style="dim")
    console.print(_summary(outcomes))
    return int(any(o.verdict == "wrong" for o in outcomes))


def run(seed: int) -> Outcome:
    """The network of a seed, with the plan of that seed; every fourth has dynamic sizes."""
    keep = random.Random(seed).choice((0.3, 0.5, 0.8))
    return case.run(networks.drawn(seed), seed, keep, fixed=seed % 4 > 0)


def _summary(outcomes: list[Outcome]) -> Table:
    verdicts = Counter(o.verdict for o in outcomes)
    shares = [o.free for o in outcomes if o.verdict == "equal"]
    frozen = sum((Counter(o.frozen) for o in outcomes), Counter[str]())
    refused = Counter(_kind(o.reason) for o in outcomes if o.verdict == "refused")
    table = Table(show_header=False)
    table.add_row("networks", str(len(outcomes)))
    table.add_row("wrong", str(verdicts["wrong"]))
    table.add_row("refused", str(verdicts["refused"]))
    for reason, count in refused.most_common():
        table.add_row("", f"{count} x {reason}")
    if shares:
        found = f"mean {mean(shares):.1%}, median {median(shares):.1%} of weights' axes"
        table.add_row("free", found)
    for reason, count in frozen.most_common(12):
        table.add_row("frozen", f"{count} x {reason}")
    return table


def _kind(reason: str) -> str:
    """A reason without the names of this one network."""
    return re.sub(r"\(`[^`]*`\)", "", reason.splitlines()[0])[:90]


if __name__ == "__main__":
    sys.exit(main())
