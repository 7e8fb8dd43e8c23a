"""Selection: which groups the spec lets the compiler shorten, by which score, and to which widths.

A group belongs to the first `prune` rule of its kind whose selector matches every module that makes
its channels: half a residual stream cannot be pruned. `freeze` takes groups out again: those that a
matching module makes, or, with `inputs of`, reads.

A rule for blocks takes the residual branches whose module its selector matches: the deepest one
that holds all matrices of the branch (`layers.0.mlp`, norms aside; `layer1.0` of a ResNet). A rule
for layers takes the repeated layers that it matches. A `freeze` of anything inside keeps either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from prunec.diagnostics import Diagnostic, PruneError
from prunec.ir.graph import WeightRef
from prunec.ir.group import KINDS, Group, Kind
from prunec.passes.allocate import Limit, allowed_widths
from prunec.report.analysis import Analysis
from prunec.spec import Freeze, Prune, Spec, select, text, unmatched
from prunec.spec.suggest import Modules

REASONS = 3
"""How many reasons a diagnostic lists."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One `prune` statement and the groups that are its own."""

    prune: Prune
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Selection:
    """The rules with their groups, what the spec froze, and warnings about statements without
    effect. ``claims`` are the rules with frozen groups included, ``held`` the groups of each
    `freeze`.
    """

    rules: tuple[Rule, ...]
    frozen: tuple[Group, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    claims: tuple[Rule, ...] = ()
    held: tuple[tuple[Freeze, frozenset[str]], ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        """All groups that may lose channels."""
        return tuple(g for rule in self.rules for g in rule.groups)

    @property
    def claimed(self) -> tuple[Group, ...]:
        """All groups that a rule selects, whether they are frozen or not."""
        return tuple(g for rule in self.claims for g in rule.groups)

    def free(self) -> dict[str, tuple[int, ...]]:
        """The widths of the claimed groups where no line of the spec limits them."""
        return {g.name: _allowed(g, Prune(), None) for g in self.claimed}

    def limits(
        self, chosen_by_profile: Mapping[str, Collection[int]] | None = None
    ) -> tuple[Limit, ...]:
        """The lines of the spec that forbid widths, in source order: `keep >=`, `multiple of`,
        `freeze`.
        """
        liked = chosen_by_profile or {}
        found: list[Limit] = []
        for prune, groups in ((rule.prune, rule.groups) for rule in self.claims):
            floor = Prune(keep_at_least=prune.keep_at_least)
            steps = Prune(multiple_of=prune.multiple_of)
            for limit, line, span in (
                (floor, f"keep >= {prune.keep_at_least}", prune.keep_span),
                (steps, f"multiple of {prune.multiple_of}", prune.multiple_span),
            ):
                if limit != Prune():
                    widths = {g.name: _allowed(g, limit, liked.get(g.name)) for g in groups}
                    found.append(Limit(line, widths, span))
        for freeze, names in self.held:
            side = "inputs of " if freeze.side == "inputs" else ""
            whole = {g.name: (g.size,) for g in self.claimed if g.name in names}
            found.append(Limit(f"freeze {side}{text(freeze.selector)}", whole, freeze.span))
        return tuple(sorted((limit for limit in found if limit.widths), key=_place))

    def widths(
        self, chosen_by_profile: Mapping[str, Collection[int]] | None = None
    ) -> dict[str, tuple[int, ...]]:
        """The widths that each group may have, by its name.

        ``chosen_by_profile`` are the widths that the device likes, by group, for rules that say
        ``multiple of auto``; a group that is not among them may have any width.
        """
        liked = chosen_by_profile or {}
        return {
            g.name: _allowed(g, rule.prune, liked.get(g.name))
            for rule in self.rules
            for g in rule.groups
        }


def run(spec: Spec, analysis: Analysis) -> Selection:
    """Match the spec's rules and freezes with the groups of a model.

    Raises:
        PruneError: P0204 (a selector matches no module), P0501 (the model has no group), P0502 (a
            rule has matching modules but no group), P0503 (everything is frozen by the spec), P0507
            (the model has no group of the rule's kind).
    """
    named = {p.kind for p in spec.prunes}
    blocks = analysis.blocks if "blocks" in named else ()
    layers = analysis.layers if "layers" in named else ()
    everything = (*analysis.groups, *blocks, *layers)
    if not everything:
        raise PruneError(_nothing_free(analysis))
    modules = tuple((m.path, m.cls) for m in analysis.graph.modules)
    _check_selectors(spec, modules)
    warnings: list[Diagnostic] = []
    frozen: dict[str, Group] = {}
    held: list[tuple[Freeze, frozenset[str]]] = []
    for freeze in spec.freezes:
        chosen = frozenset(select(freeze.selector, modules))
        hit = {g.name: g for g in everything if chosen & _side(g, freeze)}
        frozen |= hit
        held.append((freeze, frozenset(hit)))
        warnings += [] if hit else [_freezes_nothing(freeze)]
    rules: list[Rule] = []
    taken = set(frozen)
    claims: list[Rule] = []
    claimed: set[str] = set()
    for prune in spec.prunes:
        chosen = frozenset(select(prune.selector, modules))
        kin = [g for g in everything if prune.covers(g.kind)]
        if not kin:
            raise PruneError(_no_such_kind(prune, everything, analysis))
        whole = [g for g in kin if _makers(g) <= chosen]
        if not whole and all(g.branches for g in kin):
            raise PruneError(_no_block(prune, kin, chosen))
        if not whole:
            raise PruneError(_coupled(prune, kin, chosen))
        own = tuple(g for g in whole if g.name not in taken)
        warnings += [] if own else [_selects_nothing(prune)]
        taken |= {g.name for g in own}
        rules.append(Rule(prune, own))
        claims.append(Rule(prune, tuple(g for g in whole if g.name not in claimed)))
        claimed |= {g.name for g in whole}
    if not any(rule.groups for rule in rules):
        raise PruneError(_all_frozen(spec.freezes))
    groups = tuple(frozen.values())
    return Selection(tuple(rules), groups, tuple(warnings), tuple(claims), tuple(held))


def _place(limit: Limit) -> tuple[int, int]:
    return (limit.span.line, limit.span.column) if limit.span else (0, 0)


def _allowed(group: Group, prune: Prune, liked: Collection[int] | None) -> tuple[int, ...]:
    """The widths that a rule allows a group, the full one always among them."""
    if group.branches:
        return (0, 1)
    least = max(group.least, prune.least(group.size))
    if prune.multiple_of != "auto":
        return allowed_widths(group.size, least, prune.multiple_of)
    every = allowed_widths(group.size, least)
    return every if liked is None else tuple(w for w in every if w in liked or w == group.size)


def _check_selectors(spec: Spec, modules: Modules) -> None:
    """Refuse every selector that matches no module, all of them at once."""
    selectors = [
        *(t.selector for t in spec.targets),
        *(p.selector for p in spec.prunes),
        *(f.selector for f in spec.freezes),
    ]
    faults = [f for s in selectors if s is not None for f in unmatched(s, modules)]
    if faults:
        raise PruneError(*faults)


def _makers(group: Group) -> frozenset[str]:
    """The modules that make the group's channels; all that hold them where none makes them."""
    places = (p.weight.rpartition(".")[0] for p in group.places)
    return frozenset(group.producers or places)


def _side(group: Group, freeze: Freeze) -> frozenset[str]:
    if group.branches:
        return _makers(group) | _inside(group)
    return _makers(group) if freeze.side == "outputs" else frozenset(group.consumers)


def _inside(group: Group) -> frozenset[str]:
    """The modules that own what the branches read, and those between them and the group's own."""
    owners = {module for branch in group.branches for module in branch.modules}
    parents = {name[: dot.start()] for name in owners for dot in re.finditer(r"\.", name)}
    prefixes = tuple(f"{maker}." for maker in group.producers)
    return frozenset(owners | {name for name in parents if name.startswith(prefixes)})


# --- What to say ---------------------------------------------------------------------------------


def _nothing_free(analysis: Analysis) -> Diagnostic:
    reasons = [
        f"{number} {'axis' if number == 1 else 'axes'}: {reason}"
        for reason, number in analysis.reasons()[:REASONS]
    ]
    return Diagnostic(
        "P0501",
        "the model has no channels that can be removed",
        notes=tuple(reasons),
        help="`prunec explain FILE` shows each axis with the line of the model that freezes it",
    )


def _coupled(prune: Prune, groups: Sequence[Group], chosen: frozenset[str]) -> Diagnostic:
    """A rule matches modules, but each of their groups is made by others too."""
    partly = [g for g in groups if _makers(g) & chosen]
    notes = []
    for group in partly[:REASONS]:
        others = sorted(_makers(group) - chosen)
        notes.append(f"`{group.name}` is also made by {_listing(others)}")
    if not partly:
        notes = [
            f"they make no {prune.kind} that can be removed (`prunec explain FILE MODULE` says why)"
        ]
    others = [f"`{g.name}`" for g in groups[:REASONS]]
    return Diagnostic(
        "P0502",
        f"this `prune` rule matches modules, but no whole group of {prune.kind}",
        span=prune.selector.span if prune.selector else prune.span,
        label=_count(len(chosen), "module"),
        notes=tuple(notes),
        help="channels that are added up go together: select all of their makers"
        if partly
        else f"groups here: {', '.join(others)}",
    )


def _no_such_kind(prune: Prune, groups: Sequence[Group], analysis: Analysis) -> Diagnostic:
    counts = Counter(g.kind for g in groups)
    listed = ", ".join(f"`{kind}` ({counts[kind]})" for kind in KINDS if counts[kind])
    why = _tables(analysis) if prune.kind == "vocabulary" else ()
    return Diagnostic(
        "P0507",
        f"the model has no group of the kind `{prune.kind}`",
        span=prune.span,
        notes=(f"its groups are of these kinds: {listed}", *why),
        help="`prunec groups FILE` lists all groups with their kinds",
    )


def _tables(analysis: Analysis) -> tuple[str, ...]:
    """Why the rows of embeddings are frozen."""
    read = (node.args[0] for node in analysis.graph.nodes if node.op == "aten.embedding.default")
    rows = {(ref.name, 0) for ref in read if isinstance(ref, WeightRef)}
    found = [f for f in analysis.frozen if (f.weight, f.dim) in rows]
    return tuple(f"`{f.weight}`: {f.because.reason}" for f in found[:REASONS])


def _no_block(prune: Prune, blocks: Sequence[Group], chosen: frozenset[str]) -> Diagnostic:
    """A rule matches modules, but no residual branch, or no layer made of branches."""
    known = [f"`{g.producers[0]}`" for g in blocks]
    more = f" and {len(known) - REASONS} more" if len(known) > REASONS else ""
    return Diagnostic(
        "P0502",
        f"this `prune` rule matches modules, but no residual {prune.kind[:-1]}",
        span=prune.selector.span if prune.selector else prune.span,
        label=_count(len(chosen), "module"),
        notes=(_WHAT_IS[prune.kind],),
        help=f"{prune.kind} here: {', '.join(known[:REASONS])}{more}",
    )


_WHAT_IS: Mapping[Kind, str] = {
    "blocks": "a block is a branch that is computed from what it is added to: `x + f(x)`",
    "layers": "a layer is a member of a list, beside one of its class, that does nothing but add "
    "branches to its input",
}


def _all_frozen(freezes: Sequence[Freeze]) -> Diagnostic:
    return Diagnostic(
        "P0503",
        "the `freeze` statements leave nothing to prune",
        span=freezes[0].span if freezes else None,
        help="freeze less, or let a `prune` rule select more",
    )


def _freezes_nothing(freeze: Freeze) -> Diagnostic:
    does = "makes" if freeze.side == "outputs" else "reads"
    return Diagnostic(
        "P0504",
        "this `freeze` changes nothing",
        severity="warning",
        span=freeze.span,
        notes=(f"no module in {text(freeze.selector)} {does} channels that could be removed",),
        help="drop it",
    )


def _selects_nothing(prune: Prune) -> Diagnostic:
    return Diagnostic(
        "P0505",
        "this `prune` rule changes nothing: its groups are frozen, or belong to an earlier rule",
        severity="warning",
        span=prune.span,
        help="a group belongs to the first rule that selects it: put the narrower rule first",
    )


def _listing(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{n}`" for n in names[:most]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
