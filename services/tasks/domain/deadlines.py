"""From the words of a document to three dates: nominal, legal, operational; and how a task stands at an instant.

The words have no statutory definition (domain §2.4), so each reading is a policy with its citation.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Literal

from services.tasks.domain.task import Cause, Deadline, Document, GivenBy, Schedule, Task
from shared.workdays.calendar import ICT, WorkingCalendar, end_of, local_day, start_of


class Boundary(StrEnum):
    """The word before the named day."""

    BEFORE = "before"
    BY = "by"
    WITHIN = "within"


@dataclass(frozen=True, slots=True)
class Policy:
    """How one wording is read. `rolls_forward`: a last day off moves to the next working day."""

    name: str
    rolls_forward: bool
    citation: str


POLICIES: dict[Boundary, Policy] = {
    # Rolling a "before" forward would cross the very day the document names (domain §0.4).
    Boundary.BEFORE: Policy(
        "before-named-day",
        False,
        "“trước ngày D”: ngày cuối là D − 1, không lùi sang ngày làm việc sau vì sẽ vượt ngày đã nêu",
    ),
    Boundary.BY: Policy("by-named-day", True, "BLDS 2015 Điều 148 khoản 5 (áp dụng tương tự)"),
    Boundary.WITHIN: Policy("within-period", True, "BLDS 2015 Điều 146, 148 khoản 5 (áp dụng tương tự)"),
}
EACH_DAY = Policy(
    "each-day",
    False,
    "báo cáo hằng ngày: mỗi ngày là một kỳ, không chuyển sang ngày làm việc sau vì kỳ sau đã bắt đầu",
)
SUSPENDED_TIME = Policy(
    "suspended-time-not-counted",
    True,
    "thời gian tạm dừng không tính vào thời hạn: ngày cuối lùi đúng số ngày tạm dừng, theo văn bản cho tiếp tục",
)
SUSPENDED_WHEN_OVERDUE = Policy(
    "suspended-when-overdue",
    False,
    "thời gian tạm dừng không tính vào thời hạn: đã quá hạn trước khi tạm dừng thì giữ nguyên số ngày quá hạn",
)
_BY_NAME = {policy.name: policy for policy in (*POLICIES.values(), EACH_DAY, SUSPENDED_TIME, SUSPENDED_WHEN_OVERDUE)}


@dataclass(frozen=True, slots=True)
class FixedRule:
    """One named day or period."""

    boundary: Boundary
    day: date | None = None
    period: str | None = None
    hour: time | None = None


@dataclass(frozen=True, slots=True)
class RecurringRule:
    """A day in every period from `starts_on` to `ends_on`; with an hour where the document gives one."""

    every: Literal["daily", "weekly", "monthly", "quarterly", "half_yearly", "yearly"]
    boundary: Boundary
    day: int | None
    starts_on: date
    ends_on: date | None = None
    hour: time | None = None

    @property
    def policy(self) -> Policy:
        """How its days are read."""
        return EACH_DAY if self.every == "daily" else POLICIES[self.boundary]


@dataclass(frozen=True, slots=True)
class RelativeRule:
    """A number of days after a day that is known when the task is assigned."""

    days: int
    working: bool
    after: date | None
    """None: after the day the task was assigned."""


@dataclass(frozen=True, slots=True)
class OpenEndedRule:
    """No day."""

    nature: str


@dataclass(frozen=True, slots=True)
class ConditionalRule:
    """Nothing is owed until the condition occurs; then a number of days after it, or no day."""

    trigger: str
    days: int | None
    working: bool


@dataclass(frozen=True, slots=True)
class ByReferenceRule:
    """The day stands in another document; none until somebody names it."""

    reference: str


DueRule = FixedRule | RecurringRule | RelativeRule | ConditionalRule | ByReferenceRule | OpenEndedRule


def last_day_of(period: str) -> date:
    """The last day of `2024-11`, `2024-Q4`, `2024-H2`, `2024`, `2024-W45` or of a day `2024-11-05`."""
    year = int(period[:4])
    rest = period[5:]
    if not rest:
        return date(year, 12, 31)
    if rest[0] == "W":
        return date.fromisocalendar(year, int(rest[1:]), 7)
    if rest[0] == "Q":
        return _end_of_month(year, 3 * int(rest[1]))
    if rest[0] == "H":
        return _end_of_month(year, 6 * int(rest[1]))
    if len(rest) == 5:
        return date.fromisoformat(period)
    return _end_of_month(year, int(rest))


def _end_of_month(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def named_in_month(year: int, month: int, day: int) -> date:
    """Day `day` of a month; a month without that day has its last day instead (Civil Code art. 148.3)."""
    return min(date(year, month, 1) + timedelta(days=day - 1), _end_of_month(year, month))


def nominal_day(boundary: Boundary, named: date) -> date:
    """The last day that the words allow."""
    return named - timedelta(days=1) if boundary is Boundary.BEFORE else named


def deadline(
    nominal: date,
    policy: Policy,
    calendar: WorkingCalendar,
    *,
    version: int,
    cause: Cause,
    document: Document | None = None,
    hour: time | None = None,
    given_by: GivenBy = GivenBy.DIRECTIVE,
) -> Deadline:
    """The three dates of one nominal day."""
    legal = calendar.on_or_after(nominal) if policy.rolls_forward else nominal
    return Deadline(
        version=version,
        nominal=nominal,
        legal=legal,
        operational=calendar.on_or_before(nominal),
        due_at=end_of(legal) if hour is None else start_of(legal, hour),
        policy=policy.name,
        citation=policy.citation,
        document=document,
        cause=cause,
        given_by=given_by,
    )


def hour_of(known: Deadline) -> time | None:
    """The hour that the document gave; None where the day ends at 24:00."""
    return None if known.due_at == end_of(known.legal) else known.due_at.astimezone(ICT).time()


def moved(
    known: Deadline, days: int, calendar: WorkingCalendar, *, overdue: bool, cause: Cause, document: Document
) -> Deadline:
    """The next version, as many calendar days later as a suspension took.

    `overdue`: it had passed before. Then nothing is rolled forward: as many days late as before, no more and no less;
    and one with an hour does not come back to life for the rest of the day.
    """
    later = deadline(
        known.nominal + timedelta(days=days),
        SUSPENDED_WHEN_OVERDUE if overdue else SUSPENDED_TIME,
        calendar,
        version=known.version + 1,
        cause=cause,
        document=document,
        hour=hour_of(known),
        given_by=GivenBy.RESUMPTION,
    )
    if not overdue:
        return later
    shift = timedelta(days=days)
    return replace(later, legal=known.legal + shift, due_at=min(known.due_at + shift, cause.received_at))


def recalculated(known: Deadline, calendar: WorkingCalendar, *, cause: Cause) -> Deadline | None:
    """The same nominal day by another calendar; None where neither the legal nor the operational day moves."""
    again = deadline(
        known.nominal,
        _BY_NAME[known.policy],
        calendar,
        version=known.version + 1,
        cause=cause,
        document=known.document,
        hour=hour_of(known),
        given_by=known.given_by,
    )
    if known.policy == SUSPENDED_WHEN_OVERDUE.name:
        # Its legal day is as far from now as the one it was late by. No calendar says anything of it.
        again = replace(again, legal=known.legal, due_at=known.due_at)
    return None if (again.legal, again.operational) == (known.legal, known.operational) else again


def single_deadline(
    rule: FixedRule | RelativeRule | ConditionalRule | ByReferenceRule | OpenEndedRule,
    calendar: WorkingCalendar,
    *,
    cause: Cause,
    document: Document | None,
) -> Deadline | None:
    """The first deadline of an obligation that does not recur."""
    match rule:
        case OpenEndedRule() | ConditionalRule() | ByReferenceRule():
            return None
        case FixedRule(boundary, day, period, hour):
            named = day if day is not None else last_day_of(period or "")
            nominal = nominal_day(boundary, named)
            return deadline(nominal, POLICIES[boundary], calendar, version=1, cause=cause, document=document, hour=hour)
        case RelativeRule(days, working, after):
            # The first day is not counted (Civil Code art. 147).
            start = after or local_day(cause.received_at)
            nominal = calendar.shift(start, days) if working else start + timedelta(days=days)
            return deadline(nominal, POLICIES[Boundary.BY], calendar, version=1, cause=cause, document=document)


def triggered_deadline(
    rule: ConditionalRule,
    occurred_on: date,
    calendar: WorkingCalendar,
    *,
    cause: Cause,
    document: Document | None = None,
) -> Deadline | None:
    """The first deadline of a task that an occurrence opened; None where the document only says "kịp thời"."""
    if rule.days is None:
        return None
    counted = RelativeRule(rule.days, rule.working, occurred_on)
    found = single_deadline(counted, calendar, cause=cause, document=document)
    assert found is not None, "a number of days gives a day"
    return replace(found, given_by=GivenBy.TRIGGER)


_SUSPENDED = frozenset({SUSPENDED_TIME.name, SUSPENDED_WHEN_OVERDUE.name})


def deadline_for(task: Task, received_at: datetime) -> Deadline | None:
    """The deadline that a result is judged by: the one in force, or the last before a suspension that ended later.

    A resumption gives back the days in which nobody had to work. It makes no result earlier that was handed in before.
    """
    counted = (
        one for one in reversed(task.deadlines) if one.policy not in _SUSPENDED or one.cause.received_at <= received_at
    )
    return next(counted, None)


DUE_SOON_WORKING_DAYS = 3


def schedule_at(task: Task, instant: datetime, calendar: WorkingCalendar) -> tuple[Schedule, int]:
    """How a task stands in time at an instant, and how many calendar days late it is.

    A completed task is judged by when its accepted result was received, an open one by the instant; a result that
    was received in time and awaits review does not become overdue by waiting, one that came late does not become later,
    and a suspended task does not become overdue by lying.
    """
    due = task.deadline
    accepted = task.accepted_result
    if due is None:
        return (Schedule.ON_TIME, 0) if accepted is not None else (Schedule.NO_DEADLINE, 0)
    if accepted is not None:
        due = deadline_for(task, accepted.cause.received_at) or due
        received = task.clock_at(accepted.cause.received_at)
        return (Schedule.LATE if received >= due.due_at else Schedule.ON_TIME), days_late(due, received)
    waiting = task.unjudged_result
    if waiting is not None:
        due = deadline_for(task, waiting.cause.received_at) or due
        received = task.clock_at(waiting.cause.received_at)
        late = received >= due.due_at and task.ended is None
        return (Schedule.OVERDUE, days_late(due, received)) if late else (Schedule.ON_TRACK, 0)
    instant = task.clock_at(instant)
    if instant >= due.due_at and task.ended is None:
        return Schedule.OVERDUE, days_late(due, instant)
    if task.suspension is not None:
        return Schedule.ON_TRACK, 0
    soon = calendar.shift(due.operational, -DUE_SOON_WORKING_DAYS)
    return (Schedule.DUE_SOON if local_day(instant) >= soon else Schedule.ON_TRACK), 0


def days_late(due: Deadline, instant: datetime) -> int:
    """Calendar days between the legal last day and the local day of an instant; 0 when not after it."""
    return max(0, (local_day(instant) - due.legal).days)
