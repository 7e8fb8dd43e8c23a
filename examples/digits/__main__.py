"""Train the digits network, compile it to half its multiply-adds, and say what that did to its
accuracy.

    python -m examples.digits

Training takes a few seconds. The slim network is written to ``build/digits`` in the working folder.
"""

from __future__ import annotations

from pathlib import Path

import torch

import prunec
from examples.digits.train import train

SPEC = Path(__file__).with_name("digits.prune")


def main() -> None:
    example = torch.zeros(2, 1, 8, 8)
    compiled = prunec.compile(SPEC, model=train(), args=(example,), out="build/digits")
    print(compiled.report)
    print(f"\nwrote {', '.join(compiled.files)} to build/digits")


if __name__ == "__main__":
    main()
