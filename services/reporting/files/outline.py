"""The report as a document: heading, sections, tables, annexes. Word and PDF lay out the same outline.

Layout and parts follow Decree 30/2020/NĐ-CP, annex I; which sections there are follows from what the province asks of
the standing agency: figures, what is overdue and why, what comes, money, indicators, and what is proposed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from services.reporting.domain.content import Content
from services.reporting.domain.content_rules import Measure
from services.reporting.files import figure_tables, standing_tables, task_tables, words
from services.reporting.files.table import Table

COUNTRY: Final = "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM"
MOTTO: Final = "Độc lập - Tự do - Hạnh phúc"
KIND: Final = "BÁO CÁO"
NUMBER_BLANK: Final = "        "
"""Where the number is written when the document is signed."""
LETTERHEAD_CHARACTERS_MAX: Final = 24
"""So many capitals fit beside the country's name."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading inside the text; level 1 is I, II, III, level 2 is 1, 2, 3."""

    text: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: str


Block: TypeAlias = Section | Paragraph | Table


@dataclass(frozen=True, slots=True)
class Annex:
    """Tables too wide or too long for the text, on pages of their own, turned round."""

    number: str
    title: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A document."""

    parent: str
    issuer: str
    symbol: str
    place_and_day: str
    about: str
    provisional: str
    """A line that says so; empty for a closed period."""
    addressees: tuple[str, ...]
    body: tuple[Block, ...]
    recipients: tuple[str, ...]
    signer_title: str
    signer_name: str
    annexes: tuple[Annex, ...]

    @property
    def number(self) -> str:
        """Số, with room for the number itself."""
        return f"Số: {NUMBER_BLANK}/{self.symbol}"

    @property
    def issuer_lines(self) -> tuple[str, ...]:
        """In capitals; a long name in two lines of about the same length."""
        words_ = self.issuer.upper().split()
        if len(self.issuer) <= LETTERHEAD_CHARACTERS_MAX:
            return (" ".join(words_),)
        halves = [(" ".join(words_[:place]), " ".join(words_[place:])) for place in range(1, len(words_))]
        return min(halves, key=lambda half: abs(len(half[0]) - len(half[1])), default=(self.issuer.upper(),))

    def annexed_to(self) -> str:
        """What stands under each annex's title."""
        day = self.place_and_day.partition(", ")[2]
        return f"(Kèm theo Báo cáo số {NUMBER_BLANK}/{self.symbol} {day} của {self.issuer})"


def outline(content: Content) -> Outline:
    """Lay a content out."""
    heading = content.heading
    annexes = _annexes(content)
    numbers = {key: one.number for key, one in annexes.items()}
    return Outline(
        parent=words.clean(heading.parent).upper(),
        issuer=words.clean(heading.issuer),
        symbol=words.clean(heading.symbol),
        place_and_day=f"{words.clean(heading.place)}, {words.long_day(heading.dated_on)}",
        about=words.title(content),
        provisional=f"{words.PROVISIONAL} ({words.data_days(content)})" if content.provisional else "",
        addressees=tuple(map(words.clean, heading.addressees)),
        body=tuple(_body(content, numbers)),
        recipients=tuple(map(words.clean, heading.recipients)),
        signer_title=words.clean(heading.signer_title).upper(),
        signer_name=words.clean(heading.signer_name or ""),
        annexes=tuple(annexes.values()),
    )


# -- annexes -----------------------------------------------------------------------------------------------------------

_ROMAN: Final = ("I", "II", "III", "IV", "V")


def _annexes(content: Content) -> Mapping[str, Annex]:
    """Those that have something in them, numbered in order."""
    parts: dict[str, Sequence[Table]] = {
        "agencies": (figure_tables.agencies(content), figure_tables.agencies_money(content)),
        "overdue": (task_tables.overdue(content),),
        "upcoming": (task_tables.upcoming(content),),
        "extensions": (task_tables.extensions(content),),
        "funded": (task_tables.funded(content),),
    }
    filled = {key: some for key, every in parts.items() if (some := tuple(one for one in every if one.rows))}
    return {
        key: Annex(number, some[0].title, some) for number, (key, some) in zip(_ROMAN, filled.items(), strict=False)
    }


# -- the text ----------------------------------------------------------------------------------------------------------

_Numbers: TypeAlias = Mapping[str, str]
"""Annex → its number."""


def _body(content: Content, annexes: _Numbers) -> Iterator[Block]:
    yield from _opening(content)
    yield Section("I. KẾT QUẢ THỰC HIỆN NHIỆM VỤ")
    yield from _results(content, annexes)
    yield Section("II. NHIỆM VỤ QUÁ HẠN VÀ SẮP ĐẾN HẠN")
    yield from _late(content, annexes)
    yield from _near(content, annexes)
    yield Section("III. GIA HẠN; KHÓ KHĂN, VƯỚNG MẮC")
    yield from _extensions_and_obstacles(content, annexes)
    yield Section("IV. GIẢI NGÂN KINH PHÍ")
    yield from _money(content, annexes)
    yield Section("V. KẾT QUẢ THỰC HIỆN CÁC CHỈ TIÊU")
    yield from _indicators(content)
    yield Section("VI. XẾP HẠNG VÀ ĐỀ XUẤT")
    yield from _ranking(content)
    yield from _proposals(content)
    to = ", ".join(map(words.clean, content.heading.addressees))
    period = words.period(content.span.kind, content.span.id)
    yield Paragraph(
        f"Trên đây là báo cáo tình hình thực hiện nhiệm vụ được giao {period}, "
        f"{words.clean(content.heading.issuer)} kính báo cáo {to} xem xét, chỉ đạo./."
    )


def _opening(content: Content) -> Iterator[Block]:
    span = content.span
    regime = words.clean(span.regime_name)
    yield Paragraph(
        f"Thực hiện {regime[:1].lower()}{regime[1:]} theo {words.clean(span.citation)}, "
        f"{words.clean(content.heading.issuer)} báo cáo tình hình các cơ quan, đơn vị, địa phương thực hiện nhiệm vụ "
        f"được giao {words.period(span.kind, span.id)}. Kỳ báo cáo từ {words.day_words(span.starts_on)} đến hết "
        f"{words.day_words(span.cut_off_on)}; số liệu lũy kế, {words.data_days(content)}; đúng hạn hay quá hạn được "
        "xác định theo thời điểm tiếp nhận kết quả."
    )
    if content.amended or content.late_facts:
        yield Paragraph(
            f"Số liệu đã được điều chỉnh so với bản trước do có {words.number(content.late_facts)} thông tin tiếp nhận "
            "trong kỳ nhưng được ghi nhận sau khi chốt số liệu."
        )
    if content.amended:
        yield figure_tables.amended(content)
    if not content.lists_agree:
        listed = len(content.overdue) + content.overdue_left_out
        yield Paragraph(
            "Lưu ý: danh sách nhiệm vụ và số liệu tổng hợp được lập tại hai thời điểm khác nhau, có thể chênh lệch "
            f"({words.number(listed)} nhiệm vụ quá hạn trong danh sách, {words.number(content.figures.open_overdue)} "
            "theo số liệu tổng hợp)."
        )


def _results(content: Content, annexes: _Numbers) -> Iterator[Block]:
    one, n = content.figures, words.number
    total, done = words.compared(content, "total"), words.compared(content, "done")
    yield Paragraph(
        f"Tổng số nhiệm vụ được giao: {n(one.total)}{total}. Trong đó: đã hoàn thành {n(one.done)}{done}, gồm "
        f"{n(one.done_on_time)} đúng hạn, {n(one.done_late)} quá hạn; chưa hoàn thành {n(one.open)}, gồm "
        f"{n(one.open_in_time)} trong hạn, {n(one.open_due_soon)} sắp đến hạn, {n(one.open_overdue)} quá hạn, "
        f"{n(one.open_no_deadline)} chưa có thời hạn."
    )
    earlier = "; ".join(
        f"{label}: {words.percent(figures.on_time_of_due)} và {words.percent(figures.done_of_all)}"
        for label, figures in (("kỳ trước", content.previous), ("cùng kỳ năm trước", content.year_before))
        if figures is not None
    )
    yield Paragraph(
        f"Tỷ lệ hoàn thành đúng hạn trên số nhiệm vụ đã đến hạn: {words.percent(one.on_time_of_due)}; tỷ lệ hoàn "
        f"thành trên tổng số nhiệm vụ: {words.percent(one.done_of_all)}{f' ({earlier})' if earlier else ''}."
        f"{_detailed(annexes, 'agencies', ' Chi tiết theo từng cơ quan tại')}"
    )
    yield figure_tables.totals(content)


def _detailed(annexes: _Numbers, key: str, words_before: str) -> str:
    return f"{words_before} Phụ lục {annexes[key]}." if key in annexes else ""


def _late(content: Content, annexes: _Numbers) -> Iterator[Block]:
    figures = content.figures
    if figures.open_overdue:
        agencies = sum(bool(row.figures.open_overdue) for row in content.agencies)
        yield Paragraph(
            f"Có {words.number(figures.open_overdue)} nhiệm vụ quá hạn chưa hoàn thành"
            f"{words.compared(content, 'open_overdue')} tại {words.number(agencies)} cơ quan."
            f"{_detailed(annexes, 'overdue', ' Danh sách, người đứng đầu, số ngày chậm và nguyên nhân tại')}"
        )
    else:
        yield Paragraph("Không có nhiệm vụ quá hạn chưa hoàn thành.")
    if figures.late:
        yield Paragraph(
            f"Tính cả nhiệm vụ đã hoàn thành quá hạn, có {words.number(figures.late)} nhiệm vụ chậm, tổng cộng "
            f"{words.number(figures.days_late)} ngày, do các nguyên nhân:"
        )
        yield figure_tables.causes(content)


def _near(content: Content, annexes: _Numbers) -> Iterator[Block]:
    near = len(content.upcoming) + content.upcoming_left_out
    days = (content.upcoming_until - content.day).days
    until = f"trong {days} ngày tới, đến {words.day_words(content.upcoming_until)}"
    if near:
        listed = _detailed(annexes, "upcoming", " Danh sách tại")
        yield Paragraph(f"Có {words.number(near)} nhiệm vụ đến hạn {until}.{listed}")
    else:
        yield Paragraph(f"Không có nhiệm vụ đến hạn {until}.")


def _extensions_and_obstacles(content: Content, annexes: _Numbers) -> Iterator[Block]:
    one, n = content.figures, words.number
    in_period = len(content.extensions) + content.extensions_left_out
    listed = f"{n(in_period)} lượt trong kỳ" if in_period else "không có lượt nào trong kỳ"
    yield Paragraph(
        f"Đến nay có {n(one.extended)} nhiệm vụ được gia hạn với {n(one.extensions_granted)} lượt, {listed}; "
        f"{n(one.extensions_refused)} đề nghị không được chấp thuận, {n(one.extensions_pending)} đề nghị đang chờ "
        f"quyết định.{_detailed(annexes, 'extensions', ' Các lượt gia hạn trong kỳ và văn bản gia hạn tại')}"
    )
    yield Paragraph(
        f"Các cơ quan đã nêu {n(one.obstacles_raised)} khó khăn, vướng mắc: {n(one.obstacles_answered)} đã được trả "
        f"lời, {n(one.obstacles_forwarded)} đã báo cáo cấp trên, {n(one.obstacles_cleared)} đã giải quyết; còn "
        f"{n(one.obstacles_open)} chưa giải quyết ở các nhiệm vụ chưa hoàn thành."
    )


def _money(content: Content, annexes: _Numbers) -> Iterator[Block]:
    one, n = content.figures, words.number
    if not one.allocated_vnd and not one.funded:
        yield Paragraph("Không có nhiệm vụ được bố trí kinh phí.")
        return
    yield Paragraph(
        f"Có {n(one.funded)} nhiệm vụ được bố trí kinh phí, tổng số {n(one.allocated_vnd)} đồng, trong đó kế hoạch vốn "
        f"được cấp có thẩm quyền giao {n(one.assigned_vnd)} đồng. Đã giải ngân {n(one.disbursed_vnd)} đồng, đạt "
        f"{words.percent(one.disbursed_percent)} kinh phí được phân bổ và "
        f"{words.percent(one.disbursed_of_assigned_percent)} kế hoạch vốn được giao."
        f"{_detailed(annexes, 'funded', ' Chi tiết tại')}"
    )
    found = f"Có {n(content.funded_at_risk)}" if content.funded_at_risk else "Không có"
    yield Paragraph(
        f"{found} nhiệm vụ có nguy cơ không giải ngân hết (tỷ lệ giải ngân thấp hơn tỷ lệ "
        f"{words.COUNTED_FROM[content.at_risk_counted_from]} đã qua từ {words.points(content.at_risk_behind_points)} "
        "điểm phần trăm trở lên)."
    )


def _indicators(content: Content) -> Iterator[Block]:
    if not content.indicators:
        yield Paragraph("Chưa có cơ quan báo cáo chỉ tiêu.")
        return
    met = sum(one.is_met is True for one in content.indicators)
    aimed = sum(one.is_met is not None for one in content.indicators)
    yield Paragraph(
        f"Có {words.number(len(content.indicators))} chỉ tiêu có số liệu; {words.number(met)}/{words.number(aimed)} "
        "chỉ tiêu có mục tiêu chung đạt mục tiêu."
    )
    yield standing_tables.indicators(content)
    if content.indicators_behind:
        yield Paragraph("Các cơ quan chưa đạt mục tiêu:")
        yield standing_tables.indicators_behind(content)


def _ranking(content: Content) -> Iterator[Block]:
    yield Section("1. Xếp hạng", 2)
    judged = sum(one.place is not None for one in content.ranking)
    yield Paragraph(
        f"{words.number(judged)} cơ quan có nhiệm vụ đến hạn được xếp hạng theo tỷ lệ hoàn thành đúng hạn; bằng nhau "
        "thì lần lượt xét số nhiệm vụ đang quá hạn, số ngày chậm, tỷ lệ hoàn thành. Cơ quan chưa có nhiệm vụ đến hạn "
        "không xếp hạng."
    )
    if content.ranking:
        yield standing_tables.ranking(content)


def _proposals(content: Content) -> Iterator[Block]:
    yield Section("2. Đề xuất", 2)
    if content.provisional:
        yield Paragraph("Các đề xuất dưới đây tính trên số liệu tạm tính, chưa phải đề xuất chính thức.")
    if content.of(Measure.CRITICISE, Measure.CORRECT):
        yield Paragraph("Theo ngưỡng đã quy định, đề nghị xem xét phê bình, chấn chỉnh:")
        yield standing_tables.corrections(content)
    else:
        yield Paragraph("Không có cơ quan đến ngưỡng đề nghị chấn chỉnh, phê bình.")
    if content.of(Measure.COMMEND):
        yield Paragraph("Đề nghị xem xét khen thưởng:")
        yield standing_tables.commendations(content)
    else:
        yield Paragraph("Không có cơ quan đủ điều kiện đề nghị khen thưởng.")
