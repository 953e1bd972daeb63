"""Names that cross service borders: what is one, and what only looks like one."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.contracts.identifiers import ClauseId, PeriodId, TaskId, TaskName, parse_task_id

TASK_ID = TypeAdapter[str](TaskId)
PERIOD_ID = TypeAdapter[str](PeriodId)
CLAUSE_ID = TypeAdapter[str](ClauseId)


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        (
            "H48/TB-UBND-2024-10-11/II.2.g/H48.07",
            TaskName("H48", "TB-UBND-2024-10-11", "II.2.g", "H48.07", None),
        ),
        (
            "H48/TB-UBND-2024-10-11/II.1.đ/000.00.53.H48/2024-Q4",
            TaskName("H48", "TB-UBND-2024-10-11", "II.1.đ", "000.00.53.H48", "2024-Q4"),
        ),
    ],
)
def test_a_task_id_comes_apart_and_together_again(task_id: str, name: TaskName) -> None:
    assert parse_task_id(task_id) == name
    assert str(name) == task_id
    assert TASK_ID.validate_python(task_id) == task_id


@pytest.mark.parametrize(
    "task_id",
    [
        "H48/TB-UBND-2024-10-11/II.2.g/H48.07\n",
        "H48/TB-UBND-2024-10-11/II.2.g/H48.07/2024-11\n",
        "H48/TB-UBND-2024-10-11/II.2.g/H48.07/",
        "H48/TB-UBND-2024-10-11/II.2.f/H48.07",
        "H48/TB-UBND-2024-10-11/II.2.g/H48.07/2024-02-30",
        "H48/TB UBND/II.2.g/H48.07",
        "TB-UBND-2024-10-11/II.2.g/H48.07",
        "",
    ],
)
def test_what_only_looks_like_a_task_id_is_refused(task_id: str) -> None:
    with pytest.raises(ValueError, match=r"a task id is|is on no calendar"):
        parse_task_id(task_id)
    with pytest.raises(ValidationError):
        TASK_ID.validate_python(task_id)


def test_the_published_pattern_of_a_task_id_says_what_the_parser_says() -> None:
    pattern = re.compile(TASK_ID.json_schema()["pattern"])

    assert pattern.search("H48/TB-UBND-2024-10-11/II.2.d-3/H48.07/2024-W45")
    assert not pattern.search("H48/TB-UBND-2024-10-11/II.2.j/H48.07")


@pytest.mark.parametrize("period", ["2024", "2024-11", "2024-Q4", "2024-H2", "2024-W45", "2024-02-29", "2026-W53"])
def test_a_period_is_a_year_or_part_of_one(period: str) -> None:
    assert PERIOD_ID.validate_python(period) == period


@pytest.mark.parametrize(
    "period",
    ["0000", "9999", "2024-13", "2024-Q5", "2024-H3", "2025-02-29", "2024-11-31", "2025-W53", "2024-W00", "2024-11\n"],
)
def test_a_period_that_is_on_no_calendar_is_refused(period: str) -> None:
    """Its last day is computed later, where nobody can tell the sender any more."""
    with pytest.raises(ValidationError):
        PERIOD_ID.validate_python(period)


@pytest.mark.parametrize("clause", ["I", "II.1", "II.1.đ", "II.2.d-2", "II.5-7"])
def test_clauses_are_numbered_as_vietnamese_documents_do(clause: str) -> None:
    assert CLAUSE_ID.validate_python(clause) == clause


@pytest.mark.parametrize("clause", ["1.a", "II.2.f", "II.2.w", "II.2.D", "II.2.g-", "ii.1"])
def test_letters_that_vietnamese_numbering_lacks_are_no_clauses(clause: str) -> None:
    with pytest.raises(ValidationError):
        CLAUSE_ID.validate_python(clause)
