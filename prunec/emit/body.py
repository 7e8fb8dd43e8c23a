"""Bodies: the statements of one forward.

A value that is read once moves into the expression that reads it as long as the line stays
readable; every other value gets a name. `effort` says what reads well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from prunec.diagnostics import InternalError
from prunec.emit import effort, layout, names, recurrent, rows, schedule, stores
from prunec.emit.expr import Expr, call
from prunec.emit.locals import Locals
from prunec.emit.recurrent import Recurrence
from prunec.emit.render import Renderer
from prunec.emit.steps import CHILDREN, Append, Each, Loop, Model, Run, Step, Term
from prunec.emit.tree import Maybe, Region
from prunec.ir.graph import Argument, Node, Ref, TensorType, Tree, WeightRef

Given: TypeAlias = Mapping[str, "Ref | WeightRef | tuple[Ref, ...]"]
"""Parameter names with what they bring."""


@dataclass(frozen=True)
class Body:
    """The lines of a forward, and the names under which it gives values to what it calls.

    ``passed`` has those names by the path of the module, or of the list that is looped over.
    """

    lines: list[str]
    passed: Mapping[str, Mapping[Argument, str]]


def run(
    model: Model,
    region: Region,
    given: Given,
    output: Tree,
    sizes: Mapping[str, str],
    *,
    keys: Mapping[str, str] | None = None,
) -> Body:
    """A forward's body.

    Args:
        sizes: parameters that bring a dynamic size.
        keys: names for values that the model returns under a key.

    A dynamic size that is needed where no tensor at hand has it is read at the top.
    """
    hoisted: dict[str, str] = {}
    row = rows.run(model, region, output)
    inlined = schedule.inlined(model, region, output)
    while True:
        known = {**hoisted, **sizes}
        variables = Locals(model, row, keys or {})
        variables.reserved.update(known.values())
        renderer = Renderer(model=model, path=region.path, locals=variables, sizes=known)
        writer = _Writer(renderer, output, inlined)
        writer.take(given)
        for step in row:
            writer.write(step)
        if not renderer.missing:
            lines = [*_hoist(model, given, hoisted), *writer.lines]
            return Body(lines, renderer.passed)
        for symbol in renderer.missing:
            hoisted[symbol] = names.local(symbol.lower())


def _hoist(model: Model, given: Given, hoisted: Mapping[str, str]) -> Iterator[str]:
    for symbol, name in hoisted.items():
        for parameter, value in given.items():
            first = value[0] if isinstance(value, tuple) else value
            type_ = model.program.types.get(first.name)
            if isinstance(type_, TensorType) and symbol in type_.symbols:
                source = f"{parameter}[0]" if isinstance(value, tuple) else parameter
                yield f"        {name} = {source}.shape[{type_.symbols.index(symbol)}]"
                break


@dataclass(eq=False)
class _Writer:
    """Goes through the steps once; ``pending`` are terms whose value waits for its one reader."""

    renderer: Renderer
    output: Tree
    inlined: AbstractSet[str]
    lines: list[str] = field(default_factory=list)
    pending: dict[str, Term] = field(default_factory=dict)

    @property
    def locals(self) -> Locals:
        return self.renderer.locals

    def take(self, given: Given) -> None:
        """Bind the parameters."""
        for parameter, value in given.items():
            match value:
                case Ref(name=name):
                    self.locals.bind(parameter, name)
                case WeightRef(name=name):
                    self.renderer.weights[name] = parameter
                    self.locals.reserved.add(parameter)
                case tuple():
                    self.renderer.lists[value] = parameter
                    self.locals.reserved.add(parameter)
                    self.locals.bind(f"{parameter}[0]", value[0].name)

    def write(self, step: Step) -> None:
        """Go on by one step."""
        read = (r.name for r in step.reads if isinstance(r, Ref))
        wanted = [name for name in read if name in self.pending]
        for name in self._unwanted(step, wanted):
            self._emit_after(self.pending.pop(name))
        term = Term(step, {n: self.pending.pop(n) for n in wanted if n in self.pending})
        block = isinstance(step.act, Loop | Each | Append)
        if not block and len(step.results) == 1 and step.results[0] in self.inlined:
            self.pending[step.results[0]] = term
        else:
            self._emit_after(term)

    def _unwanted(self, step: Step, wanted: Sequence[str]) -> list[str]:
        """The operands that get a name because the line would be too long otherwise."""
        if isinstance(step.act, Loop | Each | Append):
            return list(wanted)
        if step.act is None and isinstance(self.output, Ref):
            return []
        unwanted: set[str] = set()
        while len(unwanted) < len(wanted):
            kept = {n: self.pending[n] for n in wanted if n not in unwanted}
            self.locals.name_of.update(dict.fromkeys(unwanted, "x"))
            if len(self._line(Term(step, kept)).text) <= effort.LENGTH:
                break
            unwanted |= effort.largest(kept, len(wanted))
        return [n for n in wanted if n in unwanted]

    def _emit_after(self, term: Term) -> None:
        """Write a statement, after all that must come before it."""
        ordered = _rows(term)
        for name, other in list(self.pending.items()):
            if ordered & _rows(other):
                del self.pending[name]
                self._emit(other)
        self._emit(term)

    def _line(self, term: Term) -> Expr:
        """What a statement would say; a condition has a line of its own."""
        act = term.step.act
        return (
            self.renderer.unconditional(term, act) if isinstance(act, Maybe) else self._render(term)
        )

    def _render(self, term: Term) -> Expr:
        return self.renderer.run(term, self.output)

    def _emit(self, term: Term) -> None:
        if isinstance(term.step.act, Loop):
            self._emit_loop(term, term.step.act)
            return
        if isinstance(term.step.act, Each):
            self._emit_each(term, term.step.act)
            return
        if isinstance(term.step.act, Append):
            self._emit_append(term, term.step.act)
            return
        if isinstance(term.step.act, Maybe):
            self._emit_maybe(term, term.step.act)
            return
        base = stores.base_of(term.step.act)
        if base is not None:
            self._emit_store(term, base)
            return
        shown = self._render(term)
        self.locals.read(term)
        if term.step.act is None:
            self.lines += layout.statement(shown, 2, "return ")
        else:
            self.lines += layout.statement(shown, 2, f"{self._targets(term)} = ")

    def _emit_store(self, term: Term, base: str) -> None:
        """Write into a variable, which holds the result from here on."""
        name = self.locals.name_of[base]
        place, value = self.renderer.store(term)
        self.locals.read(term)
        if not self.locals.is_free(name):
            raise InternalError(f"a store into {name}, which is read later")
        self.lines += layout.statement(value, 2, place)
        self.locals.bind(name, term.step.results[0])

    def _targets(self, term: Term) -> str:
        results, act = term.step.results, term.step.act
        if isinstance(act, Recurrence) and act.unpacks:
            parts = self.renderer.model.program.parts[act.node.name]
            return recurrent.targets(act, list(self.locals.choose_states(act, parts, term)))
        if len(results) == 1:
            return self.locals.choose(results[0], term)
        parts = self.renderer.model.program.parts[act.name] if isinstance(act, Node) else results
        return ", ".join(self.locals.choose_all(parts, term))

    def _emit_maybe(self, term: Term, node: Maybe) -> None:
        """An operator that some instances leave out, as a condition where it changes a variable."""
        whole, shown = self._render(term), self.renderer.unconditional(term, node)
        before = self.locals.name_of[node.otherwise.name]
        self.locals.read(term)
        target = self._targets(term)
        if target != before:
            self.lines += layout.statement(whole, 2, f"{target} = ")
            return
        self.lines.append(f"        if {node.flag}:")
        self.lines += layout.statement(shown, 3, f"{target} = ")

    def _emit_loop(self, term: Term, loop: Loop) -> None:
        args = list(map(self.renderer.show, loop.arguments))
        self.renderer.pass_(loop.members.container, loop.arguments)
        self.locals.read(term)
        carried = [self._carry(term, loop, n) for n in range(len(loop.carried))]
        for place, name in zip(loop.carried, carried, strict=True):
            args[place] = Expr(name)
        results = ", ".join(carried)
        if loop.collected:
            features = self._list(loop.collected)
            self.lines.append(f"        {features} = []")
        module, members = self._members(loop.members)
        self.lines.append(f"        for {module} in {members}:")
        self.lines += layout.statement(call(module, args), 3, f"{results} = ")
        if loop.collected:
            self.lines.append(f"            {features}.append({results})")

    def _carry(self, term: Term, loop: Loop, number: int) -> str:
        """The variable that goes round; it is given its first value where it has none yet."""
        entry, result = loop.arguments[loop.carried[number]], term.step.results[number]
        assert isinstance(entry, Ref)
        before = self.locals.name_of[entry.name]
        if self.locals.is_free(before) and before.isidentifier():
            self.locals.bind(before, result)
            return before
        name = self.locals.choose(result, term)
        self.lines.append(f"        {name} = {before}")
        return name

    def _emit_each(self, term: Term, act: Each) -> None:
        args = [
            None if n == act.varying else self.renderer.show(a) for n, a in enumerate(act.arguments)
        ]
        module, members = self._members(act.members)
        heads, sources = module, members
        if act.source is not None:
            part = self.locals.free("part")
            source = self.renderer.run(Term(act.source), None).text
            heads, sources = f"{module}, {part}", f"zip({members}, {source}, strict=True)"
        shown = call(module, [Expr(part) if a is None else a for a in args])
        self.locals.read(term)
        listed = Expr(f"[{shown.text} for {heads} in {sources}]")
        self.lines += layout.statement(listed, 2, f"{self._list(act.made)} = ")

    def _list(self, values: tuple[Ref, ...]) -> str:
        for known, name in tuple(self.renderer.lists.items()):
            if not any(self.locals.remaining.get(v.name) for v in known if isinstance(v, Ref)):
                del self.renderer.lists[known]
                self.locals.reserved.discard(name)
        name = self.locals.free("features")
        self.locals.reserved.add(name)
        self.renderer.lists[values] = name
        return name

    def _members(self, members: Run) -> tuple[str, str]:
        """A variable for one member of a list, and the list."""
        children = members.bounds == CHILDREN
        module = self.locals.free("layer" if children else _one_of(members.container))
        held = self.renderer.model.hierarchy.access(self.renderer.path, members.container)
        return module, f"{held}{members.bounds}"

    def _emit_append(self, term: Term, act: Append) -> None:
        if act.first:
            start = self.renderer.show(act.before)
            name = self.locals.free("features")
            self.locals.reserved.add(name)
            self.lines += layout.statement(start, 2, f"{name} = ")
            self.renderer.lists[act.before] = name
        name = self.renderer.lists[act.before]
        if act.members is not None:
            module, members = self._members(act.members)
            self.locals.read(term)
            self.lines.append(f"        for {module} in {members}:")
            self.lines.append(f"            {name}.append({module}({name}))")
            self._joined(term, act, name)
            return
        shown = self.renderer.run(Term(replace(term.step, act=act.region)), None)
        self.locals.read(term)
        self.lines += layout.statement(call(f"{name}.append", [shown]), 2)
        self._joined(term, act, name)

    def _joined(self, term: Term, act: Append, name: str) -> None:
        del self.renderer.lists[act.before]
        self.renderer.lists[(*act.before, *map(Ref, term.step.results))] = name


def _rows(term: Term) -> frozenset[str]:
    """The rows in which any part of a term stands: parts of one row keep their order."""
    return frozenset(schedule.rows_of_step(term.step)).union(*map(_rows, term.inner.values()))


def _one_of(path: str) -> str:
    """``layer`` for ``layers``, ``conv`` for ``conv_list``, ``block`` for ``blocks2.0``."""
    name = next((n for n in reversed(re.split(r"[\d._]+", path)) if n not in ("", "list")), "")
    if name.endswith("s") and len(name) > 2:
        return name[:-1]
    return name if path.endswith("_list") else "layer"
