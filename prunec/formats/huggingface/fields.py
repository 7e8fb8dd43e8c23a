"""Fields: the sizes in a configuration that give a model's weights their shapes.

Nothing is known of any family but the names of its fields. What a field does is seen: the class is
built without values, once as it was and once with that field changed.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from prunec.formats.huggingface import config
from prunec.formats.huggingface.config import Config

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Mapping[str, Shape]
Path: TypeAlias = tuple[str, ...]
"""The names that lead to a field, through configurations of parts."""

WIDTHS = frozenset(
    """vocab_size hidden_size n_embd d_model dim embedding_size intermediate_size n_inner d_ff
    embed_dim ffn_dim hidden_dim ffn_hidden_size encoder_ffn_dim decoder_ffn_dim word_embed_proj_dim
    projection_dim moe_intermediate_size num_local_experts num_experts""".split()
)
LAYERS = frozenset(
    """num_hidden_layers n_layer n_layers num_layers num_decoder_layers encoder_layers
    decoder_layers""".split()
)
HEADS = frozenset(
    """num_attention_heads n_head n_heads num_heads encoder_attention_heads
    decoder_attention_heads""".split()
)
KEY_HEADS, HEAD_WIDTHS = "num_key_value_heads", ("head_dim", "d_kv")
LISTS = frozenset("hidden_sizes embed_dims conv_dim".split())
"""Widths of stages, which are not looked into."""
UNLIKELY = 1009
"""A width that no model has."""
MOST = 16
"""Combinations of heads that are tried."""


class Unfit(Exception):
    """The class cannot be built from these fields; the message says why."""


@dataclass(frozen=True)
class Fitted:
    """Fields that were fitted to shapes.

    ``uneven`` are fields that would need several values, with these if they are known; ``names``
    gives the new names of weights that stand behind layers that are gone; ``guessed`` are fields
    that others could stand in for.
    """

    fields: Config
    uneven: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    guessed: frozenset[Path] = frozenset()


def shapes(cls: Any, kind: Any, fields: Config) -> Shapes:
    """The shapes of the state dict of a model's class, with the class ``kind`` of configurations.

    Raises:
        Unfit: the class does not take these fields.
    """
    try:
        with config.quiet(), torch.device("meta"), torch.random.fork_rng(devices=[]):
            model: nn.Module = cls(kind.from_dict(copy.deepcopy(fields)))
        return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    except Exception as error:  # the class may raise anything
        raise Unfit(last_line(error)) from error


def last_line(error: Exception) -> str:
    """What an error says, in one line without a full stop."""
    said = (str(error).strip() or type(error).__name__).splitlines()
    return said[-1].strip().rstrip(".")


def candidates(cls: Any, kind: Any, original: Config, wanted: Shapes) -> Iterator[Fitted]:
    """Fields that may give a class the wanted shapes, the likeliest first; at least one.

    Args:
        cls: of the original model.
        kind: of its configuration.
        original: the fields of that.
        wanted: of the slim model's state dict.

    Raises:
        Unfit: the class cannot be built from its own configuration.
    """
    probe = Probe(cls, kind, original)
    fields, names = _layers(probe, wanted)
    wanted = {names.get(name, name): shape for name, shape in wanted.items()}
    uneven: dict[Path, tuple[int, ...]] = {}
    for path, value in probe.named(WIDTHS):
        sizes, before = _sizes(wanted, probe, path, value)
        if len(sizes) == 1 and sizes != before:
            _set(fields, path, sizes.pop())
        elif len(sizes) > 1:
            uneven[path] = tuple(sorted(sizes))
    options: list[list[dict[Path, int]]] = []
    for path, _ in probe.named(HEADS):
        found, several = _heads(probe, path, wanted)
        options.append([*found, {}])
        uneven |= several
    for chosen in itertools.islice(itertools.product(*options), MOST):
        made, guessed = copy.deepcopy(fields), dict[Path, int]()
        for changes in chosen:
            guessed |= changes
        for path, value in guessed.items():
            _set(made, path, value)
        yield Fitted(made, uneven, names, frozenset(guessed))


def leaves(fields: Config, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field, also those of configurations of parts, with its place."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from leaves(value, (*at, name))
        else:
            yield (*at, name), value


class Probe:
    """A class, as it was and with fields changed."""

    def __init__(self, cls: Any, kind: Any, fields: Config) -> None:
        self.cls, self.kind, self.fields = cls, kind, fields
        self.base = shapes(cls, kind, fields)
        for path, heads in self.named(HEADS):
            # A head's width that the class computes from others would change along with them.
            level, name = _get(fields, path[:-1]), HEAD_WIDTHS[0]
            if heads and KEY_HEADS in level and not level.get(name) and "hidden_size" in level:
                self.fields = copy.deepcopy(self.fields)
                _set(self.fields, (*path[:-1], name), level["hidden_size"] // heads)

    def named(self, wanted: frozenset[str]) -> list[tuple[Path, int | None]]:
        """The fields of these names that hold a number, or none yet."""
        return [
            (path, value)
            for path, value in leaves(self.fields)
            if path[-1] in wanted and (value is None or type(value) is int)
        ]

    def changed(self, changes: Mapping[Path, Any]) -> Shapes:
        """The shapes with fields changed; none where the class refuses them."""
        fields = copy.deepcopy(self.fields)
        for path, value in changes.items():
            _set(fields, path, value)
        try:
            return shapes(self.cls, self.kind, fields)
        except Unfit:
            return {}

    def doubled(self, changes: Mapping[Path, Any]) -> set[tuple[str, int]]:
        """Where sizes are twice what they were: weights and dimensions."""
        found = self.changed(changes)
        return {(n, d) for n, d, a, b in self._pairs(found) if b == 2 * a}

    def equal(self, path: Path, value: int | None) -> set[tuple[str, int]]:
        """Where sizes are what a field says."""
        new = UNLIKELY if value is None else 2 * value
        found = self.changed({path: new})
        pairs = self._pairs(found)
        return {(n, d) for n, d, a, b in pairs if b == new and value in (None, a)}

    def _pairs(self, found: Shapes) -> Iterator[tuple[str, int, int, int]]:
        for name in self.base.keys() & found.keys():
            if len(self.base[name]) == len(found[name]):
                for d, (a, b) in enumerate(zip(self.base[name], found[name], strict=True)):
                    yield name, d, a, b


def _sizes(
    wanted: Shapes, probe: Probe, path: Path, value: int | None
) -> tuple[set[int], set[int]]:
    """The sizes where a field stands in the wanted shapes, and where it stood before."""
    places = [(n, d) for n, d in probe.equal(path, value) if d < len(wanted.get(n, ()))]
    return {wanted[n][d] for n, d in places}, {probe.base[n][d] for n, d in places}


def _layers(probe: Probe, wanted: Shapes) -> tuple[Config, dict[str, str]]:
    """The fields with fewer layers, where some are gone, and the new names of those behind."""
    fields, names = copy.deepcopy(probe.fields), dict[str, str]()
    if probe.base.keys() <= wanted.keys():
        return fields, names
    for path, count in probe.named(LAYERS):
        if count is None or count < 2:
            continue
        fewer = probe.changed({path: count - 1, **_cut(probe.fields, path, range(count - 1))})
        gone = probe.base.keys() - fewer.keys() if fewer else frozenset()
        lists = {m[1] for n in gone if (m := re.match(rf"(.*?\.){count - 1}\.", n))}
        kept = {_kept(wanted, at, count) for at in lists}
        if len(kept) != 1:
            continue
        left = kept.pop()
        for place, value in {path: len(left), **_cut(probe.fields, path, left)}.items():
            _set(fields, place, value)
        for at in lists:
            for new, old in enumerate(left):
                moved = (n for n in wanted if n.startswith(f"{at}{old}."))
                names |= {n: f"{at}{new}.{n.removeprefix(f'{at}{old}.')}" for n in moved}
    return fields, {old: new for old, new in names.items() if old != new}


def _kept(wanted: Shapes, at: str, count: int) -> tuple[int, ...]:
    return tuple(i for i in range(count) if any(n.startswith(f"{at}{i}.") for n in wanted))


def _cut(fields: Config, path: Path, kept: Iterable[int]) -> dict[Path, list[Any]]:
    """The lists beside a number of layers that have an item for each."""
    level, kept = _get(fields, path[:-1]), list(kept)
    count = level[path[-1]]
    return {
        (*path[:-1], name): [value[i] for i in kept]
        for name, value in level.items()
        if isinstance(value, list) and len(value) == count
    }


def _heads(
    probe: Probe, path: Path, wanted: Shapes
) -> tuple[list[dict[Path, int]], dict[Path, tuple[int, ...]]]:
    """Numbers of heads and of key heads, and widths of a head, that fit the projections' sizes; or
    the fields that would need several values.
    """
    level, at = _get(probe.fields, path[:-1]), path[:-1]
    heads, keys = level[path[-1]], level.get(KEY_HEADS)
    name = next((n for n in HEAD_WIDTHS if level.get(n)), HEAD_WIDTHS[0])
    width = level.get(name) or (level.get("hidden_size") or 0) // (heads or 1)
    if not heads or not width or (keys is None and name not in level):
        return [], {}
    own = probe.doubled({(*at, name): width, path: 2 * heads})
    left = {path: _shares(probe, own, wanted, heads)}
    if keys is not None:
        others = probe.doubled({(*at, name): width, (*at, KEY_HEADS): 2 * keys})
        left[(*at, KEY_HEADS)] = _shares(probe, others, wanted, keys)
    several = [p for p, found in left.items() if len(found) > 1]
    if several or not left[path]:
        return [], dict.fromkeys(several, ())
    # Where one weight holds queries and keys, its size does not tell how many keys there are.
    tried = [found or range(keys or 1, 0, -1) for found in left.values()]
    options = (dict(zip(left, counts, strict=True)) for counts in itertools.product(*tried))
    return [f for counts in options for f in _divided(counts, (*at, name), width, heads)], {}


def _divided(
    counts: Mapping[Path, float], place: Path, width: int, heads: int
) -> Iterator[dict[Path, int]]:
    """As many heads as fit at their width, or else narrower ones; ``counts`` are at their width."""
    first = next(iter(counts.values()))
    for size in dict.fromkeys((float(width), first * width / heads)):
        found = {place: size, **{path: count * width / size for path, count in counts.items()}}
        if all(value >= 1 and value == int(value) for value in found.values()):
            yield {path: int(value) for path, value in found.items()}


def _shares(
    probe: Probe, places: Iterable[tuple[str, int]], wanted: Shapes, whole: int
) -> set[float]:
    """How much of a number is left, going by the sizes at some places."""
    at = ((n, d) for n, d in places if d < len(wanted.get(n, ())))
    return {whole * wanted[n][d] / probe.base[n][d] for n, d in at}


def _get(fields: Config, path: Path) -> Config:
    for name in path:
        fields = fields[name]
    return fields


def _set(fields: Config, path: Path, value: Any) -> None:
    _get(fields, path[:-1])[path[-1]] = value
