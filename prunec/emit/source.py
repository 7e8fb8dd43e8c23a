"""Source: the whole file, from a graph to text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from prunec.diagnostics import Diagnostic, PruneError
from prunec.emit import (
    alike,
    classes,
    constants,
    definition,
    expand,
    helpers,
    layout,
    levels,
    names,
    sequences,
    series,
    shape,
    simplify,
)
from prunec.emit.alike import Instance
from prunec.emit.classes import Class
from prunec.emit.construct import Construct
from prunec.emit.expr import Expr, display, literal, quote
from prunec.emit.forwards import Forwards
from prunec.emit.hierarchy import numbered
from prunec.emit.lines import Constructor
from prunec.emit.names import Names
from prunec.emit.shape import Shaped
from prunec.emit.tree import Region
from prunec.ir.graph import Graph, Ref


def run(
    graph: Graph, *, class_name: str, header: str, weights: Mapping[str, Tensor] | None = None
) -> str:
    """Python source with one class per distinct module, the model last, and ``load(path)``.

    Args:
        class_name: name of the model's class.
        header: the text of the comment on top.
        weights: tensors by name; short constants and non-persistent buffers among them are written
        out.

    Raises:
        PruneError: P0701 for a class name that Python does not take.
    """
    if not names.is_model(class_name):
        raise PruneError(
            Diagnostic(
                "P0701",
                f"`{class_name}` cannot be the name of a class",
                help="choose a Python identifier such as `SlimResNet`",
            )
        )
    program = simplify.run(expand.run(graph))
    shown = constants.literals(graph, weights or {})
    shaped = _placed(shape.run(program, shown), shown)
    written = list(_classes(shaped, class_name, shown))
    forwards = Forwards(shaped)
    text = "\n\n\n".join(_class(c, forwards) for c in written)
    loader = _loader(graph, class_name, shown)
    brought = helpers.needed(program.nodes)
    imports = _imports("\n".join([*brought, text]))
    parts = [f"{names.comment(header)}\n\n{imports}", *brought, text, loader]
    return layout.run("\n\n\n".join(parts) + "\n")


def stored(graph: Graph, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that belong in the weights file: all but those that the source writes out."""
    shown = constants.literals(graph, weights)
    return {w.name: weights[w.name] for w in graph.weights if w.name not in shown}


def _placed(shaped: Shaped, shown: Mapping[str, Expr]) -> Shaped:
    """Give written-out constants their modules, so that these reach them by themselves."""
    hierarchy = replace(
        shaped.model.hierarchy, placed=constants.placed(shaped.model.hierarchy, shaped.root, shown)
    )
    model = shape.model_of(shaped.model.program, hierarchy, shown)
    return replace(shaped, model=model)


def _classes(shaped: Shaped, root: str, shown: Mapping[str, Expr]) -> Iterator[Class]:
    """Every class, those that others are made of first."""
    hierarchy = shaped.model.hierarchy
    regions = first_calls(shaped.root)
    known: dict[str, Construct] = {}
    constructor = Constructor(hierarchy, shaped.leaves, known.get, frozenset(regions), shown)
    taken = Names(root, *names.RESERVED)
    made: list[Class] = []
    for level in levels.run(hierarchy, constructor):
        instances = [_instance(constructor, path, regions.get(path)) for path in level]
        shared = series.share(shaped.model, instances)
        for found in classes.group(shaped.model, shared, taken):
            known.update(found.constructs)
            made.append(found)
    yield from levels.order(hierarchy, made)
    if _is_sequential(shaped):
        whole = Instance("", root, constructor.chain(""), None, alike.SEQUENTIAL)
    else:
        whole = Instance("", root, constructor.lines(""), shaped.root)
    yield classes.single(whole)


def _instance(constructor: Constructor, path: str, region: Region | None) -> Instance:
    base = levels.base(constructor.hierarchy, path)
    if path in constructor.hierarchy.chained:
        return Instance(path, base, constructor.chain(path), None, alike.SEQUENTIAL)
    extended = constructor.hierarchy.bases.get(path)
    above = "nn.Module" if extended is None else extended.construct.callee
    return Instance(path, base, constructor.lines(path), region, above)


def first_calls(root: Region) -> dict[str, Region]:
    """The first call of every module that is called."""
    found: dict[str, Region] = {}
    for region in root.walk():
        found.setdefault(region.path, region)
    return found


def _class(cls: Class, forwards: Forwards) -> str:
    lines = [f"class {cls.name}({cls.model.above}):"]
    made = definition.run(cls)
    lines += made
    if cls.region is not None:
        lines += [""] * bool(made) + forwards.lines(cls.region)
    elif not made:
        lines.append("    pass")
    return "\n".join(lines)


def _is_sequential(shaped: Shaped) -> bool:
    """Whether the whole model does what ``nn.Sequential`` does."""
    graph = shaped.model.program.graph
    names = [(p.name, isinstance(p.tree, Ref), p.keyword_only) for p in graph.parameters]
    plain = graph.module[""].children and not graph.module[""].weights
    return (
        bool(plain)
        and numbered(graph.module[""].children)
        and names == [("input", True, False)]
        and sequences.is_chain(shaped.model, shaped.root)
    )


def _imports(text: str) -> str:
    first = ["from collections import OrderedDict", ""] * bool(re.search(r"\bOrderedDict\(", text))
    lines = ["import torch"] * bool(re.search(r"\btorch\.", text))
    lines += ["import torch.nn.functional as F"] * bool(re.search(r"\bF\.", text))
    return "\n".join([*first, *lines, "from torch import nn"])


def _loader(graph: Graph, class_name: str, shown: Mapping[str, Expr]) -> str:
    """``load(path)``: strict; a shared tensor is in the file once, others beside the state dict."""
    beside = [w.name for w in graph.weights if not w.persistent and w.name not in shown]
    tied = [(tie, w.name) for w in graph.weights for tie in w.ties if w.persistent]
    shares = bool(tied) and not beside
    lines = [
        "def load(path):",
        '    """Build the model and fill it from the safetensors file at `path`."""',
        f"    from safetensors.torch import {'load_model' if shares else 'load_file'}",
        "",
        f"    model = {class_name}()",
    ]
    if shares:
        lines.append("    load_model(model, path)")
        return "\n".join([*lines, "    return model.eval()"])
    if not beside:
        lines.append("    model.load_state_dict(load_file(path))")
        return "\n".join([*lines, "    return model.eval()"])
    lines.append("    weights = load_file(path)")
    lines += [f"    weights[{quote(tie)}] = weights[{quote(name)}]" for tie, name in tied]
    if beside:
        lines += layout.statement(_names(beside), 1, "for name in ", ":")
        lines.append("        model.get_buffer(name).copy_(weights.pop(name))")
    return "\n".join([*lines, "    model.load_state_dict(weights)", "    return model.eval()"])


def _names(found: Sequence[str]) -> Expr:
    return display(map(literal, found), "[]")
