"""How the board says things: numbers, days, and the Vietnamese of every code that a task or a report holds."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from services.reporting.domain.periods import Kind
from shared.workdays.calendar import ICT

NOTHING: Final = "–"
"""Where there is nothing to say, or nothing to divide by."""


def number(value: int) -> str:
    """1.234, as Vietnamese documents write it."""
    return f"{value:,}".replace(",", ".")


def signed(value: int) -> str:
    """+12, −3; a dash for no change."""
    return NOTHING if value == 0 else f"{'+' if value > 0 else '−'}{number(abs(value))}"


def percent(value: Decimal | None) -> str:
    """86,44 %; a dash where there is nothing to divide by."""
    return NOTHING if value is None else f"{value:.2f}\u00a0%".replace(".", ",")


def points(value: Decimal | None, before: Decimal | None) -> str:
    """By how many points a rate moved; a dash where one of the two is missing or they are equal."""
    if value is None or before is None or value == before:
        return NOTHING
    moved = value - before
    return f"{'+' if moved > 0 else '−'}{abs(moved):.2f}\u00a0điểm".replace(".", ",")


def day(value: date | None) -> str:
    """14/11/2024."""
    return NOTHING if value is None else f"{value:%d/%m/%Y}"


def moment(value: datetime | None) -> str:
    """14/11/2024 17:05, local."""
    return NOTHING if value is None else f"{value.astimezone(ICT):%d/%m/%Y %H:%M}"


def period(period_id: str) -> str:
    """11/2024; tuần 45/2024; quý 4/2024; nửa đầu năm 2024; năm 2024."""
    year, _, rest = period_id.partition("-")
    if not rest:
        return f"năm {year}"
    match rest[0]:
        case "W":
            return f"tuần {rest[1:]}/{year}"
        case "Q":
            return f"quý {rest[1:]}/{year}"
        case "H":
            return f"6 tháng {'đầu' if rest == 'H1' else 'cuối'} năm {year}"
    if len(rest) > len("11"):
        return day(date.fromisoformat(period_id))
    return f"tháng {rest}/{year}"


def period_short(period_id: str) -> str:
    """What fits under a column: 11/24, T45/24, Q4/24, H2/24, 2024."""
    year, _, rest = period_id.partition("-")
    return f"{rest.replace('W', 'T')}/{year[2:]}" if rest else year


def days_between(last_day: date, today: date) -> str:
    """còn 3 ngày; hết hạn hôm nay; quá hạn 2 ngày."""
    days = (last_day - today).days
    if days == 0:
        return "hết hạn hôm nay"
    return f"còn {number(days)} ngày" if days > 0 else f"quá hạn {number(-days)} ngày"


KINDS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.WEEKLY: "Tuần",
        Kind.MONTHLY: "Tháng",
        Kind.QUARTERLY: "Quý",
        Kind.HALF_YEARLY: "6 tháng",
        Kind.YEARLY: "Năm",
    }
)
RESULTS: Final = {
    "assigned": "Đã giao",
    "in_progress": "Đang thực hiện",
    "submitted": "Chờ xét kết quả",
    "completed": "Đã hoàn thành",
    "suspended": "Tạm dừng",
    "discontinued": "Dừng thực hiện",
    "transferred": "Đã chuyển cơ quan khác",
}
CATEGORIES: Final = {
    "dated": "Có thời hạn",
    "recurring": "Định kỳ",
    "conditional": "Có điều kiện",
    "by_reference": "Thời hạn theo văn bản khác",
    "standing": "Thường xuyên",
    "indicator": "Chỉ tiêu",
}
CAUSES: Final = {
    "administrative": "thủ tục hành chính",
    "disagreement": "chưa thống nhất ý kiến",
    "money": "kinh phí",
    "dependency": "chờ nhiệm vụ khác",
    "external": "nguyên nhân bên ngoài",
    "other": "nguyên nhân khác",
    "unstated": "chưa nêu nguyên nhân",
}
GIVEN_BY: Final = {
    "directive": "văn bản giao nhiệm vụ",
    "trigger": "sự kiện làm phát sinh thời hạn",
    "reference": "văn bản được dẫn chiếu",
    "extension": "gia hạn",
    "resumption": "tiếp tục sau tạm dừng",
    "correction": "đính chính",
}
PLANS: Final = {"assigned": "kế hoạch giao", "supplementary": "bổ sung", "carried_over": "chuyển nguồn"}
FORWARDED_TO: Final = {"chairman": "Chủ tịch UBND tỉnh", "committee": "UBND tỉnh"}
GROUPS: Final = {"@all": "tất cả các cơ quan, đơn vị"}
"""Groups that have a name in Vietnamese; the others go by what the province calls them."""
COLUMNS: Final = {
    "done_on_time": "Hoàn thành đúng hạn",
    "done_late": "Hoàn thành quá hạn",
    "open_in_time": "Trong hạn",
    "open_due_soon": "Sắp đến hạn",
    "open_overdue": "Quá hạn",
    "open_no_deadline": "Chưa có hạn",
    "ended_without_result": "Kết thúc không có kết quả",
}
"""Of one task, or of a chart's legend."""
FIGURES: Final = {
    "done_on_time": "Đã hoàn thành đúng hạn",
    "done_late": "Đã hoàn thành quá hạn",
    "open_in_time": "Chưa hoàn thành, trong hạn",
    "open_due_soon": "Chưa hoàn thành, sắp đến hạn",
    "open_overdue": "Chưa hoàn thành, quá hạn",
    "open_no_deadline": "Chưa có hạn",
    "ended_without_result": "Kết thúc không có kết quả",
    "done_without_deadline": "Hoàn thành, không có thời hạn",
    "days_late": "Tổng số ngày quá hạn",
    "extended": "Nhiệm vụ được gia hạn",
    "extensions_granted": "Lượt gia hạn được chấp thuận",
    "extensions_refused": "Đề nghị gia hạn bị từ chối",
    "extensions_pending": "Đề nghị gia hạn chờ trả lời",
    "obstacles_open": "Khó khăn, vướng mắc đang chờ xử lý",
    "obstacles_raised": "Khó khăn, vướng mắc đã nêu",
    "obstacles_answered": "Khó khăn, vướng mắc đã trả lời",
    "obstacles_forwarded": "Khó khăn, vướng mắc đã chuyển cấp trên",
    "obstacles_cleared": "Khó khăn, vướng mắc đã giải quyết",
    "funded": "Nhiệm vụ được giao kinh phí",
    "allocated_vnd": "Kinh phí đã giao (đồng)",
    "assigned_vnd": "Kế hoạch cấp thẩm quyền giao (đồng)",
    "disbursed_vnd": "Đã giải ngân (đồng)",
} | {f"late_{code}": f"Quá hạn do {words}" for code, words in CAUSES.items()}
_PARTS: Final = {"previous": "kỳ trước", "year_before": "cùng kỳ năm trước"}


def figure(name: str) -> str:
    """What an amendment calls a figure: `previous.done_late`, `indicators.chi-cds`."""
    part, dot, rest = name.partition(".")
    if part == "indicators":
        return f"Chỉ tiêu {rest}"
    return f"{FIGURES.get(rest, rest)} ({_PARTS.get(part, part)})" if dot else FIGURES.get(name, name)


def value(shown: Any) -> str:
    """A figure's value, whatever it is of."""
    match shown:
        case None:
            return NOTHING
        case Decimal():
            return percent(shown)
        case int():
            return number(shown)
    return str(shown)
