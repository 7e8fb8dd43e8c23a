"""Renumbered ids as a claim: what the twin takes, and that it refuses every other change of the
interface.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from prunec import trace
from prunec.check import Removed, renumbered, twin
from prunec.driver import Compiled
from prunec.trace import Traced
from tests.test_vocabulary import IDS, TOKENS, Language, Masked, compiled


@pytest.fixture(scope="module")
def net() -> tuple[Traced, Compiled]:
    model = Language()
    found = compiled(model)
    return trace.run(model, (IDS,), {}), found


def codes(net: tuple[Traced, Compiled], removed: Removed) -> set[str]:
    traced, found = net
    result = twin.run(traced.graph, traced.weights, removed, found.module, (IDS,))
    return {d.code for d in result.diagnostics}


def test_the_claim_holds(net: tuple[Traced, Compiled]) -> None:
    assert codes(net, net[1].removed) == set()


def test_outputs_are_shortened_only_as_ids_are(net: tuple[Traced, Compiled]) -> None:
    claim = net[1].removed
    assert codes(net, replace(claim, renumbered={})) == {"P0804"}
    other = ~claim.renumbered["ids"]
    assert codes(net, replace(claim, renumbered={"ids": other})) == {"P0804"}


def test_inputs_are_never_shortened(net: tuple[Traced, Compiled]) -> None:
    claim = net[1].removed
    values = {**claim.values, "ids": (None, np.arange(IDS.shape[1]) > 0)}
    assert codes(net, replace(claim, values=values)) == {"P0804"}


def test_other_tokens_than_those_that_stay(net: tuple[Traced, Compiled]) -> None:
    """The same number of tokens, claimed everywhere alike: the rows say otherwise."""
    claim = net[1].removed
    kept = claim.renumbered["ids"]

    def moved(mask: object) -> object:
        same = isinstance(mask, np.ndarray) and np.array_equal(mask, kept)
        return np.roll(kept, 1) if same else mask

    values = {n: k and tuple(map(moved, k)) for n, k in claim.values.items()}
    weights = {n: k and tuple(map(moved, k)) for n, k in claim.weights.items()}
    wrong = Removed(values, weights, renumbered={"ids": np.roll(kept, 1)})  # type: ignore[arg-type]
    assert codes(net, wrong) & {"P0801", "P0807"}


def test_ids_that_are_compared_cannot_be_renumbered() -> None:
    traced = trace.run(Masked().eval(), (IDS,), {})
    fault = renumbered.fault(traced.graph, Removed(renumbered={"ids": np.arange(TOKENS) > 2}))
    assert fault is not None
    assert fault.code == "P0804"


def test_ids_and_their_ranks(net: tuple[Traced, Compiled]) -> None:
    graph = net[0].graph
    kept = np.isin(np.arange(TOKENS), [3, 7, 8])
    claim = Removed(renumbered={"ids": kept})
    given = torch.tensor([[3, 8, 7, 0, 39]])
    (old,) = renumbered.originals(graph, claim, (given,))
    assert old[0, :3].tolist() == [3, 8, 7]
    assert set(old.flatten().tolist()) <= {3, 7, 8}
    (new,) = renumbered.ranks(graph, claim, (old,))
    assert new[0, :3].tolist() == [0, 2, 1]
    assert new.dtype == given.dtype
