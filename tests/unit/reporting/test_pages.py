"""What pages show, from values to what a template prints."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from services.reporting.board import pages, words
from services.reporting.domain.figures import Figures
from services.reporting.domain.figures import percent as ratio
from services.reporting.domain.periods import Kind
from services.reporting.domain.reading import EVERYTHING, Reader, Registered, reader_of
from services.reporting.domain.report import Amendment, LateFact
from services.reporting.lists import After, TaskRow
from services.reporting.ports import PeriodRow
from shared.workdays.calendar import WorkingCalendar
from tests.contract.test_reporting_store import a_report
from tests.unit.reporting.builders import DECREE_09, at

NOW = at("2024-11-20 09:00")
ROW = TaskRow(
    "H48/TB/I.1/H48.07",
    "TB",
    "I.1",
    None,
    "H48.07",
    "Đề án",
    "assigned",
    True,
    date(2024, 11, 22),
    at("2024-11-23 00:00"),
)


def test_numbers_are_written_the_vietnamese_way() -> None:
    assert [words.number(14_068), words.number(0), words.number(10**12)] == ["14.068", "0", "1.000.000.000.000"]
    assert [words.percent(ratio(16_051, 21_914)), words.percent(ratio(0, 0))] == ["73,25\u00a0%", "–"]
    assert [words.signed(12), words.signed(-1_200), words.signed(0)] == ["+12", "−1.200", "–"]
    assert words.points(Decimal("50.00"), Decimal("52.50")) == "−2,50\u00a0điểm"
    assert words.points(Decimal("50.00"), None) == "–"


@pytest.mark.parametrize(
    ("period", "long", "short"),
    [
        ("2024-11", "tháng 11/2024", "11/24"),
        ("2024-W45", "tuần 45/2024", "T45/24"),
        ("2024-Q4", "quý 4/2024", "Q4/24"),
        ("2024-H1", "6 tháng đầu năm 2024", "H1/24"),
        ("2024", "năm 2024", "2024"),
        ("2024-11-30", "30/11/2024", "11-30/24"),
    ],
)
def test_periods_are_called_as_people_call_them(period: str, long: str, short: str) -> None:
    assert (words.period(period), words.period_short(period)) == (long, short)


@pytest.mark.parametrize(
    ("change", "kind", "state", "when"),
    [
        ({}, "open_due_soon", "Sắp đến hạn", "còn 2 ngày"),
        (
            {"legal": date(2024, 12, 30), "late_from": at("2024-12-31 00:00")},
            "open_in_time",
            "Trong hạn",
            "còn 40 ngày",
        ),
        (
            {"legal": date(2024, 11, 19), "late_from": at("2024-11-20 00:00")},
            "open_overdue",
            "Quá hạn",
            "quá hạn 1 ngày",
        ),
        (
            {"legal": date(2024, 11, 20), "late_from": at("2024-11-21 00:00")},
            "open_due_soon",
            "Sắp đến hạn",
            "hết hạn hôm nay",
        ),
        ({"legal": None, "late_from": None}, "open_no_deadline", "Chưa có hạn", ""),
        ({"result": "submitted", "late_from": None}, "open_in_time", "Chờ xét kết quả", ""),
        ({"result": "completed", "is_open": False, "late_from": None}, "completed", "Đã hoàn thành", ""),
    ],
)
def test_a_task_in_a_list_says_how_it_stands(change: dict[str, object], kind: str, state: str, when: str) -> None:
    row = replace(ROW, **change)  # type: ignore[arg-type]

    line = pages.task_line(
        row, now=NOW, calendar=WorkingCalendar(), agencies={"H48.07": "Sở TT&TT"}, directives={}, province="H48"
    )

    assert (line.kind, line.state, line.when) == (kind, state, when)
    assert (line.href, line.agency, line.directive) == ("/tasks/H48/TB/I.1/H48.07", "Sở TT&TT", "TB")


def test_addresses_are_what_letters_link_to_and_hold_what_is_said() -> None:
    assert pages.task_address("H48/TB-Đ/I.đ/H48.07/2024-11") == "/tasks/H48/TB-%C4%90/I.%C4%91/H48.07/2024-11"
    assert pages.address("/", province="H48", period=None) == "/?province=H48"
    assert pages.address("/agencies/<b>", a="&") == "/agencies/%3Cb%3E?a=%26"


@pytest.mark.parametrize("after", [After(None, "H48/TB/I.1/H48.07"), After(at("2024-11-20"), "H48/TB/I.1/H48.07/2024")])
def test_a_cursor_comes_back_as_it_went(after: After) -> None:
    assert pages.read_cursor(pages.cursor(after)) == after


@pytest.mark.parametrize("text", ["", "abc", "~", "x~y", "2024-11-20T08:00:00~y", "~" + "y" * 500])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|isoformat|zone"):
        pages.read_cursor(text)


def test_the_picker_offers_each_kinds_latest_and_the_neighbours() -> None:
    months = [PeriodRow(f"2024-{month:02d}", month < 12, Kind.MONTHLY) for month in range(12, 8, -1)]
    rows = [PeriodRow("2024", False, Kind.YEARLY), *months]

    picked = pages.picker("/", "H48", "2024-11", rows)

    assert [(one.name, one.href, one.is_chosen) for one in picked.kinds] == [
        ("Tháng", "/?province=H48&period=2024-12", True),
        ("Năm", "/?province=H48&period=2024", False),
    ]
    assert [one.name for one in picked.periods][:2] == ["tháng 12/2024 (tạm tính)", "tháng 11/2024"]
    assert picked.older is not None
    assert picked.newer is not None
    assert (picked.older.value, picked.newer.value) == ("2024-10", "2024-12")
    assert pages.picker("/", "H48", "2024-12", rows).newer is None


def test_figures_stand_beside_the_period_before() -> None:
    rows = {row.name: row for row in pages.figure_rows(Figures(open_overdue=3, days_late=10), Figures(days_late=12))}

    assert (rows["Tổng số nhiệm vụ"].now, rows["Tổng số nhiệm vụ"].before) == ("3", "0")
    assert rows["Tổng số ngày quá hạn"].change == "−2"
    assert {row.before for row in pages.figure_rows(Figures(), None)} == {"–"}


def test_both_rates_are_told_with_what_they_are_rates_of() -> None:
    first, second = pages.rates(Figures(done_on_time=1, open_overdue=1, open_in_time=2), None)

    assert (first.name, first.now) == ("Tỷ lệ đúng hạn trên số đã đến hạn", "50,00\u00a0%")
    assert (second.name, second.now) == ("Tỷ lệ hoàn thành trên tổng số", "25,00\u00a0%")


def test_a_trend_is_of_twelve_periods_the_oldest_first() -> None:
    periods = pages.trend_periods(DECREE_09, DECREE_09.period("2024-11"))

    assert [periods[0].id, periods[-1].id, len(periods)] == ["2023-12", "2024-11", 12]
    assert pages.trend([a_report()], "/") is None


def test_an_amendment_names_tasks_only_to_who_may_see_them() -> None:
    fact = LateFact("H48/TB/I.1/H48.07", 3, "applied", NOW, NOW + timedelta(days=1))
    amendment = Amendment({"done_late": (1, 2), "previous.allocated_vnd": (None, 5_000)}, (fact,), 7)

    shown = pages.amended(amendment, may_link=True)
    hidden = pages.amended(amendment, may_link=False)

    assert shown is not None
    assert hidden is not None
    assert [(row.name, row.before, row.after) for row in shown.rows] == [
        ("Đã hoàn thành quá hạn", "1", "2"),
        ("Kinh phí đã giao (đồng) (kỳ trước)", "–", "5.000"),
    ]
    assert (len(shown.because), shown.more, len(hidden.because), hidden.more) == (1, 7, 0, 8)


TASKS, EVENTS, REPORTS, AUTHORITY = "tasks:read", "events:write", "reports:read", "authority:write"


@pytest.mark.parametrize(
    ("scopes", "role", "expected"),
    [
        ({TASKS}, "standing", Reader("H48")),
        ({TASKS}, "chairman_office", Reader("H48")),
        ({TASKS}, "agency", Reader("H48", "H48.07")),
        ({TASKS}, None, Reader("H48", "H48.07")),
        ({EVENTS}, "standing", Reader("H48", "H48.07")),
        ({AUTHORITY}, None, Reader("H48")),
        ({REPORTS}, "standing", Reader("H48", "H48.07", sees_tasks=False)),
    ],
)
def test_how_far_a_token_sees(scopes: set[str], role: str | None, expected: Reader) -> None:
    assert reader_of("H48", "H48.07", scopes, role) == expected


def test_a_reader_sees_the_tasks_that_concern_it() -> None:
    reader = Reader("H48", "H48.07")

    assert reader.sees_task("H48", {"H48.07", "H48.21"})
    assert not reader.sees_task("H48", {"H48.21"})
    assert not reader.sees_task("H49", {"H48.07"})
    assert not Reader("H48").sees_task("H49", {"H48.07"})
    assert EVERYTHING.sees_task("H49", set())


def test_a_role_holds_on_its_days() -> None:
    registered = Registered("standing", date(2024, 10, 1), date(2024, 12, 31))

    assert registered.role_on(date(2024, 9, 30)) is None
    assert registered.role_on(date(2024, 12, 31)) == "standing"
    assert registered.role_on(date(2025, 1, 1)) is None
