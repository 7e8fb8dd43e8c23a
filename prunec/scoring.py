"""Scoring: every rule's groups are ranked, and a solver that measures is given what it measures by.

What the cache knows of the same model, data and method is taken from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prunec import __version__, hashing, passes
from prunec import cache as caches
from prunec.cache import Cache
from prunec.diagnostics import Diagnostic
from prunec.ir.group import Group
from prunec.ir.plan import Ranking
from prunec.passes import score
from prunec.passes.batches import Batch, digest
from prunec.passes.damage import Damage
from prunec.passes.score import Context
from prunec.prepare import Job
from prunec.selection import Rule, Selection
from prunec.spec import Dp, Evolution, FastNas, Score
from prunec.understand import Understood


@dataclass(frozen=True, eq=False)
class Scored:
    """The groups' rankings, and what the solver measures plans by, if it does."""

    rankings: Mapping[str, Ranking]
    damage: Damage | None = None
    known: tuple[Diagnostic, ...] = ()
    cache: Cache = field(default_factory=Cache)

    @property
    def notes(self) -> tuple[Diagnostic, ...]:
        """What came from the cache, so far, and what was wrong with it."""
        found = (*self.cache.notes, *self.known)
        if self.damage is None or not self.damage.remembered:
            return found
        asked = self.damage.remembered + self.damage.measured
        message = f"{self.damage.remembered} of {asked} measured losses are from the cache"
        return (*found, _from_cache(message))


NOTHING = Scored({})


def run(job: Job, model: Understood, chosen: Selection, batches: tuple[Batch, ...]) -> Scored:
    """Rank each rule's groups by the rule's score, and prepare what the solver measures by."""
    scorer = _Scorer(job, model, batches, Cache(job.cache))
    rankings: dict[str, Ranking] = {}
    for rule in chosen.rules:
        if rule.groups:
            rankings |= scorer.ranked(rule)
    damage = scorer.damage(chosen, rankings) if job.spec.solve.needs_data else None
    return Scored(rankings, damage, tuple(scorer.found), scorer.cache)


@dataclass(frozen=True)
class _Scorer:
    """One model with its calibration batches, which are hashed when that is first asked for."""

    job: Job
    model: Understood
    batches: tuple[Batch, ...]
    cache: Cache
    found: list[Diagnostic] = field(default_factory=list)

    @cached_property
    def inputs(self) -> str:
        """The hash of the graph, the weights, the batches, and of what computes with them."""
        traced = self.model.traced
        return caches.key(
            _computed_by(),
            hashing.digest(str(traced.graph).encode()),
            hashing.tensors(traced.weights),
            digest(self.batches),
        )

    def ranked(self, rule: Rule) -> dict[str, Ranking]:
        """By the cache, where it knows and the score is worth asking it."""
        method = rule.prune.chosen_score
        stored = self.cache.folder is not None and method.needs_data
        key = self._key(method, rule.groups) if stored else ""
        known = _read(self.cache, key, rule.groups) if stored else None
        if known is not None:
            count = f"{len(known)} group{'s' * (len(known) != 1)}"
            what = f"the scores by {method.name} of {count} are from the cache"
            self.found.append(_from_cache(what))
            return known
        self.job.stage(f"scoring by {method.name}")
        found = score.run(method, self._context(rule.groups))
        if stored:
            self.cache.keep_tensors(key, _as_tensors(found, rule.groups))
        return found

    def damage(self, chosen: Selection, rankings: Mapping[str, Ranking]) -> Damage:
        """What plans lose, measured."""
        solver = self.job.spec.solve
        limit = solver.batches if isinstance(solver, Dp | Evolution | FastNas) else None
        blocks = tuple(g for g in chosen.groups if g.branches)
        context = self._context((*self.model.groups, *blocks))
        context = replace(context, batches=self.batches[:limit])
        inputs = self.cache.folder and caches.key(self.inputs, str(len(context.batches)))
        return Damage(
            context, rankings, cache=self.cache, inputs=inputs or "", stage=self.job.stage
        )

    def _key(self, method: Score, groups: Sequence[Group]) -> str:
        options = json.dumps(method.as_dict(), sort_keys=True)
        return caches.key("ranking", self.inputs, options, *map(_named, groups))

    def _context(self, groups: tuple[Group, ...]) -> Context:
        model, traced = self.model, self.model.traced
        return Context(
            traced.graph, traced.weights, model.axes, groups, self.batches, model.subject.module
        )


def _named(group: Group) -> str:
    return f"{group.name} {group.kind} {group.size} {len(group.places)}"


def _as_tensors(found: Mapping[str, Ranking], groups: Sequence[Group]) -> dict[str, Tensor]:
    return {
        f"{part}.{k}": torch.from_numpy(np.ascontiguousarray(values))
        for k, group in enumerate(groups)
        for part, values in (("order", found[group.name].order), ("loss", found[group.name].loss))
    }


def _read(cache: Cache, key: str, groups: Sequence[Group]) -> dict[str, Ranking] | None:
    tensors = cache.tensors(key)
    if tensors is None:
        return None
    return {
        group.name: Ranking(tensors[f"order.{k}"].numpy(), tensors[f"loss.{k}"].numpy())
        for k, group in enumerate(groups)
    }


@cache
def _computed_by() -> str:
    """The program, and what of the machine may show in the last digits."""
    files = sorted(f for folder in passes.__path__ for f in Path(folder).rglob("*.py"))
    return caches.key(
        __version__,
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
        str(torch.get_num_threads()),
        hashing.digest(b"\0".join(f.read_bytes() for f in files)),
    )


def _from_cache(message: str) -> Diagnostic:
    return Diagnostic(
        "P0612",
        message,
        severity="note",
        help="`--no-cache` (in Python no `cache=`) computes them anew",
    )
