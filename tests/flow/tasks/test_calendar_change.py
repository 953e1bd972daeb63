"""A new calendar or policy: open tasks are counted anew, quietly, and only where a date moves."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.tasks.api import TaskApi
from services.tasks.domain.decision import Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.previews import PreviewApi
from shared.runtime.clock import ScaledClock
from shared.workdays.calendar import WorkingCalendar
from tests.flow.tasks.harness import REGISTRY, Service, directive, obligation
from tests.flow.tasks.test_reading_tasks import as_described
from tests.support.builders import RULEBOOK, RULES, at

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

SWAPPED = replace(RULES, calendar=WorkingCalendar.of([date(2025, 5, 2)], [date(2025, 4, 26)], "plain-2"))


FIVE_WORKING_DAYS = {"kind": "relative", "days": 5, "unit": "working", "after": "2025-04-29"}


async def started(service: Service) -> None:
    by = {"kind": "fixed", "boundary": "by"}
    await service.on(
        *REGISTRY,
        directive(
            obligation("I.1", ["H48.21"], due={**by, "day": "2025-05-02"}),
            obligation("I.2", ["H48.21"], due={**by, "day": "2025-05-06"}),
            obligation("I.3", ["H48.21"], due={"kind": "open_ended"}),
            obligation(
                "I.4", ["H48.21"], due={"kind": "relative", "days": 5, "unit": "working", "after": "2025-04-29"}
            ),
        ),
    )


def legal_days(tasks: dict[str, object]) -> dict[str, list[str]]:
    return {
        one.split("/")[2]: [known.legal.isoformat() for known in task.deadlines]  # type: ignore[attr-defined]
        for one, task in tasks.items()
    }


def with_rules(service: Service, rules: Rules) -> Service:
    """The same store, read by a process that was started with other files."""
    return Service(service.store, Rulebook(rules), told=service.told, offsets=service.offsets)


async def test_only_dates_that_move_get_a_new_version(service: Service) -> None:
    await started(service)
    before = len(service.facts())
    newer = with_rules(service, SWAPPED)

    await newer.time_passes("2025-03-01 00:00")

    assert legal_days(dict(await newer.tasks())) == {
        "I.1": ["2025-05-02", "2025-05-05"],
        "I.2": ["2025-05-06"],
        "I.3": [],
        "I.4": ["2025-05-06", "2025-05-07"],
    }
    assert newer.facts()[before:] == ["rescheduled", "rescheduled"]


async def test_it_is_done_once(service: Service) -> None:
    await started(service)
    newer = with_rules(service, SWAPPED)
    for moment in ("2025-03-01 00:00", "2025-03-01 00:01", "2025-03-01 00:02"):
        await newer.time_passes(moment)
    told = len(newer.told)

    again = with_rules(newer, SWAPPED)
    await again.time_passes("2025-03-01 00:03")

    assert len(again.told) == told


async def test_an_older_replica_does_not_turn_the_calendar_back(service: Service) -> None:
    """While replicas are replaced one by one, old and new ones own partitions side by side."""
    await started(service)
    newer = with_rules(service, SWAPPED)
    await newer.time_passes("2025-03-01 00:00")

    await with_rules(newer, RULES).time_passes("2025-03-01 00:01")

    assert legal_days(dict(await newer.tasks()))["I.1"] == ["2025-05-02", "2025-05-05"]


async def test_a_new_policy_plans_the_reminders_of_open_tasks_anew(service: Service) -> None:
    await started(service)
    eager = replace(RULES, milestones=MilestonePolicy(reminder_days_before=(20,), version="default-2"))
    newer = with_rules(service, eager)

    await newer.time_passes("2025-03-01 00:00")
    await newer.time_passes("2025-04-05 00:00")

    fired = [one.days_before for one in (await newer.task("H48/TB-1/I.1/H48.21")).milestones]
    assert fired == [20]


# -- seen before it is done ----------------------------------------------------------------------------------------

CHANGE = {
    "days_off": [{"day": "2025-05-02", "source": "hoán đổi"}],
    "days_worked": [{"day": "2025-04-26", "source": "làm bù"}],
}


@pytest.fixture
async def client(service: Service) -> httpx.AsyncClient:
    await started(service)
    clock = ScaledClock(at("2025-03-01 00:00"), 0, 0)
    readers = TaskApi(service.store, clock, RULEBOOK, verify=None).for_readers
    app = Starlette(routes=PreviewApi(service.store, clock, RULEBOOK, readers).routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tasks")


async def test_what_would_move_is_what_moves(service: Service, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/calendar-changes", json=CHANGE)

    assert answer.status_code == 200
    as_described(answer.json(), "MovedDates")
    said = {one["task_id"]: one["legal"]["to"] for one in answer.json()["moved"]}
    assert said == {"H48/TB-1/I.1/H48.21": "2025-05-05", "H48/TB-1/I.4/H48.21": "2025-05-07"}
    assert answer.json()["looked_at"] == 3
    assert legal_days(dict(await service.tasks()))["I.1"] == ["2025-05-02"], "nothing is stored"

    newer = with_rules(service, SWAPPED)
    await newer.time_passes("2025-03-01 00:00")
    done = {one: task.deadlines[-1].legal.isoformat() for one, task in (await newer.tasks()).items() if task.deadline}
    assert {one: done[one] for one in said} == said


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"days_off": [{"day": "2025-05-02"}]}, 422, "invalid_calendar"),
        ({"days_of": []}, 422, "invalid_calendar"),
        ({"days_off": [], "cursor": "§"}, 400, "malformed_filter"),
    ],
)
async def test_a_change_that_cannot_be_read_is_said_so(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/v1/calendar-changes", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_days_off_for_weeks_on_end_are_said_to_be_a_mistake(service: Service, client: httpx.AsyncClient) -> None:
    await started(service)
    first = date(2025, 4, 1)
    days = [{"day": (first + timedelta(days=one)).isoformat(), "source": "nhầm"} for one in range(80)]

    answer = await client.post("/v1/calendar-changes", json={"days_off": days})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_calendar")
