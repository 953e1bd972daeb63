"""Every cell of every file against the JSON content, by readers of other hands (tests/support/report_cells.py)."""

import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import docx
import pytest

from services.reporting.domain.content import Content, IndicatorBehind
from services.reporting.domain.content_rules import CorrectionRule, Measure
from services.reporting.domain.facts import Obstacle
from services.reporting.domain.figures import Figures
from services.reporting.domain.listing import ObstacleText
from services.reporting.domain.report import Amendment, LateFact
from services.reporting.files import csv_file, docx_file, json_file, pdf_file, tables, xlsx_file
from tests.support.report_cells import (
    CAUSES,
    FIGURES,
    SHEETS,
    check_csv,
    check_docx,
    check_pdf,
    check_xlsx,
    expected,
    expected_on_paper,
)
from tests.unit.reporting.builders import a_deadline, a_result, a_task, at
from tests.unit.reporting.content_builders import RULES, a_content, a_month, a_text, some_indicators
from tests.unit.reporting.test_files import hostile

FACT = LateFact("H48/TB-UBND-2024/II.2.g/H48.07", 4, "result_received", at("2024-11-13"), at("2024-11-20"))


def rich() -> Content:
    """Something in every table and every column, beside the period before and last year's."""
    obstacle = Obstacle(at("2024-11-01"), None, answered_at=at("2024-11-05"))
    more = [
        a_text(a_task(a_deadline("2024-11-18"), clause="VI.1", obstacles=(obstacle,)), "Có vướng mắc, sắp đến hạn"),
        a_text(
            a_task(a_deadline("2024-10-19"), clause="VI.2", results=(a_result("2024-10-25"),), obstacles=(obstacle,)),
            "Nộp muộn, chờ thẩm định",
            obstacles=(ObstacleText("Thiếu số liệu.", False),),
        ),
    ]
    content = a_content(
        *a_month(7),
        *more,
        indicators=some_indicators(),
        rules=replace(
            RULES,
            corrections=(
                CorrectionRule(Measure.CRITICISE, overdue_at_least=5, days_late_over=20),
                CorrectionRule(Measure.CORRECT, on_time_below_percent=Decimal(90), due_at_least=1),
            ),
        ),
        previous_period="2024-10",
        previous=Figures(done_on_time=3, open_in_time=1_007, allocated_vnd=10**12, assigned_vnd=7, disbursed_vnd=1),
        year_before_period="2023-11",
        year_before=Figures(done_on_time=41, done_late=3, late_other=3, days_late=1_204),
        amendment=Amendment(
            {"open_overdue": (4, 3), "previous.done_late": (None, 1), "indicators.DVC-TT": (Decimal("82.30"), None)},
            (FACT,),
            2,
        ),
    )
    behind = IndicatorBehind("DVC-TT", "Hồ sơ trực tuyến", "2024-10", "H48.40", "UBND Ba Tơ", None, Decimal("45.8"))
    late = IndicatorBehind("SO-HOA", "Số hóa", "2024-Q4", "H48.35", "UBND Sơn Tây", Decimal("9.10"), Decimal(70))
    return replace(content, indicators_behind=(behind, late))


CONTENTS = {"rich": rich, "hostile": hostile, "many": lambda: a_content(*a_month(150)), "empty": a_content}


def shown(content: Content) -> dict[str, Any]:
    """The JSON content, read again."""
    found: dict[str, Any] = json.loads(json_file.render(content))
    return found


@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_every_cell_of_the_workbook_is_what_the_json_says(make: Any) -> None:
    assert check_xlsx(shown(make()), xlsx_file.render(make())) >= len(FIGURES) * 5


@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_every_cell_of_the_document_is_what_the_json_says(make: Any) -> None:
    assert check_docx(shown(make()), docx_file.render(make())) >= len(FIGURES) * 5


@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_every_cell_of_the_pdf_is_what_the_json_says(make: Any) -> None:
    assert check_pdf(shown(make()), pdf_file.render(make())) >= len(FIGURES) * 5


@pytest.mark.parametrize("table", tables.TABLES)
@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_every_cell_of_the_csv_is_what_the_json_says(make: Any, table: str) -> None:
    check_csv(shown(make()), table, csv_file.render(make(), table))


def test_no_table_and_no_figure_is_left_out() -> None:
    """What the comparisons rest on: the rich content has a row in each table, and each figure has its place."""
    content = shown(rich())

    assert expected(content).keys() == set(SHEETS.values()) == set(tables.TABLES)
    assert all(expected(content).values())
    assert len(expected_on_paper(content)) == 14
    named = {*FIGURES, *(f"late_{cause}" for cause in CAUSES)}
    assert content["figures"].keys() - named == {"late"}, "the sum of the causes"


def test_sentences_of_the_document_say_the_figures() -> None:
    content = shown(rich())
    one, before = content["figures"], content["previous"]
    text = [paragraph.text for paragraph in docx.Document(io.BytesIO(docx_file.render(rich()))).paragraphs]

    def said(sentence: str) -> bool:
        return any(sentence in paragraph.replace("\u00a0", " ") for paragraph in text)

    def rate(value: str) -> str:
        return f"{value.replace('.', ',')} %"

    fewer = before["total"] - one["total"]
    assert said(
        f"Tổng số nhiệm vụ được giao: {one['total']} (giảm {fewer} so với kỳ trước). Trong đó: đã hoàn thành "
        f"{one['done']} (tăng {one['done'] - before['done']} so với kỳ trước), gồm {one['done_on_time']} đúng hạn, "
        f"{one['done_late']} quá hạn; chưa hoàn thành {one['open']}, gồm {one['open_in_time']} trong hạn, "
        f"{one['open_due_soon']} sắp đến hạn, {one['open_overdue']} quá hạn, "
        f"{one['open_no_deadline']} chưa có thời hạn."
    )
    assert said(f"trên số nhiệm vụ đã đến hạn: {rate(one['on_time_of_due'])}; tỷ lệ hoàn thành trên tổng số")
    assert said(f"tổng số nhiệm vụ: {rate(one['done_of_all'])} (kỳ trước: {rate(before['on_time_of_due'])} và ")
    assert said(
        f"Có {one['open_overdue']} nhiệm vụ quá hạn chưa hoàn thành (tăng {one['open_overdue']} so với kỳ trước)"
    )
    assert said(f"có {one['late']} nhiệm vụ chậm, tổng cộng {one['days_late']} ngày")
    assert said(f"Có {len(content['upcoming'])} nhiệm vụ đến hạn trong 15 ngày tới")
    assert said(
        f"Đến nay có {one['extended']} nhiệm vụ được gia hạn với {one['extensions_granted']} lượt, "
        f"{len(content['extensions'])} lượt trong kỳ; {one['extensions_refused']} đề nghị không được chấp thuận, "
        f"{one['extensions_pending']} đề nghị đang chờ quyết định."
    )
    assert said(
        f"đã nêu {one['obstacles_raised']} khó khăn, vướng mắc: {one['obstacles_answered']} đã được trả lời, "
        f"{one['obstacles_forwarded']} đã báo cáo cấp trên, {one['obstacles_cleared']} đã giải quyết; còn "
        f"{one['obstacles_open']} chưa giải quyết"
    )
    assert said(
        f"Có {one['funded']} nhiệm vụ được bố trí kinh phí, tổng số 2.800.000.000 đồng, trong đó kế hoạch vốn được cấp "
        f"có thẩm quyền giao 2.300.000.000 đồng. Đã giải ngân 1.090.000.000 đồng, đạt {rate(one['disbursed_percent'])} "
        f"kinh phí được phân bổ và {rate(one['disbursed_of_assigned_percent'])} kế hoạch vốn được giao."
    )
    assert (one["allocated_vnd"], one["assigned_vnd"], one["disbursed_vnd"]) == (
        2_800_000_000,
        2_300_000_000,
        1_090_000_000,
    )
    assert said(f"Có {content['funded_at_risk']} nhiệm vụ có nguy cơ không giải ngân hết")
