"""How the demo ends, and the page that it leaves behind."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from deploy.demo import page, reports
from deploy.demo.__main__ import BUILD
from deploy.demo.ending import Keep, gone, keeps, running
from services.notify.domain.alert import AlertKind
from services.reporting.files import tables
from tests.unit.reporting.content_builders import a_content, a_month

TOTALS = {
    "total": 1_234,
    "done_on_time": 41,
    "done_late": 5,
    "open_in_time": 61,
    "open_due_soon": 7,
    "open_overdue": 8,
    "open_no_deadline": 9,
}


def played(**different: Any) -> page.Played:
    summary = {
        "obligations": 47,
        "tasks": [{}] * 781,
        "alerts": {"assigned": 620, "unheard_of": 1},
        "late_milestones": {"fired": 31, "superseded": 12},
        "submissions": {"accepted": 655, "applied": 650, "rejected": 4, "dead": 1, "in_flight": 0},
    }
    rates = {"on_time_of_due": "89.13", "done_of_all": None}
    usual: dict[str, Any] = {
        "summary": summary,
        "reports": {period: {"final": True, "totals": TOTALS, "rates": rates} for period in ("2024-10", "2025-03")},
        "agencies": 34,
        "mails": {"digest": 700},
        "seconds": 119.6,
        "board": None,
    }
    return page.Played(**{**usual, **different})


class Links(HTMLParser):
    """Collects what a page leads to and loads, and the elements that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.elements: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.targets.append(value or "")
            if name == "id":
                self.ids.add(value or "")


@pytest.mark.parametrize(
    ("asked", "reads", "writes", "kept"),
    [
        (Keep.AUTO, True, True, True),
        (Keep.AUTO, False, True, False),
        (Keep.AUTO, True, False, False),
        (Keep.AUTO, False, False, False),
        (Keep.YES, False, False, True),
        (Keep.NO, True, True, False),
    ],
)
def test_it_stays_up_on_a_terminal_or_when_asked(asked: Keep, reads: bool, writes: bool, kept: bool) -> None:
    assert keeps(asked, reads_terminal=reads, writes_terminal=writes) is kept


def test_last_lines_say_what_to_open_next() -> None:
    addresses = {"tasks": "http://127.0.0.1:8081", "notify": "http://127.0.0.1:8082", "reporting": "http://127.0.0.1:9"}

    up, down = running(BUILD, addresses, "H48.07").splitlines(), gone(BUILD).splitlines()

    assert up[-1] == "Ctrl-C ends it."
    assert "http://127.0.0.1:9/" in up[-3]
    assert "H48.07" in up[-2]
    assert f"file://{BUILD}/index.html" in "\n".join(up)
    assert "build/demo/index.html" in down[-2]
    assert "make demo KEEP=1" in down[-1]
    assert "http://127.0.0.1:8083/" in down[-1]


def test_page_leads_to_every_file_of_every_month_and_loads_nothing() -> None:
    found = Links(page.render(played()))

    files = {f"reports/{form.path(period)}" for period in ("2024-10", "2025-03") for form in reports.FORMS}
    assert files | {"mails/", "logs/", "summary.json"} == {one for one in found.targets if not one.startswith("#")}
    assert {one[1:] for one in found.targets if one.startswith("#")} == found.ids
    assert found.elements.isdisjoint({"script", "link", "img", "iframe"})


def test_page_says_the_figures_in_vietnamese() -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.render(played())))

    assert "Tháng 10 năm 2024 1.234 41 5 61 7 8 9 89,13 % –" in text
    assert "655 650 4 1 0" in text
    assert "Bản tin ngày 0 700" in text
    assert "unheard_of 1 0" in text
    assert "Bảng theo dõi:" not in text


def test_page_leads_to_the_board_while_it_runs() -> None:
    assert "http://127.0.0.1:8083/" in Links(page.render(played(board="http://127.0.0.1:8083/"))).targets


def test_every_kind_of_alert_and_every_table_has_its_name() -> None:
    assert {kind.value for kind in AlertKind} <= set(page.KINDS)
    content = a_content(*a_month())
    assert {name: make(content).name for name, make in tables.TABLES.items()} == dict(reports.TABLES)
