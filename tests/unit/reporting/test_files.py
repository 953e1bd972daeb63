"""The files of the report, opened again by other people's readers and held against the JSON content."""

import csv
import io
import json
import re
import unicodedata
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import docx
import openpyxl
import pytest
from docx.enum.section import WD_ORIENT
from openpyxl.worksheet.worksheet import Worksheet
from pypdf import PdfReader

from services.reporting.content_documents import prepared as read_back
from services.reporting.content_documents import prepared_document
from services.reporting.domain.content import Content, Prepared
from services.reporting.domain.figures import Figures
from services.reporting.domain.listing import ObstacleText
from services.reporting.domain.periods import Kind
from services.reporting.files import csv_file, docx_file, json_file, outline, pdf_file, tables, words, xlsx_file
from services.reporting.files.figure_tables import AGENCY_MONEY, AGENCY_TASKS, TOTALS
from services.reporting.files.table import CellKind, Table
from tests.unit.reporting.builders import DECREE_09, a_deadline, a_task, at
from tests.unit.reporting.content_builders import RULES, a_content, a_month, a_text, some_indicators

OCT_19 = a_deadline("2024-10-19")
HOSTILE = (
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "<b>đậm</b> & <img src='file:///etc/passwd'/> <font color=\"[].__class__\">x</font>",
    "</w:t></w:r><w:r><w:t>chen",
    "https://example.com/a?b=1",
    "0012",
    "Giải ngân " + "rất " * 60,
    "khôngcókhoảngtrắng" * 16,
    "Ke\u0302\u0301t qua\u0309 tách rời",
    "mang ký tự\x00\x07 điều\x1b khiển\nxuống dòng",
)


def full(many: int = 0) -> Content:
    """A content with something in every part."""
    return a_content(
        *a_month(many),
        indicators=some_indicators(),
        previous_period="2024-10",
        previous=Figures(done_on_time=3, open_in_time=7, allocated_vnd=10**12, disbursed_vnd=1),
    )


def hostile() -> Content:
    """Titles and obstacles that others wrote to do harm, or without care."""
    tasks = [
        a_text(
            a_task(OCT_19, clause=f"V.{number}", obstacles=a_month()[1].facts.obstacles),
            title,
            obstacles=(ObstacleText(title, False),),
        )
        for number, title in enumerate(HOSTILE)
    ]
    return a_content(*tasks)


def shown(content: Content) -> dict[str, Any]:
    """The JSON content, read again."""
    found: dict[str, Any] = json.loads(json_file.render(content))
    return found


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_json_has_everything_with_the_arithmetic_done() -> None:
    content = full()

    found = shown(content)

    assert found["content_hash"] == content.content_hash
    assert found["figures"]["total"] == 12
    assert found["figures"]["on_time_of_due"] == "42.86"
    assert found["figures"]["allocated_vnd"] == 2_800_000_000
    assert found["overdue"][0]["task"]["task_id"] == "H48/TB-UBND-2024/II.2.g/H48.07"
    assert found["overdue"][0]["legal"] == "2024-10-19"
    assert found["indicators"][0]["percent"] == "0.45"
    assert found["indicators"][2]["percent"] is None
    assert found["proposals"][0]["reasons"][0] == {
        "kind": "overdue",
        "value": "2",
        "limit": "2",
        "of": None,
        "task_id": None,
    }


@pytest.mark.parametrize("make", [full, hostile, a_content])
def test_prepared_content_comes_back_from_the_database_as_it_was(make: Any) -> None:
    content = make()
    prepared = Prepared(1, content, content.content_hash, at("2024-11-15 00:06"))

    found = read_back(prepared_document(prepared))

    assert found == prepared
    assert found.content.content_hash == content.content_hash


def test_largest_prepared_report_fits_into_a_document_of_the_database() -> None:
    """Two thousand rows of the longest texts; MongoDB takes 16 MiB."""
    tasks = [
        a_text(
            a_task(OCT_19, clause=f"V.{number}", obstacles=a_month()[1].facts.obstacles * 3),
            f"{number} " + "Nhiệm vụ " * 32,
            obstacles=tuple(ObstacleText(f"{number}{place} vướng mắc " * 200, True) for place in range(3)),
        )
        for number in range(2_000)
    ]
    content = a_content(*tasks)

    document = prepared_document(Prepared(1, content, "", at("2024-11-15")))

    assert len(content.overdue) == 2_000
    assert len(document["content"]) < 4 * 2**20


# -- CSV ---------------------------------------------------------------------------------------------------------------


def csv_rows(file: bytes) -> list[list[str]]:
    assert file.startswith(b"\xef\xbb\xbf"), "Excel takes a file without a mark for one in an old code page"
    return list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))


def test_csv_by_agency_agrees_with_the_json_cell_by_cell() -> None:
    content = full()
    heading, *rows = csv_rows(csv_file.render(content))
    columns = [*AGENCY_TASKS, *AGENCY_MONEY]

    found = shown(content)
    everyone = [(row["name"], row["figures"]) for row in found["agencies"]]
    expected = [
        [number, name, *("" if figures[one] is None else str(figures[one]) for one in columns)]
        for number, (name, figures) in zip(
            ["1", "2", "3", "4", ""], [*everyone, ("Tỉnh Quảng Ngãi", found["figures"])], strict=True
        )
    ]
    assert rows == expected
    assert heading[:4] == ["STT", "Cơ quan", "Tổng số", "Đã hoàn thành: Đúng hạn"]
    assert all(len(row) == len(heading) for row in rows)


@pytest.mark.parametrize("table", tables.TABLES)
def test_no_cell_of_a_csv_begins_like_a_formula(table: str) -> None:
    """INVARIANT: a title that somebody sends is never calculated on an officer's machine (OWASP, CSV Injection)."""
    for row in csv_rows(csv_file.render(hostile(), table)):
        for cell in row:
            number = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell)
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


def test_csv_keeps_what_a_title_says() -> None:
    titles = {row[3] for row in csv_rows(csv_file.render(hostile(), "overdue"))}

    assert {"'=cmd|'/c calc'!A1", "'+1+1", "'-2+3", "'@SUM(A1:A9)", "'=1+1", "'＝1+1", "0012"} <= titles


# -- XLSX --------------------------------------------------------------------------------------------------------------


def sheets(content: Content) -> dict[str, Worksheet]:
    book = openpyxl.load_workbook(io.BytesIO(xlsx_file.render(content)))
    return {sheet.title: sheet for sheet in book.worksheets}


def cells(sheet: Worksheet, first: int) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in sheet.iter_rows(min_row=first)]


def test_workbook_agrees_with_the_json_cell_by_cell() -> None:
    content = full()
    found, book = shown(content), sheets(content)
    columns = {**AGENCY_TASKS, **AGENCY_MONEY}

    *rows, whole = cells(book["Theo cơ quan"], 6)
    for row, agency in zip([*rows, whole], [*found["agencies"], {"figures": found["figures"]}], strict=True):
        for value, (name, column) in zip(row[2:], columns.items(), strict=True):
            expected = agency["figures"][name]
            if expected is None:
                assert value == words.NOTHING
            elif column.kind is CellKind.PERCENT:
                assert round(value * 100, 2) == float(expected)
            else:
                assert value == expected
    late = cells(book["Quá hạn"], 5)
    assert [(row[1], row[3], row[7].date(), row[8]) for row in late] == [
        (one["task"]["task_id"], one["task"]["title"], date.fromisoformat(one["legal"]), one["days_late"])
        for one in found["overdue"]
    ]
    money = cells(book["Giải ngân"], 6)
    assert [tuple(row[5:8]) for row in money] == [
        (one["allocated_vnd"], one["assigned_vnd"], one["disbursed_vnd"]) for one in found["funded"]
    ]
    totals = {row[0]: row[1] for row in cells(book["Tổng hợp"], 5)}
    assert totals["Tổng số nhiệm vụ"] == found["figures"]["total"]
    assert round(totals[words.FIGURES["on_time_of_due"]] * 100, 2) == float(found["figures"]["on_time_of_due"])


def test_workbook_is_ready_to_print() -> None:
    for name, sheet in sheets(full()).items():
        first = 6 if sheet.merged_cells.ranges else 5
        assert sheet.freeze_panes == f"A{first}", name
        assert sheet.print_title_rows in {f"$4:${first - 1}"}, name
        assert sheet.page_setup.orientation == "landscape", name
        assert sheet.sheet_properties.pageSetUpPr is not None, name
        # As wide as a page, as long as it takes.
        assert (sheet.sheet_properties.pageSetUpPr.fitToPage, sheet.page_setup.fitToHeight) == (True, False), name
        assert all(sheet.column_dimensions[letter].width >= 7 for letter in "AB"), name


def test_workbook_has_no_formula_and_no_link() -> None:
    """INVARIANT: a title that somebody sends is text in the workbook, whatever it begins with."""
    content = hostile()
    titles = []
    for sheet in sheets(content).values():
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                assert cell.hyperlink is None
        titles += [row[3] for row in cells(sheet, 5)] if sheet.title == "Quá hạn" else []

    assert titles == [words.clean(one.task.title) for one in content.overdue]
    assert "=cmd|'/c calc'!A1" in titles
    assert "0012" in titles, "a text of digits stays a text"


# -- DOCX --------------------------------------------------------------------------------------------------------------


def document(content: Content) -> Any:
    return docx.Document(io.BytesIO(docx_file.render(content)))


def all_text(content: Content) -> str:
    """Of the document: paragraphs and cells."""
    opened = document(content)
    parts = [one.text for one in opened.paragraphs]
    for table in opened.tables:
        parts += [cell.text for row in table.rows for cell in row.cells]
    return "\n".join(parts)


def test_document_is_laid_out_by_decree_30() -> None:
    opened = document(full())
    body, *annexes = opened.sections

    sizes = (
        body.page_width,
        body.page_height,
        body.top_margin,
        body.bottom_margin,
        body.left_margin,
        body.right_margin,
    )
    assert [round(size.mm) for size in sizes if size is not None] == [210, 297, 20, 20, 30, 15]
    assert body.orientation == WD_ORIENT.PORTRAIT
    assert [one.orientation for one in annexes] == [WD_ORIENT.LANDSCAPE] * 5
    for section in opened.sections:
        assert section.different_first_page_header_footer
        assert not "".join(one.text for one in section.first_page_header.paragraphs)
        assert "PAGE" in section.header.paragraphs[0]._p.xml
        assert 'w:start="1"' in section._sectPr.xml
    assert (opened.styles["Normal"].font.name, opened.styles["Normal"].font.size.pt) == ("Times New Roman", 14)
    heading = opened.tables[0]
    left, right = ([one.text for one in cell.paragraphs if one.text] for cell in heading.rows[0].cells)
    assert left == ["UBND TỈNH QUẢNG NGÃI", "SỞ THÔNG TIN", "VÀ TRUYỀN THÔNG"]
    assert right == ["CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Độc lập - Tự do - Hạnh phúc"]
    assert [cell.text for cell in heading.rows[1].cells] == [
        "Số:         /BC-STTTT",
        "Quảng Ngãi, ngày 15 tháng 11 năm 2024",
    ]
    assert [one.text for one in opened.paragraphs if one.text][:3] == [
        "BÁO CÁO",
        "Tình hình thực hiện nhiệm vụ được giao tháng 11 năm 2024",
        "Kính gửi: Chủ tịch Ủy ban nhân dân tỉnh",
    ]


def test_tables_of_the_document_repeat_their_heading() -> None:
    for table in document(full()).tables:
        head = "tblHeader" in table._tbl.xml
        assert head == (table.rows[0].cells[0].text in {"Nội dung", "Nguyên nhân", "Mã", "Xếp hạng", "STT"})


def test_document_agrees_with_the_json_cell_by_cell() -> None:
    content = full(40)
    found, opened = shown(content), document(content)
    money = next(one for one in opened.tables if one.rows[0].cells[-1].text == "Đánh giá")
    totals = {row.cells[0].text: row.cells[1].text for row in opened.tables[1].rows}
    late = next(
        [[cell.text for cell in row.cells] for row in one.rows][1:]
        for one in opened.tables
        if len(one.columns) == 10 and "Số ngày chậm" in one.rows[0].cells[8].text
    )

    assert [(row[1], row[7], row[8]) for row in late] == [
        (one["task"]["task_id"], words.day(date.fromisoformat(one["legal"])), str(one["days_late"]))
        for one in found["overdue"]
    ]
    assert [[cell.text for cell in row.cells][5:8] for row in money.rows][2:] == [
        [words.number(one[name]) for name in ("allocated_vnd", "assigned_vnd", "disbursed_vnd")]
        for one in found["funded"]
    ]
    for name, kind in TOTALS.items():
        value = found["figures"][name]
        expected = words.percent(Decimal(value) if value else None) if kind is CellKind.PERCENT else words.number(value)
        assert totals[words.FIGURES[name]] == expected


def test_document_says_what_hostile_titles_say_and_nothing_more() -> None:
    content = hostile()
    text = all_text(content)

    for one in HOSTILE:
        assert words.clean(one) in text
    opened = document(content)
    assert "<w:t>chen" not in opened.element.body.xml.replace("&lt;w:t&gt;chen", "")
    assert not opened.inline_shapes


# -- PDF ---------------------------------------------------------------------------------------------------------------


def pages(content: Content) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf_file.render(content))).pages]


def squeezed(text: str) -> str:
    """Without blanks: lines break anywhere in a cell."""
    return "".join(unicodedata.normalize("NFC", text).split())


def test_pdf_says_what_the_document_says() -> None:
    content = full()
    text = squeezed("".join(pages(content)))

    for block in outline.outline(content).body:
        if not isinstance(block, Table):
            assert squeezed(block.text) in text
    for row in content.overdue:
        for said in (row.task.task_id, row.task.title, words.why(row), words.day(row.legal)):
            assert squeezed(said) in text
    for one in content.funded:
        assert squeezed(words.number(one.allocated_vnd)) in text
    assert squeezed("Chủ tịch Đinh Văn Tư") in text


def test_pdf_embeds_its_letters_and_numbers_its_pages() -> None:
    reader = PdfReader(io.BytesIO(pdf_file.render(full(60))))
    fonts: set[str] = set()
    for page in reader.pages:
        resources: Any = page["/Resources"]
        for font in resources["/Font"].values():
            name = font.get_object()["/BaseFont"]
            if "Tinos" in name:
                assert "/FontFile2" in font.get_object()["/FontDescriptor"].get_object()
            fonts.add(name.partition("+")[2] or name)

    assert any("Tinos" in one for one in fonts)
    first_lines = [page.extract_text().strip().splitlines()[0] for page in reader.pages]
    assert first_lines[:3] == ["UBND TỈNH QUẢNG NGÃI", "2", "3"]
    overdue = next(number for number, line in enumerate(first_lines) if line == "Phụ lục II")
    assert first_lines[overdue + 1 : overdue + 3] == ["2", "3"], "an annex counts its own pages"
    assert reader.metadata is not None
    assert reader.metadata.title == "BÁO CÁO: Tình hình thực hiện nhiệm vụ được giao tháng 11 năm 2024"


def test_pdf_takes_hostile_titles_for_text() -> None:
    """INVARIANT: the PDF library reads mark-up in paragraphs; nothing that somebody sends reaches it as mark-up."""
    text = squeezed("".join(pages(hostile())))

    for one in HOSTILE:
        # The typeface has no wide letters.
        assert squeezed(words.clean(one).replace("＝", "=")) in text


def test_letter_that_the_typeface_has_not_does_no_harm() -> None:
    content = a_content(a_text(a_task(OCT_19), "Số liệu 数据 ① 😀 hết"))

    assert squeezed("Số liệu ?? 1 ? hết") in squeezed("".join(pages(content)))


def test_row_taller_than_a_page_is_split() -> None:
    task = a_task(OCT_19, obstacles=a_month()[1].facts.obstacles * 3)
    text = "Dài " * 100
    content = a_content(a_text(task, "T" * 300, obstacles=(ObstacleText(text, True),) * 3))
    rows = tuple(replace(one, delay_note=text * 12) for one in content.overdue)

    drawn = "".join(pages(replace(content, overdue=rows)))

    assert drawn.count("Dài") == sum(words.why(row).count("Dài") for row in rows) > 1_200


@pytest.mark.parametrize("many", [0, 1, 9, 10, 11, 12, 13, 700])
def test_every_row_is_on_some_page_once(many: int) -> None:
    content = full(many)
    text = squeezed("".join(pages(content)))

    for number in range(many):
        assert text.count(squeezed(f"Nhiệm vụ thứ {number}:")) == 1


# -- all of them -------------------------------------------------------------------------------------------------------

RENDER = {
    "json": json_file.render,
    "csv": csv_file.render,
    "xlsx": xlsx_file.render,
    "docx": docx_file.render,
    "pdf": pdf_file.render,
}


@pytest.mark.parametrize("ending", RENDER)
def test_same_content_is_the_same_file(ending: str) -> None:
    assert RENDER[ending](full()) == RENDER[ending](full())


@pytest.mark.parametrize("ending", RENDER)
def test_empty_report_is_a_file_too(ending: str) -> None:
    assert RENDER[ending](a_content())


def test_empty_report_says_so_and_has_dashes() -> None:
    text = all_text(a_content())

    assert "Không có nhiệm vụ quá hạn chưa hoàn thành." in text
    assert "tỷ lệ hoàn thành trên tổng số nhiệm vụ: –." in text
    assert "Phụ lục" not in text
    assert "Không có cơ quan đến ngưỡng đề nghị chấn chỉnh, phê bình." in text


@pytest.mark.parametrize("make", [all_text, lambda one: "".join(pages(one))])
def test_running_period_is_marked_as_provisional(make: Any) -> None:
    running = make(a_content(*a_month(), now="2024-11-10 10:30"))

    assert "SỐ LIỆU TẠM TÍNH" in running
    assert "10:30 ngày 10/11/2024" in running
    assert "SỐ LIỆU TẠM TÍNH" not in make(a_content(*a_month()))


def test_every_sheet_of_a_running_period_is_marked() -> None:
    for sheet in sheets(a_content(*a_month(), now="2024-11-10 10:30")).values():
        assert str(sheet["A2"].value).startswith("SỐ LIỆU TẠM TÍNH")


def test_what_a_list_leaves_out_is_said() -> None:
    content = a_content(*a_month(20), rules=replace(RULES, rows_max=5))
    said = "Danh sách còn 18 dòng không thể hiện ở đây."

    assert said in all_text(content)
    assert squeezed(said) in squeezed("".join(pages(content)))
    assert said in {row[0] for row in cells(sheets(content)["Quá hạn"], 5)}


def test_files_hold_nothing_of_the_day_they_were_made() -> None:
    with zipfile.ZipFile(io.BytesIO(docx_file.render(full()))) as packed:
        assert {one.date_time for one in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert document(full()).core_properties.created.replace(tzinfo=None) == datetime(2024, 1, 1)  # noqa: DTZ001


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.number(1_234_567), "1.234.567"),
        (words.number(Decimal("1234.5")), "1.234,5"),
        (words.number(-5), "-5"),
        (words.percent(Decimal("98.63")), "98,63\u00a0%"),
        (words.percent(Decimal("0.5")), "0,50\u00a0%"),
        (words.percent(None), "–"),
        (words.points(Decimal("20")), "20"),
        (words.points(Decimal("12.50")), "12,5"),
        (words.points(Decimal("1E+2")), "100"),
        (words.day(date(2024, 2, 5)), "05/02/2024"),
        (words.long_day(date(2025, 2, 5)), "ngày 05 tháng 02 năm 2025"),
        (words.long_day(date(2024, 11, 15)), "ngày 15 tháng 11 năm 2024"),
        (words.long_day(date(2024, 3, 1)), "ngày 01 tháng 3 năm 2024"),
        (words.clean("a\x00b\n c"), "a b c"),
        (words.clean("e\u0302\u0301"), "ế"),
        (words.head("Giám đốc Sở", None), "Giám đốc Sở"),
        (words.head(None, None), ""),
    ],
)
def test_words(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    ("kind", "period", "expected"),
    [
        (Kind.MONTHLY, "2024-11", "tháng 11 năm 2024"),
        (Kind.MONTHLY, "2025-02", "tháng 2 năm 2025"),
        (Kind.QUARTERLY, "2024-Q4", "quý IV năm 2024"),
        (Kind.HALF_YEARLY, "2024-H2", "6 tháng cuối năm 2024"),
        (Kind.YEARLY, "2024", "năm 2024"),
        (Kind.WEEKLY, "2024-W45", "tuần 45 năm 2024"),
    ],
)
def test_period_is_called_as_people_do(kind: Kind, period: str, expected: str) -> None:
    assert words.period(kind, period) == expected
    content = a_content(*a_month(), period=DECREE_09.period(period))
    assert words.title(content).endswith(expected)


def test_every_figure_has_a_name() -> None:
    assert set(TOTALS) <= set(words.FIGURES)
    assert set(Figures.__dataclass_fields__) <= set(words.FIGURES)


@pytest.mark.parametrize("table", tables.TABLES)
def test_tables_have_a_cell_for_every_column(table: str) -> None:
    made = tables.TABLES[table](full())

    assert len(made.name) <= 31
    assert all(len(row.values) == len(made.columns) for row in made.rows)


def test_tables_of_the_document_fit_its_pages() -> None:
    laid_out = outline.outline(full())

    assert all(one.width_mm <= 165 for one in laid_out.body if isinstance(one, Table))
    assert all(one.width_mm <= 252 for annex in laid_out.annexes for one in annex.tables)


def test_long_name_of_an_agency_stands_in_two_lines() -> None:
    content = a_content(*a_month())
    short = replace(content, heading=replace(content.heading, issuer="Sở Nội vụ"))
    one_word = replace(content, heading=replace(content.heading, issuer="X" * 40))

    assert outline.outline(content).issuer_lines == ("SỞ THÔNG TIN", "VÀ TRUYỀN THÔNG")
    assert outline.outline(short).issuer_lines == ("SỞ NỘI VỤ",)
    assert outline.outline(one_word).issuer_lines == ("X" * 40,)
