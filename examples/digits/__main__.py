"""Train the digits network, compile it to half its multiply-adds, and say what that did to its
accuracy.

    python -m examples.digits

Training takes a few seconds. The slim network is written to ``build/digits`` in the working folder.
"""

from __future__ import annotations

from pathlib import Path

import torch

import prunec
from examples.digits.train import accuracy, train

SPEC = Path(__file__).with_name("digits.prune")


def main() -> None:
    net = train()
    example = torch.zeros(2, 1, 8, 8)
    compiled = prunec.compile(SPEC, model=net, args=(example,), out="build/digits")
    print(compiled.report)
    print(f"dense network: {accuracy(net):.2%} of {360} held-back digits right")
    print(f"slim network:  {accuracy(compiled.module.eval()):.2%}, no training after pruning")
    print("source and weights: build/digits")


main()
