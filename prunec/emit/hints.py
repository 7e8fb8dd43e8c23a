"""Hints: what a person would call a value, from the module or operator that made it."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping

from prunec.ir.graph import Dict_, Ref, Sequence_, Tree

ARITHMETIC = frozenset({"add", "sub", "mul", "div", "rsub"})

TRANSPARENT = frozenset(
    """
    view reshape flatten unflatten transpose permute contiguous expand unsqueeze squeeze slice
    select chunk split split_with_sizes unbind roll to clone relu gelu silu sigmoid tanh dropout
    mul div store
    """.split()
)
"""Operators whose result is still named after their first argument."""

OPERATORS: Mapping[str, str] = {
    "arange": "positions",
    "matmul": "scores",
    "bmm": "scores",
    "softmax": "attn",
    "mean": "mean",
    "var": "var",
    "cos": "cos",
    "sin": "sin",
    "embedding": "embedded",
}

SUFFIXES = ("_proj", "_projection", "_layer", "_linear", "_lin", "_fc")
PREFIXES = ("to_", "w_")

GENERIC = re.compile(r"[xyz]\d*|out|index|n|t")
"""Names that say nothing of their value."""

LAYER = re.compile(
    "norm|act|conv|proj|fc|drop|linear|dense|cell|block|layer|stage|pool|attention|mlp|body|relu"
    "|stem|head|branch|model|backbone|feature|fuse|embed_tokens|scores"
)
"""What names of layers contain: such a name says where a value was made, not what it is for."""


def module(path: str) -> str | None:
    """A value's name after the module that made it: ``q`` for ``attn.q_proj``.

    An item of a list is called after the list: ``branch0`` for ``branches.0``.
    """
    above, _, name = path.rpartition(".")
    if name.isdecimal():
        stem = above.rpartition(".")[2]
        if not stem or stem[-1].isdecimal():
            return None
        return f"{snake(singular(stem))}{name}"
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix) or name
    for prefix in PREFIXES:
        name = name.removeprefix(prefix) or name
    return snake(name)


def snake(name: str) -> str:
    """``self_attention`` for ``SelfAttention``; names in lower case stay."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return parts.lower()


def singular(name: str) -> str:
    """``branch`` for ``branches``, ``layer`` for ``layers``."""
    if name.endswith(("ches", "shes", "xes", "sses")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 2 else name


def is_telling(name: str) -> bool:
    """Whether a name says what a value is for also to a module that is given the value."""
    plain = name.replace("_", "").isalpha() and len(name) > 2
    return plain and GENERIC.fullmatch(name) is None and LAYER.search(name) is None


def keys(output: Tree) -> Mapping[str, str]:
    """Values that the model returns under a key, with a name after it; others are left out."""
    found: list[tuple[str, str, str]] = []
    _collect(output, "", found)
    plain = [key for _, _, key in found]
    named: dict[str, str] = {}
    for value, above, key in found:
        if not key.isidentifier() or not key.islower() or hasattr(builtins, key):
            continue
        outer = re.sub(r"_?outputs?$", "", above)
        unique = plain.count(key) == 1 or not outer
        named.setdefault(value, key if unique else f"{outer}_{key}")
    return named


def _collect(tree: Tree, above: str, found: list[tuple[str, str, str]]) -> None:
    match tree:
        case Dict_(items=pairs):
            for key, item in pairs:
                if isinstance(item, Ref):
                    found.append((item.name, above, key))
                else:
                    _collect(item, key, found)
        case Sequence_(items=items):
            for item in items:
                if not isinstance(item, Ref):
                    _collect(item, above, found)
