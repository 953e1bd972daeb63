"""Directives are corrected, triggered, dated, paused and revoked, on a real mongod; a repeat changes nothing."""

from typing import Any

import pytest

from services.tasks.domain.task import Result
from tests.flow.tasks.harness import REGISTRY, TASK, Service, directive, obligation, say
from tests.support.workload import OFFICE

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

DOCUMENT = {"number": "20/UBND", "issued_on": "2024-10-16"}
CLAUSE = {"directive": "TB-1", "clause": "II.1.h"}


def revision(*obligations: dict[str, Any], number: int = 2, **changes: Any) -> tuple[str, dict[str, Any]]:
    fields = {"event_id": f"revision-{number}", "received": "2024-10-17 09:00", "number": f"{number}/TB", **changes}
    return directive(*obligations, revision=number, **fields)


async def test_a_revision_adds_corrects_and_withdraws_and_keeps_what_matches(service: Service) -> None:
    await service.on(
        *REGISTRY,
        directive(
            obligation(), obligation("II.1.a"), obligation("II.1.b", ["H48.21"]), obligation("II.1.c", ["H48.21"])
        ),
    )
    later = {"kind": "fixed", "boundary": "before", "day": "2024-11-01"}

    await service.on(
        revision(
            obligation(),  # as it was
            obligation("II.1.a", due=later),
            obligation("II.1.b", ["H48.22"]),  # another lead
            obligation("II.1.d", ["H48.22"]),  # new
        )
    )

    assert await service.outcome("revision-2") == ("applied", "applied")
    assert (await service.detail("revision-2")).startswith(
        "4 obligations, 8 tasks, 2 of them new, 5 corrected or ended"
    )
    tasks = await service.tasks()
    assert [one.version for one in tasks[TASK].deadlines] == [1]
    assert [one.nominal.isoformat() for one in tasks["H48/TB-1/II.1.a/H48.21"].deadlines] == [
        "2024-10-19",
        "2024-10-31",
    ]
    ended = {one: task.ended.reason for one, task in tasks.items() if task.ended}
    assert ended == {
        "H48/TB-1/II.1.b/H48.21": "no_longer_named",
        "H48/TB-1/II.1.c/H48.21": "clause_withdrawn",
    }
    assert tasks["H48/TB-1/II.1.b/H48.22"].is_open
    assert tasks["H48/TB-1/II.1.d/H48.22"].is_open
    assert tasks["H48/TB-1/II.1.c/H48.21"].ended.document.number == "2/TB"  # type: ignore[union-attr]


async def test_a_revision_that_comes_again_after_a_crash_is_finished(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(), obligation("II.1.a")))
    records = await service.receive(revision(obligation(title="Đính chính"), obligation("II.1.d")))
    service.lose_next_publish = True

    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)
    await service.handlers.on_submissions(records)

    assert await service.outcome("revision-2") == ("applied", "applied")
    tasks = await service.tasks()
    assert {task.title for task in tasks.values() if task.clause == "II.1.h"} == {"Đính chính"}
    assert {task.clause for task in tasks.values() if task.is_open} == {"II.1.h", "II.1.d"}
    ids = [(one.key, one.value) for one in service.told]
    assert len({key for key, _ in ids}) <= len(ids)


async def test_an_older_or_equal_revision_is_rejected(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()), revision(obligation(), number=3))

    await service.on(revision(obligation("II.1.x"), number=3, event_id="third-again"))
    await service.on(revision(obligation("II.1.y"), number=2))

    assert await service.outcome("third-again") == ("rejected", "directive_exists")
    assert await service.outcome("revision-2") == ("rejected", "directive_exists")


async def test_a_corrected_rhythm_opens_its_own_periods(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}
    quarterly = {**monthly, "every": "quarterly"}
    await service.on(*REGISTRY, directive(obligation("II.2.a", ["H48.21"], due=monthly)))

    await service.on(revision(obligation("II.2.a", ["H48.21"], due=quarterly)))
    await service.time_passes("2025-01-02 00:00")

    tasks = {one.rsplit("/", 1)[1]: task.result.value for one, task in (await service.tasks()).items()}
    assert tasks == {"2024-10": "discontinued", "2024-Q4": "assigned", "2025-Q1": "assigned"}


FIXED = {"kind": "fixed", "boundary": "by", "day": "2024-11-15"}
WHEN = {"kind": "conditional", "trigger": "khi phát sinh"}
REFERENCE = {"kind": "by_reference", "reference": "theo quy định"}


@pytest.mark.parametrize(
    ("due", "then"),
    [
        (FIXED, {"kind": "open_ended"}),
        (FIXED, REFERENCE),
        ({"kind": "relative", "days": 5}, {"kind": "open_ended"}),
        ({**WHEN, "days": 3}, WHEN),
    ],
)
async def test_a_revision_cannot_leave_a_clause_without_the_day_its_tasks_have(
    service: Service, due: dict[str, Any], then: dict[str, Any]
) -> None:
    """INVARIANT: nobody is called late by a day that the directive no longer names."""
    await service.on(*REGISTRY, directive(obligation(due=due)))

    await service.on(revision(obligation(due=then), obligation("II.1.d")))

    assert await service.outcome("revision-2") == ("rejected", "day_taken_away")
    assert "leave the clause out and add another" in await service.detail("revision-2")
    assert "H48/TB-1/II.1.d/H48.21" not in await service.tasks()


async def test_a_clause_that_was_left_out_may_come_back_without_a_day(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(due=FIXED)), revision(obligation("II.1.d")))

    await service.on(revision(obligation("II.1.d"), obligation(due=REFERENCE), number=3))

    assert await service.outcome("revision-3") == ("applied", "applied")


async def test_a_directive_with_a_circle_is_rejected_and_one_without_time_is_flagged(service: Service) -> None:
    circle = directive(
        obligation("I.1", feeds=["I.2"]), obligation("I.2", feeds=["I.1"]), directive="CV-2", event_id="circle"
    )
    flagged = directive(obligation("II.1.h", feeds=["II.2.g"]), obligation("II.2.g", ["H48.21"]))

    await service.on(*REGISTRY, circle, flagged)

    assert await service.outcome("circle") == ("rejected", "cyclic_dependency")
    assert await service.detail("directive") == (
        "2 obligations, 4 tasks; II.2.g needs II.1.h, whose deadline is shared"
    )
    [needed] = (await service.task("H48/TB-1/II.2.g/H48.21")).dependencies
    assert (needed.clause, needed.conflict) == ("II.1.h", "shared_deadline")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issued_on": "2024-10-15"}, "issued_in_future"),
        ({"obligations": [obligation(feeds=["II.9"])]}, "unknown_clause"),
    ],
)
async def test_a_directive_that_cannot_be_is_rejected(service: Service, changes: dict[str, Any], reason: str) -> None:
    await service.on(*REGISTRY, directive(obligation(), **changes))

    assert await service.outcome("directive") == ("rejected", reason)
    assert await service.tasks() == {}


# -- conditions and references -------------------------------------------------------------------------------------

CONDITIONAL = {"kind": "conditional", "trigger": "vượt thẩm quyền", "days": 5, "unit": "working"}


def triggered(event_id: str = "trigger", **changes: Any) -> tuple[str, dict[str, Any]]:
    data = {**CLAUSE, "occurred_on": "2024-11-15", **changes}
    return say("obligation.triggered", data, by=OFFICE, received="2024-11-18 09:00", event_id=event_id)


async def test_a_condition_opens_tasks_when_it_occurs_and_only_then(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(due=CONDITIONAL)))
    assert await service.tasks() == {}

    await service.on(triggered(), triggered("again", occurred_on="2024-11-18", agencies=["H48.21"]))

    days = {one: task.deadline.nominal.isoformat() for one, task in (await service.tasks()).items() if task.deadline}
    assert days == {
        "H48/TB-1/II.1.h/H48.07/2024-11-15": "2024-11-22",
        "H48/TB-1/II.1.h/H48.21/2024-11-15": "2024-11-22",
        "H48/TB-1/II.1.h/H48.22/2024-11-15": "2024-11-22",
        "H48/TB-1/II.1.h/H48.21/2024-11-18": "2024-11-25",
    }


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (triggered("x", occurred_on="2024-11-19"), "occurred_in_future"),
        (triggered("x", agencies=["H48.01"]), "unknown_agency"),
        (triggered("x", agencies=["H48.99"]), "unknown_agency"),
        (triggered("x", clause="II.9"), "unknown_clause"),
        (triggered("x", directive="TB-9"), "unknown_directive"),
        (triggered("x"), "already_triggered"),
    ],
)
async def test_an_occurrence_that_cannot_be_is_rejected(
    service: Service, event: tuple[str, dict[str, Any]], reason: str
) -> None:
    await service.on(*REGISTRY, directive(obligation(due=CONDITIONAL)), triggered())

    await service.on(event)

    assert await service.outcome("x") == ("rejected", reason)
    assert len(await service.tasks()) == 3


async def test_an_unconditional_clause_cannot_be_triggered(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()), triggered())

    assert await service.outcome("trigger") == ("rejected", "not_conditional")


async def test_a_day_by_reference_dates_open_tasks_once(service: Service) -> None:
    due = {"kind": "by_reference", "reference": "theo quy định của Luật Đầu tư công"}
    await service.on(*REGISTRY, directive(obligation(due=due)))
    dated = say(
        "obligation.dated",
        {**CLAUSE, "due": {"kind": "fixed", "boundary": "by", "day": "2024-12-15"}, "document": DOCUMENT},
        by=OFFICE,
        received="2024-11-20 09:00",
        event_id="dated",
    )

    await service.on(dated)

    assert await service.detail("dated") == "3 tasks dated, 0 had a day"
    task = await service.task(TASK)
    assert [(one.nominal.isoformat(), one.given_by.value) for one in task.deadlines] == [("2024-12-15", "reference")]
    await service.time_passes("2024-12-17 00:00")
    assert (await service.task(TASK)).milestones[-1].kind.value == "overdue"


# -- pauses --------------------------------------------------------------------------------------------------------


def paused(kind: str, received: str, event_id: str) -> tuple[str, dict[str, Any]]:
    data = {**CLAUSE, "reason": "sắp xếp bộ máy", "document": DOCUMENT}
    return say(f"obligation.{kind}", data, by=OFFICE, received=received, event_id=event_id)


MONTHLY = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}


async def test_a_paused_obligation_opens_nothing_until_it_is_resumed(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=MONTHLY)))
    await service.on(paused("suspended", "2024-11-15 09:00", "p"))
    await service.time_passes("2025-02-10 00:00")
    await service.on(paused("resumed", "2025-02-10 09:00", "r"))
    await service.time_passes("2025-04-02 00:00")

    assert [one.rsplit("/", 1)[1] for one in sorted(await service.tasks())] == [
        "2024-10",
        "2024-11",  # had begun before
        "2025-03",
        "2025-04",
    ]


async def test_a_pause_that_arrives_late_ends_what_was_opened_meanwhile(service: Service) -> None:
    """The partition of directives was behind the obligation's own."""
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=MONTHLY)))
    await service.time_passes("2025-01-02 00:00")

    await service.on(paused("suspended", "2024-11-15 09:00", "p"))

    tasks = {one.rsplit("/", 1)[1]: task for one, task in (await service.tasks()).items()}
    assert {period: task.result for period, task in tasks.items()} == {
        "2024-10": Result.ASSIGNED,
        "2024-11": Result.ASSIGNED,
        "2024-12": Result.DISCONTINUED,
        "2025-01": Result.DISCONTINUED,
    }
    assert tasks["2024-12"].ended is not None
    assert tasks["2024-12"].ended.cause.event_id == "//test/H48.01#p"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([paused("resumed", "2024-11-15 09:00", "x")], "not_suspended"),
        (
            [paused("suspended", "2024-11-15 09:00", "p"), paused("suspended", "2024-11-16 09:00", "x")],
            "already_suspended",
        ),
    ],
)
async def test_a_pause_that_cannot_be_is_rejected(
    service: Service, events: list[tuple[str, dict[str, Any]]], reason: str
) -> None:
    await service.on(*REGISTRY, directive(obligation(leads=["H48.21"], due=MONTHLY)), *events)

    assert await service.outcome("x") == ("rejected", reason)


async def test_an_obligation_that_does_not_recur_cannot_be_paused(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()), paused("suspended", "2024-11-15 09:00", "x"))

    assert await service.outcome("x") == ("rejected", "not_recurring")


# -- revoked -------------------------------------------------------------------------------------------------------


async def test_nothing_happens_under_a_revoked_directive_any_more(service: Service) -> None:
    revoked = say(
        "directive.revoked",
        {"directive": "TB-1", "reason": "thay thế", "document": DOCUMENT},
        by=OFFICE,
        received="2024-10-16 09:00",
        event_id="revoked",
    )
    await service.on(*REGISTRY, directive(obligation(due=CONDITIONAL), obligation("II.1.a")), revoked)

    await service.on(triggered(), revision(obligation()))

    assert await service.outcome("revoked") == ("applied", "applied")
    assert await service.outcome("trigger") == ("rejected", "directive_revoked")
    assert await service.outcome("revision-2") == ("rejected", "directive_revoked")
    assert not any(task.is_open for task in (await service.tasks()).values())


async def test_revoking_what_nobody_issued_is_rejected(service: Service) -> None:
    data = {"directive": "TB-9", "reason": "thay thế", "document": DOCUMENT}

    await service.on(*REGISTRY, say("directive.revoked", data, by=OFFICE, event_id="revoked"))

    assert await service.outcome("revoked") == ("rejected", "unknown_directive")
