"""`build/demo/index.html`: what was played and what came of it, with links to every file that was written."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.demo import reports
from services.reporting.domain.periods import Kind
from services.reporting.files import words

KINDS: Final[Mapping[str, str]] = {
    "assigned": "Giao nhiệm vụ",
    "due_soon": "Nhắc hạn",
    "overdue": "Quá hạn",
    "overdue_retracted": "Rút thông báo quá hạn",
    "escalation": "Báo cáo chậm tiến độ",
    "review_reminder": "Nhắc thẩm định",
    "result_returned": "Trả lại kết quả",
    "extension_granted": "Gia hạn",
    "extension_refused": "Không gia hạn",
    "obstacle": "Khó khăn, vướng mắc",
    "changed": "Điều chỉnh nhiệm vụ",
    "contribution": "Kết quả phối hợp",
    "succession": "Xác định cơ quan kế thừa",
    "ended": "Kết thúc nhiệm vụ",
    "digest": "Bản tin ngày",
    "summary": "Tổng hợp tháng",
}
"""What alerts and e-mails are about; a kind that is not here goes by its code."""
TEMPLATE: Final = "index.html"


@dataclass(frozen=True, slots=True)
class Played:
    """What the page tells. `summary`: as in `summary.json`; `reports`: the province's aggregates, as they are served;
    `mails`: kind → how many; `board`: where it is, as long as it is left running."""

    summary: Mapping[str, Any]
    reports: Mapping[str, Mapping[str, Any]]
    agencies: int
    mails: Mapping[str, int]
    seconds: float
    board: str | None


def render(played: Played) -> str:
    """The page. It needs nothing but the files beside it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    environment.filters["percent"] = _percent
    environment.filters["month"] = lambda period: words.period(Kind.MONTHLY, period)
    alerts = played.summary["alerts"]
    return environment.get_template(TEMPLATE).render(
        played=played,
        summary=played.summary,
        submissions=played.summary["submissions"],
        documents=(*reports.DOCUMENTS, reports.CONTENT, reports.AGGREGATES),
        tables=reports.CSV,
        kinds=[
            (KINDS.get(kind, kind), alerts.get(kind, 0), played.mails.get(kind, 0))
            for kind in sorted(alerts.keys() | played.mails.keys(), key=_place)
        ],
    )


def _place(kind: str) -> tuple[int, str]:
    """As in KINDS, then what is not there."""
    return (list(KINDS).index(kind) if kind in KINDS else len(KINDS), kind)


def _percent(rate: str | None) -> str:
    return words.percent(Decimal(rate) if rate is not None else None)
