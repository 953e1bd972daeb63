"""The report as PDF, laid out as the Word document is (Decree 30/2020/NĐ-CP, annex I): for reading on any screen.

The typeface is Tinos, whose letters have the widths of Times New Roman; it lies beside this file (fonts/OFL.txt).
"""

import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from xml.sax.saxutils import escape

from reportlab.lib.colors import black, whitesmoke
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY, TA_LEFT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Paragraph as PdfParagraph
from reportlab.platypus import Table as PdfTable

from services.reporting.domain.content import Content
from services.reporting.files import outline as parts
from services.reporting.files import words
from services.reporting.files.outline import Annex, Outline, Paragraph, Section
from services.reporting.files.table import CellKind, Row, Table, is_number, left_out, text_of

_FONTS: Final = Path(__file__).with_name("fonts")
_FACES: Final = {
    "Tinos": "Tinos-Regular.ttf",
    "Tinos-Bold": "Tinos-Bold.ttf",
    "Tinos-Italic": "Tinos-Italic.ttf",
    "Tinos-BoldItalic": "Tinos-BoldItalic.ttf",
}
_LEFT, _RIGHT, _TOP, _BOTTOM = 30 * mm, 15 * mm, 20 * mm, 20 * mm
_BODY, _TABLE, _ANNEX_TABLE = 13, 10, 9
"""Points."""
_Align: TypeAlias = Literal[0, 1, 2, 4]


def render(content: Content) -> bytes:
    """The whole document. The same content is the same file."""
    _register()
    laid_out = parts.outline(content)
    file = io.BytesIO()
    document = _Document(file, laid_out, subject=f"{content.province}/{content.span.id}; {content.content_hash}")
    document.build([*_heading(laid_out), *_body(laid_out), *_signature(laid_out), *_annexes(laid_out)])
    return file.getvalue()


@cache
def _register() -> None:
    for name, file in _FACES.items():
        pdfmetrics.registerFont(TTFont(name, str(_FONTS / file)))
    pdfmetrics.registerFontFamily("Tinos", *_FACES)


# -- pages -------------------------------------------------------------------------------------------------------------


class _Document(BaseDocTemplate):
    """Pages upright and turned round, numbered in the middle of the top margin; each annex begins at 1 again."""

    def __init__(self, file: io.BytesIO, laid_out: Outline, *, subject: str) -> None:
        super().__init__(
            file,
            title=f"{parts.KIND}: {laid_out.about}",
            author=laid_out.issuer,
            subject=subject,
            lang="vi-VN",
            # The file says nothing of when it was written.
            invariant=1,
        )
        self._began = 0
        self._is_provisional = bool(laid_out.provisional)
        self.addPageTemplates(
            [
                *self._templates("body", A4),
                *self._templates("annex", landscape(A4)),
            ]
        )

    def _templates(self, name: str, size: tuple[float, float]) -> Iterator[PageTemplate]:
        width, height = size
        frame = Frame(
            *(_LEFT, _BOTTOM, width - _LEFT - _RIGHT, height - _TOP - _BOTTOM),
            leftPadding=0,
            rightPadding=0,
            topPadding=0,
            bottomPadding=0,
        )
        yield PageTemplate(name, [frame], onPage=self._begin, pagesize=size, autoNextPageTemplate=f"{name}-more")
        yield PageTemplate(f"{name}-more", [frame], onPage=self._number, pagesize=size)

    def _begin(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        self._began = document.page

    def _number(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        width, height = document.pageTemplate.pagesize
        canvas.setFont("Tinos", 13)
        canvas.drawCentredString(width / 2, height - 13 * mm, str(document.page - self._began + 1))
        if self._is_provisional:
            canvas.setFont("Tinos-Bold", 9)
            canvas.drawCentredString(width / 2, height - 17 * mm, words.PROVISIONAL)


# -- paragraphs --------------------------------------------------------------------------------------------------------


def _style(size: float = _BODY, face: str = "Tinos", align: _Align = TA_LEFT, **more: Any) -> ParagraphStyle:
    return ParagraphStyle("", fontName=face, fontSize=size, leading=size * 1.2, alignment=align, **more)


_FIRST_LINE: Final = 10 * mm
TEXT: Final = _style(align=TA_JUSTIFY, firstLineIndent=_FIRST_LINE, spaceAfter=6, allowWidows=0, allowOrphans=0)
TITLE: Final = _style(face="Tinos-Bold", align=TA_CENTER)
SECTION: Final = _style(face="Tinos-Bold", firstLineIndent=_FIRST_LINE, spaceBefore=6, spaceAfter=4, keepWithNext=1)


def _say(text: str, style: ParagraphStyle) -> PdfParagraph:
    # The library reads mark-up in what it is given: nothing that others wrote may be any.
    return PdfParagraph(escape(_drawable(text)), style)


def _drawable(text: str) -> str:
    """With the letters that the typeface has: wide and joined forms as plain ones, what is left as a question mark."""
    known = _letters()
    if known.issuperset(text):
        return text
    return "".join(one if one in known else _plain_form(one, known) for one in text)


def _plain_form(one: str, known: frozenset[str]) -> str:
    plain = unicodedata.normalize("NFKC", one)
    return plain if known.issuperset(plain) else "?"


@cache
def _letters() -> frozenset[str]:
    _register()
    font = pdfmetrics.getFont("Tinos")
    assert isinstance(font, TTFont), "registered as one"
    return frozenset(map(chr, font.face.charToGlyph))


class _Rule(Flowable):
    """A line in the middle, of a share of the width there is."""

    def __init__(self, share: float, below: float = 6) -> None:
        super().__init__()
        self._share, self._below, self._width = share, below, 0.0

    def wrap(self, width: float, _: float) -> tuple[float, float]:
        self._width = width
        return width, 4 + self._below

    def draw(self) -> None:
        side = self._width * (1 - self._share) / 2
        self.canv.setLineWidth(0.7)
        self.canv.line(side, self._below, self._width - side, self._below)


def _centred(size: float, face: str = "Tinos") -> ParagraphStyle:
    return _style(size, face, TA_CENTER)


_BARE: Final = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ]
)


def _heading(laid_out: Outline) -> Iterator[Flowable]:
    left = [
        _say(laid_out.parent, _centred(12)),
        *(_say(line, _centred(12, "Tinos-Bold")) for line in laid_out.issuer_lines),
        _Rule(0.4),
    ]
    right = [
        _say(parts.COUNTRY, _centred(12, "Tinos-Bold")),
        _say(parts.MOTTO, _centred(13, "Tinos-Bold")),
        _Rule(0.58),
    ]
    number = PdfParagraph(escape(laid_out.number).replace("  ", "\u00a0\u00a0"), _centred(13))
    place = _say(laid_out.place_and_day, _centred(13, "Tinos-Italic"))
    yield PdfTable([[left, right], [number, place]], colWidths=[67 * mm, 98 * mm], style=_BARE)
    yield Spacer(0, 12)
    yield _say(parts.KIND, TITLE)
    yield _say(laid_out.about, TITLE)
    yield _Rule(0.26, 8)
    if laid_out.provisional:
        yield _framed(laid_out.provisional)
    if len(laid_out.addressees) == 1:
        yield _say(f"Kính gửi: {laid_out.addressees[0]}", _style(align=TA_CENTER, spaceAfter=8))
        return
    yield _say("Kính gửi:", _style(leftIndent=40 * mm))
    for number_, one in enumerate(laid_out.addressees, start=1):
        end = "." if number_ == len(laid_out.addressees) else ";"
        yield _say(f"- {one}{end}", _style(leftIndent=55 * mm, spaceAfter=8 if end == "." else 0))


def _framed(text: str) -> PdfParagraph:
    return _say(
        text,
        _style(
            12,
            "Tinos-Bold",
            TA_CENTER,
            borderWidth=0.7,
            borderColor=black,
            borderPadding=4,
            spaceBefore=4,
            spaceAfter=12,
        ),
    )


def _body(laid_out: Outline) -> Iterator[Flowable]:
    for block in laid_out.body:
        match block:
            case Section():
                yield _say(block.text, SECTION)
            case Paragraph():
                yield _say(block.text, TEXT)
            case _:
                yield from _table(block, _TABLE)


def _signature(laid_out: Outline) -> Iterator[Flowable]:
    left: list[Flowable] = [_say("Nơi nhận:", _style(12, "Tinos-BoldItalic"))]
    for number, one in enumerate(laid_out.recipients, start=1):
        end = "." if number == len(laid_out.recipients) else ";"
        left.append(_say(f"- {one}{end}", _style(11)))
    right = [_say(laid_out.signer_title, TITLE), Spacer(0, 28 * mm), _say(laid_out.signer_name, TITLE)]
    yield KeepTogether([Spacer(0, 6), PdfTable([[left, right]], colWidths=[80 * mm, 85 * mm], style=_BARE)])


def _annexes(laid_out: Outline) -> Iterator[Flowable]:
    for annex in laid_out.annexes:
        yield NextPageTemplate("annex")
        yield PageBreak()
        yield from _annex(annex, laid_out)


def _annex(annex: Annex, laid_out: Outline) -> Iterator[Flowable]:
    yield _say(f"Phụ lục {annex.number}", TITLE)
    yield _say(annex.title.upper(), TITLE)
    yield PdfParagraph(
        escape(laid_out.annexed_to()).replace("  ", "\u00a0\u00a0"), _style(12, "Tinos-Italic", TA_CENTER)
    )
    yield _Rule(0.16, 8)
    if laid_out.provisional:
        yield _framed(laid_out.provisional)
    for number, table in enumerate(annex.tables):
        if number:
            yield _say(table.title, _style(11, "Tinos-Bold", spaceBefore=6, spaceAfter=4, keepWithNext=1))
        yield from _table(table, _ANNEX_TABLE)


# -- tables ------------------------------------------------------------------------------------------------------------

_SIDE, _ABOVE, _BELOW = 2.5, 1.5, 2.5
"""Points between a cell's text and its lines."""
_LEADING: Final = 1.15
_ENDLESS: Final = 1e6
_PAGE_AT_LEAST: Final = 150 * mm
"""Less is left only where a page has something on it already."""
_GRID: Final = (
    ("GRID", (0, 0), (-1, -1), 0.4, black),
    ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
    ("LEFTPADDING", (0, 0), (-1, -1), _SIDE),
    ("RIGHTPADDING", (0, 0), (-1, -1), _SIDE),
    ("TOPPADDING", (0, 0), (-1, -1), _ABOVE),
    ("BOTTOMPADDING", (0, 0), (-1, -1), _BELOW),
)


def _table(table: Table, size: float) -> Iterator[Flowable]:
    yield _Rows(_Shape.of(table, size), [_cells(table, row, size) for row in table.rows])
    if table.left_out:
        yield _say(left_out(table), _style(10, "Tinos-Italic", spaceBefore=3))
    yield Spacer(0, 8)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row made ready: its cells, how tall it is, and which cells stand on another side than their column."""

    cells: list[Any]
    height: float
    is_bold: bool
    to_the_right: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What all parts of a table have in common."""

    head: list[list[Any]]
    spans: list[tuple[Any, ...]]
    widths: tuple[float, ...]
    size: float
    sides: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, table: Table, size: float) -> "_Shape":
        """Of a table."""
        head, spans = _head(table, size)
        sides = [
            (place, "RIGHT" if is_number(column.kind) else "CENTER")
            for place, column in enumerate(table.columns)
            if column.kind is not CellKind.TEXT
        ]
        return cls(head, spans, tuple(column.width_mm * mm for column in table.columns), size, tuple(sides))

    def part(self, lines: Sequence[_Line]) -> PdfTable:
        """The table of some rows, with its heading."""
        first = len(self.head)
        style = [*_GRID, *self.spans, ("BACKGROUND", (0, 0), (-1, first - 1), whitesmoke)]
        style.append(("FONT", (0, first), (-1, -1), "Tinos", self.size, self.size * _LEADING))
        style += [("ALIGN", (place, first), (place, -1), side) for place, side in self.sides]
        for number, line in enumerate(lines, start=first):
            if line.is_bold:
                style.append(("FONT", (0, number), (-1, number), "Tinos-Bold", self.size, self.size * _LEADING))
            style += [("ALIGN", (place, number), (place, number), "RIGHT") for place in line.to_the_right]
        return PdfTable(
            [*self.head, *(line.cells for line in lines)],
            colWidths=self.widths,
            repeatRows=first,
            style=TableStyle(style),
            # Asked for only where a single row is taller than a page.
            splitInRow=int(len(lines) == 1),
        )


class _Rows(Flowable):
    """A table of any length, one table a page: the library's own takes time that grows with the square of the rows."""

    def __init__(self, shape: _Shape, lines: Sequence[_Line]) -> None:
        super().__init__()
        self._shape, self._lines = shape, lines
        self._head = shape.part([]).wrap(sum(shape.widths), _ENDLESS)[1]

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        return width, self._head + sum(line.height for line in self._lines)

    def split(self, width: float, height: float) -> list[Flowable]:
        taken, used = 0, self._head
        while taken < len(self._lines) and used + self._lines[taken].height <= height:
            used += self._lines[taken].height
            taken += 1
        if taken == 0 and height < _PAGE_AT_LEAST:
            # It goes on with the next page.
            return []
        whole: list[Flowable]
        if taken == 0:
            # One row that no page can hold.
            taken, tall = 1, self._shape.part(self._lines[:1])
            tall.wrap(width, height)
            whole = tall.split(width, height)
        else:
            whole = [self._shape.part(self._lines[:taken])]
        rest = self._lines[taken:]
        return [*whole, _Rows(self._shape, rest)] if rest else whole

    def drawOn(self, canvas: Canvas, x: float, y: float, _sW: float = 0) -> None:  # noqa: N802, N803 - the library's
        part = self._shape.part(self._lines)
        part.wrapOn(canvas, sum(self._shape.widths), _ENDLESS)
        part.drawOn(canvas, x, y, _sW)  # type: ignore[call-arg]


def _cells(table: Table, row: Row, size: float) -> _Line:
    """A row made ready. What fits on one line is drawn as it is: a paragraph takes ten times as long."""
    style, face = _cell_style(size, is_bold=row.is_bold), "Tinos-Bold" if row.is_bold else "Tinos"
    cells: list[Any] = []
    tallest = size * _LEADING
    for kind, value, column in zip(table.kinds(row), row.values, table.columns, strict=True):
        text, width = _drawable(text_of(kind, value)), column.width_mm * mm - 2 * _SIDE
        if kind is CellKind.TEXT and pdfmetrics.stringWidth(text, face, size) > width:
            paragraph = _say(text, style)
            tallest = max(tallest, paragraph.wrap(width, 0)[1])
            cells.append(paragraph)
        else:
            cells.append(text)
    kinds = table.kinds(row)
    right = tuple(
        place
        for place, column in enumerate(table.columns)
        if kinds[place] is not column.kind and kinds[place] is not CellKind.TEXT
    )
    return _Line(cells, tallest + _ABOVE + _BELOW, row.is_bold, right)


def _cell_style(size: float, *, is_bold: bool = False, align: _Align = TA_LEFT) -> ParagraphStyle:
    return ParagraphStyle(
        "",
        fontName="Tinos-Bold" if is_bold else "Tinos",
        fontSize=size,
        leading=size * _LEADING,
        alignment=align,
    )


def _head(table: Table, size: float) -> tuple[list[list[Any]], list[tuple[Any, ...]]]:
    """The heading's rows, and which of its cells are one."""
    shape = _cell_style(size, is_bold=True, align=TA_CENTER)
    labels: list[Any] = [_say(column.label, shape) for column in table.columns]
    if not table.has_groups:
        return [labels], []
    upper: list[Any] = [""] * len(labels)
    lower, spans = list(labels), []
    for label, first, last in table.groups():
        if label:
            upper[first] = _say(label, shape)
            spans.append(("SPAN", (first, 0), (last, 0)))
        else:
            upper[first], lower[first] = labels[first], ""
            spans.append(("SPAN", (first, 0), (first, 1)))
    return [upper, lower], spans
