"""`make demo` on a terminal: the notice of October 2024 ends as it must, and then the board is there until Ctrl-C."""

import difflib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from deploy.demo.__main__ import BUILD, NOTICE, PERIODS, STORY
from deploy.demo.reports import CONTENT, CSV, TABLES
from deploy.demo.story import Submission, load_notice, load_story
from deploy.local.mailbox import read_mails
from shared.workdays.calendar import local_day
from tests.e2e import golden
from tests.support.report_cells import check_csv, check_docx, check_pdf, check_xlsx
from tests.support.terminal import CTRL_C, Terminal
from tests.unit.demo.test_ending import Links

pytestmark = [pytest.mark.connected, pytest.mark.timeout(720)]


@dataclass(frozen=True, slots=True)
class Run:
    """What somebody saw who ran it."""

    summary: Mapping[str, Any]
    said: str
    board: httpx.Response
    """What a browser is led to that opens the board's address while it stays up."""
    tasks: httpx.Response
    exit_code: int
    is_gone: bool
    """Nobody answers at the board's address after Ctrl-C."""


@pytest.fixture(scope="module")
async def run() -> Run:
    terminal = Terminal((sys.executable, "-m", "deploy.demo"), os.environ)
    try:
        await terminal.wait_for("Ctrl-C ends it.", within=600)
        board = address(terminal.said, "The board: ")
        tasks = address(terminal.said, "Tasks: ")
        async with httpx.AsyncClient(trust_env=False, timeout=30, follow_redirects=True) as browser:
            page = await browser.get(board, headers={"sec-fetch-mode": "navigate"})
            listed = await browser.get(tasks)
            await terminal.press(CTRL_C)
            exit_code = await terminal.ended(within=90)
            try:
                await browser.get(board)
                is_gone = False
            except httpx.ConnectError:
                is_gone = True
    finally:
        terminal.close()
    summary = json.loads((BUILD / "summary.json").read_text(encoding="utf-8"))
    return Run(summary, terminal.said, page, listed, exit_code, is_gone)


def address(said: str, label: str) -> str:
    """What was printed after a label."""
    found = re.search(rf"{label}(http://\S+?)[;\s]", said)
    assert found is not None, said
    return found[1]


@pytest.fixture(scope="module")
def summary(run: Run) -> dict[str, Any]:
    return dict(run.summary)


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_it_stays_up_with_the_board_until_ctrl_c(run: Run) -> None:
    assert run.board.status_code == 200
    assert "Trang này chỉ dùng để thử nghiệm" in run.board.text
    assert "H48.07" in run.board.text
    assert (run.tasks.status_code, len(run.tasks.json()["tasks"]) > 0) == (200, True)
    assert (run.exit_code, run.is_gone) == (0, True), run.said


def test_page_leads_to_files_that_are_there(run: Run) -> None:
    page = BUILD / "index.html"

    targets = [one for one in Links(page.read_text(encoding="utf-8")).targets if one[0] != "#" and "://" not in one]

    assert page.as_uri() in run.said
    assert len(targets) > 6 * 16
    assert [one for one in targets if not (BUILD / one).exists()] == []
    assert all((BUILD / one).is_dir() or (BUILD / one).stat().st_size > 0 for one in targets)


# -- the reports -------------------------------------------------------------------------------------------------------


def content_of(period: str) -> dict[str, Any]:
    """A month's content, as it was fetched."""
    found: dict[str, Any] = json.loads((BUILD / "reports" / CONTENT.path(period)).read_text(encoding="utf-8"))
    return found


def test_months_reports_are_the_golden_ones(run: Run) -> None:
    """INVARIANT: the same story gives the same reports, to the last digit and row, whatever the machine's pace.

    What may differ is named, with why, in golden.EXCLUDED.
    """
    wanted, found = golden.committed(), golden.of_run(BUILD)

    differences = [
        line
        for period in sorted(wanted.keys() | found.keys())
        for line in difflib.unified_diff(
            wanted.get(period, "").splitlines(),
            found.get(period, "").splitlines(),
            f"tests/e2e/golden/{period}.json",
            f"build/demo/reports/{period}",
            n=0,
            lineterm="",
        )
    ]
    assert not differences, "\n" + "\n".join(differences)


@pytest.mark.parametrize("period", PERIODS)
def test_every_file_of_a_month_says_what_its_content_says(run: Run, period: str) -> None:
    folder, content = BUILD / "reports" / period, content_of(period)

    for ending, check in (("xlsx", check_xlsx), ("docx", check_docx), ("pdf", check_pdf)):
        assert check(content, (folder / f"bao-cao-{period}.{ending}").read_bytes()) > 500
    for table, form in zip(TABLES, CSV, strict=True):
        check_csv(content, table, (BUILD / "reports" / form.path(period)).read_bytes())


# -- figures that were counted by hand from the story ------------------------------------------------------------------


def test_november_is_what_the_story_gives_by_hand(run: Run) -> None:
    """From story.yaml, by reading it. As of the end of 14/11/2024 these and no others are late:

    II.1.h (trước ngày 20/10: the 19th): H48.12 on 22/10 (3 days), H48.34 on 23/10 (4), H48.16 on 28/10 (9), H48.35 on
    30/10 (11), all accepted; H48.41 never (26 by then). II.2.g (the 19th): not handed in before 15/11 (26). II.2.c-2
    (trước ngày 30/10: the 29th): on 4/11 (6), accepted.
    """
    november = content_of("2024-11")
    figures = november["figures"]

    assert (figures["done_late"], figures["open_overdue"]) == (5, 2)
    assert figures["days_late"] == 3 + 4 + 9 + 11 + 6 + 26 + 26
    causes = {name[5:]: count for name, count in figures.items() if name.startswith("late_") and count}
    assert causes == {"administrative": 1, "dependency": 2, "disagreement": 1, "other": 1, "unstated": 2}
    assert {one["task"]["task_id"]: one["days_late"] for one in november["overdue"]} == {
        "H48/TB-UBND-2024-10-11/II.1.h/H48.41": 26,
        "H48/TB-UBND-2024-10-11/II.2.g/H48.07": 26,
    }


def test_the_one_known_fact_stands_in_december(run: Run) -> None:
    """Kế hoạch 223/KH-UBND of 15/11/2024, asked for before the 20th of October: done, 27 days late, listed no more."""
    [standing] = [one for one in content_of("2024-12")["agencies"] if one["code"] == "H48.07"]

    assert "II.2.g" not in {one["task"]["clause"] for one in content_of("2024-12")["overdue"]}
    # The regulations, trong tháng 11: Saturday the 30th rolls to Monday 2/12 (ADR 0008). II.2.d-3 handed in again on
    # 5/12 (3 days), II.2.d-2 on 6/12 (4). II.2.c-2 as before: 6.
    assert (standing["figures"]["done_late"], standing["figures"]["days_late"]) == (4, 27 + 3 + 4 + 6)


@pytest.mark.parametrize("period", PERIODS)
def test_money_is_what_a_replay_of_the_story_gives(run: Run, period: str) -> None:
    """Counted anew from the submissions: the sum of all allocations, and of each agency's latest word on what was paid.

    What was paid is the figure of the latest day, of the same day the one received last (H48.20 corrects itself).
    """
    content = content_of(period)
    given, paid = 0, dict[str, tuple[str, int]]()
    for one in received_by(period):
        data = one.event["data"]
        match one.event["type"]:
            case "dondoc.budget.allocated.v1":
                given += data["amount_vnd"]
            case "dondoc.task.disbursement_reported.v1":
                as_of, task = data["as_of"], data["task_id"]
                paid[task] = max(paid.get(task, ("", 0)), (as_of, data["cumulative_vnd"]), key=lambda word: word[0])
                if paid[task][0] == as_of:
                    paid[task] = (as_of, data["cumulative_vnd"])

    figures = content["figures"]
    assert (figures["allocated_vnd"], figures["disbursed_vnd"]) == (given, sum(amount for _, amount in paid.values()))
    percent = Decimal(figures["disbursed_vnd"] * 100) / given if given else None
    assert figures["disbursed_percent"] == (f"{percent:.2f}" if percent is not None else None)


@pytest.mark.parametrize(("period", "granted"), [("2024-11", 3), ("2024-12", 3), ("2025-01", 6), ("2025-02", 8)])
def test_extensions_are_those_of_the_story(run: Run, period: str, granted: int) -> None:
    """Three by the directive itself (CV 5233), then: two on 30/12, one on 6/1, one on 24/1, one on 7/2."""
    told = [one for one in received_by(period) if one.event["type"] == "dondoc.task.extension_granted.v1"]

    assert content_of(period)["figures"]["extensions_granted"] == granted == 3 + len(told)


def test_indicators_of_the_fourth_quarter_are_what_agencies_reported(run: Run) -> None:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in received_by("2025-01"):
        if one.event["type"] == "dondoc.indicator.reported.v1":
            data = one.event["data"]
            counts = (int(data["numerator"]), int(data["denominator"]), 1)
            sums[data["code"]] = [before + more for before, more in zip(sums[data["code"]], counts, strict=True)]

    shown = {one["code"]: one for one in content_of("2025-01")["indicators"]}

    assert shown.keys() == sums.keys() == {"DVCTT", "SOHOA"}
    for code, (numerator, denominator, agencies) in sums.items():
        assert shown[code]["percent"] == f"{Decimal(numerator * 100) / denominator:.2f}"
        assert (shown[code]["agencies"], shown[code]["agencies_met"], shown[code]["is_met"]) == (agencies, 0, False)


def received_by(period: str) -> list[Submission]:
    """The story's submissions up to a cut-off: the 14th of the month."""
    story = load_story(load_notice(NOTICE), STORY)
    return [one for one in story if local_day(one.at) <= date.fromisoformat(f"{period}-14")]


# -- what the story comes to -------------------------------------------------------------------------------------------


def tasks_of(summary: dict[str, Any], clause: str) -> list[dict[str, Any]]:
    return [task for task in summary["tasks"] if task["clause"] == clause]


def test_the_one_known_fact_is_27_days_late(summary: dict[str, Any]) -> None:
    [plan] = tasks_of(summary, "II.2.g")

    assert (plan["result"], plan["schedule"], plan["days_late"]) == ("completed", "late", 27)


def test_the_notices_dates_are_read_as_policy_says(summary: dict[str, Any]) -> None:
    assert summary["obligations"] == 47
    assert {task["nominal"] for task in tasks_of(summary, "II.1.h")} == {"2024-10-19"}
    assert len(tasks_of(summary, "II.1.h")) == 34
    for clause, nominal in {
        "II.2.c": "2024-10-29",
        "II.2.c-2": "2024-10-29",
        "II.2.d": "2024-11-30",
        "II.2.d-2": "2024-11-30",
        "II.2.d-3": "2024-11-30",
        "II.2.b": "2025-02-28",
        "II.2.b-2": "2025-12-31",
    }.items():
        assert [task["nominal"] for task in tasks_of(summary, clause)] == [nominal], clause


def test_there_is_a_report_to_make_every_month(summary: dict[str, Any]) -> None:
    monthly = {task["period"]: task["nominal"] for task in tasks_of(summary, "II.2.a")}

    months = ["2024-10", "2024-11", "2024-12", "2025-01", "2025-02", "2025-03"]
    assert {month: monthly[month] for month in months} == {month: f"{month}-19" for month in months}


def test_every_kind_of_alert_is_there(summary: dict[str, Any]) -> None:
    wanted = {"overdue", "overdue_retracted", "escalation", "extension_granted", "extension_refused", "result_returned"}

    assert wanted <= set(summary["alerts"])


def test_the_mailbox_holds_what_an_office_would_have_got(summary: dict[str, Any]) -> None:
    mails = read_mails(BUILD / "mails")
    by_kind: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for mail in mails:
        by_kind[str(mail.message["X-Dondoc-Kind"])].append((mail.recipients[0], mail.subject))

    wanted = {"digest", "summary", "escalation", "overdue_retracted", "extension_granted", "result_returned"}
    assert wanted <= set(by_kind)
    # One digest a mailbox and day, one message a mailbox and directive.
    digests = [(mailbox, subject.split(":")[0]) for mailbox, subject in by_kind["digest"]]
    assert len(digests) == len(set(digests))
    assert len(by_kind["assigned"]) == len({(to, subject.split("–")[-1]) for to, subject in by_kind["assigned"]})
    assert len({str(mail.message["Message-ID"]) for mail in mails}) == len(mails)
    # Fewer messages than alerts: people would not read more.
    assert len(mails) < sum(summary["alerts"].values())


def test_an_outage_of_two_weeks_makes_nobody_late(summary: dict[str, Any]) -> None:
    """What was received in time while tasks was down is on time, and each missed milestone fired once."""
    quarterly = {task["agency"]: task for task in tasks_of(summary, "II.1.e-2") if task["period"] == "2024-Q4"}

    in_time = ["H48.01", "H48.05", "H48.13", "H48.20", "000.00.53.H48", "H48.37"]
    assert {quarterly[agency]["schedule"] for agency in in_time} == {"on_time"}
    assert quarterly["H48.34"]["schedule"] == "late"
    late = summary["late_milestones"]
    assert 0 < late["superseded"] < late["fired"]


def test_the_merged_departments_tasks_went_on_under_the_successors_name(summary: dict[str, Any]) -> None:
    tasks = {task["task_id"]: task for task in summary["tasks"]}

    old, new = tasks["H48/KH-THU-2025/I.1/H48.02"], tasks["H48/KH-THU-2025/I.1/H48.03"]
    assert (old["result"], new["result"], new["schedule"]) == ("transferred", "completed", "on_time")
    assert (new["times_extended"], new["nominal"]) == (3, "2025-03-31")
    still_its = [one for one in summary["tasks"] if one["agency"] == "H48.02"]
    assert {one["result"] for one in still_its} <= {"completed", "transferred", "discontinued"}


def test_the_split_departments_tasks_wait_for_a_choice(summary: dict[str, Any]) -> None:
    tasks = {task["task_id"]: task for task in summary["tasks"]}

    assert tasks["H48/KH-THU-2025/I.8/H48.06"]["result"] == "transferred", "chosen"
    assert tasks["H48/KH-THU-2025/I.8/H48.04"]["result"] == "assigned"
    assert tasks["H48/TB-UBND-2024-10-11/II.1.g/H48.06"]["result"] == "in_progress", "still where it was"
    assert summary["alerts"]["succession"] >= 15


def test_the_accounts_hold_and_nothing_is_in_flight(summary: dict[str, Any]) -> None:
    accounts = summary["submissions"]

    assert accounts["in_flight"] == 0
    assert accounts["accepted"] == accounts["applied"] + accounts["rejected"] + accounts["dead"]


def test_every_month_adds_up(summary: dict[str, Any]) -> None:
    assert len(summary["reports"]) == 6
    for period, totals in summary["reports"].items():
        assert totals["total"] == sum(count for name, count in totals.items() if name != "total"), period
