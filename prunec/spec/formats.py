"""The formats that a spec can name: what is written beside the source."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pydantic import Field

from prunec.spec.methods import Method


class FormatMethod(Method):
    """A format; the packages that it needs, which `pip install "prunec[NAME]"` brings."""

    packages: ClassVar[tuple[str, ...]] = ()


class Onnx(FormatMethod):
    """`slim.onnx`, compared with the slim model in onnxruntime."""

    name = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    opset: int = Field(default=20, ge=18, le=23, description="version of ONNX's operators")
    tolerance: float = Field(
        default=1e-4, gt=0, le=1, description="largest error, relative to an output's scale"
    )


class HuggingFace(FormatMethod):
    """What `from_pretrained` of transformers reads, and that it gives the slim model."""

    name = "huggingface"
    packages = ("transformers",)
    tolerance: float = Field(
        default=1e-4, gt=0, le=1, description="largest error, relative to an output's scale"
    )


Format: TypeAlias = Onnx | HuggingFace

FORMATS: dict[str, type[Format]] = {"onnx": Onnx, "huggingface": HuggingFace}
