"""What each cell of a report's files must hold by its JSON content, and readers by other hands that open the files.

Nothing here asks the code that writes the files how a number is written or which row comes where.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, TypeAlias

import docx
import openpyxl
from pypdf import PdfReader

from services.reporting.files import words

DASH: Final = "–"
Content: TypeAlias = Mapping[str, Any]
"""`content.json`."""


@dataclass(frozen=True, slots=True)
class Percent:
    """A rate with two decimals; its change is in points, with its sign."""

    value: Decimal | None
    is_change: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of two counts, with its sign."""

    value: int | None


Cell: TypeAlias = "str | int | Decimal | date | Percent | Change | None"
Rows: TypeAlias = list[list[Cell]]


# -- what must be there ------------------------------------------------------------------------------------------------

_COUNTS: Final = (
    *("total", "done", "done_on_time", "done_late"),
    *("open", "open_in_time", "open_due_soon", "open_overdue", "open_no_deadline"),
)
_RATES: Final = ("on_time_of_due", "done_of_all", "disbursed_percent", "disbursed_of_assigned_percent")
FIGURES: Final = (
    *(*_COUNTS, *_RATES[:2]),
    *("done_without_deadline", "ended_without_result", "days_late", "extended"),
    *("extensions_granted", "extensions_refused", "extensions_pending"),
    *("obstacles_raised", "obstacles_answered", "obstacles_forwarded", "obstacles_cleared", "obstacles_open"),
    *("funded", "allocated_vnd", "assigned_vnd", "disbursed_vnd", *_RATES[2:]),
)
BY_AGENCY: Final = (
    *("total", "done_on_time", "done_late", "open_in_time", "open_due_soon", "open_overdue", "open_no_deadline"),
    *("on_time_of_due", "done_of_all", "days_late", "extensions_granted", "obstacles_open"),
)
MONEY_BY_AGENCY: Final = ("funded", "allocated_vnd", "assigned_vnd", "disbursed_vnd", *_RATES[2:])
CAUSES: Final = ("administrative", "disagreement", "money", "dependency", "external", "other", "unstated")


def expected(content: Content) -> dict[str, Rows]:
    """Table → its rows, by the names that `?table=` takes."""
    return {
        "totals": _totals(content),
        "causes": _causes(content),
        "agencies": _by_agency(content, content["agencies"], (*BY_AGENCY, *MONEY_BY_AGENCY)),
        "overdue": [_overdue(number, one) for number, one in enumerate(content["overdue"], 1)],
        "upcoming": [_upcoming(number, one) for number, one in enumerate(content["upcoming"], 1)],
        "extensions": [_extension(number, one) for number, one in enumerate(content["extensions"], 1)],
        "funded": [_funded(number, one) for number, one in enumerate(content["funded"], 1)],
        "indicators": [_indicator(one) for one in content["indicators"]],
        "indicators_behind": [_behind(one) for one in content["indicators_behind"]],
        "ranking": [_ranked(one) for one in content["ranking"]],
        "proposals": [_proposal(number, one) for number, one in enumerate(content["proposals"], 1)],
    }


def expected_on_paper(content: Content) -> dict[str, Rows]:
    """The same as documents show it: money apart from tasks, commendations apart from corrections."""
    tables = expected(content)
    praised = [one for one in content["proposals"] if one["measure"] == "commend"]
    blamed = [one for one in content["proposals"] if one["measure"] != "commend"]
    with_money = [one for one in content["agencies"] if one["figures"]["funded"] or one["figures"]["disbursed_vnd"]]
    paper: dict[str, Rows] = {
        "totals": tables["totals"],
        "causes": tables["causes"],
        "agencies": _by_agency(content, content["agencies"], BY_AGENCY),
        "agencies_money": _by_agency(content, with_money, MONEY_BY_AGENCY),
        **{name: tables[name] for name in ("overdue", "upcoming", "extensions", "funded", "ranking")},
        **{name: tables[name] for name in ("indicators", "indicators_behind")},
        "corrections": [_proposal(number, one) for number, one in enumerate(blamed, 1)],
        "commendations": [_proposal(number, one) for number, one in enumerate(praised, 1)],
        "amended": [
            [_figure_name(one["figure"]), _decimal(one["before"]), _decimal(one["after"])] for one in content["amended"]
        ],
    }
    return {name: rows for name, rows in paper.items() if rows}


def _totals(content: Content) -> Rows:
    rows: Rows = []
    for name in FIGURES:
        now, before, last_year = (
            _figure(content[part], name) if content[part] is not None else None
            for part in ("figures", "previous", "year_before")
        )
        rows.append([words.FIGURES[name], now, before, _difference(now, before), last_year])
    return rows


def _difference(now: Cell, before: Cell) -> Cell:
    match now, before:
        case Percent(value=Decimal() as after), Percent(value=Decimal() as earlier):
            return Percent(after - earlier, is_change=True)
        case int(), int():
            return Change(now - before)
    return None


def _figure(figures: Mapping[str, Any], name: str) -> Cell:
    return _percent(figures[name]) if name in _RATES else int(figures[name])


def _percent(value: str | None) -> Percent:
    return Percent(Decimal(value) if value is not None else None)


def _decimal(value: str | int | None) -> Decimal | None:
    return Decimal(value) if value is not None else None


def _causes(content: Content) -> Rows:
    figures = content["figures"]
    late = figures["done_late"] + figures["open_overdue"]
    counts = [(words.DELAY_CAUSES[code], figures[f"late_{code}"]) for code in CAUSES if figures[f"late_{code}"]]
    return [[label, count, _share(count, late)] for label, count in [*counts, *([("Cộng", late)] if late else [])]]


def _share(part: int, whole: int) -> Percent:
    return Percent((Decimal(part) * 100 / whole).quantize(Decimal("0.01"), ROUND_HALF_UP))


def _by_agency(content: Content, agencies: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Rows:
    if not agencies:
        return []
    rows: Rows = [
        [number, one["name"], *(_figure(one["figures"], name) for name in names)]
        for number, one in enumerate(agencies, 1)
    ]
    return [*rows, ["", content["province_name"], *(_figure(content["figures"], name) for name in names)]]


def _overdue(number: int, one: Mapping[str, Any]) -> list[Cell]:
    cause = words.DELAY_CAUSES[one["delay_cause"]]
    why = [f"{cause}: {one['delay_note']}" if one["delay_note"] else cause]
    for obstacle in one["obstacles"]:
        beyond = ", vượt thẩm quyền" if obstacle["beyond_authority"] else ""
        stage = {"raised": "chưa được trả lời", "answered": "đã được trả lời", "forwarded": "đã báo cáo cấp trên"}
        raised = f"nêu ngày {_day(obstacle['raised_on'])}{beyond}; {stage[obstacle['stage']]}"
        why.append(f"Vướng mắc: {obstacle['description'].rstrip('.')} ({raised})")
    why.append(_STATES[one["state"]])
    return [
        *_task(number, one["task"]),
        one["task"]["directive_number"],
        one["task"]["agency_name"],
        _head(one),
        date.fromisoformat(one["legal"]),
        one["days_late"],
        _sentences(why),
    ]


_STATES: Final = {
    "running": "",
    "awaiting_review": "Đã nộp kết quả, chờ thẩm định",
    "suspended": "Đang tạm dừng",
}


def _task(number: int, task: Mapping[str, Any]) -> list[Cell]:
    return [number, task["task_id"], task["clause"], task["title"]]


def _head(one: Mapping[str, Any]) -> str | None:
    return " ".join(part for part in (one["head_title"], one["head_name"]) if part) or None


def _sentences(parts: Sequence[str]) -> str:
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _upcoming(number: int, one: Mapping[str, Any]) -> list[Cell]:
    obstacles = f"{one['obstacles']} khó khăn, vướng mắc chưa giải quyết" if one["obstacles"] else ""
    return [
        *_task(number, one["task"]),
        one["task"]["directive_number"],
        one["task"]["agency_name"],
        date.fromisoformat(one["legal"]),
        one["days_left"],
        _sentences([_STATES[one["state"]], obstacles]),
    ]


def _extension(number: int, one: Mapping[str, Any]) -> list[Cell]:
    days = [date.fromisoformat(day) if day else None for day in (one["original_day"], one["old_day"], one["new_day"])]
    issued_on = one["document_issued_on"]
    return [
        *_task(number, one["task"]),
        one["task"]["agency_name"],
        *days,
        one["document_number"],
        date.fromisoformat(issued_on) if issued_on else None,
    ]


def _funded(number: int, one: Mapping[str, Any]) -> list[Cell]:
    return [
        *(number, one["task"]["task_id"], one["task"]["title"], one["task"]["agency_name"], str(one["fiscal_year"])),
        *(one["allocated_vnd"], one["assigned_vnd"], one["disbursed_vnd"]),
        *(_percent(one["disbursed_percent"]), _percent(one["disbursed_of_assigned_percent"])),
        _percent(one["elapsed_percent"]),
        "Có nguy cơ không giải ngân hết" if one["at_risk"] else "",
    ]


def _indicator(one: Mapping[str, Any]) -> list[Cell]:
    compared = [{True: "Đạt mục tiêu", False: "Chưa đạt mục tiêu", None: ""}[one["is_met"]]]
    for mark in one["benchmarks"]:
        label = {"national_average": "Bình quân cả nước", "minimum": "Mức tối thiểu"}[mark["kind"]]
        compared.append(f"{label}: {_on_paper(_percent(mark['percent']))}")
    return [
        *(one["code"], one["title"], _short(one["period"])),
        *(_percent(one["percent"]), _percent(one["at_least_percent"])),
        *(one["agencies"], one["agencies_met"], _sentences(compared)),
    ]


def _behind(one: Mapping[str, Any]) -> list[Cell]:
    return [
        *(one["code"], one["title"], _short(one["period"]), one["agency_name"]),
        *(_percent(one["percent"]), _percent(one["at_least_percent"])),
    ]


def _ranked(one: Mapping[str, Any]) -> list[Cell]:
    rates = (_percent(one["on_time_of_due"]), _percent(one["done_of_all"]))
    return [one["place"], one["agency_name"], one["due"], one["on_time"], *rates, one["overdue"], one["days_late"]]


def _proposal(number: int, one: Mapping[str, Any]) -> list[Cell]:
    measure = {"criticise": "Phê bình", "correct": "Chấn chỉnh", "commend": "Khen thưởng"}[one["measure"]]
    said = [_reason(each) for each in one["reasons"]]
    if one["obstructed"]:
        said.append(f"lưu ý: {one['obstructed']} nhiệm vụ quá hạn có khó khăn, vướng mắc chưa giải quyết")
    text = "; ".join(said)
    return [number, one["agency_name"], _head(one), measure, f"{text[:1].upper()}{text[1:]}."]


def _reason(one: Mapping[str, Any]) -> str:
    value, limit = (_on_paper(Decimal(one[name])) for name in ("value", "limit"))
    match one["kind"]:
        case "overdue":
            return f"{value} nhiệm vụ quá hạn chưa hoàn thành (ngưỡng: từ {limit})"
        case "on_time_rate":
            side = "dưới" if Decimal(one["value"]) < Decimal(one["limit"]) else "từ"
            rate = _on_paper(_percent(one["value"]))
            return f"tỷ lệ đúng hạn {rate} của {one['of']} nhiệm vụ đến hạn (ngưỡng: {side} {limit} %)"
        case "days_late":
            return f"chậm nhất {value} ngày, nhiệm vụ {one['task_id']} (ngưỡng: trên {limit} ngày)"
    assert one["kind"] == "none_overdue", one["kind"]
    if Decimal(one["value"]) == 0:
        return "không có nhiệm vụ quá hạn chưa hoàn thành"
    return f"{value} nhiệm vụ quá hạn chưa hoàn thành (ngưỡng: đến {limit})"


def _short(period: str) -> str:
    year, _, rest = period.partition("-")
    return f"{rest}/{year}" if rest else year


def _day(text: str) -> str:
    return f"{date.fromisoformat(text):%d/%m/%Y}"


def _figure_name(figure: str) -> str:
    part, _, name = figure.rpartition(".")
    beside = {"": "", "previous": "Kỳ trước: ", "year_before": "Cùng kỳ năm trước: ", "indicators": "Chỉ tiêu "}
    return f"{beside[part]}{words.FIGURES.get(name, name)}"


# -- how each file writes a cell ---------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """One line of composed letters."""
    return " ".join("".join(one if one.isprintable() else " " for one in unicodedata.normalize("NFC", text)).split())


def _vietnamese(value: Decimal | int) -> str:
    whole, _, rest = f"{abs(Decimal(value)):f}".partition(".")
    groups = f"{int(whole):,}".replace(",", ".")
    return f"{'-' if value < 0 else ''}{groups}{',' + rest if rest else ''}"


def _on_paper(cell: Cell) -> str:
    """For people: 1.234, 98,63 %, +2, 14/11/2024, and a dash for nothing."""
    match cell:
        case None | Percent(value=None) | Change(value=None):
            return DASH
        case str():
            return _plain(cell)
        case date():
            return f"{cell:%d/%m/%Y}"
        case Percent(value=Decimal() as value, is_change=True):
            return f"{'+' if value > 0 else ''}{_vietnamese(value.quantize(Decimal('0.01')))}"
        case Percent(value=Decimal() as value):
            return f"{_vietnamese(value.quantize(Decimal('0.01')))} %"
        case Change(value=int() as change):
            return f"{'+' if change > 0 else ''}{_vietnamese(change)}"
        case Decimal():
            return _vietnamese(_trimmed(cell))
        case int():
            return _vietnamese(cell)
    raise AssertionError(cell)


def _trimmed(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def _in_csv(cell: Cell) -> str:
    """For programs: 1234, 98.63, 2024-11-14, and nothing for nothing. No text that a spreadsheet would calculate."""
    match cell:
        case None | Percent(value=None) | Change(value=None):
            return ""
        case str():
            text = _plain(cell)
            return f"'{text}" if text.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text
        case Percent() | Change():
            return str(cell.value)
    return str(cell)


def _in_sheet(cell: Cell) -> Any:
    """For spreadsheets: numbers as numbers, shares of one, days as days."""
    match cell:
        case None | Percent(value=None) | Change(value=None):
            return DASH
        case str():
            return _plain(cell)
        case Percent(value=Decimal() as value, is_change=True):
            return value
        case Percent(value=Decimal() as value):
            return value / 100
        case Change():
            return cell.value
    return cell


# -- comparing ---------------------------------------------------------------------------------------------------------


def check_csv(content: Content, table: str, file: bytes) -> int:
    """Every cell of a table's CSV. Returns how many were compared."""
    _, *rows = csv.reader(io.StringIO(file.decode("utf-8-sig"), newline=""))
    wanted = [[_in_csv(cell) for cell in row] for row in expected(content)[table]]
    assert rows == wanted, table
    return sum(map(len, rows))


def check_xlsx(content: Content, file: bytes) -> int:
    """Every cell of every sheet. Returns how many were compared."""
    book = openpyxl.load_workbook(io.BytesIO(file))
    compared = 0
    tables = expected(content)
    assert len(book.worksheets) == len(tables)
    for sheet, (table, wanted) in zip(book.worksheets, _in_order_of(book.sheetnames, tables), strict=True):
        # Title, what the figures are on, a free line; then a heading of one row, or two where columns are grouped.
        first = 6 if sheet.merged_cells.ranges else 5
        rows = list(sheet.iter_rows(min_row=first, max_row=first + len(wanted) - 1)) if wanted else []
        assert len(rows) == len(wanted), table
        for place, (row, cells) in enumerate(zip(rows, wanted, strict=True)):
            found = [_read(cell.value) for cell in row[: len(cells)]]
            assert [_rounded(one) for one in found] == [_rounded(_in_sheet(one)) for one in cells], (table, place)
            compared += len(cells)
        after = [row[0].value for row in sheet.iter_rows(min_row=first + len(wanted))]
        assert len(after) <= 1, f"{table}: rows that the content has not"
    return compared


SHEETS: Final = {
    "Tổng hợp": "totals",
    "Nguyên nhân chậm": "causes",
    "Theo cơ quan": "agencies",
    "Quá hạn": "overdue",
    "Sắp đến hạn": "upcoming",
    "Gia hạn": "extensions",
    "Giải ngân": "funded",
    "Chỉ tiêu": "indicators",
    "Chưa đạt chỉ tiêu": "indicators_behind",
    "Xếp hạng": "ranking",
    "Đề xuất": "proposals",
}


def _in_order_of(names: Sequence[str], tables: Mapping[str, Rows]) -> Iterator[tuple[str, Rows]]:
    for name in names:
        yield SHEETS[name], tables[SHEETS[name]]


def _read(value: Any) -> Any:
    return value.date() if isinstance(value, datetime) else value


def _rounded(value: Any) -> Any:
    """A share of one to a hundredth of a percent, which is all that a report says."""
    if isinstance(value, float | Decimal):
        return Decimal(str(value)).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return Decimal(value).quantize(Decimal("0.0001")) if isinstance(value, int) else value


_MARKS: Final = {
    "Kỳ này": "totals",
    "Số nhiệm vụ": "causes",
    "Vướng mắc": "agencies",
    "Số nhiệm vụ có kinh phí": "agencies_money",
    "Nguyên nhân, khó khăn, vướng mắc": "overdue",
    "Số ngày còn lại": "upcoming",
    "Sau gia hạn": "extensions",
    "Đánh giá": "funded",
    "So sánh": "indicators",
    "Xếp hạng": "ranking",
    "Căn cứ": "corrections",
    "Trước": "amended",
}
"""A label that only one table's heading has."""


def check_docx(content: Content, file: bytes) -> int:
    """Every cell of every table. Returns how many were compared."""
    wanted = expected_on_paper(content)
    found = dict(_docx_tables(file, has_corrections="corrections" in wanted))
    assert found.keys() == wanted.keys()
    for table, rows in wanted.items():
        assert found[table] == [[_on_paper(cell).replace("\u00a0", " ") for cell in row] for row in rows], table
    return sum(len(row) for rows in wanted.values() for row in rows)


def _docx_tables(file: bytes, *, has_corrections: bool) -> Iterator[tuple[str, list[list[str]]]]:
    seen: set[str] = set()
    for table in docx.Document(io.BytesIO(file)).tables:
        # The library's own cells take time that grows with the square of the rows.
        every = [
            (row.find(f".//{_W}tblHeader") is not None, [_text(cell) for cell in row.findall(f"{_W}tc")])
            for row in table._tbl.findall(f"{_W}tr")
        ]
        labels = {label for is_head, cells in every if is_head for label in cells}
        if not labels:
            continue  # the letterhead and the signature
        name = next((table for mark, table in _MARKS.items() if mark in labels), "indicators_behind")
        if name == "corrections" and (name in seen or not has_corrections):
            name = "commendations"
        seen.add(name)
        yield name, [[cell.replace("\u00a0", " ") for cell in cells] for is_head, cells in every if not is_head]


def _text(cell: Any) -> str:
    return "".join(one.text or "" for one in cell.iter(f"{_W}t"))


_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def check_pdf(content: Content, file: bytes) -> int:
    """Every cell of every table, found as text of its own, row after row. Returns how many were compared."""
    pieces = [_squeezed(one) for one in _pieces(file)]
    compared = 0
    for table, rows in expected_on_paper(content).items():
        at = 0
        for place, row in enumerate(rows):
            cells = [_squeezed(_on_paper(cell)) for cell in row]
            end = next((end for start in range(at, len(pieces)) if (end := _taken(pieces, start, cells))), None)
            assert end is not None, (table, place, row)
            at = end
            compared += len(cells)
    return compared


def _pieces(file: bytes) -> Iterator[str]:
    """What the PDF draws in one go, in order: a line of a cell is never joined with another cell's."""
    found: list[str] = []

    def visit(text: str, *_: Any) -> None:
        found.extend(line for line in text.splitlines() if line.strip())

    for page in PdfReader(io.BytesIO(file)).pages:
        page.extract_text(visitor_text=visit)
    yield from found


def _squeezed(text: str) -> str:
    """Without blanks: a cell's lines break anywhere. The typeface has no wide letters."""
    return "".join(unicodedata.normalize("NFC", text).replace("＝", "=").split())


def _taken(pieces: Sequence[str], start: int, cells: Sequence[str]) -> int | None:
    """Where the pieces end that make up these cells, one after the other; None where they do not."""
    at = start
    for cell in cells:
        got = ""
        while got != cell:
            if at >= len(pieces) or not cell.startswith(got + pieces[at]):
                return None
            got += pieces[at]
            at += 1
    return at
