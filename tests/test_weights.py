"""A weights file must fit the model exactly, and hold numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prunec import PruneError, weights


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def _fault(net: nn.Module, path: Path) -> str:
    with pytest.raises(PruneError) as caught:
        weights.load(net, path)
    return str(caught.value)


def test_loads(tmp_path: Path) -> None:
    state = {k: v + 1 for k, v in _net().state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    net = _net()
    weights.load(net, tmp_path / "w.safetensors")
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_batch_counters_may_be_missing(tmp_path: Path) -> None:
    state = {k: v for k, v in _net().state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "w.safetensors")
    weights.load(_net(), tmp_path / "w.safetensors")


def test_a_tie_goes_by_either_name(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    net["b"].weight = net["a"].weight
    save_file({"b.weight": torch.ones(2, 2)}, tmp_path / "w.safetensors")
    weights.load(net, tmp_path / "w.safetensors")
    assert torch.equal(net["a"].weight, torch.ones(2, 2))


def test_missing_unexpected_and_shapes_are_listed(tmp_path: Path) -> None:
    state = _net().state_dict()
    del state["0.bias"]
    save_file({**state, "2.bias": torch.ones(1), "0.weight": torch.ones(4, 5)}, tmp_path / "w")
    text = _fault(_net(), tmp_path / "w")
    assert "P0306" in text
    assert "1 missing in the file: 0.bias" in text
    assert "1 that the model does not have: 2.bias" in text
    assert "0.weight is [4, 5] in the file, [4, 3] in the model" in text


def test_a_misfit_changes_nothing(tmp_path: Path) -> None:
    save_file({"0.weight": torch.ones(4, 3)}, tmp_path / "w")
    net, before = _net(), _net().state_dict()
    _fault(net, tmp_path / "w")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02ctorch"])
def test_a_pickle_is_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(start + bytes(100))
    text = _fault(_net(), tmp_path / "w.pt")
    assert "P0307" in text
    assert "save_file" in text


def test_no_file_and_no_safetensors(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in _fault(_net(), tmp_path / "absent")
    assert "cannot be read: Is a directory" in _fault(_net(), tmp_path)
    (tmp_path / "w").write_bytes(b"\x10" + bytes(40))
    assert "is not a safetensors file" in _fault(_net(), tmp_path / "w")
    (tmp_path / "w").write_bytes(b"")
    assert "is not a safetensors file" in _fault(_net(), tmp_path / "w")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_no_numbers_are_named(value: float) -> None:
    net = _net()
    net[0].weight.data[1, 1] = value
    with pytest.raises(PruneError, match=r"0\.weight") as caught:
        weights.check_finite(net)
    assert caught.value.diagnostics[0].code == "P0308"
    weights.check_finite(_net())
