"""Configurations: what `config.json` says, as plain JSON values."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from prunec.ir.axis import Mask

Config: TypeAlias = "dict[str, Any]"

DROPPED = frozenset({"auto_map", "name_or_path", "quantization_config", "transformers_weights"})
"""What is of the place that a configuration came from, or of a file that is not written."""
TOKEN = re.compile(r".*_token_id")


def transformers() -> Any:
    """The package, which is optional."""
    return importlib.import_module("transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers warn of nothing: what is built is tried, not used."""
    logging = importlib.import_module("transformers.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def of(model: nn.Module) -> Any | None:
    """The model's ``PreTrainedConfig``, if it has one."""
    found = getattr(model, "config", None)
    return found if isinstance(found, transformers().PreTrainedConfig) else None


def fields(config: Any) -> Config:
    """All fields of a configuration, without what is private or of the user's machine."""
    found = clean(json.loads(config.to_json_string(use_diff=False)))
    assert isinstance(found, dict)
    return found


def clean(value: Any) -> Any:
    """A JSON value without what is private or of the user's machine."""
    if isinstance(value, dict):
        kept = (k for k in value if not k.startswith("_") and k not in DROPPED)
        return {k: clean(value[k]) for k in kept if not _is_place(value[k])}
    if isinstance(value, list):
        return [clean(v) for v in value if not _is_place(v)]
    return value


def renumbered(found: Config, kept: Mapping[str, Mask]) -> Config:
    """The fields with the new ids of special tokens, where the vocabulary was pruned; None where a
    token is gone.
    """
    masks = {len(mask): mask for mask in kept.values()}
    return _renumbered(found, masks, {})


def _renumbered(found: Config, masks: Mapping[int, Mask], ids: Mapping[int, int]) -> Config:
    mask = masks.get(found.get("vocab_size", 0))
    if mask is not None:
        ids = {int(old): new for new, old in enumerate(mask.nonzero()[0])}

    def changed(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _renumbered(value, masks, ids)
        if not ids or not TOKEN.fullmatch(name):
            return value
        if isinstance(value, list):
            return [ids[v] for v in value if v in ids] or None
        return ids.get(value)

    return {name: changed(name, value) for name, value in found.items()}


def dtype(tensors: Iterable[Tensor]) -> str:
    """The dtype that a model is built in where its source names none: that of its tensors, or
    torch's own where they are of several, for then the source names all others.
    """
    found = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    chosen = found.pop() if len(found) == 1 else torch.float32
    return str(chosen).removeprefix("torch.")


def text(found: Mapping[str, Any]) -> bytes:
    """The file."""
    return (json.dumps(found, indent=2, sort_keys=True) + "\n").encode()


def usual() -> Config:
    """The fields that every configuration has, with their defaults."""
    return fields(transformers().PreTrainedConfig())


def model_type(class_name: str) -> str:
    """A name in lower case for the model's class, which is none of transformers' own."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()
    auto = importlib.import_module("transformers.models.auto.configuration_auto")
    return f"slim_{words}" if words in auto.CONFIG_MAPPING_NAMES else words


def auto_classes(cls: str) -> list[str]:
    """The names of the classes such as ``AutoModelForCausalLM`` that build a class by its name."""
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    found: list[str] = []
    for name in sorted(n for n in dir(auto) if n.startswith("AutoModel")):
        mapping = getattr(getattr(auto, name), "_model_mapping", None)
        listed = () if mapping is None else mapping._model_mapping.values()
        if any(cls == v or (isinstance(v, tuple | list) and cls in v) for v in listed):
            found.append(name)
    return found


def _is_place(value: Any) -> bool:
    """Whether a value is a path of the user's machine."""
    if not isinstance(value, str):
        return False
    absolute = PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    return absolute or value.startswith("~")
