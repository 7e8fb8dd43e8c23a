"""Series: dense blocks are one class, whatever layers they have.

Such a block calls all its children in turn, each with all results so far. Its class is an
``nn.ModuleDict``, which is given its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prunec.emit import growth, keys
from prunec.emit.alike import DICT, Instance
from prunec.emit.construct import Arg, Construct, token
from prunec.emit.names import is_plain
from prunec.emit.steps import Model


def share(model: Model, instances: Sequence[Instance]) -> list[Instance]:
    """The instances; blocks of one kind that differ are given their layers by who makes them."""
    found: dict[object, list[Instance]] = {}
    for instance in instances:
        if _is_series(model, instance):
            assert instance.region is not None
            kind = instance.base, keys.of(model, instance.region).whole
            found.setdefault(kind, []).append(instance)
    given = {
        i.path
        for alike in found.values()
        if len({tuple((x.prefix, token(x.value)) for x in i.lines) for i in alike}) > 1
        for i in alike
    }
    return [_given(i) if i.path in given else i for i in instances]


def _is_series(model: Model, instance: Instance) -> bool:
    """Whether nothing is made but the children, and they are called as a growing list."""
    if instance.region is None or instance.above != "nn.Module":
        return False
    made = [x.prefix for x in instance.lines if isinstance(x.value, Construct)]
    children = model.hierarchy.children(instance.path)
    names = [name for name, path in children if not model.is_empty(path)]
    plain = made == [f"self.{name} = " for name in names if is_plain(name)]
    whole = len(made) == len(names) == len(instance.lines)
    return plain and whole and growth.find(model, instance.region) is not None


def _given(instance: Instance) -> Instance:
    values = [x.value for x in instance.lines]
    args = tuple(Arg(value) for value in values)
    names = tuple(x.prefix.removeprefix("self.").removesuffix(" = ") for x in instance.lines)
    layers = Construct(DICT, args, "dict", names)
    return replace(instance, lines=(), above=DICT, layers=layers)
