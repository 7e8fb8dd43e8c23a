"""Alike: which modules can share a class, and what some of them leave out.

Modules of one original class share a class where their forwards are equal up to numbers, or where
one becomes the other by leaving out calls of children (which an ``nn.Identity`` then stands for)
and a few operators that hand on one of their operands (a residual addition).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from prunec.emit import folds, keys, modules, schema
from prunec.emit.construct import Construct, Text, skeleton
from prunec.emit.keys import Key, Skips
from prunec.emit.lines import Line
from prunec.emit.steps import Model
from prunec.emit.tree import Region
from prunec.ir.graph import Node, Ref, TensorType

SEQUENTIAL = "nn.Sequential"
DICT = "nn.ModuleDict"

TRIES = 64
"""Ways of leaving out operators that are tried for a pair of forwards."""

LONGEST = 4
"""The longest row of operators that an instance may leave out."""

SHAPING = frozenset({"slice", "pad", "relu", "avg_pool2d", "max_pool2d", "permute", "transpose"})
"""Operators of such rows."""

OPTIONAL = frozenset({"add", "mul", "relu", "dropout"})
"""Operators that an instance may leave out."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One module that becomes a class: base name, constructor lines, and its first call.

    ``above`` is the class that its class extends; ``layers`` are what it is given if it is a dict.
    """

    path: str
    base: str
    lines: tuple[Line, ...]
    region: Region | None
    above: str = "nn.Module"
    layers: Construct | None = None

    @property
    def chain(self) -> bool:
        """Whether it is an ``nn.Sequential``, which hands its children to its constructor."""
        return self.above == SEQUENTIAL


@dataclass(frozen=True, eq=False)
class Member:
    """An instance of a family, what it leaves out of the model's forward, and its key."""

    instance: Instance
    skips: Skips
    key: Key | None


@dataclass(frozen=True, eq=False)
class Family:
    """Instances that can share a class. The first is the model: it leaves out nothing."""

    members: tuple[Member, ...]

    @property
    def model(self) -> Instance:
        return self.members[0].instance


def equal(model: Model, instances: Sequence[Instance]) -> tuple[Family, ...]:
    """Instances whose forwards and constructors differ in numbers only, fuller ones first."""
    found: dict[object, list[Member]] = {}
    for instance in instances:
        key = None if instance.region is None else keys.of(model, instance.region)
        does = None if key is None else key.skeleton
        if key is not None and instance.layers is not None:
            does = key.whole
        shape = instance.base, instance.above, does
        lines = tuple((_fixed(line), skeleton(line.value)) for line in instance.lines)
        found.setdefault((shape, lines), []).append(Member(instance, {}, key))
    families = [Family(tuple(members)) for members in found.values()]
    return tuple(sorted(families, key=lambda f: _order(model, f.model)))


def join(model: Model, full: Family, part: Family) -> Family | None:
    """Both as one family, whose model is that of ``full``; None where they are no kin.

    The members of ``part`` must leave out nothing of their own model.
    """
    first = part.members[0]
    skips = _left_out(model, full.members[0], first)
    if skips is None or any(m.skips for m in part.members):
        return None
    return Family((*full.members, *(Member(m.instance, skips, m.key) for m in part.members)))


def again(members: Sequence[Member]) -> Family:
    """A family of some members of another, all of which leave out the same."""
    return Family(tuple(Member(m.instance, {}, m.key) for m in members))


def _order(model: Model, instance: Instance) -> tuple[int, int]:
    """Fuller ones first; of equally full ones those with longer lists of modules."""
    items = 0 if instance.region is None else len(instance.region.items)
    return -_size(model, instance), -items


def _size(model: Model, instance: Instance) -> int:
    if instance.region is None:
        return len(children(instance.lines[0])) if instance.chain else 0
    return len(tuple(folds.run(model, instance.region)))


def children(line: Line) -> tuple[Construct, ...]:
    """The modules that a chain hands to its constructor."""
    assert isinstance(line.value, Construct)
    return tuple(a.value for a in line.value.args if isinstance(a.value, Construct))


def _fixed(line: Line) -> object:
    if isinstance(line.value, Text):
        return line.prefix, line.value.source.text
    assert isinstance(line.value, Construct)
    if line.prefix:
        return line.prefix
    texts = (a.value.source.text for a in line.value.args if isinstance(a.value, Text))
    return line.value.callee, *texts


def species(child: Construct) -> str:
    """The class of a child; all that have no weights are alike."""
    leaf = modules.LEAVES.get(child.callee.removeprefix("nn."))
    return "plain" if leaf is not None and not leaf.weights else child.callee


def _left_out(model: Model, full: Member, part: Member) -> Skips | None:
    """What ``part`` leaves out of ``full``; None where it is something else altogether."""
    a, b = full.instance, part.instance
    if a.base != b.base or a.above != b.above or a.layers is not None:
        return None
    if a.chain:
        return {} if _is_start(a, b) else None
    if a.region is None or b.region is None or part.key is None:
        return None
    heads = _heads(model, b.region)
    calls = _calls_left_out(model, a.region, heads)
    if calls is None or not _lines_match(model, a, b, calls):
        return None
    missing = _size(model, a) - len(calls) - _size(model, b)
    for chosen in _choices(model, a.region, calls, missing):
        skips = {**calls, **chosen}
        if keys.of(model, a.region, skips).skeleton == part.key.skeleton:
            return skips
    return None


def _is_start(a: Instance, b: Instance) -> bool:
    """Whether a chain is the beginning of another."""
    full, part = (tuple(map(species, children(i.lines[0]))) for i in (a, b))
    return full[: len(part)] == part and bool(part) and a.lines[1:] == b.lines[1:] == ()


def _heads(model: Model, region: Region) -> frozenset[str | None]:
    items = (item for _, item in folds.run(model, region))
    return frozenset(
        model.hierarchy.access(region.path, i.path) for i in items if isinstance(i, Region)
    )


def _calls_left_out(
    model: Model, region: Region, kept: frozenset[str | None]
) -> dict[int, Ref] | None:
    """Calls of children that the other does not call, each with what it is given."""
    found: dict[int, Ref] = {}
    seen: set[str | None] = set()
    for number, item in folds.run(model, region):
        if not isinstance(item, Region):
            continue
        head = model.hierarchy.access(region.path, item.path)
        if head in kept:
            continue
        boundary = model.boundaries(item)
        given = boundary.inputs
        plain = len(boundary.arguments) == len(given) == len(boundary.outputs) == 1
        if not plain or not isinstance(given[0], Ref) or head in seen:
            return None
        seen.add(head)
        found[number] = given[0]
    return found


def _lines_match(model: Model, a: Instance, b: Instance, calls: Mapping[int, Ref]) -> bool:
    """Whether the constructors differ only in the children that are left out."""
    assert a.region is not None
    gone = {f"{h} = " for h in optional_heads(model, a.region, calls)}
    rest = [line for line in a.lines if line.prefix not in gone]
    single = all(sum(line.prefix == g for line in a.lines) == 1 for g in gone)
    return single and tuple(map(_fixed, rest)) == tuple(map(_fixed, b.lines))


def optional_heads(model: Model, region: Region, skips: Skips) -> Iterator[str]:
    """How the class names the children whose calls are left out."""
    for number in skips:
        item = region.items[number]
        if isinstance(item, Region):
            head = model.hierarchy.access(region.path, item.path)
            assert head is not None
            yield head


def _choices(
    model: Model, region: Region, calls: Mapping[int, Ref], missing: int
) -> Iterator[dict[int, Ref]]:
    """Ways of leaving out so many operators: each by itself, or a row that changes one value."""
    if 1 < missing <= LONGEST:
        yield from _rows(model, region, missing)
    if missing < 0 or missing > 2:
        return
    able = {
        n: operands
        for n, item in enumerate(region.items)
        if n not in calls and isinstance(item, Node) and (operands := _operands(model, item))
    }
    tried = 0
    for numbers in combinations(able, missing):
        for stand_ins in product(*(able[n] for n in numbers)):
            tried += 1
            if tried > TRIES:
                return
            yield dict(zip(numbers, stand_ins, strict=True))


def _rows(model: Model, region: Region, length: int) -> Iterator[dict[int, Ref]]:
    """Rows of operators that each work on the result of the one before alone."""
    made = {i.name: n for n, i in enumerate(region.items) if isinstance(i, Node)}
    program = model.program
    for last, item in enumerate(region.items):
        row = [last]
        node = item
        while isinstance(node, Node) and len(row) <= length:
            reads = program.reads(node)
            source = reads[0] if len(reads) == 1 and schema.base(node.op) in SHAPING else None
            if not isinstance(source, Ref):
                break
            if len(row) == length:
                if _alike(program.types[source.name], program.types[region_name(item)]):
                    yield dict.fromkeys(row, source)
                break
            if source.name not in made:
                break
            row.append(made[source.name])
            node = region.items[row[-1]]


def region_name(item: Node | Region) -> str:
    """The value that an operator makes."""
    assert isinstance(item, Node)
    return item.name


def _operands(model: Model, node: Node) -> tuple[Ref, ...]:
    """The operands that could stand for the result; none where the operator has to stay."""
    program = model.program
    if schema.base(node.op) not in OPTIONAL or len(program.results(node)) != 1:
        return ()
    refs = [r for r in dict.fromkeys(program.reads(node)) if isinstance(r, Ref)]
    return tuple(r for r in refs if _alike(program.types[r.name], program.types[node.name]))


def _alike(a: object, b: object) -> bool:
    return (
        isinstance(a, TensorType)
        and isinstance(b, TensorType)
        and (a.dtype, a.rank) == (b.dtype, b.rank)
    )
