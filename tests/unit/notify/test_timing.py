"""When a message may come: office hours, digests of working days and monthly summaries, by the real calendar."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import timing
from services.notify.domain.alert import AlertKind
from services.notify.domain.policy import NotifyPolicy
from services.notify.domain.rulebook import Rules
from services.notify.domain.timing import Mute
from shared.workdays.calendar import ICT, local_day, start_of
from tests.support.builders import at
from tests.unit.notify.builders import RULES

K = AlertKind
INSTANT = timedelta(microseconds=1)

_FIRST, _LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 12, 20, tzinfo=UTC)
_SEAMS = [RULES.policy.office_from, RULES.policy.office_to, RULES.policy.digest_at, time(8, 1), time(0)]
_days = st.dates(_FIRST.date(), _LAST.date())
instants = st.one_of(
    st.integers(0, int((_LAST - _FIRST).total_seconds())).map(lambda seconds: _FIRST + timedelta(seconds=seconds)),
    # At and next to what something begins or ends at.
    st.builds(lambda day, at, by: start_of(day, at) + by * INSTANT, _days, st.sampled_from(_SEAMS), st.integers(-1, 1)),
)
"""Over three years of Vietnam's calendar, with two Tết in it."""


# -- office hours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        # A Monday.
        ("2024-10-21 00:00", "2024-10-21 07:30"),
        ("2024-10-21 07:29:59", "2024-10-21 07:30"),
        ("2024-10-21 07:30", "2024-10-21 07:30"),
        ("2024-10-21 12:34:56", "2024-10-21 12:34:56"),
        ("2024-10-21 16:59:59", "2024-10-21 16:59:59"),
        ("2024-10-21 17:00", "2024-10-22 07:30"),
        ("2024-10-21 23:59:59", "2024-10-22 07:30"),
        # A weekend.
        ("2024-10-18 17:00", "2024-10-21 07:30"),
        ("2024-10-19 09:00", "2024-10-21 07:30"),
        ("2024-10-20 23:59:59", "2024-10-21 07:30"),
        # 2/9/2024: off from Saturday 31/8 to Tuesday 3/9.
        ("2024-08-30 16:59", "2024-08-30 16:59"),
        ("2024-08-30 17:00", "2024-09-04 07:30"),
        ("2024-09-02 10:00", "2024-09-04 07:30"),
        ("2024-09-03 10:00", "2024-09-04 07:30"),
        # Tết 2025: off from Saturday 25/1 to Sunday 2/2.
        ("2025-01-24 17:00", "2025-02-03 07:30"),
        ("2025-01-29 00:00", "2025-02-03 07:30"),
        # Saturday 26/4/2025 is worked, for Friday 2/5.
        ("2025-04-25 17:00", "2025-04-26 07:30"),
        ("2025-04-26 09:00", "2025-04-26 09:00"),
        ("2025-04-26 17:00", "2025-04-28 07:30"),
        ("2025-04-29 17:00", "2025-05-05 07:30"),
        ("2025-05-02 09:00", "2025-05-05 07:30"),
    ],
)
def test_the_office_opens_on_working_days_alone(now: str, opens: str) -> None:
    assert timing.office_opens(at(now), RULES) == at(opens)


@given(instants)
def test_the_office_is_open_when_it_opens_and_never_before_now(now: datetime) -> None:
    """INVARIANT: what waits for the office goes out within its hours on a working day, and not earlier than asked."""
    opens = timing.office_opens(now, RULES)

    assert opens >= now
    assert timing.office_opens(opens, RULES) == opens
    local = opens.astimezone(ICT)
    assert RULES.policy.office_from <= local.time() < RULES.policy.office_to
    assert RULES.calendar.is_working(local.date())


@given(instants, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_who_asks_later_never_gets_an_earlier_answer(now: datetime, later: timedelta) -> None:
    for question in (timing.office_opens, timing.next_digest):
        assert question(now, RULES) <= question(now + later, RULES)
    assert timing.digest_day(now, RULES) <= timing.digest_day(now + later, RULES)


@pytest.mark.parametrize(
    ("kind", "now", "expected"),
    [
        (K.ASSIGNED, "2024-10-21 09:00", (Mute.OPEN, "2024-10-21 09:00")),
        (K.ASSIGNED, "2024-10-19 09:00", (Mute.CLOSED, "2024-10-21 07:30")),
        (K.OVERDUE_RETRACTED, "2024-10-21 17:00", (Mute.CLOSED, "2024-10-22 07:30")),
        (K.ESCALATION, "2024-10-21 09:00", (Mute.PASSES, "2024-10-21 09:00")),
        (K.ESCALATION, "2025-01-29 00:00", (Mute.PASSES, "2025-01-29 00:00")),
    ],
)
def test_what_is_told_at_once_waits_for_the_office_unless_it_passes(
    kind: AlertKind, now: str, expected: tuple[Mute, str]
) -> None:
    mute, instant = expected
    assert timing.immediate(kind, now=at(now), rules=RULES) == (mute, at(instant))


def test_what_passes_stands_in_the_policy() -> None:
    rules = Rules(RULES.calendar, replace(RULES.policy, passes=frozenset({K.ASSIGNED})))
    night = at("2024-10-21 23:00")

    assert timing.immediate(K.ASSIGNED, now=night, rules=rules) == (Mute.PASSES, night)
    assert timing.immediate(K.ESCALATION, now=night, rules=rules) == (Mute.CLOSED, at("2024-10-22 07:30"))


def test_every_kind_is_told_at_once_or_with_the_digest() -> None:
    """A kind that is added belongs to the digest until somebody decides that it may interrupt."""
    with_the_digest = set(K) - timing.IMMEDIATE

    assert with_the_digest == {
        K.DUE_SOON,
        K.OVERDUE,
        K.REVIEW_REMINDER,
        K.OBSTACLE,
        K.CHANGED,
        K.CONTRIBUTION,
        K.SUCCESSION,
        K.ENDED,
    }


# -- digests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "day", "following"),
    [
        # A Monday; the Friday before was worked.
        ("2024-10-21 00:00", "2024-10-18", "2024-10-21 08:01"),
        ("2024-10-21 08:00:59.999999", "2024-10-18", "2024-10-21 08:01"),
        ("2024-10-21 08:01", "2024-10-21", "2024-10-22 08:01"),
        ("2024-10-21 23:59:59", "2024-10-21", "2024-10-22 08:01"),
        # A weekend.
        ("2024-10-18 08:01", "2024-10-18", "2024-10-21 08:01"),
        ("2024-10-19 08:01", "2024-10-18", "2024-10-21 08:01"),
        ("2024-10-20 23:59", "2024-10-18", "2024-10-21 08:01"),
        # 2/9/2024.
        ("2024-08-30 08:01", "2024-08-30", "2024-09-04 08:01"),
        ("2024-09-02 08:01", "2024-08-30", "2024-09-04 08:01"),
        ("2024-09-04 08:00:59", "2024-08-30", "2024-09-04 08:01"),
        # Tết 2025.
        ("2025-01-24 08:01", "2025-01-24", "2025-02-03 08:01"),
        ("2025-01-30 12:00", "2025-01-24", "2025-02-03 08:01"),
        # The worked Saturday.
        ("2025-04-25 12:00", "2025-04-25", "2025-04-26 08:01"),
        ("2025-04-26 08:00", "2025-04-25", "2025-04-26 08:01"),
        ("2025-04-26 08:01", "2025-04-26", "2025-04-28 08:01"),
        # A new year that begins with a day off.
        ("2024-12-31 08:01", "2024-12-31", "2025-01-02 08:01"),
        ("2025-01-01 12:00", "2024-12-31", "2025-01-02 08:01"),
    ],
)
def test_a_digest_leaves_once_a_working_day(now: str, day: str, following: str) -> None:
    assert timing.digest_day(at(now), RULES) == date.fromisoformat(day)
    assert timing.next_digest(at(now), RULES) == at(following)


def test_a_digest_waits_for_the_reminders_of_its_minute() -> None:
    """Reminders are raised at 08:00 sharp: a digest that left then would tell them a day late."""
    eight = at("2024-10-21 08:00")

    assert timing.digest_leaves(date(2024, 10, 21), RULES) == eight + timing.DIGEST_SETTLES > eight
    assert timing.next_digest(eight, RULES) == eight + timing.DIGEST_SETTLES


@given(instants)
def test_every_instant_lies_between_one_digest_and_the_next(now: datetime) -> None:
    """INVARIANT: what waits for a digest waits for the very next one, and each working day has exactly one."""
    day, following = timing.digest_day(now, RULES), timing.next_digest(now, RULES)
    following_day = local_day(following)

    assert timing.digest_leaves(day, RULES) <= now < following
    assert following == timing.digest_leaves(following_day, RULES)
    assert RULES.calendar.is_working(day)
    assert RULES.calendar.is_working(following_day)
    between = [day + timedelta(days=number) for number in range(1, (following_day - day).days)]
    assert not any(RULES.calendar.is_working(one) for one in between)


@given(instants)
def test_between_two_digests_in_a_row_lies_no_third(now: datetime) -> None:
    following = timing.next_digest(now, RULES)

    assert timing.digest_day(following - INSTANT, RULES) == timing.digest_day(now, RULES)
    assert timing.digest_day(following, RULES) == local_day(following)
    assert timing.next_digest(following - INSTANT, RULES) == following


@given(instants, st.sampled_from([time(7, 30), time(8), time(11, 15), time(16, 58)]))
def test_a_digest_leaves_while_the_office_is_open(now: datetime, digest_at: time) -> None:
    rules = Rules(RULES.calendar, replace(RULES.policy, digest_at=digest_at))
    leaves = timing.next_digest(now, rules)

    assert timing.office_opens(leaves, rules) == leaves


# -- summaries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "month"),
    [
        ("2024-10-01 00:00", None),
        ("2024-10-15 08:00:59.999999", None),
        ("2024-10-15 08:01", "2024-10"),
        ("2024-10-20 12:00", "2024-10"),
        ("2024-10-25 08:00:59", "2024-10"),
        ("2024-10-25 08:01", None),
        ("2024-10-31 23:59", None),
        # 15/6/2025 is a Sunday.
        ("2025-06-15 12:00", None),
        ("2025-06-16 08:00", None),
        ("2025-06-16 08:01", "2025-06"),
        ("2025-06-26 08:00:59", "2025-06"),
        # Tết 2026, off from 14/2 to 22/2, takes the 15th to the 19th with it: rather early than after the 20th.
        ("2026-02-13 08:00:59", None),
        ("2026-02-13 08:01", "2026-02"),
        ("2026-02-23 08:00:59", "2026-02"),
        ("2026-02-23 08:01", None),
        ("2026-03-16 08:01", "2026-03"),
    ],
)
def test_a_summary_is_due_from_its_working_day_on_and_not_for_ever(now: str, month: str | None) -> None:
    assert timing.summary_month(at(now), RULES) == month


@pytest.mark.parametrize(("summary_day", "due"), [(1, "2024-10-01"), (5, "2024-10-07"), (19, "2024-10-18")])
def test_the_day_of_the_summary_stands_in_the_policy(summary_day: int, due: str) -> None:
    rules = Rules(RULES.calendar, NotifyPolicy(summary_day=summary_day))

    assert timing.summary_month(at(f"{due} 08:00:59"), rules) is None
    assert timing.summary_month(at(f"{due} 08:01"), rules) == "2024-10"


@given(instants)
def test_a_summary_is_of_the_month_in_which_it_leaves(now: datetime) -> None:
    month = timing.summary_month(now, RULES)

    assert month in {None, f"{local_day(now):%Y-%m}"}


@given(st.integers(2024, 2026), st.integers(1, 12), st.integers(1, 19))
def test_every_month_has_its_summary_on_a_working_day_before_the_twentieth(
    year: int, month: int, summary_day: int
) -> None:
    rules = Rules(RULES.calendar, NotifyPolicy(summary_day=summary_day))
    days = [date(year, month, day) for day in range(1, 20)]
    due = [
        day
        for day in days
        if timing.summary_month(timing.digest_leaves(day, rules), rules) == f"{year}-{month:02}"
        and timing.summary_month(timing.digest_leaves(day, rules) - timedelta(seconds=1), rules) is None
    ]

    assert len(due) == 1
    assert rules.calendar.is_working(due[0])
