"""All cases, by name."""

from __future__ import annotations

from tests.cases import attention, channels, recurrent, structure, weights
from tests.cases.case import Case

CASES: dict[str, Case] = {
    **channels.CASES,
    **recurrent.CASES,
    **attention.CASES,
    **weights.CASES,
    **structure.CASES,
}
