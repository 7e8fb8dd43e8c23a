"""Every golden: the text, that it is stable and clean, and what it computes.

Run with ``--update-golden`` to write ``expected.py`` anew, and review the difference.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from prunec import emit
from prunec.trace import Traced
from tests.conftest import Golden
from tests.emit import goldens


@cache
def written(name: str) -> tuple[goldens.Example, Traced, str, nn.Module]:
    """The case, its trace, its source and the module that the source builds."""
    case = goldens.example(name)
    found = goldens.traced(case.model, case)
    source = goldens.source(found)
    return case, found, source, emit.load(source, found.weights, "Slim")


@pytest.mark.parametrize("name", goldens.CASES)
def test_text(name: str, golden: Golden) -> None:
    golden.check(goldens.ROOT / name / "expected.py", written(name)[2])


@pytest.mark.parametrize("name", goldens.CASES)
def test_computes_the_same(name: str) -> None:
    case, _, _, emitted = written(name)
    for batch in (2, 3, 1):
        args, kwargs = resized((case.args, dict(case.kwargs)), batch)
        torch.testing.assert_close(
            tensors(emitted(*args, **kwargs)), tensors(case.model(*args, **kwargs))
        )


@pytest.mark.parametrize("name", goldens.CASES)
def test_behaves_the_same_in_train_mode(name: str) -> None:
    case, _, _, emitted = written(name)
    args, kwargs = resized((case.args, dict(case.kwargs)), 3)
    results = []
    for model in (case.model, emitted):
        torch.manual_seed(1)
        results.append(tensors(model.train()(*args, **kwargs)))
        model.eval()
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("name", goldens.CASES)
def test_is_a_fixed_point(name: str) -> None:
    case, _, source, emitted = written(name)
    assert goldens.source(goldens.traced(emitted, case)) == source


@pytest.mark.parametrize("name", goldens.CASES)
def test_keeps_names_and_traits_of_weights(name: str) -> None:
    case, _, _, emitted = written(name)
    ours, theirs = emitted.state_dict(keep_vars=True), case.model.state_dict(keep_vars=True)
    assert list(ours) == list(theirs)
    traits = {n: (t.shape, t.dtype, t.requires_grad, type(t)) for n, t in ours.items()}
    assert traits == {n: (t.shape, t.dtype, t.requires_grad, type(t)) for n, t in theirs.items()}
    assert partition(ours) == partition(theirs)


@pytest.mark.parametrize("name", goldens.CASES)
def test_needs_torch_only(name: str) -> None:
    _, _, source, _ = written(name)
    imports = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    roots = {
        (n.module if isinstance(n, ast.ImportFrom) else n.names[0].name) or "" for n in imports
    }
    assert {r.partition(".")[0] for r in roots} - {"collections"} == {"torch"}


def test_format_and_lint_find_nothing() -> None:
    files = [str(goldens.ROOT / name / "expected.py") for name in goldens.CASES]
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "88"]
    for command in (["format", "--diff"], ["check", "--select", "E,F,I,B,UP"]):
        done = subprocess.run(
            [*ruff, *command, *options, *files], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def resized(tree: Any, batch: int) -> Any:
    """The example with another batch size."""
    torch.manual_seed(batch)

    def fill(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        shape = (batch, *value.shape[1:])
        if value.is_floating_point():
            return torch.randn(shape, dtype=value.dtype)
        return torch.randint(0, int(value.max()) + 1, shape)

    return pytree.tree_map(fill, tree)


def tensors(result: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]


def partition(state: dict[str, Tensor]) -> set[frozenset[str]]:
    """Which names stand for the same tensor."""
    together: dict[int, set[str]] = {}
    for name, tensor in state.items():
        together.setdefault(id(tensor), set()).add(name)
    return {frozenset(names) for names in together.values()}
