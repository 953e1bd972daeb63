"""A new calendar or policy: open tasks are counted anew, quietly, and only where a date moves."""

from dataclasses import replace
from datetime import date

import pytest

from services.tasks.domain.calendar import WorkingCalendar
from services.tasks.domain.decision import Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy
from tests.flow.tasks.harness import REGISTRY, Service, directive, obligation
from tests.support.builders import RULES

pytestmark = [pytest.mark.connected, pytest.mark.timeout(60)]

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
    before = len(service.told)
    newer = with_rules(service, SWAPPED)

    await newer.time_passes("2025-03-01 00:00")

    assert legal_days(dict(await newer.tasks())) == {
        "I.1": ["2025-05-02", "2025-05-05"],
        "I.2": ["2025-05-06"],
        "I.3": [],
        "I.4": ["2025-05-06", "2025-05-07"],
    }
    assert newer.facts()[before - len(REGISTRY) :] == ["rescheduled", "rescheduled"]


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
