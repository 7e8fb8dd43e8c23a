"""What all parts of a spec have in common: they are frozen, refuse what they do not know, and know
their place.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from prunec.diagnostics import Span


class Node(BaseModel):
    """A part of a spec. Two are equal if they say the same, wherever they were written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    span: Span | None = Field(default=None, exclude=True, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node) or type(self) is not type(other):
            return NotImplemented
        return self._said() == other._said()

    def __hash__(self) -> int:
        return hash((type(self), self._said()))

    def _said(self) -> tuple[object, ...]:
        return tuple(getattr(self, n) for n in type(self).model_fields if not n.endswith("span"))
