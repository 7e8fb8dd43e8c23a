"""Bodies: the statements of one forward.

A value that is read once moves into the expression that reads it, as long as the order of
evaluation stays what it was and the line stays readable; every other value gets a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from prunec.emit import layout, names, recurrent, rows
from prunec.emit.expr import Expr, call
from prunec.emit.locals import Locals
from prunec.emit.recurrent import Recurrence
from prunec.emit.render import Renderer
from prunec.emit.steps import Append, Each, Loop, Model, Run, Step, Term
from prunec.emit.tree import Region
from prunec.ir.graph import Node, Ref, TensorType, Tree, WeightRef

EFFORT = 3.5
"""How much one expression may ask of its reader; a plain call is 1."""

LINE = 72
"""How long an expression may become by taking in another."""

Given: TypeAlias = Mapping[str, "Ref | WeightRef | tuple[Ref, ...]"]
"""Parameter names with what they bring."""


def run(
    model: Model, region: Region, given: Given, output: Tree, sizes: Mapping[str, str]
) -> list[str]:
    """The lines of a forward's body; ``sizes`` are parameters that bring a dynamic size.

    A dynamic size that is needed where no tensor at hand has it is read at the top.
    """
    hoisted: dict[str, str] = {}
    row = rows.run(model, region, output)
    while True:
        known = {**hoisted, **sizes}
        variables = Locals(model.program, row)
        variables.reserved.update(known.values())
        renderer = Renderer(model=model, path=region.path, locals=variables, sizes=known)
        writer = _Writer(renderer, output)
        writer.take(given)
        for step in row:
            writer.write(step)
        if not renderer.missing:
            return [*_hoist(model, given, hoisted), *writer.lines]
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
    lines: list[str] = field(default_factory=list)
    pending: list[Term] = field(default_factory=list)

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
        waiting = {t.step.results[0]: t for t in self.pending}
        wanted = [r.name for r in step.reads if isinstance(r, Ref) and r.name in waiting]
        tail = self.pending[len(self.pending) - len(wanted) :] if wanted else []
        term = Term(step, {n: waiting[n] for n in wanted})
        if [t.step.results[0] for t in tail] == wanted and self._reads_well(term):
            del self.pending[len(self.pending) - len(wanted) :]
        else:
            self._flush()
            term = Term(step)
        moves = not isinstance(step.act, Loop | Each | Append) and len(step.results) == 1
        moves = moves and not (isinstance(step.act, Recurrence) and step.act.unpacks)
        if moves and self.locals.remaining[step.results[0]] == 1:
            self.pending.append(term)
        else:
            self._flush()
            self._emit(term)

    def _reads_well(self, term: Term) -> bool:
        if not term.inner:
            return True
        if isinstance(term.step.act, Loop | Each | Append):
            return False
        return term.effort <= EFFORT and len(self._render(term).text) <= LINE

    def _flush(self) -> None:
        waiting, self.pending = self.pending, []
        for term in waiting:
            self._emit(term)

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
        shown = self._render(term)
        self.locals.read(term)
        if term.step.act is None:
            self.lines += layout.statement(shown, 2, "return ")
        else:
            self.lines += layout.statement(shown, 2, f"{self._targets(term)} = ")

    def _targets(self, term: Term) -> str:
        results, act = term.step.results, term.step.act
        if isinstance(act, Recurrence) and act.unpacks:
            parts = self.renderer.model.program.parts[act.node.name]
            return recurrent.targets(act, list(self.locals.choose_states(act, parts, term)))
        if len(results) == 1:
            return self.locals.choose(results[0], term)
        parts = self.renderer.model.program.parts[act.name] if isinstance(act, Node) else results
        return ", ".join(self.locals.choose_all(parts, term))

    def _emit_loop(self, term: Term, loop: Loop) -> None:
        args = list(map(self.renderer.show, loop.arguments))
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
        module = self.locals.free(_one_of(members.container))
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
        shown = self.renderer.run(Term(replace(term.step, act=act.region)), None)
        self.locals.read(term)
        self.lines += layout.statement(call(f"{name}.append", [shown]), 2)
        del self.renderer.lists[act.before]
        self.renderer.lists[(*act.before, Ref(term.step.results[0]))] = name


def _one_of(path: str) -> str:
    """``layer`` for ``layers``, ``conv`` for ``conv_list``, ``block`` for ``blocks2.0``."""
    name = next((n for n in reversed(re.split(r"[\d._]+", path)) if n not in ("", "list")), "")
    if name.endswith("s") and len(name) > 2:
        return name[:-1]
    return name if path.endswith("_list") else "layer"
