"""Helpers: functions that an emitted file brings along where torch has none of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunec.ir.graph import Node

GROUPED_MM = '''\
def grouped_mm(x, weight, ends):
    """Rows of `x` times matrices: those before `ends[0]` times the first, and so on."""
    parts, start = [], 0
    for matrix, end in zip(weight, ends.tolist()):
        parts.append(x[start:end] @ matrix)
        start = end
    return torch.cat(parts)'''

NAMES: Mapping[str, str] = {
    "aten._grouped_mm.default": "grouped_mm",
    "transformers.grouped_mm_fallback.default": "grouped_mm",
}
"""Operator -> the helper that stands for it: torch's own kernel takes few dtypes and sizes."""

SOURCES: Mapping[str, str] = {"grouped_mm": GROUPED_MM}


def needed(nodes: Iterable[Node]) -> list[str]:
    """The source of every helper that the nodes call, each once."""
    found = dict.fromkeys(NAMES[node.op] for node in nodes if node.op in NAMES)
    return [SOURCES[name] for name in found]
