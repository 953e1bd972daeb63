"""Who is who on a day, and who reads for an agency that is no more."""

from datetime import date

import pytest

from services.notify.domain.registry import Registry
from services.notify.domain.routing import Supervisors
from tests.unit.notify.builders import an_agency

ENDS = date(2025, 6, 30)
AFTER = date(2025, 7, 1)

REGISTRY = Registry(
    [
        an_agency("H48.01", role="chairman_office"),
        an_agency("H48.06", role="standing", valid_to=ENDS),
        an_agency("H48.07", role="standing"),
        an_agency("H48.21"),
        an_agency("H48.22"),
        an_agency("H48.30", valid_to=ENDS, successors=("H48.21",)),
        an_agency("H48.31", valid_to=ENDS, successors=("H48.30",)),
        an_agency("H48.32", valid_to=ENDS, successors=("H48.21", "H48.22")),
        an_agency("H48.33", valid_to=ENDS),
        an_agency("H48.34", valid_to=ENDS, successors=("H48.99",)),
        an_agency("H48.35", valid_to=ENDS, successors=("H48.36",)),
        an_agency("H48.36", valid_to=ENDS, successors=("H48.35",)),
    ]
)


def test_an_agency_exists_until_its_last_day_is_over() -> None:
    assert an_agency(valid_to=ENDS).exists(ENDS)
    assert not an_agency(valid_to=ENDS).exists(AFTER)
    assert an_agency().exists(AFTER)


@pytest.mark.parametrize(
    ("code", "reader"),
    [
        ("H48.21", "H48.21"),
        ("H48.30", "H48.21"),
        # Its successor has one of its own.
        ("H48.31", "H48.21"),
        # Who of several, or who at all, is the standing agency's to say.
        ("H48.32", "H48.07"),
        ("H48.33", "H48.07"),
        # Not known, or not yet: the registry may lag behind.
        ("H48.34", "H48.99"),
        ("H48.99", "H48.99"),
    ],
)
def test_a_successor_reads_for_an_agency_that_is_no_more(code: str, reader: str) -> None:
    assert REGISTRY.reader_of(code, AFTER) == reader


@pytest.mark.parametrize("code", ["H48.30", "H48.31", "H48.32", "H48.33"])
def test_an_agency_reads_for_itself_to_its_last_day(code: str) -> None:
    assert REGISTRY.reader_of(code, ENDS) == code


def test_successors_that_go_round_in_a_circle_end_somewhere() -> None:
    assert REGISTRY.reader_of("H48.35", AFTER) in {"H48.35", "H48.36"}


def test_without_a_standing_agency_an_agency_without_one_successor_reads_for_itself() -> None:
    registry = Registry([an_agency("H48.33", valid_to=ENDS)])

    assert registry.reader_of("H48.33", AFTER) == "H48.33"


def test_supervisors_and_roles_are_those_of_the_day() -> None:
    assert REGISTRY.supervisors(ENDS) == Supervisors("H48.06", "H48.01")
    assert REGISTRY.supervisors(AFTER) == Supervisors("H48.07", "H48.01")
    assert [REGISTRY.role("H48.06", day) for day in (ENDS, AFTER)] == ["standing", None]
    assert REGISTRY.role("H48.99", ENDS) is None


def test_the_names_of_agencies_that_are_no_more_are_known_for_what_is_told_of_them() -> None:
    assert REGISTRY.names["H48.33"] == "Sở H48.33"
    assert REGISTRY.get("H48.33") == an_agency("H48.33", valid_to=ENDS)
    assert len(REGISTRY.records) == len(REGISTRY.names) == 12
    assert REGISTRY.get("H48.99") is None
