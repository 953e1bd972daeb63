"""The report as a Word document, laid out as Decree 30/2020/NĐ-CP, annex I, asks: for officers to review and sign."""

import io
import zipfile
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from docx import Document
from docx.document import Document as Docx
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.section import Section as DocxSection
from docx.shared import Length, Mm, Pt
from docx.table import Table as DocxTable
from docx.table import _Cell
from docx.text.paragraph import Paragraph as DocxParagraph

from services.reporting.domain.content import Content
from services.reporting.files import outline as parts
from services.reporting.files import words
from services.reporting.files.outline import Annex, Outline, Paragraph, Section
from services.reporting.files.table import CellKind, Table, is_number, left_out, text_of

FONT: Final = "Times New Roman"
_BODY, _TABLE, _ANNEX_TABLE = Pt(14), Pt(11), Pt(9.5)
_LEFT, _CENTER, _RIGHT = WD_ALIGN_PARAGRAPH.LEFT, WD_ALIGN_PARAGRAPH.CENTER, WD_ALIGN_PARAGRAPH.RIGHT
_MARGINS: Final = {"top_margin": Mm(20), "bottom_margin": Mm(20), "left_margin": Mm(30), "right_margin": Mm(15)}
_TWIPS_PER_MM: Final = 56.6929
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
FIXED: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - a document's properties have no zone


def render(content: Content) -> bytes:
    """The whole document. The same content is the same file."""
    laid_out = parts.outline(content)
    document = Document()
    _styles(document)
    document.core_properties.title = f"{parts.KIND}: {laid_out.about}"
    document.core_properties.author = laid_out.issuer
    document.core_properties.comments = f"{content.province}/{content.span.id}; {content.content_hash}"
    document.core_properties.created = document.core_properties.modified = FIXED
    _page(document.sections[0], laid_out)
    _heading(document, laid_out)
    _body(document, laid_out)
    _signature(document, laid_out)
    for annex in laid_out.annexes:
        _annex(document, annex, laid_out)
    file = io.BytesIO()
    document.save(file)
    return _undated(file.getvalue())


def _undated(file: bytes) -> bytes:
    """The same package without the time at which it was packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, _EPOCH), old.read(name), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


# -- pages -------------------------------------------------------------------------------------------------------------


def _styles(document: Docx) -> None:
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = FONT, _BODY
    fonts = normal.element.rPr.rFonts
    for script in ("w:ascii", "w:hAnsi", "w:cs", "w:eastAsia"):
        fonts.set(qn(script), FONT)
    language = OxmlElement("w:lang")
    language.set(qn("w:val"), "vi-VN")
    normal.element.rPr.append(language)
    normal.paragraph_format.space_before = normal.paragraph_format.space_after = Pt(0)
    normal.paragraph_format.line_spacing = 1.0


def _page(section: DocxSection, laid_out: Outline, *, is_landscape: bool = False) -> None:
    """A4, page numbers in the middle of the top margin, none on the first page."""
    section.orientation = WD_ORIENT.LANDSCAPE if is_landscape else WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = (Mm(297), Mm(210)) if is_landscape else (Mm(210), Mm(297))
    for name, value in _MARGINS.items():
        setattr(section, name, value)
    section.header_distance = Mm(10)
    section.different_first_page_header_footer = True
    section.first_page_header.is_linked_to_previous = section.header.is_linked_to_previous = False
    number = section.header.paragraphs[0]
    number.alignment = _CENTER
    for kind, text in (("begin", None), (None, "PAGE"), ("end", None)):
        run = number.add_run()
        run.font.size = Pt(13)
        if kind is not None:
            mark = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
        else:
            mark = OxmlElement("w:instrText")
            mark.text = text
        run._r.append(mark)
    if laid_out.provisional:
        marked = section.header.add_paragraph().add_run(words.PROVISIONAL)
        marked.font.size, marked.bold = Pt(9), True
        section.header.paragraphs[-1].alignment = _CENTER
    # Each annex has pages of its own. A new section begins as a copy of the one before.
    settings = section._sectPr
    for old in settings.findall(qn("w:pgNumType")):
        settings.remove(old)
    counted = OxmlElement("w:pgNumType")
    counted.set(qn("w:start"), "1")
    settings.insert_element_before(counted, "w:cols", "w:titlePg", "w:docGrid")


# -- paragraphs --------------------------------------------------------------------------------------------------------


def _say(
    where: Docx | _Cell,
    text: str,
    *,
    size: Length = _BODY,
    is_bold: bool = False,
    is_italic: bool = False,
    align: WD_ALIGN_PARAGRAPH = _LEFT,
    after: float = 0,
    first: DocxParagraph | None = None,
) -> DocxParagraph:
    """A paragraph in one style. `first`: the empty one that a cell begins with."""
    paragraph = first if first is not None else where.add_paragraph()
    run = paragraph.add_run(text)
    run.font.size, run.bold, run.italic = size, is_bold, is_italic
    paragraph.alignment = align
    paragraph.paragraph_format.space_after = Pt(after)
    return paragraph


def _rule(where: Docx | _Cell, side_mm: float, after: float = 6) -> None:
    """A line in the middle, so far from either side."""
    paragraph = where.add_paragraph()
    paragraph.paragraph_format.left_indent = paragraph.paragraph_format.right_indent = Mm(side_mm)
    paragraph.paragraph_format.line_spacing = Pt(2)
    paragraph.paragraph_format.space_after = Pt(after)
    _border(paragraph, ("bottom",))


def _border(paragraph: DocxParagraph, sides: Iterable[str]) -> None:
    borders = OxmlElement("w:pBdr")
    for side in sides:
        line = OxmlElement(f"w:{side}")
        for name, value in (("val", "single"), ("sz", "6"), ("space", "1"), ("color", "000000")):
            line.set(qn(f"w:{name}"), value)
        borders.append(line)
    # Where the schema wants it: after what keeps paragraphs together, before spacing and indents.
    paragraph._p.get_or_add_pPr().insert_element_before(borders, "w:shd", "w:spacing", "w:ind", "w:jc")


def _heading(document: Docx, laid_out: Outline) -> None:
    table = document.add_table(rows=2, cols=2)
    _widths(table, 67, 98)
    left, right = table.rows[0].cells
    _say(left, laid_out.parent, size=Pt(12), align=_CENTER, first=left.paragraphs[0])
    for line in laid_out.issuer_lines:
        _say(left, line, size=Pt(12), is_bold=True, align=_CENTER)
    _rule(left, 20)
    _say(right, parts.COUNTRY, size=Pt(12), is_bold=True, align=_CENTER, first=right.paragraphs[0])
    _say(right, parts.MOTTO, size=Pt(13), is_bold=True, align=_CENTER)
    _rule(right, 20)
    left, right = table.rows[1].cells
    _say(left, laid_out.number, size=Pt(13), align=_CENTER, first=left.paragraphs[0])
    _say(right, laid_out.place_and_day, size=Pt(13), is_italic=True, align=_CENTER, first=right.paragraphs[0])
    _say(document, parts.KIND, is_bold=True, align=_CENTER).paragraph_format.space_before = Pt(14)
    _say(document, laid_out.about, is_bold=True, align=_CENTER)
    _rule(document, 62, after=8)
    if laid_out.provisional:
        framed = _say(document, laid_out.provisional, size=Pt(13), is_bold=True, align=_CENTER, after=8)
        _border(framed, ("top", "left", "bottom", "right"))
    if len(laid_out.addressees) == 1:
        _say(document, f"Kính gửi: {laid_out.addressees[0]}", align=_CENTER, after=8)
        return
    _say(document, "Kính gửi:").paragraph_format.left_indent = Mm(40)
    for number, one in enumerate(laid_out.addressees, start=1):
        end = "." if number == len(laid_out.addressees) else ";"
        addressee = _say(document, f"- {one}{end}", after=8 if end == "." else 0)
        addressee.paragraph_format.left_indent = Mm(55)


def _widths(table: DocxTable, *widths_mm: int) -> None:
    """Both are needed: some programs read the columns, others the cells."""
    table.autofit = False
    for column, width in zip(table.columns, widths_mm, strict=True):
        column.width = Mm(width)
        for cell in column.cells:
            cell.width = Mm(width)


def _body(document: Docx, laid_out: Outline) -> None:
    for block in laid_out.body:
        match block:
            case Section():
                heading = _say(document, block.text, is_bold=True, after=4)
                heading.paragraph_format.space_before = Pt(6)
                heading.paragraph_format.first_line_indent = Mm(10)
                heading.paragraph_format.keep_with_next = True
            case Paragraph():
                text = _say(document, block.text, align=WD_ALIGN_PARAGRAPH.JUSTIFY, after=6)
                text.paragraph_format.first_line_indent = Mm(10)
                text.paragraph_format.line_spacing = 1.1
            case _:
                _table(document, block, _TABLE)


def _signature(document: Docx, laid_out: Outline) -> None:
    table = document.add_table(rows=1, cols=2)
    _widths(table, 80, 85)
    left, right = table.rows[0].cells
    _say(left, "Nơi nhận:", size=Pt(12), is_bold=True, is_italic=True, first=left.paragraphs[0])
    for number, one in enumerate(laid_out.recipients, start=1):
        end = "." if number == len(laid_out.recipients) else ";"
        _say(left, f"- {one}{end}", size=Pt(11))
    _say(right, laid_out.signer_title, is_bold=True, align=_CENTER, first=right.paragraphs[0], after=84)
    _say(right, laid_out.signer_name, is_bold=True, align=_CENTER)
    _keep_whole(table.rows[0]._tr)


def _keep_whole(row: Any) -> None:
    row.get_or_add_trPr().append(OxmlElement("w:cantSplit"))


def _annex(document: Docx, annex: Annex, laid_out: Outline) -> None:
    _page(document.add_section(WD_SECTION.NEW_PAGE), laid_out, is_landscape=True)
    # The paragraph that ends the section before must not need a page of its own.
    document.paragraphs[-1].paragraph_format.line_spacing = Pt(1)
    _say(document, f"Phụ lục {annex.number}", is_bold=True, align=_CENTER)
    _say(document, annex.title.upper(), is_bold=True, align=_CENTER)
    _say(document, laid_out.annexed_to(), size=Pt(13), is_italic=True, align=_CENTER)
    _rule(document, 105, after=8)
    if laid_out.provisional:
        _say(document, laid_out.provisional, size=Pt(12), is_bold=True, align=_CENTER, after=6)
    for number, table in enumerate(annex.tables):
        if number:
            _say(document, table.title, size=Pt(12), is_bold=True, after=4).paragraph_format.keep_with_next = True
        _table(document, table, _ANNEX_TABLE)


# -- tables ------------------------------------------------------------------------------------------------------------
#
# Written as XML: the library's own cells take time that grows with the square of the rows.


def _table(document: Docx, table: Table, size: Length) -> None:
    widths = [round(column.width_mm * _TWIPS_PER_MM) for column in table.columns]
    grid = "".join(f"<w:gridCol w:w='{width}'/>" for width in widths)
    made = parse_xml(
        f"<w:tbl {nsdecls('w')}><w:tblPr><w:tblW w:w='{sum(widths)}' w:type='dxa'/><w:jc w:val='center'/>"
        f"<w:tblBorders>{''.join(_BORDERS)}</w:tblBorders><w:tblLayout w:type='fixed'/>"
        "<w:tblCellMar><w:left w:w='57' w:type='dxa'/><w:right w:w='57' w:type='dxa'/></w:tblCellMar></w:tblPr>"
        f"<w:tblGrid>{grid}</w:tblGrid></w:tbl>"
    )
    half_points = round(size.pt * 2)
    for row in _head_rows(table, widths, half_points):
        made.append(parse_xml(row))
    for line in table.rows:
        cells = "".join(
            _cell(text_of(kind, value), width, _ALIGNED[_side(kind)], half_points, is_bold=line.is_bold)
            for kind, value, width in zip(table.kinds(line), line.values, widths, strict=True)
        )
        made.append(parse_xml(f"<w:tr {nsdecls('w')}><w:trPr><w:cantSplit/></w:trPr>{cells}</w:tr>"))
    document.element.body.insert_element_before(made, "w:sectPr")
    after = _say(document, left_out(table) if table.left_out else table.note, size=Pt(11), is_italic=True, after=6)
    if not after.text:
        after.paragraph_format.line_spacing = Pt(4)


_BORDERS: Final = tuple(
    f"<w:{side} w:val='single' w:sz='4' w:space='0' w:color='000000'/>"
    for side in ("top", "left", "bottom", "right", "insideH", "insideV")
)
_ALIGNED: Final = {_LEFT: "left", _CENTER: "center", _RIGHT: "right"}


def _side(kind: CellKind) -> WD_ALIGN_PARAGRAPH:
    if kind in {CellKind.DAY, CellKind.PLACE}:
        return _CENTER
    return _RIGHT if is_number(kind) else _LEFT


def _head_rows(table: Table, widths: list[int], half_points: int) -> list[str]:
    """One row, or two where columns are grouped; repeated on every page."""
    begin = f"<w:tr {nsdecls('w')}><w:trPr><w:cantSplit/><w:tblHeader/></w:trPr>"
    if not table.has_groups:
        cells = (
            _cell(column.label, width, "center", half_points, is_bold=True)
            for column, width in zip(table.columns, widths, strict=True)
        )
        return [f"{begin}{''.join(cells)}</w:tr>"]
    upper, lower = [], []
    for label, first, last in table.groups():
        if not label:
            alone = table.columns[first].label
            upper.append(
                _cell(alone, widths[first], "center", half_points, "<w:vMerge w:val='restart'/>", is_bold=True)
            )
            lower.append(_cell("", widths[first], "center", half_points, "<w:vMerge/>", is_bold=True))
            continue
        span = f"<w:gridSpan w:val='{last - first + 1}'/>"
        upper.append(_cell(label, sum(widths[first : last + 1]), "center", half_points, span, is_bold=True))
        lower += [
            _cell(table.columns[place].label, widths[place], "center", half_points, is_bold=True)
            for place in range(first, last + 1)
        ]
    return [f"{begin}{''.join(upper)}</w:tr>", f"{begin}{''.join(lower)}</w:tr>"]


def _cell(text: str, width: int, align: str, half_points: int, merged: str = "", *, is_bold: bool) -> str:
    bold = "<w:b/>" if is_bold else ""
    return (
        f"<w:tc><w:tcPr><w:tcW w:w='{width}' w:type='dxa'/>{merged}<w:vAlign w:val='center'/></w:tcPr>"
        f"<w:p><w:pPr><w:jc w:val='{align}'/></w:pPr><w:r><w:rPr>{bold}<w:sz w:val='{half_points}'/>"
        f"<w:szCs w:val='{half_points}'/></w:rPr><w:t xml:space='preserve'>{escape(text)}</w:t></w:r></w:p></w:tc>"
    )
