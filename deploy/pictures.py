"""`python -m deploy.pictures`: draws e-mails, the board and the report as their readers see them, into docs/pictures.

Agencies, clauses and days are those of the notice (deploy/demo/quang-ngai-2024-10.yaml) and of documents it cites; what
became of them is made up.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

import pypdfium2
from PIL import Image

from deploy import board_sample
from deploy.board_served import a_board, served
from deploy.browser import PATH_VARIABLE, BrowserError, Page, find_chromium
from deploy.demo.story import load_notice
from deploy.local.processes import REPOSITORY_ROOT
from deploy.report_sample import a_report
from services.notify.compose import ICT, Composer
from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.digest import Digest, Gone, GoneLine, Line, Summary, Topic, Unreachable, section
from services.notify.domain.routing import Role
from services.notify.ports import Letter, Message
from services.reporting.files import pdf_file

FOLDER: Final = REPOSITORY_ROOT / "docs" / "pictures"
WIDE, NARROW = 680, 360
"""CSS pixels: a mail program's reading pane, a small phone."""
PIXELS_PER_POINT: Final = 1.4
PAGE_SECONDS_MAX: Final = 20.0
_LATE: Final = f"{board_sample.PROVINCE}/{board_sample.NOTICE}/II.1.h/{board_sample.BEHIND}"
BOARD: Final = (
    ("board-province", "/", 1280, 2600),
    ("board-agency", f"/agencies/{board_sample.BEHIND}", 1280, 2800),
    ("board-directive", f"/directives/{board_sample.NOTICE}?clause=II.1.h", 1280, 1200),
    ("board-task", f"/tasks/{_LATE}", 1280, 1900),
    ("board-search", "/search?q=du+lieu&state=overdue", 1280, 1200),
    ("board-province-360", "/", 360, 2600),
)
"""Name, address, width and the height at most, in CSS pixels."""

_NOTICE: Final = load_notice(REPOSITORY_ROOT / "deploy" / "demo" / "quang-ngai-2024-10.yaml")
_TITLES: Final = {str(one["clause"]): str(one["title"]) for one in _NOTICE.directive["obligations"]}
_AGENCIES: Final = {str(one["code"]): one for one in _NOTICE.agencies}
_DIRECTIVE: Final = str(_NOTICE.directive["directive"])
_STANDING: Final = "H48.07"
NOW: Final = datetime(2024, 10, 28, 8, 0, tzinfo=ICT)
COMPOSER: Final = Composer(board_url="https://dondoc.quangngai.example")


def a_letter(agency: str, role: Role) -> Letter:
    """To one of the notice's agencies."""
    one = _AGENCIES[agency]
    return Letter(
        message_id="hinh-minh-hoa",
        to="thu@quangngai.example",
        province=_NOTICE.province,
        agency=agency,
        agency_name=one["name"],
        role=role,
        head_title=one["head_title"] if role is Role.HEAD else None,
        names={code: other["name"] for code, other in _AGENCIES.items()},
    )


def _line(clause: str, last_day: date | None, *, agency: str = _STANDING, is_new: bool = False, level: int = 0) -> Line:
    task_id = f"{_NOTICE.province}/{_DIRECTIVE}/{clause}/{agency}"
    return Line(task_id, _DIRECTIVE, clause, _TITLES[clause], agency, last_day, is_new, level)


def _other(directive: str, clause: str, title: str, last_day: date, *, is_new: bool = False, level: int = 0) -> Line:
    task_id = f"{_NOTICE.province}/{directive}/{clause}/{_STANDING}"
    return Line(task_id, directive, clause, title, _STANDING, last_day, is_new, level)


def a_digest() -> Message:
    """The standing agency's, a week after the first deadline of the notice, with most of what a digest can have."""
    # Saturday the 19th rolls forward to Monday.
    proposals = date(2024, 10, 21)
    overdue = [
        _line("II.2.g", proposals, level=2),
        _other(
            "CV-4979-UBND-KGVX-2024",
            "2",
            "Báo cáo tiến độ tham mưu thực hiện Chỉ thị số 34/CT-TTg của Thủ tướng Chính phủ",
            date(2024, 10, 25),
            is_new=True,
        ),
    ]
    due_soon = [
        _line("II.2.c", date(2024, 10, 29)),
        _other(
            "KH-38-UBND-2024",
            "III.4",
            "Đánh giá kết quả thực hiện các chỉ tiêu dịch vụ công trực tuyến toàn trình",
            date(2024, 10, 31),
            is_new=True,
        ),
    ]
    done = _line("II.1.h", proposals)
    sections = (
        section(Topic.OVERDUE, overdue),
        section(Topic.DUE_SOON, due_soon),
        section(Topic.ESCALATION, [_line("II.1.h", proposals, agency="H48.35", level=2)]),
    )
    digest = Digest(
        day=NOW.date(),
        sections=sections,
        gone=(GoneLine(done.task_id, done.directive, done.clause, done.title, Gone.COMPLETED),),
        folded=4,
        unreachable=(Unreachable("H48.41", "agency", "email", "no_mailbox", 3),),
    )
    return COMPOSER.digest(a_letter(_STANDING, Role.STANDING), digest, now=NOW)


def an_escalation() -> Message:
    """To the head of a district whose proposals did not come."""
    agency, clause = "H48.35", "II.1.h"
    task_id = f"{_NOTICE.province}/{_DIRECTIVE}/{clause}/{agency}"
    alert = Alert(
        alert_id=f"{task_id}:7",
        kind=AlertKind.ESCALATION,
        level=2,
        province=_NOTICE.province,
        task_id=task_id,
        seq=7,
        directive=_DIRECTIVE,
        clause=clause,
        agency=agency,
        reviewer=_STANDING,
        title=_TITLES[clause],
        last_day=date(2024, 10, 21),
        deadline_version=1,
        forwarded=False,
        received_at=NOW,
    )
    return COMPOSER.alerts(a_letter(agency, Role.HEAD), [alert], now=NOW)


def a_summary() -> Message:
    """The standing agency's month."""
    overdue = section(Topic.OVERDUE, [_line("II.2.g", date(2024, 10, 21), level=2)])
    figures = Summary(
        "2024-10", all=32, completed=6, submitted=2, overdue=1, due_soon=2, others=21, overdue_lines=overdue
    )
    return COMPOSER.summary(a_letter(_STANDING, Role.HEAD), figures, now=NOW)


def draw_report() -> None:
    """The first page of the report to the chairman, as PDF shows it."""
    path = FOLDER / "report-page-1.png"
    with pypdfium2.PdfDocument(pdf_file.render(a_report())) as document:
        document[0].render(scale=PIXELS_PER_POINT).to_pil().convert("L").save(path, optimize=True)
    print(path)


async def draw_board(page: Page) -> None:
    """Pages of the board, served as the service serves them."""
    with tempfile.TemporaryDirectory(prefix="dondoc-pictures-") as folder:
        async with a_board(Path(folder)) as app, served(app) as url:
            for name, path, width, height in BOARD:
                await asyncio.to_thread(_draw_page, page, f"{url}{path}", FOLDER / f"{name}.png", width, height)


def _draw_page(page: Page, url: str, path: Path, width: int, height: int) -> None:
    page.view(width=width, height=900)
    open_page(page, url)
    page.picture(path, height_max=height)
    # As many colours as are seen: a fifth of the size.
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)
    print(path)


def open_page(page: Page, url: str) -> None:
    """Go there, and wait for all of it."""
    page.ask(f"window.isOld = true; location.assign({json.dumps(url)})")
    deadline = time.monotonic() + PAGE_SECONDS_MAX
    while page.ask("window.isOld || document.readyState !== 'complete'"):
        if time.monotonic() > deadline:
            raise BrowserError(f"{url} does not come")
        time.sleep(0.05)


def main(_: Sequence[str]) -> int:
    """Exit status 1 without a browser."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw_report()
    chromium = find_chromium()
    if chromium is None:
        print(f"no Chromium on this machine: install it (apt-get install chromium), or name it in {PATH_VARIABLE}")
        return 1
    with Page(chromium) as page:
        for name, message, width in (
            ("digest", a_digest(), WIDE),
            ("digest-360", a_digest(), NARROW),
            ("escalation", an_escalation(), WIDE),
        ):
            page.show(message.html, width=width)
            page.picture(FOLDER / f"{name}.png")
            print(f"{FOLDER / name}.png")
        asyncio.run(draw_board(page))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
