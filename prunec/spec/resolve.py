"""From the syntax tree to the spec: every name looked up, every value checked, all faults in one
run.
"""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, assert_never, get_args

from prunec.diagnostics import Diagnostic, PruneError, Source, Span, nearest
from prunec.grammar import faults as syntax
from prunec.grammar import parse_all, tree
from prunec.ir.group import KINDS
from prunec.spec import amounts, glob, targets
from prunec.spec.formats import FORMATS
from prunec.spec.methods import (
    DEFAULT_REPAIR,
    DEFAULT_SOLVER,
    DEVICES,
    REPAIRS,
    SCORES,
    SOLVERS,
    Repair,
    Solver,
)
from prunec.spec.metrics import METRICS
from prunec.spec.options import build
from prunec.spec.schema import (
    Data,
    DataName,
    Emit,
    Factory,
    Freeze,
    Input,
    Model,
    Part,
    Prune,
    Side,
    Spec,
    Target,
    WeightsFile,
)
from prunec.spec.selector import leaves
from prunec.spec.values import known_unit, plain

_T = TypeVar("_T")
_S = TypeVar("_S", bound=tree.Statement)

DATA_NAMES: tuple[DataName, ...] = get_args(DataName)
DTYPES = (
    "bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64", "int16",
    "int32", "int64", "int8", "uint8",
)  # fmt: skip


def load(source: Source, *, in_memory: bool = False) -> Spec:
    """The spec that a text says. With ``in_memory`` the model is the caller's and no `model`
    statement is needed.

    Raises:
        PruneError: every fault of the text, P0101 to P0109 and P0201 to P0219, in source order.
    """
    parsed = parse_all(source)
    resolver = _Resolver(parsed.file)
    spec = resolver.spec(source)
    found = [*parsed.faults, *resolver.faults]
    if not parsed.faults:
        found += _missing(parsed.file, in_memory)
    if found:
        raise PruneError(*syntax.in_order(found))
    assert spec is not None, "without a fault there is a spec"
    return spec


def _missing(file: tree.File, in_memory: bool) -> Iterable[Diagnostic]:
    """Statements that a spec cannot do without."""
    last = file.span
    end = Span(last.source, last.end_line, last.end_column, last.end_line, last.end_column + 1)
    if not any(isinstance(s, tree.Target) for s in file.statements):
        hint = "say what the model may cost: `target macs <= 50%`"
        yield Diagnostic(
            "P0208", "the spec has no target", span=end, label="it ends here", help=hint
        )
    models = [s for s in file.statements if isinstance(s, tree.Model)]
    if not in_memory and not any(s.factory for s in models):
        hint = "name what builds it: `model zoo.cifar:resnet56 { input x: float32[N, 3, 32, 32] }`"
        yield Diagnostic(
            "P0209", "the spec has no model", span=end, label="it ends here", help=hint
        )


class _Resolver:
    """Looks up the names of one file; what is wrong goes to ``faults``, its place is left empty."""

    def __init__(self, file: tree.File) -> None:
        self.file = file
        self.faults: list[Diagnostic] = []

    def spec(self, source: Source) -> Spec | None:
        """The spec, or None where there are faults."""
        model = self._single(tree.Model)
        solve = self._single(tree.Solve)
        repair = self._single(tree.Repair)
        emit = self._single(tree.Emit)
        parts: dict[str, Any] = {
            "model": self._model(model) if model and model.factory else None,
            "part": self._part(model) if model else None,
            "data": tuple(map(self._data, self._distinct_data())),
            "targets": tuple(map(self._target, self._all(tree.Target))),
            "prunes": tuple(map(self._prune, self._all(tree.Prune))) or (Prune(),),
            "freezes": tuple(map(self._freeze, self._all(tree.Freeze))),
            "solve": self._solver(solve.call) if solve else DEFAULT_SOLVER,
            "repair": self._repairs(repair) if repair else DEFAULT_REPAIR,
            "emit": emit and self._emit(emit),
        }
        self._check_auto()
        if self.faults or not parts["targets"]:
            return None
        return Spec(source=source, span=self.file.span, **parts)

    # --- Which statements --------------------------------------------------------------------

    def _all(self, kind: type[_S]) -> tuple[_S, ...]:
        return tuple(s for s in self.file.statements if isinstance(s, kind))

    def _single(self, kind: type[_S]) -> _S | None:
        found = self._all(kind)
        for again in found[1:]:
            self._twice(f"a second `{kind.__name__.lower()}` statement", again.span, found[0].span)
        return found[0] if found else None

    def _distinct_data(self) -> tuple[tree.Data, ...]:
        first: dict[str, tree.Data] = {}
        for data in self._all(tree.Data):
            if data.name.text in first:
                earlier = first[data.name.text].name.span
                self._twice(f"a second `data {data.name.text}`", data.name.span, earlier)
            first.setdefault(data.name.text, data)
        return tuple(first.values())

    # --- Each statement ----------------------------------------------------------------------

    def _part(self, model: tree.Model) -> Part | None:
        self._once(model.entries, (tree.Part,))
        for entry in model.entries:
            if model.factory is None and not isinstance(entry, tree.Part):
                message = "this `model` names no factory: only `part` can stand in its block"
                hint = "the model is the caller's, with its weights and inputs; or name a factory"
                self._fault("P0214", message, entry.span, help=hint)
        found = next((e for e in model.entries if isinstance(e, tree.Part)), None)
        if found is None:
            return None
        if not found.path.value:
            hint = 'name a submodule, such as `part "backbone"`; for the whole model leave it out'
            self._fault("P0210", "the path of the part is empty", found.path.span, help=hint)
        return Part(span=found.path.span, path=found.path.value)

    def _model(self, model: tree.Model) -> Model:
        assert model.factory is not None, "the caller's model has no statement to resolve"
        self._once(model.entries, (tree.Weights,))
        weights = [e for e in model.entries if isinstance(e, tree.Weights)]
        inputs = [e for e in model.entries if isinstance(e, tree.Input)]
        self._no_repeats((i.name for i in inputs), "input")
        file = weights[0].path if weights else None
        if file is not None and not file.value:
            hint = "name a safetensors file, relative to the folder of this one"
            self._fault("P0210", "the path of the weights is empty", file.span, help=hint)
        return Model(
            span=model.span,
            factory=self._factory(model.factory),
            weights=WeightsFile(span=file.span, path=file.value) if file else None,
            inputs=tuple(map(self._input, inputs)),
        )

    def _input(self, given: tree.Input) -> Input:
        dtype = self._look_up(given.dtype, dict.fromkeys(DTYPES, given.dtype.text), "dtype")
        dims = tuple(d.text if isinstance(d, tree.Name) else self._size(d) for d in given.dims)
        return Input(span=given.span, name=given.name.text, dtype=dtype or DTYPES[0], dims=dims)

    def _size(self, given: tree.Number) -> int:
        """A size of an input's dimension, or the number of ``multiple of``."""
        fits = known_unit(given, ("",), self.faults)
        if fits and given.whole and given.value >= 1:
            return int(given.value)
        if fits:
            hint = "a size is a whole number from 1 up"
            self._fault("P0210", "this is no size", given.span, help=hint)
        return 1

    def _data(self, data: tree.Data) -> Data | None:
        factory = self._factory(data.factory)
        name = self._look_up(data.name, {n: n for n in DATA_NAMES}, "data")
        return None if name is None else Data(span=data.span, name=name, factory=factory)

    def _target(self, target: tree.Target) -> Target | None:
        metric = self._look_up(target.metric, {m: m for m in METRICS}, "metric")
        selector = self._within(target.within)
        call = target.device.call if target.device else None
        device = self._method(call, DEVICES, "device") if call else None
        if metric is None:
            return None
        about = METRICS[metric]
        amount = amounts.read(target.bound, about.quantity, self.faults)
        self.faults += targets.misfits(target, metric)
        if amount is None:
            return None
        return Target(
            span=target.span,
            metric=metric,
            relation=about.relation,
            amount=amount,
            selector=selector,
            device=device,
        )

    def _check_auto(self) -> None:
        """Only a latency says which widths a device likes."""
        metrics = {t.metric.text for t in self._all(tree.Target)}
        if metrics & set(targets.ON_DEVICE):
            return
        keeps = (e for p in self._all(tree.Prune) for e in p.entries if isinstance(e, tree.Keep))
        multiples = (keep.multiple for keep in keeps)
        self.faults += [targets.needs_profile(m) for m in multiples if isinstance(m, tree.Auto)]

    def _prune(self, prune: tree.Prune) -> Prune | None:
        kind = self._look_up(prune.kind, {k: k for k in KINDS}, "prune kind")
        self._once(prune.entries, (tree.Within, tree.Score, tree.Keep))
        parts: dict[str, Any] = {}
        for entry in reversed(prune.entries):
            match entry:
                case tree.Within():
                    parts["selector"] = self._within(entry)
                case tree.Score():
                    parts["score"] = self._method(entry.call, SCORES, "score")
                case tree.Keep():
                    parts |= self._keep(entry)
                case _:
                    assert_never(entry)
        whole = kind in ("blocks", "layers")
        for keep in (e for e in prune.entries if whole and isinstance(e, tree.Keep)):
            noun = f"a {str(kind)[:-1]}"
            hint = f"leave `keep` out: {noun} stays, or goes as a whole"
            self._fault("P0210", f"{noun} has no width to keep", keep.span, help=hint)
        return None if kind is None else Prune(span=prune.span, kind=kind, **parts)

    def _keep(self, keep: tree.Keep) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if keep.least is not None:
            parts["keep_at_least"] = amounts.read(keep.least, "count", self.faults)
            parts["keep_span"] = _phrase("keep", keep.least.span)
        if keep.multiple is not None:
            parts["multiple_span"] = _phrase("multiple", keep.multiple.span)
        match keep.multiple:
            case tree.Auto():
                parts["multiple_of"] = "auto"
            case tree.Number():
                parts["multiple_of"] = self._size(keep.multiple)
        return parts

    def _freeze(self, freeze: tree.Freeze) -> Freeze:
        self._check_globs(freeze.selector)
        side: Side = "inputs" if freeze.inputs else "outputs"
        return Freeze(span=freeze.span, selector=freeze.selector, side=side)

    def _solver(self, call: tree.Call) -> Solver | None:
        return self._method(call, SOLVERS, "solver")

    def _repairs(self, repair: tree.Repair) -> tuple[Repair | None, ...]:
        self._no_repeats((c.name for c in repair.calls), "repair")
        none = [c for c in repair.calls if c.name.text == "none"]
        given = [c for c in repair.calls if c.name.text != "none"]
        if none and given:
            hint = "say `repair none` alone, or leave it out"
            self._fault("P0212", "`none` stands beside other repairs", none[0].span, help=hint)
        for argument in (a for c in none for a in c.arguments):
            self._fault("P0205", "`none` has no options", argument.span, help="leave it out")
        return tuple(self._method(c, REPAIRS, "repair", ("none",)) for c in given)

    def _emit(self, emit: tree.Emit) -> Emit:
        name = emit.name.text
        if not name.isidentifier() or keyword.iskeyword(name):
            hint = "it becomes the name of a Python class, such as `SlimResNet56`"
            self._fault("P0211", f"`{name}` is no name for a class", emit.name.span, help=hint)
        out = None if emit.folder is None else emit.folder.value
        if emit.folder is not None and not out:
            hint = "name a folder, or leave `to` out: then nothing is written"
            self._fault("P0210", "the path of the folder is empty", emit.folder.span, help=hint)
        self._no_repeats((c.name for c in emit.formats), "format")
        formats = tuple(self._method(c, FORMATS, "format") for c in emit.formats)
        found = tuple(f for f in formats if f is not None)
        return Emit(span=emit.span, name=name, out=out, formats=found)

    # --- Parts -------------------------------------------------------------------------------

    def _factory(self, factory: tree.Factory) -> Factory:
        named = [a for a in factory.arguments if a.name is not None]
        for argument in factory.arguments:
            if argument.name is None:
                message = "an argument of your own code needs its name"
                self._fault("P0205", message, argument.span, help="write `name=value`")
        self._no_repeats((a.name for a in named if a.name), "argument")
        arguments = {a.name.text: plain(a.value, self.faults) for a in named if a.name}
        return Factory(span=factory.span, target=factory.target, arguments=tuple(arguments.items()))

    def _method(
        self, call: tree.Call, table: Mapping[str, type[_T]], what: str, more: tuple[str, ...] = ()
    ) -> _T | None:
        cls = self._look_up(call.name, table, what, more)
        return None if cls is None else build(cls, call, self.faults)

    def _within(self, within: tree.Within | None) -> tree.Selector | None:
        if within is None:
            return None
        self._check_globs(within.selector)
        return within.selector

    def _check_globs(self, selector: tree.Selector) -> None:
        for leaf in leaves(selector):
            wrong = glob.fault(leaf.pattern) if isinstance(leaf, tree.Glob) else None
            if wrong:
                hint = 'a glob looks like "layer*.*.conv1"; for all modules leave `in` out'
                message = "this is no glob over module paths"
                self._fault("P0213", message, leaf.span, label=wrong, help=hint)

    # --- Faults ------------------------------------------------------------------------------

    def _look_up(
        self, name: tree.Name, known: Mapping[str, _T], what: str, more: tuple[str, ...] = ()
    ) -> _T | None:
        if name.text in known:
            return known[name.text]
        words = (*known, *more)
        listed = f"there {'is' if len(words) == 1 else 'are'} {', '.join(f'`{w}`' for w in words)}"
        hint = nearest(name.text, words)
        notes = () if hint is None else (listed,)
        code = "P0203" if what in ("score", "solver", "repair", "format", "device") else "P0202"
        self.faults.append(
            Diagnostic(
                code,
                f"there is no {what} `{name.text}`",
                span=name.span,
                notes=notes,
                help=hint or listed,
            )
        )
        return None

    def _once(self, entries: Collection[tree.Entry], kinds: tuple[type[tree.Entry], ...]) -> None:
        """Each kind of entry stands in a block once at most."""
        for kind in kinds:
            found = [e for e in entries if isinstance(e, kind)]
            for again in found[1:]:
                word = "in" if kind is tree.Within else kind.__name__.lower()
                self._twice(f"a second `{word}` in one block", again.span, found[0].span)

    def _no_repeats(self, names: Iterable[tree.Name], what: str) -> None:
        first: dict[str, Span] = {}
        for name in names:
            if name.text in first:
                self._twice(f"a second {what} `{name.text}`", name.span, first[name.text])
            first.setdefault(name.text, name.span)

    def _twice(self, message: str, span: Span, first: Span) -> None:
        note = f"the first is on line {first.line}"
        self.faults.append(
            Diagnostic("P0201", message, span=span, notes=(note,), help="keep one of them")
        )

    def _fault(
        self, code: str, message: str, span: Span, label: str = "", help: str | None = None
    ) -> None:
        self.faults.append(Diagnostic(code, message, span=span, label=label, help=help))


def _phrase(word: str, end: Span) -> Span:
    """From a word to the end of a span, where both stand on one line; else the span alone."""
    row = end.source.text.split("\n")[end.line - 1]
    start = row.rfind(word, 0, end.column - 1)
    return end if start < 0 else replace(end, column=start + 1)
