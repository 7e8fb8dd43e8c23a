"""Installing a slim part in the model that it was taken from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from prunec.diagnostics import Diagnostic, PruneError
from prunec.part.whole import Whole


def install(model: nn.Module, whole: Whole, slim: nn.Module) -> None:
    """Put a copy of a slim part in a model, in place, wherever the original part is registered.

    The copy has the mode, and the device, of the part that it replaces; weights that the rest of
    the model uses too are the model's own; and where the part returns something of a class of its
    own, a hook brings what the slim part returns into that form.

    Raises:
        PruneError: P0345 if the model has no module there, or none that the slim part was made of.
    """
    path = whole.path
    old = dict(model.named_modules(remove_duplicate=False)).get(path)
    if old is None or not path:
        raise _other_model(f"it has no part `{path}`")
    before, after = old.state_dict(keep_vars=True), slim.state_dict()
    if before.keys() != after.keys():
        raise _other_model(f"its `{path}` has weights of other names")
    wide = [n for n, t in after.items() if any(_larger(t, before[n]))]
    if wide:
        raise _other_model(f"`{wide[0]}` of its `{path}` is smaller than the slim one")
    new = copy.deepcopy(slim).train(old.training)
    for tensor in before.values():
        new.to(tensor.device)
        break
    for name in whole.shared:
        _share(new, name, before[name])
    if whole.output is not None and _has_class(whole.output):
        new.register_forward_hook(partial(_formed, whole.output))
    for holder in list(model.modules()):
        for name in [n for n, child in holder._modules.items() if child is old]:
            setattr(holder, name, new)


def check_shared(whole: Whole, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Refuse a slim part whose shared weights are not the original's: the rest of the model reads
    those.

    Raises:
        PruneError: P0344, naming the weights.
    """
    names = (n for n in whole.shared if n in before)
    changed = sorted(n for n in names if not _same(before[n], after.get(n)))
    if changed:
        listed = ", ".join(f"`{n}`" for n in changed[:4])
        raise PruneError(
            Diagnostic(
                "P0344",
                f"the rest of the model uses weights of its part `{whole.path}` that are changed: "
                f"{listed}{f' and {len(changed) - 4} more' if len(changed) > 4 else ''}",
                span=whole.span,
                help="freeze the modules that own or read them, or compile the whole model",
            )
        )


def _has_class(spec: pytree.TreeSpec) -> bool:
    """Whether a structure is made of anything but plain tuples, lists and dicts."""
    if spec.is_leaf():
        return False
    return spec.type not in (tuple, list, dict) or any(map(_has_class, spec.children()))


def _formed(spec: pytree.TreeSpec, module: nn.Module, given: object, returned: Any) -> Any:
    return pytree.tree_unflatten(pytree.tree_leaves(returned), spec)


def _same(one: Tensor, two: Tensor | None) -> bool:
    return two is not None and one.shape == two.shape and torch.equal(one, two)


def _larger(slim: Tensor, dense: Tensor) -> list[bool]:
    if slim.dim() != dense.dim():
        return [True]
    return [a > b for a, b in zip(slim.shape, dense.shape, strict=True)]


def _share(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Put the very tensor in a module's place of a weight."""
    owner, _, own = name.rpartition(".")
    holder = module.get_submodule(owner)
    if own in dict(holder.named_parameters(recurse=False)):
        setattr(holder, own, tensor)
    else:
        holder.register_buffer(own, tensor)


def _other_model(reason: str) -> PruneError:
    return PruneError(
        Diagnostic(
            "P0345",
            f"the slim part does not fit this model: {reason}",
            help="pass the model that `prunec.compile` was given, as it was",
        )
    )
