"""The reports to the chairman as the service hands them out, in every form, one folder a month."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

TABLES: Final[Mapping[str, str]] = {
    "agencies": "Theo cơ quan",
    "totals": "Tổng hợp",
    "causes": "Nguyên nhân chậm",
    "overdue": "Quá hạn",
    "upcoming": "Sắp đến hạn",
    "extensions": "Gia hạn",
    "funded": "Giải ngân",
    "indicators": "Chỉ tiêu",
    "indicators_behind": "Chưa đạt chỉ tiêu",
    "ranking": "Xếp hạng",
    "proposals": "Đề xuất",
}
"""Those that there are as CSV, as the service calls them and as people do."""


@dataclass(frozen=True, slots=True)
class Form:
    """One file of a month's report."""

    label: str
    tail: str
    """Of its address, after `/v1/reports/{period}`."""
    name: str
    """Of the file; `{period}` is filled in."""

    def path(self, period: str) -> str:
        """Of the file, below the reports' folder."""
        return f"{period}/{self.name.format(period=period)}"


DOCUMENTS: Final = (
    Form("Word", ".docx", "bao-cao-{period}.docx"),
    Form("PDF", ".pdf", "bao-cao-{period}.pdf"),
    Form("Excel", ".xlsx", "bao-cao-{period}.xlsx"),
)
CONTENT: Final = Form("Nội dung (JSON)", "/content.json", "content.json")
"""All that the report's files say."""
AGGREGATES: Final = Form("Số liệu mọi phạm vi (JSON)", ".json", "aggregates.json")
"""The figures of every scope, as the topics carry them."""
CSV: Final = tuple(
    Form(label, f".csv?table={table}", f"bao-cao-{{period}}-{table}.csv") for table, label in TABLES.items()
)
FORMS: Final = (*DOCUMENTS, CONTENT, AGGREGATES, *CSV)


async def prepared_hash(reporting: httpx.AsyncClient, aggregate: Mapping[str, Any]) -> str:
    """The hash of a period's prepared report; empty while there is none that says what the aggregate says."""
    answer = await reporting.get(f"/v1/reports/{aggregate['period']}{CONTENT.tail}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return ""
    content: Mapping[str, Any] = answer.raise_for_status().json()
    agrees = all(content["figures"][name] == count for name, count in aggregate["totals"].items())
    return str(content["content_hash"]) if "revision" in content and agrees and content["lists_agree"] else ""


async def fetch(reporting: httpx.AsyncClient, periods: Iterable[str], folder: Path) -> int:
    """Write each form of each period's report below a folder. Returns how many files."""
    written = 0
    for period in periods:
        (folder / period).mkdir(parents=True, exist_ok=True)
        for form in FORMS:
            answer = (await reporting.get(f"/v1/reports/{period}{form.tail}")).raise_for_status()
            (folder / form.path(period)).write_bytes(answer.content)
            written += 1
    return written
