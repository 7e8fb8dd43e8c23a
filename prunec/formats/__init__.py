"""Formats: the slim model in other forms than source, for `emit ... with`.

A format is one entry of the table `spec.FORMATS`, one case of `run`, which makes its files, and one
case of `prunec.proof`, which proves them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import assert_never

from prunec.diagnostics import Diagnostic, InternalError, PruneError
from prunec.formats import huggingface, onnx
from prunec.formats.slim import Slim as Slim
from prunec.spec import Format, HuggingFace, Onnx


@dataclass(frozen=True, eq=False)
class Made:
    """The files of all formats, by name, and what the user should know of them."""

    files: Mapping[str, bytes]
    notes: tuple[Diagnostic, ...] = ()


def check_installed(formats: Sequence[Format]) -> None:
    """Refuse formats whose packages are missing, before any work is done.

    Raises:
        PruneError: P0721 for each of them.
    """
    faults = tuple(_missing(formats))
    if faults:
        raise PruneError(*faults)


def run(
    formats: Sequence[Format], slim: Slim, stage: Callable[[str], None] = lambda name: None
) -> Made:
    """The files of all formats; ``stage`` is told of each format as it begins.

    Raises:
        PruneError: P07xx where a format cannot say what the model does.
    """
    files: dict[str, bytes] = {}
    notes: list[Diagnostic] = []
    for form in formats:
        stage(f"making {form.name}")
        made = _made(form, slim)
        if made.files.keys() & files.keys():
            raise InternalError(f"two formats write {sorted(made.files.keys() & files.keys())}")
        files |= made.files
        notes += made.notes
    return Made(files, tuple(notes))


def _made(form: Format, slim: Slim) -> Made:
    match form:
        case Onnx():
            return Made(onnx.run(form, slim))
        case HuggingFace():
            return Made(*huggingface.run(slim, form.tolerance))
        case _:
            assert_never(form)


def _missing(formats: Sequence[Format]) -> Iterator[Diagnostic]:
    for form in formats:
        absent = [name for name in form.packages if find_spec(name) is None]
        if absent:
            listed = ", ".join(f"`{name}`" for name in absent)
            yield Diagnostic(
                "P0721",
                f"the format `{form.name}` needs what is not installed: {listed}",
                span=form.span,
                help=f'pip install "prunec[{form.name}]"',
            )
        elif isinstance(form, HuggingFace) and (said := huggingface.unusable()):
            yield Diagnostic(
                "P0721",
                "the format `huggingface` needs transformers 5 or later, and this one does not do",
                span=form.span,
                notes=(said,),
                help='pip install "prunec[huggingface]"',
            )
