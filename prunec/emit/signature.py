"""Signature: the parameters of the model's forward, and what is taken out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunec.emit import expr, names
from prunec.emit.expr import quote
from prunec.ir.graph import Dict_, Graph, Parameter, Ref, Sequence_, Tree, WeightRef


def parameters(graph: Graph) -> tuple[list[str], dict[str, Ref | WeightRef], list[str]]:
    """The parameters after ``self``, local names with what they hold, and the first statements.

    Nested inputs are unpacked. A parameter that held a plain value when the model was traced keeps
    that value, and forward refuses any other, for the graph was specialised to it.
    """
    shown: list[str] = []
    bound: dict[str, Ref | WeightRef] = {}
    first: list[str] = []
    marked = False
    optional = False
    for parameter in graph.parameters:
        name = _name(parameter)
        needed = f"{name}=None" if optional and not parameter.keyword_only else name
        if parameter.keyword_only and not marked and not any(s.startswith("*") for s in shown):
            shown.append("*")
            marked = True
        match parameter.tree:
            case Ref():
                bound[name] = parameter.tree
                shown.append(needed)
            case None | bool() | int() | float() | str():
                value = expr.literal(parameter.tree).text
                shown.append(f"{name}={value}")
                optional = True
                first += _fixed(name, value, parameter.tree)
            case tree:
                shown.append(f"*{name}" if parameter.name.startswith("*") else needed)
                first += _unpack(name, tree, bound)
    return shown, bound, first


def docstring(output: Tree) -> str | None:
    """What to say of an output that may have been of a class of its own."""
    return (
        '"""Return a dict of the original\'s output fields."""'
        if isinstance(output, Dict_)
        else None
    )


def _name(parameter: Parameter) -> str:
    return names.local(parameter.name.lstrip("*"))


def _fixed(name: str, shown: str, value: object) -> list[str]:
    test = (
        f"{name} is not {shown}"
        if value is None or isinstance(value, bool)
        else f"{name} != {shown}"
    )
    message = quote(f"{name} is fixed to {shown}")
    return [f"if {test}:", f"    raise ValueError({message})"]


def _unpack(source: str, tree: Tree, bound: dict[str, Ref | WeightRef]) -> Iterator[str]:
    """Statements that take inputs out of a nested parameter."""
    match tree:
        case Ref(name=name):
            bound[names.local(name)] = tree
            yield f"{names.local(name)} = {source}"
        case Sequence_(items=items) if _is_flat(items):
            targets = [names.local(i.name) for i in items if isinstance(i, Ref)]
            bound.update(zip(targets, (i for i in items if isinstance(i, Ref)), strict=True))
            yield f"{', '.join(targets) if len(targets) > 1 else f'({targets[0]},)'} = {source}"
        case Sequence_(items=items):
            for i, item in enumerate(items):
                yield from _unpack(f"{source}[{i}]", item, bound)
        case Dict_(items=pairs, cls=cls):
            for key, item in pairs:
                mapping = (
                    cls is None or cls == "collections.OrderedDict" or not names.is_identifier(key)
                )
                yield from _unpack(
                    f"{source}[{quote(key)}]" if mapping else f"{source}.{key}", item, bound
                )


def _is_flat(items: Sequence[Tree]) -> bool:
    return len(items) > 0 and all(isinstance(i, Ref) for i in items)
