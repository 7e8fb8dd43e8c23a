"""Formats: the slim model in other forms than source, for `emit ... with`.

A format is one entry of the table `spec.FORMATS`, one case of `run`, which makes its files, and one
case of `prunec.proof`, which proves them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import assert_never

from prunec.diagnostics import Diagnostic, InternalError, PruneError
from prunec.formats import onnx
from prunec.formats.slim import Slim as Slim
from prunec.spec import Format, Onnx


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
) -> dict[str, bytes]:
    """The files of all formats, by name; ``stage`` is told of each format as it begins.

    Raises:
        PruneError: P07xx where a format cannot say what the model does.
    """
    made: dict[str, bytes] = {}
    for form in formats:
        stage(f"making {form.name}")
        files = _files(form, slim)
        if made.keys() & files.keys():
            raise InternalError(f"two formats write {sorted(made.keys() & files.keys())}")
        made |= files
    return made


def _files(form: Format, slim: Slim) -> dict[str, bytes]:
    match form:
        case Onnx():
            return onnx.run(form, slim)
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
