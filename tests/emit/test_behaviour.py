"""The emitted module behaves as the original: modes, statistics, buffers, ties, sizes, moves."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tests.emit.networks import NETWORKS, Pair, pair, tensors

each = pytest.mark.parametrize("name", NETWORKS)
SINGLE = ("convolutional", "transformer", "nested", "buffered", "shared", "recurrent", "upcast")
single = pytest.mark.parametrize("name", SINGLE)
NORMED = ("convolutional", "partly_frozen", "half", "float64", "functional")


@each
@pytest.mark.parametrize("count", [1, 2, 5])
def test_eval_at_other_sizes(name: str, count: int) -> None:
    pair(name).same(count)


@each
def test_train_draws_the_same_dropouts_and_gradients(name: str) -> None:
    both = pair(name)
    both.original.train()
    both.emitted.train()
    both.same(4)
    expected, found = (gradients(m, both) for m in (both.original, both.emitted))
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient)


def gradients(model: nn.Module, both: Pair) -> dict[str, Tensor | None]:
    torch.manual_seed(0)
    args, kwargs = both.given(4)
    total = sum(t.double().pow(2).mean() for t in tensors(model(*args, **kwargs)))
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["convolutional", "transformer", "attending", "recurrent"])
def test_dropout_drops_in_train_only(name: str) -> None:
    both = pair(name)
    args, kwargs = both.given(3)
    torch.testing.assert_close(both.emitted(*args, **kwargs), both.emitted(*args, **kwargs))
    both.emitted.train()
    assert not torch.equal(both.emitted(*args, **kwargs), both.emitted(*args, **kwargs))


@pytest.mark.parametrize("name", NORMED)
def test_running_statistics_move_as_the_originals(name: str) -> None:
    both = pair(name)
    for count in (3, 4):
        args, kwargs = both.given(count)
        for model in (both.original, both.emitted):
            model.train()
            torch.manual_seed(0)
            model(*args, **kwargs)
    expected = dict(both.original.named_buffers())
    assert dict(both.emitted.named_buffers()).keys() == expected.keys()
    for key, value in both.emitted.named_buffers():
        torch.testing.assert_close(value, expected[key])
    both.original.eval()
    both.emitted.eval()
    both.same()


@each
def test_the_same_tensors_under_the_same_names(name: str) -> None:
    both = pair(name)
    for kind in ("state_dict", "named_parameters", "named_buffers"):
        expected, found = (dict(getattr(m, kind)()) for m in (both.original, both.emitted))
        if kind == "state_dict":
            assert list(found) == list(expected)
        assert _described(found) == _described(expected)


def _described(found: dict[str, Tensor]) -> dict[str, Any]:
    return {k: (t.shape, t.dtype, type(t), t.requires_grad, t.is_leaf) for k, t in found.items()}


@each
def test_ties_are_one_tensor(name: str) -> None:
    both = pair(name)
    expected, found = (
        _tied(m.named_parameters(remove_duplicate=False)) for m in (both.original, both.emitted)
    )
    assert found == expected
    counts = [len(list(m.parameters())) for m in (both.original, both.emitted)]
    assert counts[0] == counts[1]


def _tied(named: Any) -> set[frozenset[str]]:
    groups: dict[int, set[str]] = {}
    for key, tensor in named:
        groups.setdefault(id(tensor), set()).add(key)
    return {frozenset(keys) for keys in groups.values()}


def test_a_tie_follows_when_one_name_is_changed() -> None:
    both = pair("transformer")
    assert both.emitted.head.weight is both.emitted.embed.weight
    for model in (both.original, both.emitted):
        with torch.no_grad():
            model.embed.weight.mul_(0.5)
    both.same()


@each
def test_names_of_the_modules_that_hold_weights(name: str) -> None:
    both = pair(name)
    expected, found = (
        {n for n, m in model.named_modules() if any(True for _ in m.parameters())}
        for model in (both.original, both.emitted)
    )
    assert found == expected


@single
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_moved_to_another_dtype(name: str, dtype: torch.dtype) -> None:
    both = pair(name)
    args, kwargs = _moved(both.given(3), dtype)
    results = [m.to(dtype)(*args, **kwargs) for m in (both.original, both.emitted)]
    assert [t.dtype for t in tensors(results[1])] == [t.dtype for t in tensors(results[0])]
    torch.testing.assert_close(results[1], results[0])


@single
def test_moved_to_the_meta_device(name: str) -> None:
    both = pair(name)
    args, kwargs = _moved(both.given(3), "meta")
    results = [m.to("meta")(*args, **kwargs) for m in (both.original, both.emitted)]
    shapes = [[(t.shape, t.dtype, t.device) for t in tensors(r)] for r in results]
    assert shapes[1] == shapes[0]


def _moved(given: Any, to: Any) -> Any:
    def move(value: Any) -> Any:
        moves = isinstance(value, Tensor) and (to == "meta" or value.is_floating_point())
        return value.to(to) if moves else value

    return pytree.tree_map(move, given)


@each
def test_copies_stand_alone(name: str) -> None:
    both = pair(name)
    copied = copy.deepcopy(both.emitted)
    assert _tied(copied.named_parameters(remove_duplicate=False)) == _tied(
        both.emitted.named_parameters(remove_duplicate=False)
    )
    with torch.no_grad():
        for tensor in both.emitted.parameters():
            tensor.zero_()
    Pair(both.original, copied, both.network, both.source).same()


@each
def test_hooks_see_what_passes_the_modules_of_the_original(name: str) -> None:
    both = pair(name)
    seen: list[Counter[str]] = []
    args, kwargs = both.given()
    for model in (both.original, both.emitted):
        calls: Counter[str] = Counter()
        for key, module in model.named_modules():
            if key and any(True for _ in module.parameters()):
                module.register_forward_hook(lambda *_, key=key, calls=calls: calls.update([key]))
        model(*args, **kwargs)
        seen.append(calls)
    assert seen[1] == seen[0]


def test_a_fixed_argument_is_refused_when_it_changes() -> None:
    both = pair("nested")
    args, kwargs = both.given()
    with pytest.raises(ValueError, match=r"scale is fixed to 2\.0"):
        both.emitted(*args, **{**kwargs, "scale": 3.0})
