"""What would shame an agency wrongly, lose a report or stop the service, told one by one on the store in memory."""

from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from tests.flow.tasks.harness import REGISTRY, Service, directive, obligation, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE, STANDING

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


TASK, OTHER = "H48/TB-1/II.1.h/H48.21", "H48/TB-1/II.1.h/H48.22"
PAPER = {"number": "3/NQ", "issued_on": "2024-10-20"}


def moved(task_id: str, to: str, received: str, event_id: str = "move") -> Any:
    data = {"task_id": task_id, "to_agency": to, "reason": "chuyển", "document": PAPER}
    return say("task.reassigned", data, by=OFFICE, received=received, event_id=event_id)


def reorganised(change: str, old: list[str], new: list[str], received: str, effective: str) -> Any:
    data = {
        "change": change,
        "predecessors": old,
        "successors": new,
        "effective_on": effective,
        "document": PAPER,
    }
    return say("agency.reorganised", data, by=STANDING, received=received)


async def test_a_share_does_not_vanish_in_a_task_that_has_ended(service: Service) -> None:
    """H48.21 gave it to H48.22, which is then merged into H48.21, whose task of that name ended with the first move."""
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"])), moved(TASK, "H48.22", "2024-10-15 09:00"))
    await service.on(reorganised("merged", ["H48.22"], ["H48.21"], "2024-10-15 10:00", "2024-10-16"))

    await service.time_passes("2024-10-16 09:00")

    other = await service.task(OTHER)
    assert other.is_open, "somebody must owe it"
    assert other.succession is not None
    assert other.succession.why == "successor_has_its_own"
    await service.on(moved(OTHER, "H48.21", "2024-10-16 10:00", "back"))
    assert await service.outcome("back") == ("rejected", "share_ended")
    assert (await service.task(OTHER)).is_open


async def test_a_pause_brings_no_reviewer_back_that_is_no_more(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "by", "day": 25, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], reviewer="H48.22", due=monthly)))
    await service.on(reorganised("renamed", ["H48.22"], [STANDING], "2024-10-15 10:00", "2024-10-16"))
    await service.time_passes("2024-10-16 09:00")
    task_id = f"{TASK}/2024-10"
    assert (await service.task(task_id)).reviewer == STANDING

    paused = CLAUSE | {"reason": "chờ", "document": PAPER}
    await service.on(say("obligation.suspended", paused, by=OFFICE, received="2024-10-17 09:00"))

    assert (await service.task(task_id)).reviewer == STANDING
    assert "corrected" not in service.facts()[-1:]


async def test_a_pause_that_is_over_hides_no_period_from_a_partition_that_is_behind(service: Service) -> None:
    """The obligation's own partition stands in September when the province's has paused and resumed in October."""
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "by", "day": 25, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=monthly)))
    said = CLAUSE | {"reason": "chờ", "document": PAPER}
    await service.on(say("obligation.suspended", said, by=OFFICE, received="2024-11-10 09:00"))
    await service.on(say("obligation.resumed", said, by=OFFICE, received="2024-11-20 09:00"))

    await service.time_passes("2024-11-21 09:00")

    assert f"{TASK}/2024-11" in await service.tasks()


async def test_a_correction_ends_no_task_that_is_about_to_move(service: Service) -> None:
    """The tasks' partition is behind: the agency's name already means its successor, its task has not moved yet."""
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"])))
    await service.on(say("task.progress_reported", {"task_id": TASK, "percent": 80}, received="2024-10-15 09:00"))
    await service.on(reorganised("merged", ["H48.21"], ["H48.22"], "2024-10-15 10:00", "2024-10-16"))
    revised: dict[str, Any] = {
        "revision": 2,
        "title": "Đính chính",
        "event_id": "revision",
        "received": "2024-10-16 09:00",
    }
    await service.on(directive(obligation(leads=["H48.21"]), **revised))

    await service.on(say("task.result_submitted", {"task_id": TASK, "document": PAPER}, received="2024-10-15 16:00"))
    await service.time_passes("2024-10-16 10:00")

    old = await service.task(TASK)
    assert old.results, "it was received while the agency was there"
    assert old.ended is None or old.ended.how == "transferred"


async def test_an_agency_that_is_named_later_owes_no_period_that_was_over(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "by", "day": 25, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=monthly)))
    await service.time_passes("2024-11-02 09:00")

    revised: dict[str, Any] = {"revision": 2, "event_id": "revision", "received": "2024-11-10 09:00"}
    await service.on(directive(obligation(leads=["H48.21", "H48.22"], due=monthly), **revised))
    await service.time_passes("2024-11-10 10:00")

    assert [one for one in await service.tasks() if "H48.22" in one] == [f"{OTHER}/2024-11"]


async def test_who_followed_a_cooperating_agency_twice_removed_may_contribute(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], cooperating=["H48.22"])))
    await service.on(reorganised("merged", ["H48.22"], [OFFICE], "2024-10-15 10:00", "2024-10-16"))
    await service.on(reorganised("merged", [OFFICE], [STANDING], "2024-10-15 11:00", "2024-10-17"))

    said = {"task_id": TASK, "summary": "số liệu"}
    await service.on(
        say("task.contribution_submitted", said, by=STANDING, received="2024-10-18 09:00", event_id="contribution")
    )

    assert await service.outcome("contribution") == ("applied", "applied")


async def test_a_correction_after_a_reorganisation_opens_no_share_that_was_done(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], acceptance="automatic")))
    await service.on(say("task.result_submitted", {"task_id": TASK, "document": PAPER}, received="2024-10-15 09:00"))
    await service.on(reorganised("merged", ["H48.21"], ["H48.22"], "2024-10-15 10:00", "2024-10-16"))
    await service.time_passes("2024-10-16 09:00")

    revised: dict[str, Any] = {"revision": 2, "event_id": "revision", "received": "2024-11-16 09:00"}
    await service.on(directive(obligation(leads=["H48.21"], title="Đính chính", acceptance="automatic"), **revised))

    assert {one: task.result.value for one, task in (await service.tasks()).items()} == {TASK: "completed"}


async def test_a_share_that_was_given_away_stays_there_when_its_agency_is_renamed(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"])), moved(TASK, "H48.22", "2024-10-15 09:00"))
    await service.on(reorganised("renamed", ["H48.21"], [STANDING], "2024-10-15 10:00", "2024-10-16"))

    revised: dict[str, Any] = {"revision": 2, "event_id": "revision", "received": "2024-10-17 09:00"}
    await service.on(directive(obligation(leads=["H48.21"], title="Đính chính"), **revised))

    assert {one: task.result.value for one, task in (await service.tasks()).items()} == {
        TASK: "transferred",
        OTHER: "assigned",
    }


async def test_who_is_named_later_owes_the_same_whichever_partition_is_behind(service: Service) -> None:
    """No period was opened yet when the revision came: the sweep opens them with the agencies of today."""
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "by", "day": 25, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=monthly)))
    revised: dict[str, Any] = {"revision": 2, "event_id": "revision", "received": "2024-12-10 09:00"}
    await service.on(directive(obligation(leads=["H48.21", "H48.22"], due=monthly), **revised))

    await service.time_passes("2025-01-02 09:00")

    found = await service.tasks()
    assert [one for one in found if "H48.22" in one] == [f"{OTHER}/2024-12", f"{OTHER}/2025-01"]
    assert [one for one in found if "H48.21" in one] == [
        f"{TASK}/{period}" for period in ("2024-10", "2024-11", "2024-12", "2025-01")
    ]
    assert found[f"{OTHER}/2024-12"].assigned.event_id.endswith("#revision")
