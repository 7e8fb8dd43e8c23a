"""ONNX: the slim module by torch's exporter."""

from __future__ import annotations

from prunec.formats.slim import Slim
from prunec.spec import Onnx


def run(form: Onnx, slim: Slim) -> dict[str, bytes]:
    """``slim.onnx``."""
    raise NotImplementedError
