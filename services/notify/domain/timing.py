"""When a message may come: immediate ones in office hours, all others with the digest of a working day."""

from datetime import date, datetime, timedelta
from enum import StrEnum

from services.notify.domain.alert import AlertKind
from services.notify.domain.rulebook import Rules
from shared.workdays.calendar import local_day, start_of

DIGEST_SETTLES = timedelta(minutes=1)
"""Reminders are raised at the very minute at which the digest leaves; it waits for them."""

SUMMARY_LATE_DAYS = 10
"""A summary that an outage kept back for longer would be of no use any more."""
REPORTED_BEFORE = 20
"""The day of the month before which the province's report is due (Decree 09/2019 and the notice's clause II.2.a)."""

IMMEDIATE = frozenset(
    {
        AlertKind.ASSIGNED,
        AlertKind.ESCALATION,
        AlertKind.RESULT_RETURNED,
        AlertKind.EXTENSION_GRANTED,
        AlertKind.EXTENSION_REFUSED,
        AlertKind.OVERDUE_RETRACTED,
    }
)
"""Messages of their own. All other kinds come once a working day."""


class Mute(StrEnum):
    """What the hour says."""

    OPEN = "office_open"
    PASSES = "passes"
    CLOSED = "office_closed"
    DIGEST = "waits_for_digest"


def immediate(kind: AlertKind, *, now: datetime, rules: Rules) -> tuple[Mute, datetime]:
    """Say when an alert may come as a message of its own, and why then."""
    if kind in rules.policy.passes:
        return Mute.PASSES, now
    opens = office_opens(now, rules)
    return (Mute.OPEN, now) if opens == now else (Mute.CLOSED, opens)


def office_opens(now: datetime, rules: Rules) -> datetime:
    """Now, where the office is open, else the instant at which it opens next."""
    today = local_day(now)
    day = rules.calendar.on_or_after(today)
    if day == today and now >= start_of(day, rules.policy.office_to):
        day = rules.calendar.on_or_after(today + timedelta(days=1))
    return max(now, start_of(day, rules.policy.office_from))


def digest_leaves(day: date, rules: Rules) -> datetime:
    """The instant at which the digest of a working day is put together."""
    return start_of(day, rules.policy.digest_at) + DIGEST_SETTLES


def next_digest(now: datetime, rules: Rules) -> datetime:
    """When the next digest is put together that an alert of now still goes into."""
    day = rules.calendar.on_or_after(local_day(now))
    if digest_leaves(day, rules) <= now:
        day = rules.calendar.on_or_after(day + timedelta(days=1))
    return digest_leaves(day, rules)


def digest_day(now: datetime, rules: Rules) -> date:
    """The working day whose digest is the latest that was due by now."""
    day = rules.calendar.on_or_before(local_day(now))
    if now < digest_leaves(day, rules):
        day = rules.calendar.on_or_before(day - timedelta(days=1))
    return day


def summary_month(now: datetime, rules: Rules) -> str | None:
    """The month (`2024-10`) whose summary is due now; None while none is."""
    today = local_day(now)
    day = rules.calendar.on_or_after(today.replace(day=rules.policy.summary_day))
    last = today.replace(day=REPORTED_BEFORE - 1)
    if day > last:
        # A long holiday, as Tết: rather early than of no use.
        day = rules.calendar.on_or_before(last)
    due = digest_leaves(day, rules)
    is_due = due <= now < due + timedelta(days=SUMMARY_LATE_DAYS)
    return f"{day:%Y-%m}" if is_due else None
