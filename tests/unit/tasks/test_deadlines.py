"""From words to dates: the notice's phrases, the boundaries of the Civil Code, and how a task stands."""

from datetime import date, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tasks.domain.commands import AcceptResult, GrantExtension, ReturnResult, SubmitResult
from services.tasks.domain.deadlines import (
    Boundary,
    FixedRule,
    OpenEndedRule,
    RecurringRule,
    RelativeRule,
    last_day_of,
    schedule_at,
    single_deadline,
)
from services.tasks.domain.preview import days_of
from services.tasks.domain.recurrence import next_opening, opened_by, periods
from services.tasks.domain.task import Schedule
from shared.workdays.calendar import WorkingCalendar, end_of
from shared.workdays.files import VIETNAM as VIETNAM_FILE
from shared.workdays.files import read_calendar
from tests.support.builders import PLAIN, REVIEWER, a_cause, a_document, a_task, after, at

VIETNAM = read_calendar(VIETNAM_FILE)


@pytest.mark.parametrize(
    ("rule", "nominal", "legal", "operational"),
    [
        # II.1.h, II.2.g: Saturday 19/10; rolling forward would cross the named day (domain §0.4)
        (FixedRule(Boundary.BEFORE, date(2024, 10, 20)), "2024-10-19", "2024-10-19", "2024-10-18"),
        # II.2.c, footnotes 7 and 8
        (FixedRule(Boundary.BEFORE, date(2024, 10, 30)), "2024-10-29", "2024-10-29", "2024-10-29"),
        # II.2.d: 30/11/2024 is a Saturday
        (FixedRule(Boundary.WITHIN, period="2024-11"), "2024-11-30", "2024-12-02", "2024-11-29"),
        # II.2.b
        (FixedRule(Boundary.WITHIN, period="2025-02"), "2025-02-28", "2025-02-28", "2025-02-28"),
        (FixedRule(Boundary.WITHIN, period="2025"), "2025-12-31", "2025-12-31", "2025-12-31"),
        # chậm nhất ngày, on a Sunday
        (FixedRule(Boundary.BY, date(2024, 10, 20)), "2024-10-20", "2024-10-21", "2024-10-18"),
        # giữa năm = 30/6 (Civil Code art. 146)
        (FixedRule(Boundary.WITHIN, period="2025-H1"), "2025-06-30", "2025-06-30", "2025-06-30"),
        # 26/4/2025 is a Saturday that was worked
        (FixedRule(Boundary.BY, date(2025, 4, 26)), "2025-04-26", "2025-04-26", "2025-04-26"),
        # 2/5/2025 was swapped off: forward to Monday 5/5, back to Tuesday 29/4
        (FixedRule(Boundary.BY, date(2025, 5, 2)), "2025-05-02", "2025-05-05", "2025-04-29"),
        # the first day is not counted (art. 147)
        (RelativeRule(10, working=False, after=None), "2024-10-24", "2024-10-24", "2024-10-24"),
        (RelativeRule(5, working=True, after=None), "2024-10-21", "2024-10-21", "2024-10-21"),
    ],
)
def test_a_documents_words_give_three_dates(
    rule: FixedRule | RelativeRule, nominal: str, legal: str, operational: str
) -> None:
    found = single_deadline(rule, VIETNAM, cause=a_cause("2024-10-14 08:00"), document=None)

    assert found is not None
    assert (nominal, legal, operational) == (
        found.nominal.isoformat(),
        found.legal.isoformat(),
        found.operational.isoformat(),
    )
    assert found.due_at == end_of(found.legal)


def test_most_obligations_have_no_date() -> None:
    rule = OpenEndedRule("standing")

    assert single_deadline(rule, VIETNAM, cause=a_cause(), document=None) is None


@pytest.mark.parametrize(
    ("period", "last"),
    [
        ("2024-02", "2024-02-29"),
        ("2025-02", "2025-02-28"),
        ("2024-12", "2024-12-31"),
        ("2024-Q1", "2024-03-31"),
        ("2024-Q4", "2024-12-31"),
        ("2024-H1", "2024-06-30"),
        ("2024-H2", "2024-12-31"),
        ("2024", "2024-12-31"),
        ("2024-W45", "2024-11-10"),
        ("2024-11-05", "2024-11-05"),
    ],
)
def test_a_period_ends_on_its_last_day(period: str, last: str) -> None:
    assert last_day_of(period).isoformat() == last


def test_monthly_report_before_the_20th_is_nominally_the_19th_of_every_month() -> None:
    """domain §4: nominal | operational of #18 from 10/2024 to 12/2025."""
    rule = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14), date(2025, 12, 31))
    weekday_only = WorkingCalendar()

    found = [(period.id, period.nominal.day, weekday_only.on_or_before(period.nominal).day) for period in periods(rule)]

    operational = [18, 19, 19, 17, 19, 19, 18, 19, 19, 18, 19, 19, 17, 19, 19]
    months = [f"2024-{month}" for month in (10, 11, 12)] + [f"2025-{month:02d}" for month in range(1, 13)]
    assert found == [(month, 19, day) for month, day in zip(months, operational, strict=True)]


def test_a_rule_starts_with_the_first_period_whose_last_day_is_not_past() -> None:
    rule = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 25))

    assert next(periods(rule)).id == "2024-11"


@pytest.mark.parametrize(
    ("every", "ids"),
    [
        ("daily", ["2024-10-14", "2024-10-15"]),
        ("weekly", ["2024-W42", "2024-W43"]),
        ("quarterly", ["2024-Q4", "2025-Q1"]),
        ("half_yearly", ["2024-H2", "2025-H1"]),
        ("yearly", ["2024", "2025"]),
    ],
)
def test_periods_follow_the_calendar(every: str, ids: list[str]) -> None:
    rule = RecurringRule(every, Boundary.WITHIN, None, date(2024, 10, 14))  # type: ignore[arg-type]
    found = periods(rule)

    assert [next(found).id, next(found).id] == ids


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        # báo cáo hằng ngày trước 16 giờ: the Saturday's report is due on the Saturday
        (
            RecurringRule("daily", Boundary.WITHIN, None, date(2024, 10, 18), hour=time(16)),
            [
                ("2024-10-18", "2024-10-18 16:00"),
                ("2024-10-19", "2024-10-19 16:00"),
                ("2024-10-20", "2024-10-20 16:00"),
            ],
        ),
        # báo cáo tuần trước 16 giờ thứ Sáu; 2/5/2025 was a Friday off, so its report is due on Monday at that hour
        (
            RecurringRule("weekly", Boundary.BY, 5, date(2025, 4, 21), hour=time(16)),
            [("2025-W17", "2025-04-25 16:00"), ("2025-W18", "2025-05-05 16:00"), ("2025-W19", "2025-05-09 16:00")],
        ),
        # báo cáo quý chậm nhất ngày 14 của tháng cuối quý (Nghị định 09/2019/NĐ-CP, chốt số liệu ngày 14)
        (
            RecurringRule("quarterly", Boundary.BY, 14, date(2024, 10, 14)),
            [("2024-Q4", "2024-12-17 00:00"), ("2025-Q1", "2025-03-15 00:00"), ("2025-Q2", "2025-06-17 00:00")],
        ),
        # trong sáu tháng, không nêu ngày: giữa năm là 30/6, cuối năm là 31/12 (BLDS 2015 Điều 146)
        (
            RecurringRule("half_yearly", Boundary.WITHIN, None, date(2024, 10, 14)),
            [("2024-H2", "2025-01-01 00:00"), ("2025-H1", "2025-07-01 00:00"), ("2025-H2", "2026-01-01 00:00")],
        ),
        # ngày 31 hằng tháng: a month without that day has its last day (BLDS 2015 Điều 148 khoản 3)
        (
            RecurringRule("monthly", Boundary.BY, 31, date(2024, 9, 1)),
            [("2024-09", "2024-10-01 00:00"), ("2024-10", "2024-11-01 00:00"), ("2024-11", "2024-12-03 00:00")],
        ),
        (FixedRule(Boundary.BY, date(2024, 10, 25), hour=time(17)), [(None, "2024-10-25 17:00")]),
        # Saturday 26/4/2025 was worked, 30/4 to 4/5 were off: 25, 26, 28, 29/4 and 5/5
        (RelativeRule(5, working=True, after=date(2025, 4, 24)), [(None, "2025-05-06 00:00")]),
        (OpenEndedRule("standing"), []),
    ],
)
def test_the_days_of_a_rule_can_be_seen_before_it_is_signed(
    rule: FixedRule | RecurringRule | RelativeRule | OpenEndedRule, days: list[tuple[str | None, str]]
) -> None:
    found = days_of(rule, VIETNAM, assigned=a_cause("2024-10-14 08:00"), count=3)

    assert [(day.period.id if day.period else None, day.deadline.due_at) for day in found] == [
        (period, at(due_at)) for period, due_at in days
    ]
    assert all(day.deadline.citation and day.deadline.policy for day in found)


_RULES = st.builds(
    RecurringRule,
    st.sampled_from(["daily", "weekly", "monthly", "quarterly", "half_yearly", "yearly"]),
    st.just(Boundary.WITHIN),
    st.none(),
    st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    hour=st.none() | st.times(),
)


@given(rule=_RULES, count=st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_periods_neither_overlap_nor_leave_a_gap(rule: RecurringRule, count: int) -> None:
    """INVARIANT: a duty that recurs has exactly one period at any time after it began.

    If this broke, an agency would be asked twice, or never.
    """
    found = [day.period for day in days_of(rule, PLAIN, assigned=a_cause(), count=count)]

    assert len({period.id for period in found if period}) == count
    for this, following in pairwise(found):
        assert this is not None
        assert following is not None
        assert this.nominal + timedelta(days=1) == following.starts_on
    first = found[0]
    assert first is not None
    assert first.starts_on <= rule.starts_on <= first.nominal


def test_periods_missed_in_an_outage_all_open_once_and_the_next_one_is_known() -> None:
    rule = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14))
    now = at("2025-01-05 12:00")

    assert [period.id for period in opened_by(rule, now)] == ["2024-10", "2024-11", "2024-12", "2025-01"]
    assert next_opening(rule, now) == at("2025-02-01 00:00")


def test_a_rule_that_ended_opens_nothing_more() -> None:
    rule = RecurringRule("monthly", Boundary.WITHIN, None, date(2024, 10, 14), date(2024, 11, 30))

    assert next_opening(rule, at("2024-11-15 00:00")) is None


SUBMIT = SubmitResult(a_document(), "", 0, None)
ACCEPT = AcceptResult("")


@pytest.mark.parametrize(
    ("now", "schedule", "days"),
    [
        ("2024-10-14 09:00", Schedule.ON_TRACK, 0),
        ("2024-10-15 00:00", Schedule.DUE_SOON, 0),  # three working days before Friday 18/10
        ("2024-10-19 23:59", Schedule.DUE_SOON, 0),  # due today is not overdue
        ("2024-10-20 00:00", Schedule.OVERDUE, 1),
        ("2024-11-15 09:00", Schedule.OVERDUE, 27),
    ],
)
def test_an_open_task_is_overdue_the_instant_its_legal_day_ends(now: str, schedule: Schedule, days: int) -> None:
    assert schedule_at(a_task(), at(now), PLAIN) == (schedule, days)


def test_lateness_is_judged_by_receipt_of_the_accepted_result_not_by_the_verdict() -> None:
    done = after(a_task(), (SUBMIT, "2024-10-19 23:59"), (ACCEPT, "2024-12-30 10:00", REVIEWER)).task

    assert schedule_at(done, at("2025-01-01 00:00"), PLAIN) == (Schedule.ON_TIME, 0)


def test_clause_ii_2_g_was_27_days_late() -> None:
    done = after(a_task(), (SUBMIT, "2024-11-15 16:00"), (ACCEPT, "2024-11-18 10:00", REVIEWER)).task

    assert schedule_at(done, at("2025-01-01 00:00"), PLAIN) == (Schedule.LATE, 27)


def test_a_result_at_midnight_is_late_although_by_less_than_a_day() -> None:
    done = after(a_task(), (SUBMIT, "2024-10-20 00:00"), (ACCEPT, "2024-10-21 10:00", REVIEWER)).task

    assert schedule_at(done, at("2024-10-22 00:00"), PLAIN) == (Schedule.LATE, 1)


def test_a_result_that_came_late_does_not_become_later_while_it_awaits_review() -> None:
    waiting = after(a_task(), (SUBMIT, "2024-10-24 10:00")).task

    assert schedule_at(waiting, at("2024-11-30 00:00"), PLAIN) == (Schedule.OVERDUE, 5)


def test_a_result_in_time_that_awaits_review_does_not_become_overdue() -> None:
    waiting = after(a_task(), (SUBMIT, "2024-10-19 10:00")).task

    assert schedule_at(waiting, at("2024-11-30 00:00"), PLAIN) == (Schedule.ON_TRACK, 0)


def test_a_returned_result_leaves_the_task_overdue() -> None:
    returned = after(
        a_task(), (SUBMIT, "2024-10-19 10:00"), (ReturnResult("thiếu phụ lục"), "2024-10-25 10:00", REVIEWER)
    ).task

    assert schedule_at(returned, at("2024-10-25 11:00"), PLAIN) == (Schedule.OVERDUE, 6)


def test_an_extension_is_judged_on_the_new_day_and_keeps_the_original() -> None:
    grant = GrantExtension(date(2024, 12, 31), a_document(), "")
    extended = after(a_task(), (grant, "2024-10-18 10:00", "H48.01")).task

    assert schedule_at(extended, at("2024-12-01 00:00"), PLAIN) == (Schedule.ON_TRACK, 0)
    assert extended.deadlines[0].nominal == date(2024, 10, 19)
