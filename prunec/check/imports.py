"""Imports: emitted source needs torch, and safetensors where it loads its weights; nothing else.

A modeling file for transformers needs that, and the source beside it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prunec.diagnostics import Diagnostic

LOADER, MODELING = "load", "modeling_"

ALWAYS = frozenset({"torch", "collections"})
"""What any source may import: torch, and what Python itself has for a dict in order."""


def run(source: str, name: str) -> tuple[Diagnostic, ...]:
    """P0822 for source that does not parse, P0812 for every import of something else than torch.

    ``safetensors`` may be imported inside of the function ``load``, so that the module itself needs
    torch alone; a file ``modeling_*.py`` may import transformers and its neighbours.
    """
    modeling = name.startswith(MODELING)
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        message = f"`{name}` is not Python: {error.msg} (line {error.lineno})"
        return (Diagnostic("P0822", message, help="compile again to write it anew"),)
    found: list[Diagnostic] = []
    for statement in tree.body:
        inside = isinstance(statement, ast.FunctionDef) and statement.name == LOADER
        more = {"transformers", "."} if modeling else {"safetensors"} if inside else set()
        found += [
            Diagnostic(
                "P0812",
                f"`{name}` imports `{root}` (line {line})",
                help="emitted source needs torch alone; compile again to write it anew",
            )
            for root, line in _roots(statement)
            if root not in ALWAYS | more
        ]
    return tuple(found)


def _roots(statement: ast.AST) -> Iterator[tuple[str, int]]:
    """(top-level package, line) of every import inside of a statement."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield ("." if node.level else str(node.module).partition(".")[0]), node.lineno
