"""The section `report` of a policy: what it says, and what is told of slips of the pen."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from services.reporting.domain.content_rules import (
    CommendationRule,
    CorrectionRule,
    CountedFrom,
    Letterhead,
    Measure,
    ReportRules,
    RiskRule,
)
from services.reporting.domain.periods import Kind
from services.reporting.report_policy import ReportPolicy
from shared.yaml_files import YamlFile

WHOLE = """\
report:
  letterhead:
    parent: UBND tỉnh Quảng Ngãi
    issuer: Sở Thông tin và Truyền thông
    symbol: BC-STTTT
    place: Quảng Ngãi
    addressees: [Chủ tịch UBND tỉnh]
    recipients: [Như trên, "Lưu: VT"]
    signer_title: Giám đốc
  upcoming_days: 30
  rows_max: 500
  at_risk: {behind_points: 15, counted_from: first_allocation}
  corrections:
    - {measure: criticise, overdue_at_least: 10}
    - {measure: correct, on_time_below_percent: 50, due_at_least: 3, days_late_over: 30}
  commendation: {on_time_at_least_percent: 95, due_at_least: 5, overdue_at_most: 1, most: 3}
  prepares: [monthly, yearly]
"""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    report: ReportPolicy = ReportPolicy()


def read(text: str, folder: Path) -> ReportRules:
    """As rules.py reads it."""
    path = folder / "reporting.yaml"
    path.write_text(text)
    file = YamlFile.read(path)
    content = file.into(_File)
    file.refuse(content.report.contradictions())
    return content.report.rules()


def test_everything_that_is_written_holds(tmp_path: Path) -> None:
    assert read(WHOLE, tmp_path) == ReportRules(
        letterhead=Letterhead(
            "UBND tỉnh Quảng Ngãi",
            "Sở Thông tin và Truyền thông",
            "BC-STTTT",
            "Quảng Ngãi",
            ("Chủ tịch UBND tỉnh",),
            ("Như trên", "Lưu: VT"),
            "Giám đốc",
        ),
        upcoming_days=30,
        rows_max=500,
        risk=RiskRule(Decimal(15), CountedFrom.FIRST_ALLOCATION),
        corrections=(
            CorrectionRule(Measure.CRITICISE, overdue_at_least=10),
            CorrectionRule(Measure.CORRECT, on_time_below_percent=Decimal(50), due_at_least=3, days_late_over=30),
        ),
        commendation=CommendationRule(Decimal(95), 5, 1, 3),
        prepares=frozenset({Kind.MONTHLY, Kind.YEARLY}),
    )


def test_section_may_be_left_out(tmp_path: Path) -> None:
    assert read("report: {}\n", tmp_path) == ReportRules()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("upcoming_days: 30", 'upcoming_days: "30"', 10, "report.upcoming_days"),
        ("upcoming_days: 30", "upcoming_days: 0", 10, "greater than or equal to 1"),
        ("rows_max: 500", "rows_max: 50000", 11, "less than or equal to 5000"),
        ("rows_max: 500", "rows_may: 500", 11, "correct its name"),
        ("counted_from: first_allocation", "counted_from: january", 12, "'fiscal_year' or 'first_allocation'"),
        ("measure: criticise", "measure: commend", 14, "choose criticise or correct"),
        ("measure: criticise, overdue_at_least: 10", "measure: criticise", 14, "nothing would ever reach it"),
        ("criticise, overdue_at_least: 10}", "criticise, due_at_least: 2, days_late_over: 3}", 14, "belongs to"),
        ("on_time_below_percent: 50", "on_time_below_percent: 150", 15, "less than or equal to 100"),
        ("prepares: [monthly, yearly]", "prepares: [yearly]", 17, "monthly is missing"),
    ],
)  # fmt: skip
def test_slip_of_the_pen_is_told_with_line_and_remedy(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    assert old in WHOLE

    with pytest.raises(ValueError, match=rf"reporting\.yaml, line {line}: .*{re.escape(told)}"):
        read(WHOLE.replace(old, new), tmp_path)


def test_severest_measure_comes_first(tmp_path: Path) -> None:
    rules = "- {measure: correct, overdue_at_least: 3}\n  - {measure: criticise, overdue_at_least: 10}"

    with pytest.raises(ValueError, match=r"line 4: .*put the severest first"):
        read(f"report:\n  corrections:\n  {rules}\n", tmp_path)
