"""The options of a method: a call's arguments checked against the fields of the method's class."""

from __future__ import annotations

from typing import TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from prunec.diagnostics import Diagnostic, nearest
from prunec.grammar import tree
from prunec.spec.methods import Method
from prunec.spec.values import plain, show

_M = TypeVar("_M")


def build(cls: type[_M], call: tree.Call, faults: list[Diagnostic]) -> _M | None:
    """The method that a call means, or None with the reasons among ``faults`` (P0201, P0205, P0206,
    P0207).
    """
    assert issubclass(cls, Method)
    before = len(faults)
    given: dict[str, tree.Argument] = {}
    for argument in call.arguments:
        option = _option(cls, argument, faults)
        if option in given:
            message = f"option `{option}` is given twice"
            faults.append(Diagnostic("P0201", message, span=argument.span, help="keep one of them"))
        elif option is not None:
            given[option] = argument
    values = {option: plain(argument.value, faults) for option, argument in given.items()}
    try:
        method = cls(span=call.span, **values)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]): detail for detail in error.errors()}
        faults += [_wrong(cls, option, detail, given) for option, detail in wrong.items()]
        return None
    return method if len(faults) == before else None


def describe(field: FieldInfo) -> str:
    """What an option may be, in words: ``a whole number, at least 1``."""
    choices = _choices(field)
    if choices:
        return f"one of {', '.join(choices)}"
    kinds = get_args(field.annotation) or (field.annotation,)
    words = "a whole number" if int in kinds else "a number"
    for limit in field.metadata:
        for name, phrase in (
            ("ge", "at least"),
            ("gt", "above"),
            ("le", "at most"),
            ("lt", "below"),
        ):
            if hasattr(limit, name):
                words += f", {phrase} {show(getattr(limit, name))}"
    return f"{words}, or `none`" if type(None) in kinds else words


def _option(cls: type[Method], argument: tree.Argument, faults: list[Diagnostic]) -> str | None:
    """The option that an argument gives."""
    options = cls.options()
    if argument.name is None:
        if cls.positional is not None:
            return cls.positional
        hint = f"write `{options[0]}=...`" if options else "leave the parentheses out"
        message = f"an option of `{cls.name}` needs its name" if options else _no_options(cls)
        faults.append(Diagnostic("P0205", message, span=argument.span, help=hint))
        return None
    name = argument.name.text
    if name in options:
        return name
    listed = f"its options are {', '.join(f'`{o}`' for o in options)}"
    hint = nearest(name, options) or (listed if options else "leave it out")
    message = f"`{cls.name}` has no option `{name}`" if options else _no_options(cls)
    faults.append(Diagnostic("P0205", message, span=argument.name.span, help=hint))
    return None


def _no_options(cls: type[Method]) -> str:
    return f"`{cls.name}` has no options"


def _wrong(
    cls: type[Method], option: str, detail: ErrorDetails, given: dict[str, tree.Argument]
) -> Diagnostic:
    """A value out of its type or range."""
    field = cls.model_fields[option]
    value = detail["input"]
    near = (
        nearest(value, [c.strip('"') for c in _choices(field)]) if isinstance(value, str) else None
    )
    return Diagnostic(
        "P0206",
        f"option `{option}` of `{cls.name}` cannot be {show(value)}",
        span=given[option].value.span,
        label=f"must be {describe(field)}",
        help=near or f"{field.description}; the default is {show(field.default)}",
    )


def _choices(field: FieldInfo) -> tuple[str, ...]:
    kinds = get_args(field.annotation)
    return tuple(show(k) for k in kinds) if kinds and isinstance(kinds[0], str) else ()
