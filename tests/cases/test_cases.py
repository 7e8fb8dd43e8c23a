"""The named cases: pruned, equal to the masked twin, and pruned where the case is about it."""

from __future__ import annotations

import pytest

from tests.cases import ours
from tests.cases.models import CASES


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = CASES[name]
    made = ours.run(case)
    assert made.removed >= 0.4 or case.frozen
    assert made.group_of(case.together) is not None, (
        f"{case.together} lost nothing\n{made.analysis}"
    )
    for place, reason in case.frozen.items():
        found = made.reasons(place)
        assert any(reason in why for why in found), f"{place}: {found}"
