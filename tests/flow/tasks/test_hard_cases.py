"""What would shame an agency wrongly, lose a report or stop the service, told one by one on the store in memory."""

from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from tests.flow.tasks.harness import REGISTRY, Service, directive, obligation, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE

DAILY: dict[str, Any] = {"kind": "recurring", "every": "daily", "boundary": "within", "starts_on": "2024-10-14"}
CONDITIONAL = {"kind": "conditional", "trigger": "khi phát sinh", "days": 5}
CLAUSE = {"directive": "TB-1", "clause": "II.1.h"}


@pytest.fixture
def service() -> Service:
    return Service(cast(MongoTaskStore, MemoryTaskStore()))


@pytest.mark.parametrize(
    "rule",
    [
        DAILY | {"starts_on": "1999-12-31"},
        DAILY | {"every": "weekly", "starts_on": "2000-01-01"},
        DAILY | {"every": "yearly", "starts_on": "1900-01-01"},
    ],
)
async def test_periods_that_no_task_id_can_name_are_refused(service: Service, rule: dict[str, Any]) -> None:
    """A week of 1999 made tasks whose facts no consumer could read."""
    await service.on(*REGISTRY, directive(obligation(due=rule)))

    assert await service.outcome("directive") == ("rejected", "day_too_early")
    assert await service.tasks() == {}


async def test_an_occurrence_that_no_task_id_can_name_is_refused(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(due=CONDITIONAL)))

    await service.on(say("obligation.triggered", CLAUSE | {"occurred_on": "1999-12-31"}, by=OFFICE, event_id="old"))

    assert await service.outcome("old") == ("rejected", "day_too_early")


async def test_no_directive_fills_the_memory_of_a_replica(service: Service) -> None:
    """A daily report since 2000 for three agencies in ten clauses is 270,000 tasks at once."""
    clauses = [obligation(f"II.{number}", due=DAILY | {"starts_on": "2000-01-01"}) for number in range(1, 11)]

    await service.on(*REGISTRY, directive(*clauses))

    assert await service.outcome("directive") == ("rejected", "too_many_tasks")
    assert await service.store.directive("H48", "TB-1") is None, "it may be sent again, corrected"
