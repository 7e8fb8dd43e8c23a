"""Names: which names can stand in source as they are, and how the others are reached.

Whatever comes from the model (attribute names, dict keys, class names) passes through here, so that
nothing of it can become code: a name is either a plain identifier or a quoted string.
"""

from __future__ import annotations

import keyword
import re
import unicodedata

from torch import nn

from prunec.emit import helpers
from prunec.emit.expr import quote

BUILTINS = frozenset(
    {
        *("abs", "enumerate", "float", "getattr", "int", "len", "list", "max", "min", "pow"),
        *("range", "reversed", "super", "tuple", "zip", "ValueError"),
    }
)
"""Python's own names that the emitted source may say."""

RESERVED = frozenset(
    {"torch", "nn", "F", "OrderedDict", "self", "load", *BUILTINS, *helpers.SOURCES}
)
"""What the emitted source itself says; no local name may shadow it."""

LOADING = frozenset({"path", "model", "weights", "name", "load_file", "load_model"})
"""Names inside ``load``, which calls the model's class."""


def is_model(name: str) -> bool:
    """Whether the model's class can be called this."""
    return is_identifier(name) and name not in RESERVED and name not in LOADING


class Names:
    """Hands out class names: the wanted one, or with a number where it is taken."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def __call__(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name


def is_plain(name: str) -> bool:
    """Whether ``self.<name>`` is that very attribute."""
    return is_identifier(name) and not hasattr(nn.Module, name)


def is_identifier(name: str) -> bool:
    """A name that Python takes unchanged, in a class body too."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and unicodedata.normalize("NFKC", name) == name
        and not (name.startswith("__") and not name.endswith("__"))
        and name != "__debug__"
    )


def attribute(base: str, name: str) -> str:
    """``base.name``, however hostile the name."""
    if is_plain(name):
        return f"{base}.{name}"
    return f"getattr({base}, {quote(name)})"


def class_name(qualified: str) -> str:
    """A class name from a qualified one: its last part, made an identifier."""
    last = re.sub(r"\W", "", qualified.rsplit(".", 1)[-1], flags=re.ASCII).lstrip("_0123456789")
    usable = bool(last) and not keyword.iskeyword(last) and last not in RESERVED
    return last if usable else "Module"


def camel(name: str) -> str:
    """``conv_block`` as ``ConvBlock``."""
    return class_name("".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name)))


def local(wanted: str) -> str:
    """A local variable's name near the wanted one."""
    name = re.sub(r"\W", "_", wanted, flags=re.ASCII).strip("_") or "value"
    if name[0].isdigit():
        name = f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED else name


def comment(text: str) -> str:
    """The text as comment lines, none of which tells Python how the file is encoded."""
    lines = re.sub(r"coding(?=[:=])", "coding ", text).split("\n")
    shown = ("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines)
    return "\n".join(f"# {line}".rstrip() for line in shown)
