"""How far a token sees, for every combination of scopes and role; and whom a task concerns."""

from itertools import chain, combinations

import pytest

from services.tasks.domain.reading import EVERYTHING, SCOPES, Reader, may_read, reader_of, readers
from tests.support.builders import a_task

ROLES = ("agency", "standing", "chairman_office", None)
SCOPE_SETS = [frozenset(some) for some in chain.from_iterable(combinations(SCOPES, n) for n in (1, 2, 3))]

LED, HELPED, JUDGED, ELSEWHERE = "H48.21", "H48.22", "H48.07", "H48.40"
TASK = a_task(agency=LED, cooperating=(HELPED,), reviewer=JUDGED)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("scopes", SCOPE_SETS, ids=" ".join)
def test_the_whole_province_is_for_the_authority_and_for_who_supervises(scopes: frozenset[str], role: str) -> None:
    supervises = role in {"standing", "chairman_office"}
    sees_all = "authority:write" in scopes or ("tasks:read" in scopes and supervises)

    assert reader_of("H48", LED, scopes, role) == Reader("H48", None if sees_all else LED)


def test_a_task_concerns_who_leads_who_cooperates_and_who_judges() -> None:
    assert readers(TASK) == {LED, HELPED, JUDGED}


@pytest.mark.parametrize(
    ("reader", "shown"),
    [
        *((Reader("H48", agency), True) for agency in (LED, HELPED, JUDGED)),
        (Reader("H48", ELSEWHERE), False),
        (Reader("H48"), True),
        *((Reader("H49", agency), False) for agency in (LED, HELPED, JUDGED, None)),
        (EVERYTHING, True),
    ],
)
def test_a_task_is_shown_to_whom_it_concerns_in_its_own_province(reader: Reader, shown: bool) -> None:
    assert may_read(reader, TASK) is shown
