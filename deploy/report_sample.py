"""A made-up month of the notice's agencies as a report, for pictures: made as the service makes one.

Agencies, clauses and days are those of the notice (deploy/demo/quang-ngai-2024-10.yaml); what became of them, who heads
an agency and all money are made up.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from deploy.demo.story import load_notice
from deploy.local.processes import REPOSITORY_ROOT
from services.reporting.domain.aggregate import aggregate
from services.reporting.domain.composing import Figured, compose, window
from services.reporting.domain.content import Content
from services.reporting.domain.content_rules import CorrectionRule, Letterhead, Measure, ReportRules
from services.reporting.domain.facts import Allocation, Deadline, Disbursement, Obstacle, Result, TaskFacts
from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import Benchmark, BenchmarkKind, IndicatorFigure
from services.reporting.domain.listing import (
    AgencyCard,
    AllocationText,
    Directory,
    DocumentName,
    Lists,
    ObstacleText,
    TaskText,
)
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, agency_of
from services.reporting.rules import read_policy
from services.reporting.settings import Settings
from shared.workdays.calendar import ICT, WorkingCalendar, start_of

_NOTICE: Final = load_notice(REPOSITORY_ROOT / "deploy" / "demo" / "quang-ngai-2024-10.yaml")
_TITLES: Final = {str(one["clause"]): str(one["title"]) for one in _NOTICE.directive["obligations"]}
_DIRECTIVE: Final = str(_NOTICE.directive["directive"])
_REGIME: Final = replace(read_policy(Settings.model_fields["reporting_policy_file"].default)[0], recipients=())
_PERIOD: Final = _REGIME.period("2024-11")
_ISSUED: Final = datetime(2024, 10, 14, 9, 0, tzinfo=ICT)
_PROPOSALS: Final = date(2024, 10, 21)
"""Trước ngày 20/10/2024: Saturday the 19th, rolled forward."""
_NAMES: Final = ("Nguyễn Văn An", "Trần Thị Bình", "Lê Văn Cường", "Phạm Thị Dung", "Đinh Văn Em")
_RULES: Final = ReportRules(
    letterhead=Letterhead(recipients=("Như trên", "Văn phòng UBND tỉnh", "Các cơ quan, địa phương", "Lưu: VT")),
    corrections=(
        CorrectionRule(Measure.CRITICISE, overdue_at_least=3, days_late_over=60),
        CorrectionRule(Measure.CORRECT, overdue_at_least=1, on_time_below_percent=Decimal(50), due_at_least=2),
    ),
    # Here an agency owes one or two things that have a day.
    commendation=replace(ReportRules().commendation, due_at_least=2, most=4),
)


def _at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(hour=9, tzinfo=ICT)


def _directory() -> Directory:
    cards = [
        AgencyCard(
            str(one["code"]),
            str(one["name"]),
            head_name=_NAMES[place % len(_NAMES)],
            head_title=str(one["head_title"]),
            is_standing=one.get("role") == "standing",
        )
        for place, one in enumerate(_NOTICE.agencies)
    ]
    return Directory({one.code: one for one in cards}, {_DIRECTIVE: "Thông báo kết luận ngày 14/10/2024"})


def _deadline(legal: date, version: int = 1, received: datetime = _ISSUED) -> Deadline:
    return Deadline(version, legal, legal, start_of(legal + timedelta(days=1)), version > 1, received)


def _task(clause: str, agency: str, *deadlines: Deadline, **facts: Any) -> TaskText:
    words: dict[str, Any] = {
        "deadline_documents": tuple(
            DocumentName("5233/UBND-KGVX", date(2024, 10, 1), "UBND tỉnh") if one.granted else None for one in deadlines
        ),
        "delay_notes": ("",) * len(facts.get("results", ())),
        "obstacles": (ObstacleText("Chưa bố trí được kinh phí và nhân lực chuyên trách", True),)
        * len(facts.get("obstacles", ())),
        "allocations": (AllocationText(2024, DocumentName("371/QĐ-UBND", date(2024, 3, 29), None)),)
        * len(facts.get("allocations", ())),
    }
    known = TaskFacts(
        task_id=f"{_NOTICE.province}/{_DIRECTIVE}/{clause}/{agency}",
        seq=1,
        agency=agency,
        assigned_at=_ISSUED,
        directive=_DIRECTIVE,
        category="dated",
        deadlines=deadlines,
        **facts,
    )
    return TaskText(known, clause, None, _TITLES[clause], **words)


def _accepted(day: str, cause: str | None = None) -> tuple[Result, ...]:
    return (Result(_at(day), "accepted", _at(day), cause),)


def _tasks() -> Iterator[TaskText]:
    codes = [str(one["code"]) for one in _NOTICE.agencies]
    behind = {"H48.35": "2024-11-01", "H48.36": None, "H48.40": None, "H48.15": "2024-10-29"}
    obstacle = (Obstacle(_at("2024-10-25"), None, forwarded_at=_at("2024-11-05")),)
    for code in codes:
        yield _task("II.1.b-2", code)
        if code in behind:
            day = behind[code]
            done = _accepted(day, "administrative") if day is not None else ()
            held_up = obstacle if code == "H48.36" else ()
            yield _task("II.1.h", code, _deadline(_PROPOSALS), results=done, obstacles=held_up)
        else:
            yield _task("II.1.h", code, _deadline(_PROPOSALS), results=_accepted("2024-10-18"))
    for clause in ("II.2.c", "II.2.c-2"):
        yield _task(clause, "H48.07", _deadline(date(2024, 10, 29)), results=_accepted("2024-10-28"))
    yield _task("II.2.g", "H48.07", _deadline(_PROPOSALS))
    for clause in ("II.2.d", "II.2.d-2", "II.2.d-3"):
        yield _task(
            clause, "H48.07", _deadline(date(2024, 10, 31)), _deadline(date(2024, 11, 30), 2, _at("2024-10-16"))
        )
    for place, code in enumerate(("H48.07", "H48.14", "H48.15", "H48.17", "H48.20", "H48.30")):
        given = (place + 2) * 850_000_000
        paid = given * (92, 40, 88, 61, 95, 78)[place] // 100
        yield _task(
            "II.1.đ",
            code,
            allocations=(
                Allocation("von-1", given, _ISSUED),
                Allocation("von-2", 150_000_000, _ISSUED, assigned=False),
            ),
            disbursements=(Disbursement(date(2024, 11, 10), paid, _at("2024-11-11")),),
        )


def _indicators() -> tuple[IndicatorFigure, ...]:
    average = Benchmark("DVC-TT", BenchmarkKind.NATIONAL_AVERAGE, Decimal("45.8"), date(2024, 1, 1), "Bộ TTTT")
    minimum = Benchmark("CDS-CHI", BenchmarkKind.MINIMUM, Decimal("0.5"), date(2023, 1, 1), "1557/QĐ-UBND")
    rows = (
        ("CDS-CHI", "Tỷ lệ chi thường xuyên cho chuyển đổi số", 47, 10_000, "0.5", 21, 12, minimum),
        ("DVC-TT", "Tỷ lệ hồ sơ trực tuyến", 61_204, 74_310, "80", 33, 24, average),
    )
    return tuple(
        IndicatorFigure(
            code,
            title,
            "2024-10",
            Decimal(part),
            Decimal(whole),
            Decimal(target),
            "38/KH-UBND",
            None,
            some,
            met,
            (one,),
        )
        for code, title, part, whole, target, some, met, one in rows
    )


def a_report() -> Content:
    """The report of November 2024."""
    tasks, calendar, directory = list(_tasks()), WorkingCalendar(), _directory()
    figures = aggregate((one.facts for one in tasks), _PERIOD.closing, calendar=calendar)
    reports = [_report(scope, some, directory) for scope, some in figures.items()]
    whole = next(one for one in reports if one.scope == PROVINCE_SCOPE)
    october = Figures(open_in_time=29, open_due_soon=8, open_no_deadline=40, obstacles_raised=0, funded=6)
    whole = replace(whole, indicators=_indicators(), previous_period="2024-10", previous=october)
    figured = Figured.of(whole, reports)
    lists = Lists(
        window(figured, _RULES.upcoming_days), directory, risk=_RULES.risk, rows_max=_RULES.rows_max, calendar=calendar
    )
    for task in tasks:
        lists.add(task)
    return compose(
        figured,
        lists,
        directory,
        province_name="Tỉnh Quảng Ngãi",
        regime=_REGIME,
        rules=_RULES,
        prepared_on=date(2024, 11, 15),
    )


def _report(scope: str, figures: Figures, directory: Directory) -> Report:
    code = agency_of(scope)
    return Report(
        province=_NOTICE.province,
        period=_PERIOD.id,
        kind=_PERIOD.kind,
        scope=scope,
        scope_name=directory.agency(code).name if code is not None else "Tỉnh Quảng Ngãi",
        regime=_REGIME.id,
        starts_on=_PERIOD.starts_on,
        cut_off_on=_PERIOD.cut_off_on,
        due_on=_PERIOD.due_on,
        final=True,
        as_of=_PERIOD.ends_at,
        figures=figures,
        computed_at=_PERIOD.ends_at,
    )
