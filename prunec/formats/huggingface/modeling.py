"""The modeling file: the emitted class as transformers knows models, and its configuration.

The class derives from transformers' ``PreTrainedModel`` and from the class in ``slim.py``, so that
its state dict has the original's keys, and nothing is written twice.
"""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Iterator, Mapping

from torch import nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.emit import expr, layout, names, signature
from prunec.emit.expr import Expr, literal, quote
from prunec.formats.huggingface import config
from prunec.formats.slim import Slim
from prunec.ir.graph import Dict_, Graph, Tree

COMMON = re.compile(r"[A-Za-z0-9_.]+(weight|bias)")
"""Names that transformers takes as they are; all others it takes as regular expressions."""
SET = frozenset(
    {"config", "name_or_path", "kernel_config", "generation_config", "loss_type"}
    | {"all_tied_weights_keys", "warnings_issued"}
)
"""What every ``PreTrainedModel`` sets."""
BUFFERS = """\
        # It is built on the meta device, so every buffer has to come from the file.
        for module in self.modules():
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, buffer)"""


def run(slim: Slim, *, why: str | None, model_type: str) -> str:
    """The source of the file. ``why`` says why transformers' own class, if any, does not do."""
    graph, name = slim.graph, slim.class_name
    returned = _outputs(graph.output)
    taken = {"PreTrainedConfig", "PreTrainedModel", *(cls for _, cls in returned.values())}
    base = "Emitted" if name in taken else name
    loads = [BUFFERS] if _hidden(slim.module) else []
    body = [
        *(line for line in slim.source.partition("\n\n")[0].splitlines()),
        *([] if why is None else [_comment(f"Not transformers' own class: {why}.")]),
        "",
        *_imports(returned),
        "",
        f"from .slim import {name}{'' if base == name else f' as {base}'}",
        "",
        "",
        f"class {name}Config(PreTrainedConfig):",
        f"    model_type = {quote(model_type)}",
        *_attribute_map(slim.original),
        "",
        "",
        f"class {wrapper(name)}(PreTrainedModel, {base}):",
        f"    config_class = {name}Config",
        *_attributes(slim),
        "",
        "    def __init__(self, config):",
        "        super().__init__(config)",
        *loads,
        "        self.post_init()",
        "",
        "    def _init_weights(self, module):",
        '        """Leave what the file brings."""',
        *_forward(graph, returned),
    ]
    return "\n".join(body) + "\n"


def check_names(module: nn.Module) -> None:
    """Refuse parts of a model that would be in the way of what ``PreTrainedModel`` has itself.

    Raises:
        PruneError: P0724.
    """
    base = config.transformers().PreTrainedModel
    own = (*module._modules, *module._parameters, *module._buffers)
    taken = [n for n in own if n in SET or (hasattr(base, n) and not hasattr(nn.Module, n))]
    if taken:
        raise PruneError(
            Diagnostic(
                "P0724",
                f"`{taken[0]}` of the model has the name of something that transformers' "
                "`PreTrainedModel` has itself",
                help="rename it in the model, or leave `huggingface` out",
            )
        )


def _comment(text: str) -> str:
    return names.comment("\n".join(textwrap.wrap(text, layout.WIDTH - 2)))


def wrapper(class_name: str) -> str:
    """The name of the class in the file."""
    return f"Pretrained{class_name}"


def ties(graph: Graph, module: nn.Module) -> dict[str, str]:
    """Parameters that two modules share: further names, to the name in the weights file."""
    found: dict[str, str] = {}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for weight in graph.weights:
        for tie in (t for t in weight.ties if t in parameters and weight.name in parameters):
            one, two = (module.get_submodule(n.rpartition(".")[0]) for n in (weight.name, tie))
            if one is not two:
                found[tie] = weight.name
    return found


def _hidden(module: nn.Module) -> bool:
    """Whether there are buffers outside the state dict."""
    return bool(dict(module.named_buffers()).keys() - module.state_dict().keys())


def _imports(returned: Mapping[tuple[str, ...], tuple[str, str]]) -> Iterator[str]:
    yield "from transformers import PreTrainedConfig, PreTrainedModel"
    for place in sorted({place for place, _ in returned.values()}):
        classes = sorted({cls for at, cls in returned.values() if at == place})
        yield from layout.statement(Expr(", ".join(classes)), 0, f"from {place} import ")


def _attributes(slim: Slim) -> Iterator[str]:
    graph, module, original = slim.graph, slim.module, slim.original
    children = dict(module.named_children())
    prefix = getattr(original, "base_model_prefix", "")
    if config.of(original) is not None and prefix in children:
        yield f"    base_model_prefix = {quote(prefix)}"
    inputs = [p.name for p in graph.parameters if not p.name.startswith("*")]
    main = getattr(original, "main_input_name", None)
    if inputs and "input_ids" not in (main, *inputs):
        yield f"    main_input_name = {quote(main if main in inputs else inputs[0])}"
    tied = ties(graph, module)
    if tied:
        plain = all(COMMON.fullmatch(n) for pair in tied.items() for n in pair)
        shown = tied if plain else {_pattern(a): _pattern(b) for a, b in tied.items()}
        pairs = [expr.pair(a, literal(b)) for a, b in shown.items()]
        yield from layout.statement(expr.display(pairs, "{}"), 1, "_tied_weights_keys = ")


def _pattern(name: str) -> str:
    return f"{re.escape(name)}$"


def _attribute_map(original: nn.Module) -> list[str]:
    """Other names of fields, under which programs look for them."""
    found = config.of(original)
    if found is None or not found.attribute_map:
        return []
    pairs = [expr.pair(str(k), literal(str(v))) for k, v in sorted(found.attribute_map.items())]
    return layout.statement(expr.display(pairs, "{}"), 1, "attribute_map = ")


def _outputs(output: Tree) -> dict[tuple[str, ...], tuple[str, str]]:
    """Module and name of the classes of transformers that an output is made of, by place.

    An output within one of another kind (a tuple, a plain dict) stays a dict.
    """
    if not isinstance(output, Dict_) or output.cls is None:
        return {}
    place, _, cls = output.cls.rpartition(".")
    if not place.startswith("transformers.") or not _importable(place, cls):
        return {}
    found: dict[tuple[str, ...], tuple[str, str]] = {(): (place, cls)}
    for key, item in output.items:
        found |= {(key, *path): named for path, named in _outputs(item).items()}
    return found


def _importable(place: str, cls: str) -> bool:
    try:
        return isinstance(getattr(importlib.import_module(place), cls, None), type)
    except ImportError:
        return False


def _forward(graph: Graph, returned: Mapping[tuple[str, ...], tuple[str, str]]) -> list[str]:
    if not returned:
        return []
    shown, _, _ = signature.parameters(graph)
    passed: list[Expr] = []
    keyword = False
    for parameter in shown:
        name = parameter.partition("=")[0]
        if name == "*":
            keyword = True
            continue
        passed.append(expr.named(name, Expr(name)) if keyword else Expr(name))
    called = expr.call("super().forward", passed)
    lines = ["", *layout.define("forward", ["self", *shown])]
    if len(returned) == 1:
        made = expr.call(returned[()][1], [Expr(f"**{called.text}")])
        return [*lines, *layout.statement(made, 2, "return ")]
    lines += layout.statement(called, 2, "output = ")
    for path in sorted(returned, key=len, reverse=True):
        place = "output" + "".join(f"[{quote(key)}]" for key in path)
        made = expr.call(returned[path][1], [Expr(f"**{place}")])
        lines += layout.statement(made, 2, f"{place} = " if path else "return ")
    return lines
