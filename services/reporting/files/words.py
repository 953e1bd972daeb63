"""How the report says things, in official Vietnamese: numbers, days, periods, and the words for every code."""

import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from services.reporting.domain.content import (
    Content,
    ObstacleShown,
    OverdueRow,
    Proposal,
    Reason,
    ReasonKind,
    Stage,
    State,
)
from services.reporting.domain.content_rules import CountedFrom, Measure
from services.reporting.domain.periods import Kind
from shared.workdays.calendar import ICT

NOTHING: Final = "–"
"""Where there is nothing to divide by, or nothing known."""
PROVISIONAL: Final = "SỐ LIỆU TẠM TÍNH"
_NBSP: Final = "\u00a0"

DELAY_CAUSES: Final = {
    "administrative": "Thủ tục hành chính",
    "disagreement": "Chưa thống nhất ý kiến",
    "money": "Kinh phí",
    "dependency": "Phụ thuộc nhiệm vụ khác",
    "external": "Nguyên nhân khách quan",
    "other": "Nguyên nhân khác",
    "unstated": "Chưa báo cáo nguyên nhân",
}
STATES: Final = {
    State.RUNNING: "",
    State.AWAITING_REVIEW: "Đã nộp kết quả, chờ thẩm định",
    State.SUSPENDED: "Đang tạm dừng",
}
STAGES: Final = {
    Stage.RAISED: "chưa được trả lời",
    Stage.ANSWERED: "đã được trả lời",
    Stage.FORWARDED: "đã báo cáo cấp trên",
}
MEASURES: Final = {
    Measure.CRITICISE: "Phê bình",
    Measure.CORRECT: "Chấn chỉnh",
    Measure.COMMEND: "Khen thưởng",
}
COUNTED_FROM: Final = {
    CountedFrom.FISCAL_YEAR: "thời gian của năm ngân sách",
    CountedFrom.FIRST_ALLOCATION: "thời gian từ khi được phân bổ đến hết năm ngân sách",
}
FIGURES: Final = {
    "total": "Tổng số nhiệm vụ",
    "done": "Đã hoàn thành",
    "done_on_time": "Hoàn thành đúng hạn",
    "done_late": "Hoàn thành quá hạn",
    "open": "Chưa hoàn thành",
    "open_in_time": "Chưa hoàn thành, trong hạn",
    "open_due_soon": "Chưa hoàn thành, sắp đến hạn",
    "open_overdue": "Chưa hoàn thành, quá hạn",
    "open_no_deadline": "Chưa hoàn thành, chưa có thời hạn",
    "ended_without_result": "Kết thúc, không có kết quả (ngoài tổng số)",
    "done_without_deadline": "Hoàn thành, không có thời hạn",
    "days_late": "Tổng số ngày chậm",
    "extended": "Nhiệm vụ được gia hạn",
    "extensions_granted": "Lượt gia hạn được chấp thuận",
    "extensions_refused": "Đề nghị gia hạn không được chấp thuận",
    "extensions_pending": "Đề nghị gia hạn chờ quyết định",
    "obstacles_open": "Khó khăn, vướng mắc chưa giải quyết",
    "obstacles_raised": "Khó khăn, vướng mắc đã nêu",
    "obstacles_answered": "Khó khăn, vướng mắc đã được trả lời",
    "obstacles_forwarded": "Khó khăn, vướng mắc đã báo cáo cấp trên",
    "obstacles_cleared": "Khó khăn, vướng mắc đã giải quyết",
    "funded": "Nhiệm vụ được bố trí kinh phí",
    "allocated_vnd": "Kinh phí được phân bổ (đồng)",
    "assigned_vnd": "Trong đó: kế hoạch vốn được cấp có thẩm quyền giao (đồng)",
    "disbursed_vnd": "Đã giải ngân (đồng)",
    "disbursed_percent": "Tỷ lệ giải ngân trên tổng kinh phí được phân bổ",
    "disbursed_of_assigned_percent": "Tỷ lệ giải ngân trên kế hoạch vốn được giao",
    "on_time_of_due": "Tỷ lệ hoàn thành đúng hạn trên số nhiệm vụ đã đến hạn",
    "done_of_all": "Tỷ lệ hoàn thành trên tổng số nhiệm vụ",
    **{f"late_{code}": f"Chậm do: {words.lower()}" for code, words in DELAY_CAUSES.items()},
}
BENCHMARKS: Final = {"national_average": "Bình quân cả nước", "minimum": "Mức tối thiểu"}


# -- numbers and days --------------------------------------------------------------------------------------------------


def number(value: Decimal | int) -> str:
    """1.234 and 1.234,5, as Vietnamese documents write them."""
    return f"{value:,}".translate(str.maketrans(",.", ".,"))


def percent(value: Decimal | None) -> str:
    """98,63 %; a dash where there is nothing to divide by."""
    return NOTHING if value is None else f"{number(value.quantize(Decimal('0.01')))}{_NBSP}%"


def points(value: Decimal) -> str:
    """20 or 12,5: as few decimals as it has."""
    return number(plain(value))


def plain(value: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def day(value: date | None) -> str:
    """14/11/2024."""
    return NOTHING if value is None else f"{value:%d/%m/%Y}"


def long_day(value: date) -> str:
    """`ngày 05 tháng 02 năm 2025`: days below 10 and months below 3 get a zero (Decree 30/2020, annex I)."""
    month = f"{value.month:02d}" if value.month < 3 else str(value.month)
    return f"ngày {value.day:02d} tháng {month} năm {value.year}"


def moment(value: datetime) -> str:
    """17:05 ngày 14/11/2024, local."""
    return f"{value.astimezone(ICT):%H:%M ngày %d/%m/%Y}"


def clean(text: str) -> str:
    """One line of composed characters: no control character gets into a file, and every font knows the letters."""
    if text.isprintable() and unicodedata.is_normalized("NFC", text) and "  " not in text and text == text.strip():
        return text
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if _is_control(one) else one for one in composed).split())


def _is_control(one: str) -> bool:
    # Surrogates and non-characters are no XML either.
    return unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in "\ufffe\uffff"


# -- periods -----------------------------------------------------------------------------------------------------------

_QUARTERS: Final = {"Q1": "quý I", "Q2": "quý II", "Q3": "quý III", "Q4": "quý IV"}
_HALVES: Final = {"H1": "6 tháng đầu", "H2": "6 tháng cuối"}


def period(kind: Kind, period_id: str) -> str:
    """`tháng 11 năm 2024`, `quý IV năm 2024`, `6 tháng cuối năm 2024`, `năm 2024`, `tuần 45 năm 2024`."""
    year, _, rest = period_id.partition("-")
    match kind:
        case Kind.WEEKLY:
            return f"tuần {int(rest[1:])} năm {year}"
        case Kind.MONTHLY:
            return f"tháng {int(rest)} năm {year}"
        case Kind.QUARTERLY:
            return f"{_QUARTERS[rest]} năm {year}"
        case Kind.HALF_YEARLY:
            return f"{_HALVES[rest]} năm {year}"
        case Kind.YEARLY:
            return f"năm {year}"


def short_period(period_id: str) -> str:
    """11/2024, Q4/2024, 2024."""
    year, _, rest = period_id.partition("-")
    return f"{rest}/{year}" if rest else year


def title(content: Content) -> str:
    """What the report is about."""
    return f"Tình hình thực hiện nhiệm vụ được giao {period(content.span.kind, content.span.id)}"


def data_days(content: Content) -> str:
    """Which days the figures are on."""
    if content.provisional:
        return f"tính đến {moment(content.as_of)}; kỳ báo cáo chưa kết thúc"
    return f"tính đến hết {day_words(content.day)}"


def day_words(value: date) -> str:
    """`ngày 14/11/2024`."""
    return f"ngày {day(value)}"


# -- what rows say -----------------------------------------------------------------------------------------------------


def head(title_: str | None, name: str | None) -> str:
    """`Giám đốc Sở Nguyễn Văn A`; what is not known is left out."""
    return " ".join(filter(None, (title_, name)))


def why(row: OverdueRow) -> str:
    """Cause and obstacles of an overdue task."""
    parts = [f"{DELAY_CAUSES[row.delay_cause]}{f': {row.delay_note}' if row.delay_note else ''}"]
    parts += [obstacle(one) for one in row.obstacles]
    if row.state is not State.RUNNING:
        parts.append(STATES[row.state])
    return sentences(parts)


def obstacle(one: ObstacleShown) -> str:
    """What stands in the way, since when, and what became of it."""
    beyond = ", vượt thẩm quyền" if one.beyond_authority else ""
    return f"Vướng mắc: {one.description.rstrip('.')} (nêu {day_words(one.raised_on)}{beyond}; {STAGES[one.stage]})"


def sentences(parts: Iterable[str]) -> str:
    """Joined, each with one full stop."""
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def document(number_: str | None, issued_on: date | None, issuer: str | None) -> str:
    """`Công văn số … ngày …`; without a number what else is known."""
    if issued_on is None:
        return NOTHING
    return " ".join(filter(None, (number_ or "Văn bản chưa có số", day_words(issued_on), issuer and f"của {issuer}")))


def reasons(one: Proposal) -> str:
    """Why, in numbers."""
    said = [reason(each) for each in one.reasons]
    if one.obstructed:
        said.append(f"lưu ý: {one.obstructed} nhiệm vụ quá hạn có khó khăn, vướng mắc chưa giải quyết")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def reason(one: Reason) -> str:
    """One reason with its limit."""
    value, limit = points(one.value), points(one.limit)
    match one.kind:
        case ReasonKind.OVERDUE:
            return f"{value} nhiệm vụ quá hạn chưa hoàn thành (ngưỡng: từ {limit})"
        case ReasonKind.ON_TIME_RATE if one.value < one.limit:
            return f"tỷ lệ đúng hạn {percent(one.value)} của {one.of} nhiệm vụ đến hạn (ngưỡng: dưới {limit} %)"
        case ReasonKind.ON_TIME_RATE:
            return f"tỷ lệ đúng hạn {percent(one.value)} của {one.of} nhiệm vụ đến hạn (ngưỡng: từ {limit} %)"
        case ReasonKind.DAYS_LATE:
            return f"chậm nhất {value} ngày, nhiệm vụ {one.task_id} (ngưỡng: trên {limit} ngày)"
        case ReasonKind.NONE_OVERDUE:
            none = "không có nhiệm vụ quá hạn chưa hoàn thành"
            return none if not one.value else f"{value} nhiệm vụ quá hạn chưa hoàn thành (ngưỡng: đến {limit})"


def compared(content: Content, figure: str) -> str:
    """` (tăng 3 so với kỳ trước)`; nothing where there is nothing to compare with."""
    if content.previous is None:
        return ""
    change: int = getattr(content.figures, figure) - getattr(content.previous, figure)
    if change == 0:
        return " (bằng kỳ trước)"
    return f" ({'tăng' if change > 0 else 'giảm'} {number(abs(change))} so với kỳ trước)"
