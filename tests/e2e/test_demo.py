"""`make demo`: the notice of October 2024 ends as it must, on the embedded broker."""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.__main__ import BUILD
from deploy.local.mailbox import read_mails
from deploy.local.processes import ManagedProcess

pytestmark = [pytest.mark.connected, pytest.mark.timeout(720)]


@pytest.fixture(scope="module")
async def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    command = (sys.executable, "-m", "deploy.demo")
    process = ManagedProcess("demo", command, log, env={**os.environ})
    process.start()
    await process.finish(within=600)
    assert process.exit_code == 0, log.read_text()
    content: dict[str, Any] = json.loads((Path(BUILD) / "summary.json").read_text())
    return content


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
    mails = read_mails(Path(BUILD) / "mails")
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
