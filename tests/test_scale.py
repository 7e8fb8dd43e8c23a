"""Models without values: analysis and plans at the true width of a large model."""

from __future__ import annotations

import resource
from collections import Counter

import pytest
import torch
from torch import nn

import prunec
import tests.torchvision_ops  # noqa: F401  (transformers needs it)
from prunec import PruneError

RANDOM = "target params <= 70%\nprune channels { score random(seed=0) }\nrepair none\n"
X = torch.zeros(2, 3, 8, 8)


def _peak() -> int:
    """KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_two_layers_of_llama_3_8b() -> None:
    pytest.importorskip("transformers")
    from examples.benchmarks.scale import llama

    model, tokens = llama(2)
    before = _peak()
    found = prunec.analyze(model, args=(tokens,))
    assert Counter((g.kind, g.size) for g in found.groups) == {
        ("hidden", 4096): 1,
        ("channels", 14_336): 2,
        ("kv_heads", 8): 2,
        ("heads", 4): 2,
        ("head_dim", 64): 1,
        ("head_dim", 128): 2,
    }
    plan = prunec.plan(RANDOM, model=model, args=(tokens,))
    macs, params = plan.costs
    assert params.dense == sum(p.numel() for p in model.parameters())
    assert 0.69 < params.slim / params.dense <= 0.7
    assert macs.slim < macs.dense
    assert _peak() - before < 1 << 20, "the embedding alone would be 2 GiB"
    assert all(p.is_meta for p in model.parameters())


@pytest.fixture
def net() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3)).eval()


def test_inputs_may_have_values(net: nn.Module) -> None:
    real = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3)).eval()
    one, two = (prunec.plan(RANDOM, model=m, args=(X,)) for m in (net, real))
    assert one == two


def test_memory_needs_no_values(net: nn.Module) -> None:
    spec = RANDOM.replace("params", "memory")
    memory = prunec.plan(spec, model=net, args=(X,)).costs[2]
    assert memory.metric == "memory"
    weights = sum(t.numel() * t.element_size() for t in net.state_dict().values())
    first, last = 4 * (3 * 64 + 2 * 8 * 36), 4 * (3 * 64 + 8 * 36 + 3 * 16)
    assert memory.dense > weights + max(first, last)
    assert memory.slim <= 0.7 * memory.dense


def test_what_reads_weights_refuses(net: nn.Module) -> None:
    for score in ("l2", "obs"):
        with pytest.raises(PruneError, match="P0351") as caught:
            prunec.plan(RANDOM.replace("random(seed=0)", score), model=net, args=(X,))
        assert "score random" in str(caught.value)
    with pytest.raises(PruneError, match=r"P0351.*compiling"):
        prunec.compile(RANDOM, model=net, args=(X,))


def test_a_part_of_a_model_without_values() -> None:
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 3, 3))
        )
    assert [g.size for g in prunec.analyze(net, args=(X,), part="1").groups] == [8]
