"""`make demo`: the notice of October 2024 ends as it must, on the embedded broker."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.__main__ import BUILD
from deploy.local.processes import ManagedProcess

pytestmark = [pytest.mark.connected, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
async def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    command = (sys.executable, "-m", "deploy.demo")
    process = ManagedProcess("demo", command, log, env={**os.environ})
    process.start()
    await process.finish(within=200)
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


def test_the_accounts_hold_and_nothing_is_in_flight(summary: dict[str, Any]) -> None:
    accounts = summary["submissions"]

    assert accounts["in_flight"] == 0
    assert accounts["accepted"] == accounts["applied"] + accounts["rejected"] + accounts["dead"]


def test_every_month_adds_up(summary: dict[str, Any]) -> None:
    assert len(summary["reports"]) == 6
    for period, totals in summary["reports"].items():
        assert totals["total"] == sum(count for name, count in totals.items() if name != "total"), period
