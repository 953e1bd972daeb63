"""Contents of reports for tests, made as the service makes them: facts → figures and lists → content."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from services.reporting.domain.aggregate import aggregate
from services.reporting.domain.composing import Figured, compose, window
from services.reporting.domain.content import Content
from services.reporting.domain.content_rules import CorrectionRule, Measure, ReportRules
from services.reporting.domain.facts import Allocation, Disbursement, Obstacle, Result, TaskFacts
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
from services.reporting.domain.periods import Period
from services.reporting.domain.report import Report
from services.reporting.domain.schedule import AsOf
from services.reporting.domain.scopes import PROVINCE_SCOPE, agency_of
from shared.workdays.calendar import WorkingCalendar
from tests.unit.reporting.builders import DECREE_09, a_deadline, a_result, a_task, at

NOVEMBER = DECREE_09.period("2024-11")
CALENDAR = WorkingCalendar()
RULES = ReportRules(
    corrections=(
        CorrectionRule(Measure.CRITICISE, overdue_at_least=5, days_late_over=60),
        CorrectionRule(Measure.CORRECT, overdue_at_least=2, on_time_below_percent=Decimal(50), due_at_least=2),
    ),
)
CARDS = {
    one.code: one
    for one in (
        AgencyCard("H48.07", "Sở Thông tin và Truyền thông", "Trần Văn Ba", "Giám đốc Sở", is_standing=True),
        AgencyCard("H48.02", "Sở Kế hoạch và Đầu tư", "Nguyễn Thị Hai", "Giám đốc Sở"),
        AgencyCard("H48.35", "UBND huyện Sơn Tây", "Đinh Văn Tư", "Chủ tịch"),
        AgencyCard("H48.40", "UBND huyện Ba Tơ", None, "Chủ tịch"),
    )
}
DIRECTIVES = {"TB-UBND-2024": "Thông báo 512/TB-UBND"}
DIRECTORY = Directory(CARDS, DIRECTIVES)


def a_text(facts: TaskFacts, title: str = "Trình kế hoạch chuyển đổi số năm 2025", **more: Any) -> TaskText:
    """The words to a task's facts; the clause is that of its id."""
    return TaskText(
        facts=replace(facts, directive=facts.directive or "TB-UBND-2024"),
        clause=facts.task_id.split("/")[2],
        period=None,
        title=title,
        deadline_documents=more.pop(
            "documents",
            tuple(a_document() if one.granted else None for one in facts.deadlines),
        ),
        delay_notes=more.pop("delay_notes", ("",) * len(facts.results)),
        obstacles=more.pop("obstacles", (ObstacleText("Chưa có hướng dẫn", False),) * len(facts.obstacles)),
        allocations=more.pop("allocations", (AllocationText(2024, a_document("QĐ 371")),) * len(facts.allocations)),
    )


def a_document(number: str | None = "5233/UBND-KGVX", issued_on: str = "2024-10-01") -> DocumentName:
    """The document of the extension in the notice."""
    return DocumentName(number, date.fromisoformat(issued_on), "UBND tỉnh")


def a_report(
    figures: Figures, scope: str = PROVINCE_SCOPE, *, period: Period = NOVEMBER, final: bool = True, **more: Any
) -> Report:
    """A report with these figures."""
    code = agency_of(scope)
    return Report(
        province="H48",
        period=period.id,
        kind=period.kind,
        scope=scope,
        scope_name=more.pop("scope_name", CARDS[code].name if code in CARDS else code or "Tỉnh Quảng Ngãi"),
        regime=DECREE_09.id,
        starts_on=period.starts_on,
        cut_off_on=period.cut_off_on,
        due_on=period.due_on,
        final=final,
        as_of=more.pop("as_of", period.ends_at),
        figures=figures,
        computed_at=at("2024-11-15 00:05"),
        **more,
    )


def figured(tasks: Sequence[TaskText], *, period: Period = NOVEMBER, now: str | None = None, **more: Any) -> Figured:
    """The figures of these tasks, by the plain way. `now`: the period still runs at that instant."""
    as_of = AsOf(at(now)) if now is not None else period.closing
    figures = aggregate((one.facts for one in tasks), as_of, calendar=CALENDAR)
    rest: dict[str, Any] = {"period": period, "final": now is None, "as_of": as_of.instant}
    reports = [
        a_report(some, scope, **rest, **(more if scope == PROVINCE_SCOPE else {})) for scope, some in figures.items()
    ]
    whole = next((one for one in reports if one.scope == PROVINCE_SCOPE), None) or a_report(Figures(), **rest, **more)
    return Figured.of(whole, reports)


def lists_of(one: Figured, tasks: Iterable[TaskText], rules: ReportRules = RULES) -> Lists:
    """The lists beside these figures."""
    lists = Lists(
        window(one, rules.upcoming_days), DIRECTORY, risk=rules.risk, rows_max=rules.rows_max, calendar=CALENDAR
    )
    for task in tasks:
        lists.add(task)
    return lists


def a_content(
    *tasks: TaskText,
    rules: ReportRules = RULES,
    period: Period = NOVEMBER,
    now: str | None = None,
    prepared_on: str = "2024-11-20",
    is_first: bool = True,
    **more: Any,
) -> Content:
    """The content of a period with these tasks. `more`: of the province's report."""
    one = figured(tasks, period=period, now=now, **more)
    return compose(
        one,
        lists_of(one, tasks, rules),
        DIRECTORY,
        province_name="Tỉnh Quảng Ngãi",
        regime=DECREE_09,
        rules=rules,
        prepared_on=date.fromisoformat(prepared_on),
        is_first=is_first,
    )


# -- a whole month -----------------------------------------------------------------------------------------------------


def a_month(many: int = 0) -> list[TaskText]:
    """Tasks of every kind that a report tells apart; `many`: so many further overdue ones."""
    oct_19 = a_deadline("2024-10-19")
    granted = a_deadline("2024-11-30", version=2, received="2024-10-18", granted=True)
    obstacle = Obstacle(at("2024-10-15"), None, forwarded_at=at("2024-10-20"))
    money: dict[str, Any] = {
        "allocations": (
            Allocation("von-1", 1_500_000_000, at("2024-10-12")),
            Allocation("von-2", 500_000_000, at("2024-10-13"), assigned=False),
        ),
        "disbursements": (Disbursement(date(2024, 10, 31), 300_000_000, at("2024-11-01")),),
    }
    paid: dict[str, Any] = {
        "allocations": (Allocation("von-1", 800_000_000, at("2024-10-12")),),
        "disbursements": (Disbursement(date(2024, 11, 10), 790_000_000, at("2024-11-11")),),
    }
    tasks = [
        a_text(a_task(oct_19, clause="II.2.g")),
        a_text(
            a_task(oct_19, clause="II.1.h", agency="H48.35", obstacles=(obstacle,)),
            "Đề xuất nhiệm vụ ưu tiên năm 2025",
            obstacles=(ObstacleText("Chưa được bố trí kinh phí, chưa có nhân lực chuyên trách", True),),
        ),
        a_text(
            a_task(oct_19, clause="II.5.b", agency="H48.35", results=(_late("2024-11-01", "money"),)),
            "Số hóa kết quả giải quyết thủ tục hành chính còn hiệu lực",
            delay_notes=("kinh phí được phân bổ chậm",),
        ),
        a_text(a_task(oct_19, clause="II.1.h", agency="H48.02", results=(a_result("2024-10-18", "accepted"),))),
        a_text(a_task(oct_19, clause="II.1.i", agency="H48.02", results=(a_result("2024-10-18", "accepted"),))),
        a_text(a_task(oct_19, clause="II.1.k", agency="H48.02", results=(a_result("2024-10-17", "accepted"),))),
        a_text(
            a_task(oct_19, clause="II.1.h", agency="H48.40", results=(_late("2024-10-25", "external", "accepted"),))
        ),
        a_text(a_task(oct_19, granted, clause="II.2.d"), "Tham mưu ban hành Quy chế Cổng dữ liệu mở"),
        a_text(a_task(a_deadline("2024-11-20"), clause="II.2.k", agency="H48.02"), "Báo cáo kết quả quý IV"),
        a_text(a_task(clause="II.1.b", agency="H48.40"), "Tăng cường ứng dụng nền tảng số"),
        a_text(a_task(clause="II.1.đ", agency="H48.35", **money), "Hoàn thành nhiệm vụ được giao kinh phí năm 2024"),
        a_text(a_task(clause="II.1.đ", agency="H48.02", **paid), "Hoàn thành nhiệm vụ được giao kinh phí năm 2024"),
    ]
    tasks += [
        a_text(
            a_task(
                a_deadline(str(date(2024, 10, 20) + timedelta(days=number % 20))), clause=f"V.{number}", agency="H48.35"
            ),
            f"Nhiệm vụ thứ {number}: rà soát, cập nhật cơ sở dữ liệu dùng chung của tỉnh",
        )
        for number in range(many)
    ]
    return tasks


def _late(received: str, cause: str, verdict: str | None = None) -> Result:
    return replace(a_result(received, verdict), delay_cause=cause)


def some_indicators() -> tuple[IndicatorFigure, ...]:
    """One that reaches its target, one that does not, one without a value."""
    minimum = Benchmark("CDS-CHI", BenchmarkKind.MINIMUM, Decimal("0.5"), date(2023, 1, 1), "QĐ 1557/QĐ-UBND")
    average = Benchmark("DVC-TT", BenchmarkKind.NATIONAL_AVERAGE, Decimal("45.8"), date(2024, 1, 1), "Bộ TTTT")
    return (
        _indicator("CDS-CHI", "Tỷ lệ chi cho chuyển đổi số", 45, 10_000, "0.5", minimum),
        _indicator("DVC-TT", "Tỷ lệ hồ sơ trực tuyến", 8_231, 10_000, "80", average),
        _indicator("SO-HOA", "Tỷ lệ số hóa hồ sơ", 0, 0, None),
    )


def _indicator(
    code: str, title: str, numerator: int, denominator: int, target: str | None, *benchmarks: Benchmark
) -> IndicatorFigure:
    return IndicatorFigure(
        code=code,
        title=title,
        period="2024-10",
        numerator=Decimal(numerator),
        denominator=Decimal(denominator),
        at_least_percent=Decimal(target) if target is not None else None,
        target_document="KH 38/KH-UBND" if target is not None else None,
        data_source=None,
        agencies=12,
        agencies_met=7,
        benchmarks=benchmarks,
    )
