"""Hugging Face: the files that ``from_pretrained`` of transformers reads.

``config.json`` and ``model.safetensors``; and ``modeling_slim.py``, unless the slim model is one of
transformers' own classes in other sizes.
"""

from __future__ import annotations

from torch import Tensor

from prunec.diagnostics import Diagnostic
from prunec.emit import files
from prunec.formats.huggingface import config, modeling, stock
from prunec.formats.huggingface.stock import Stock
from prunec.formats.slim import Slim

CONFIG, WEIGHTS, MODELING = "config.json", "model.safetensors", "modeling_slim"


def run(slim: Slim, tolerance: float) -> tuple[dict[str, bytes], tuple[Diagnostic, ...]]:
    """The files by name, and P0725 where transformers' own class does not do.

    Raises:
        PruneError: P0724 for a model whose parts have names that transformers takes for its own.
    """
    modeling.check_names(slim.module)
    found = stock.run(slim, tolerance)
    if isinstance(found, Stock):
        tensors = {found.names.get(name, name): t for name, t in _state(slim).items()}
        made = {CONFIG: config.text(found.fields), WEIGHTS: files.weights_bytes(tensors)}
        return made, ()
    why = None if config.of(slim.original) is None else found.why
    kind = config.model_type(slim.class_name)
    usual = config.usual()
    told = {k: v for k, v in found.fields.items() if k not in usual or usual[k] != v}
    made = {
        CONFIG: config.text({**told, **_own(slim, kind)}),
        WEIGHTS: files.weights_bytes({**_state(slim), **_hidden(slim)}),
        f"{MODELING}.py": modeling.run(slim, why=why, model_type=kind).encode(),
    }
    return made, (_note(found.why),)


def unusable() -> str:
    """What is wrong with the transformers that is installed; nothing if it will do."""
    try:
        found = config.transformers()
        _ = found.PreTrainedConfig, found.PreTrainedModel
    except Exception as error:  # it imports much that may not fit together
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return ""


def _note(why: str) -> Diagnostic:
    return Diagnostic(
        "P0725",
        f"no class of transformers is the slim model: {why}",
        help="load it with `trust_remote_code=True`",
        severity="note",
    )


def _own(slim: Slim, model_type: str) -> config.Config:
    """The fields that say what a configuration is of, and where its classes are."""
    cls = modeling.wrapper(slim.class_name)
    autos = dict.fromkeys(["AutoModel", *config.auto_classes(type(slim.original).__name__)])
    places = {"AutoConfig": f"{MODELING}.{slim.class_name}Config"}
    return {
        "architectures": [cls],
        "auto_map": places | dict.fromkeys(autos, f"{MODELING}.{cls}"),
        "dtype": config.dtype((*slim.module.parameters(), *slim.module.buffers())),
        "model_type": model_type,
        "tie_word_embeddings": bool(modeling.ties(slim.graph, slim.module)),
        "transformers_version": config.transformers().__version__,
    }


def _state(slim: Slim) -> dict[str, Tensor]:
    """The state dict, each tensor once."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in slim.module.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())


def _hidden(slim: Slim) -> dict[str, Tensor]:
    """The buffers outside the state dict."""
    known = slim.module.state_dict()
    return {n: b for n, b in slim.module.named_buffers() if n not in known}
