"""Days of an office: what happens at t, and which messages are there at t. October 2024 unless said."""

from datetime import date, timedelta

import pytest

from services.notify.domain.dispatch import DIGEST, SUMMARY
from services.notify.ports import Refused, RetryLater
from services.tasks.domain.commands import (
    Command,
    GrantExtension,
    RefuseExtension,
    RequestExtension,
    ReturnResult,
    SubmitResult,
    Suspend,
)
from services.tasks.domain.decide import advance, assign, decide
from services.tasks.domain.decision import Fact
from services.tasks.domain.task import Task
from tests.flow.notify.harness import Service, a_service, an_agency
from tests.support.builders import REVIEWER, RULES, a_cause, a_document, a_task, at

SUBMIT = SubmitResult(a_document(), "", 0, None)
AGENCY, HEAD, STANDING = "agency@x.example", "head@x.example", "standing@x.example"


class Day:
    """One task at a time, and the service that hears of it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.seen = 0

    async def until(self, moment: str) -> list[tuple[str, str]]:
        """Mailbox and kind of each message that came until then, in steps of an hour, and a turn at the end."""
        goal = at(moment)
        while self.service.clock.instant + timedelta(hours=1) < goal:
            await self.service.deliver(after=3_600)
        self.service.until(goal - timedelta(seconds=2))
        await self.service.deliver()
        return self.new()

    def new(self) -> list[tuple[str, str]]:
        mails = self.service.email.mails[self.seen :]
        self.seen = len(self.service.email.mails)
        return [(mail.to, mail.kind) for mail in mails]

    async def passes(self, task: Task, moment: str) -> Task:
        """What time does to a task until then, told now."""
        step = advance(task, now=at(moment), recorded_at=at(moment), rules=RULES)
        await self.service.on(*step.facts)
        return step.task


@pytest.fixture
async def day() -> Day:
    """Friday, 11 October 2024, 08:30: the digest of the day has left."""
    service = await a_service()
    service.clock.instant = at("2024-10-11 08:30")
    return Day(service)


def a_new_task(clause: str = "II.1.h", agency: str = "H48.21") -> tuple[Task, tuple[Fact, ...]]:
    task_id = f"H48/TB-1/{clause}/{agency}"
    decision = assign(a_task(task_id=task_id, clause=clause, agency=agency, seq=0))
    return decision.task, decision.facts


async def test_a_directive_comes_at_once_reminders_at_eight_and_nothing_at_the_weekend(day: Day) -> None:
    task, facts = a_new_task()
    await day.service.on(*facts)
    assert await day.until("2024-10-11 08:31") == [(AGENCY, "assigned")]

    task = await day.passes(task, "2024-10-11 08:31")
    assert await day.until("2024-10-14 07:59") == []
    task = await day.passes(task, "2024-10-15 08:00")
    assert sorted(await day.until("2024-10-15 08:05")) == [(AGENCY, DIGEST), (HEAD, SUMMARY)]


async def test_an_overdue_of_the_night_comes_with_the_digest(day: Day) -> None:
    task, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-18 09:00")
    task = await day.passes(task, "2024-10-18 09:00")
    await day.until("2024-10-20 00:00")
    task = await day.passes(task, "2024-10-20 00:00")

    day.new()
    assert await day.until("2024-10-21 08:00") == []
    assert await day.until("2024-10-21 08:02") == [(AGENCY, DIGEST)]
    assert day.service.email.mails[-1].data["sections"][0]["topic"] == "overdue"


async def test_an_escalation_passes_through_the_night_and_a_returned_result_waits_for_the_office(day: Day) -> None:
    task, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-20 22:00")
    submitted = decide(task, SUBMIT, cause=a_cause("2024-10-18 09:00"), rules=RULES).task
    returned = decide(submitted, ReturnResult("thiếu"), cause=a_cause("2024-10-20 21:00", REVIEWER), rules=RULES)
    await day.service.on(*returned.facts)
    day.new()
    assert await day.until("2024-10-21 07:29") == []
    assert await day.until("2024-10-21 07:31") == [(AGENCY, "result_returned")]

    late, other = a_new_task("II.2")
    await day.service.on(*other)
    await day.until("2024-10-22 22:00")
    day.new()
    await day.passes(late, "2024-10-22 22:00")
    told = await day.until("2024-10-22 22:01")
    assert set(told) == {(AGENCY, "escalation"), (HEAD, "escalation")}


async def test_one_digest_a_working_day_even_when_more_comes_after_it(day: Day) -> None:
    tasks = [a_new_task(f"II.{number}") for number in range(3)]
    for _, facts in tasks:
        await day.service.on(*facts)
    await day.until("2024-10-20 01:00")
    await day.passes(tasks[0][0], "2024-10-20 00:30")
    assert [kind for _, kind in await day.until("2024-10-21 08:05")] == [DIGEST]

    await day.passes(tasks[1][0], "2024-10-20 00:30")
    assert await day.until("2024-10-21 16:00") == []
    await day.passes(tasks[2][0], "2024-10-20 00:30")
    assert await day.until("2024-10-22 08:05") == [(AGENCY, DIGEST)]
    [overdue] = day.service.email.mails[-1].data["sections"]
    assert [line["is_new"] for line in overdue["lines"]].count(True) == 2
    assert overdue["count"] == 3


async def test_what_is_gone_since_the_last_digest_is_said_with_its_reason(day: Day) -> None:
    commands: list[Command | None] = [
        SUBMIT,
        GrantExtension(date(2025, 3, 31), a_document(), ""),
        Suspend("lũ", a_document()),
        None,
    ]
    tasks = []
    for number, command in enumerate(commands):
        task, opened = a_new_task(f"II.{number}")
        await day.service.on(*opened)
        tasks.append((task, command))
    await day.until("2024-10-20 01:00")
    overdue = [(await day.passes(task, "2024-10-20 00:30"), command) for task, command in tasks]
    await day.until("2024-10-21 08:05")
    await day.until("2024-10-21 14:00")
    for task, command in overdue:
        if command is not None:
            cause = a_cause("2024-10-21 14:00", "H48.01" if command is not SUBMIT else "H48.21")
            await day.service.on(*decide(task, command, cause=cause, rules=RULES).facts)
    # Something new is needed for a digest to leave: what is gone alone is no reason to write.
    fresh, facts = a_new_task("II.9")
    await day.service.on(*facts)
    await day.passes(fresh, "2024-10-20 00:30")
    await day.until("2024-10-22 08:05")

    data = day.service.email.mails[-1].data
    assert [(one["task_id"].split("/")[2], one["why"]) for one in data["gone"]] == [
        ("II.0", "submitted"),
        ("II.1", "deadline_moved"),
        ("II.2", "suspended"),
    ]
    lines = [line["task_id"].split("/")[2] for line in data["sections"][0]["lines"]]
    assert sorted(lines) == ["II.3", "II.9"]


async def test_nothing_new_is_no_digest(day: Day) -> None:
    """People mute what repeats itself."""
    task, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-20 00:30")
    await day.passes(task, "2024-10-20 00:30")
    assert (AGENCY, DIGEST) in await day.until("2024-10-21 08:05")

    assert await day.until("2024-10-25 18:00") == []


async def test_after_an_outage_of_two_weeks_there_is_one_digest_a_recipient(day: Day) -> None:
    tasks = []
    for number in range(40):
        task, facts = a_new_task(f"II.{number}")
        await day.service.on(*facts)
        tasks.append(task)
    await day.until("2024-10-11 09:00")
    day.service.clock.instant = at("2024-10-30 14:00")
    for task in tasks:
        await day.passes(task, "2024-10-30 13:00")

    told = await day.until("2024-10-31 09:00")

    assert [one for one in told if one[1] == DIGEST] == [(AGENCY, DIGEST)]
    # Levels 1 to 3 were all missed; only the highest is told, one message a directive.
    assert {kind for _, kind in told} == {DIGEST, "escalation"}
    assert sorted(to for to, kind in told if kind == "escalation") == [AGENCY, HEAD, STANDING]


async def test_seven_hundred_tasks_of_one_directive_are_one_message(day: Day) -> None:
    for number in range(700):
        _, facts = a_new_task(f"II.{number // 90}-{number % 90}")
        await day.service.on(*facts)

    assert await day.until("2024-10-11 09:00") == [(AGENCY, "assigned")]
    assert "Giao 700 nhiệm vụ" in day.service.email.mails[-1].subject


async def test_more_messages_an_hour_than_anybody_reads_go_into_the_next_digest_counted(day: Day) -> None:
    for number in range(30):
        directive = f"TB-{number}"
        task = a_task(task_id=f"H48/{directive}/II.1/H48.21", directive=directive, clause="II.1", seq=0)
        await day.service.on(*assign(task).facts)
    assert await day.until("2024-10-11 09:00") == [(AGENCY, "assigned")] * 20

    assert await day.until("2024-10-14 08:05") == [(AGENCY, DIGEST)]
    data = day.service.email.mails[-1].data
    assert (data["folded"], [(one["topic"], one["count"]) for one in data["sections"]]) == (10, [("assigned", 10)])


async def test_a_reorganised_agencys_messages_go_to_its_successor_and_of_several_to_the_standing_agency(
    day: Day,
) -> None:
    await day.service.register(
        an_agency("H48.60", contact="new@x.example"),
        an_agency("H48.22", contact="gone@x.example", seq=2, valid_to="2024-10-10", successors=["H48.60"]),
        an_agency("H48.23", contact="split@x.example", seq=2, valid_to="2024-10-10", successors=["H48.60", "H48.21"]),
    )
    for agency in ("H48.22", "H48.23"):
        _, facts = a_new_task("II.7", agency)
        await day.service.on(*facts)

    assert sorted(await day.until("2024-10-11 09:00")) == [("new@x.example", "assigned"), (STANDING, "assigned")]


async def test_what_waits_for_an_agency_moves_with_it(day: Day) -> None:
    """The digest was being collected when the agency was merged."""
    await day.service.register(
        an_agency("H48.60", contact="new@x.example"), an_agency("H48.22", contact="old@x.example", seq=1)
    )
    task, facts = a_new_task("II.7", "H48.22")
    await day.service.on(*facts)
    await day.until("2024-10-20 00:30")
    day.new()
    await day.passes(task, "2024-10-20 00:30")
    await day.service.register(
        an_agency("H48.22", contact="old@x.example", seq=2, valid_to="2024-10-20", successors=["H48.60"])
    )

    day.new()
    await day.until("2024-10-21 08:05")
    assert await day.until("2024-10-21 08:06") == [("new@x.example", DIGEST)]


async def test_the_month_is_summed_up_for_heads_before_the_twentieth(day: Day) -> None:
    task, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-14 18:00")
    await day.passes(task, "2024-10-14 18:00")
    day.new()

    told = await day.until("2024-10-15 08:05")
    assert (HEAD, SUMMARY) in told
    await day.service.deliver(after=60)
    assert (HEAD, SUMMARY) not in await day.until("2024-11-14 18:00")
    # 15 November is a Friday; the supervisors have no tasks of their own.
    assert [to for to, kind in await day.until("2024-11-15 08:05") if kind == SUMMARY] == [HEAD]


async def test_who_cannot_be_reached_stands_in_the_standing_agencys_digest_until_mended(day: Day) -> None:
    day.service.email.by_mailbox = {AGENCY: Refused("no_mailbox")}
    _, facts = a_new_task()
    await day.service.on(*facts)
    assert await day.until("2024-10-11 10:00") == []

    assert await day.until("2024-10-14 08:05") == [(STANDING, DIGEST)]
    unreachable = [{"agency": "H48.21", "role": "agency", "channel": "email", "cause": "no_mailbox", "messages": 1}]
    assert day.service.email.mails[-1].data["unreachable"] == unreachable
    assert await day.until("2024-10-16 18:00") == [(HEAD, SUMMARY)]

    day.service.email.by_mailbox = {}
    task, facts = a_new_task("II.2")
    await day.passes(task, "2024-10-16 18:00")
    assert (AGENCY, DIGEST) in await day.until("2024-10-17 08:05")
    rows, news = await day.service.store.unreachable("H48")
    assert (rows, news) == ([], None)


async def test_a_refused_extension_is_told_at_once(day: Day) -> None:
    task, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-11 09:00")
    ask = RequestExtension(date(2024, 12, 1), "mưa lũ")
    asked = decide(task, ask, cause=a_cause("2024-10-11 08:50"), rules=RULES)
    refused = decide(asked.task, RefuseExtension("không"), cause=a_cause("2024-10-11 09:00", "H48.01"), rules=RULES)
    await day.service.on(*refused.facts)

    assert await day.until("2024-10-11 09:01") == [(AGENCY, "extension_refused")]


async def test_a_mail_server_that_comes_back_at_night_writes_in_the_morning(day: Day) -> None:
    day.service.email.by_mailbox = {AGENCY: RetryLater("SMTPConnectError")}
    _, facts = a_new_task()
    await day.service.on(*facts)
    await day.until("2024-10-11 18:00")
    day.service.email.by_mailbox = {}

    assert await day.until("2024-10-14 07:29") == []
    assert await day.until("2024-10-14 07:31") == [(AGENCY, "assigned")]
    assert len({mail.message_id for mail in day.service.email.seen}) == 1
