"""Room: the program that runs in the clean room. It has torch, and nothing of prunec.

``python -I room.py JOB`` reads a JSON file and does what it says: import ``source``, load
``weights`` through the source's own ``load`` (or load a ``folder`` through transformers), call the
model on ``inputs``, and write the tensors that it returns to ``outputs``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import load_file, save_file


class Blocker:
    """A finder that knows of no compiler."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "prunec":
            raise ModuleNotFoundError(f"the clean room has no `{name}`")


def main(job_path: str) -> None:
    """Do one job; whatever goes wrong is raised."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    sys.meta_path.insert(0, Blocker)
    torch.set_num_threads(job["threads"])
    folder = job.get("folder")
    model = load(job["source"], job["weights"]) if folder is None else from_pretrained(folder)
    inputs = load_file(job["inputs"])
    kwargs = {name: build(tree, inputs) for name, tree in job["kwargs"].items()}
    args = [build(tree, inputs) for tree in job["args"]]
    with torch.no_grad():
        found = list(tensors(model(*args, **kwargs)))
    outputs = {f"{k}": tensor.detach().clone().contiguous() for k, tensor in enumerate(found)}
    save_file(outputs, job["outputs"])


def load(source: str, weights: str) -> torch.nn.Module:
    """The model that a source file's own ``load`` gives, once its names are those of the file."""
    spec = importlib.util.spec_from_file_location("slim", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: torch.nn.Module = module.load(weights)
    stray = strays(model, set(load_file(weights)))
    if stray:
        raise KeyError(f"only the file, or only the model, has {sorted(stray)[:5]}")
    return model


def from_pretrained(folder: str) -> torch.nn.Module:
    """The model that a class of transformers such as ``AutoModel`` makes of a folder.

    Code of the folder is trusted only where ``config.json`` names some.
    """
    try:
        import torchvision  # noqa: F401
    except Exception:  # one that does not fit this torch is as good as none
        sys.modules["torchvision"] = None  # type: ignore[assignment]
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    own = "auto_map" in config
    auto = "AutoModel" if own else auto_class(config["architectures"][0])
    transformers: Any = importlib.import_module("transformers")
    model, found = getattr(transformers, auto).from_pretrained(
        folder, trust_remote_code=own, output_loading_info=True
    )
    faults = {what: names for what, names in found.items() if names}
    if faults:
        raise KeyError(f"not all weights find their places: {faults}")
    loaded: torch.nn.Module = model
    return loaded


def auto_class(architecture: str) -> str:
    """The name of transformers' class that makes a model of one of its own classes."""
    auto: Any = importlib.import_module("transformers.models.auto.modeling_auto")
    for name in sorted(dir(auto)):
        mapping = getattr(getattr(auto, name), "_model_mapping", None)
        if name.startswith("AutoModel") and mapping is not None:
            listed = [[v] if isinstance(v, str) else v for v in mapping._model_mapping.values()]
            if any(architecture in names for names in listed):
                return name
    raise ImportError(f"transformers finds no {architecture} by its name")


def strays(model: torch.nn.Module, stored: set[str]) -> set[str]:
    """Names that only the file has, and tensors of the state dict that it has under no name.

    A tied tensor is stored once; a non-persistent buffer may be stored without being in the state.
    """
    tensors: dict[str, torch.Tensor] = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    filled = {id(tensors[name]) for name in stored & tensors.keys()}
    state = model.state_dict().keys()
    missing = {name for name in state if name in tensors and id(tensors[name]) not in filled}
    return (stored - tensors.keys()) | missing


def build(tree: Any, inputs: Mapping[str, torch.Tensor]) -> Any:
    """An argument from its description (see ``clean_room``)."""
    kind, value = tree
    match kind:
        case "tensor":
            return inputs[value]
        case "list":
            return [build(item, inputs) for item in value]
        case "tuple":
            return tuple(build(item, inputs) for item in value)
        case "dict":
            return {key: build(item, inputs) for key, item in value.items()}
        case _:
            return value


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor in a nested value, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from tensors(getattr(value, name))


if __name__ == "__main__":
    main(sys.argv[1])
