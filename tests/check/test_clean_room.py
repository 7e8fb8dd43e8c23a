"""The clean room runs what stands alone, and says what is wrong with what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from prunec.check import clean_room, imports
from tests.check import build


class Pair(nn.Module):
    """Nested inputs and outputs, by position and by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x: tuple[Tensor, Tensor], *, scale: Tensor) -> dict[str, Tensor]:
        y = self.stem(x[0] + x[1])
        return {"a": self.head(y), "b": self.head(y * scale)}


@pytest.fixture(scope="module")
def made() -> build.Compiled:
    x = torch.randn(2, 3)
    return build.compile(build.randomised(Pair()), (x, x + 1), scale=torch.randn(2, 1))


def _folder(made: build.Compiled, folder: Path, source: str | None = None) -> Path:
    (folder / "slim.py").write_text(source or made.source)
    save_file(dict(made.stored), folder / "slim.safetensors")
    return folder


def _run(made: build.Compiled, folder: Path, timeout: float = 60) -> clean_room.Result:
    return clean_room.run(folder, made.graph, made.slim, made.example, timeout=timeout)


def test_what_stands_alone_passes(made: build.Compiled, tmp_path: Path) -> None:
    found = _run(made, _folder(made, tmp_path))
    assert found.passed, found.diagnostics
    assert found.max_error <= 1e-6


BUILT = "super().__init__()"
WRONG = (
    (("import", "import prunec\nimport"), "P0812", ""),
    (("    from safetensors", "    import os\n    from safetensors"), "P0812", ""),
    (("class Slim", "class class Slim"), "P0822", ""),
    ((BUILT, f"{BUILT}\n        raise ValueError(7)"), "P0810", "ValueError: 7"),
    (("nn.Linear(3", "nn.Linear(4"), "P0810", "size mismatch"),
    (
        (BUILT, f'{BUILT}\n        torch.importlib.import_module("prunec")'),
        "P0810",
        "the clean room has no `prunec`",
    ),
)


@pytest.mark.parametrize(("change", "code", "note"), WRONG)
def test_what_does_not_is_named(
    made: build.Compiled, tmp_path: Path, change: tuple[str, str], code: str, note: str
) -> None:
    assert change[0] in made.source
    source = made.source.replace(*change, 1).replace("from torch", "import torch\nfrom torch", 1)
    (fault,) = _run(made, _folder(made, tmp_path, source)).diagnostics
    assert fault.code == code
    assert note in "\n".join(fault.notes)


def test_another_answer_is_named(made: build.Compiled, tmp_path: Path) -> None:
    changed = {k: v + 1 for k, v in made.stored.items()}
    folder = _folder(made, tmp_path)
    save_file(changed, folder / "slim.safetensors")
    found = _run(made, folder)
    assert [d.code for d in found.diagnostics] == ["P0811"]


def test_a_missing_file_and_an_endless_run(made: build.Compiled, tmp_path: Path) -> None:
    assert [d.code for d in _run(made, tmp_path).diagnostics] == ["P0810"]
    endless = made.source.replace(
        "super().__init__()", "super().__init__()\n        while True: pass"
    )
    found = _run(made, _folder(made, tmp_path, endless), timeout=0.2)
    assert "did not end" in found.diagnostics[0].notes[0]


def test_import_rules() -> None:
    inside = "def load(path):\n    from safetensors.torch import load_file\n"
    assert not imports.run(
        f"import torch.nn.functional as F\nfrom torch import nn\n{inside}", "a.py"
    )
    assert imports.run("from safetensors.torch import load_file\n", "a.py")[0].code == "P0812"
    assert imports.run("def f():\n    import numpy\n", "a.py")[0].code == "P0812"
    assert imports.run("from . import b\n", "a.py")[0].code == "P0812"
