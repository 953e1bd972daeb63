"""docs/consumers.md keeps its word: the example makes a right table of whatever comes, and however often."""

import random
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.processes import REPOSITORY_ROOT
from services.reporting.ports import Message
from shared.contracts.report_facts import ReportPublished
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.memory import MemoryTopic
from tests.flow.reporting.snapshots import a_snapshot, changed

PAGE = (REPOSITORY_ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")


def example(number: int) -> dict[str, Any]:
    """What a code block of the page defines."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(blocks[number], names)
    return names


class RawTopic(MemoryTopic):
    """Keeps the bytes as well."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[bytes] = []

    async def __call__(self, messages: list[Message]) -> None:  # type: ignore[override]
        await super().__call__(messages)
        self.values.extend(one.value for one in messages)


async def published() -> RawTopic:
    """Provisional, closed and amended reports of several periods and scopes."""
    topic = RawTopic()
    replica = Replica(topic=topic)
    for number, day in enumerate(["2024-10-12", "2024-10-30", "2024-11-16", "2024-12-20"]):
        await replica.receive(changed(a_snapshot(1, agency=f"H48.{number:02d}", assigned=day, due="2024-11-10")))
        await replica.at(f"{day} 12:00")
    await replica.receive(changed(a_snapshot(2, agency="H48.00", result="2024-11-09", accepted="2024-11-12")))
    await replica.at("2024-12-21")
    return topic


@pytest.mark.parametrize("seed", range(5))
async def test_table_is_right_whatever_order_records_come_in(seed: int) -> None:
    topic = await published()
    names = example(0)
    take: Callable[[sqlite3.Connection, bytes], bool] = names["take"]
    values = topic.values * 2
    random.Random(seed).shuffle(values)
    with sqlite3.connect(":memory:") as table:
        names["create"](table)
        news = sum(take(table, value) for value in values)
        rows = table.execute("SELECT key, revision, final, total, open_overdue, content_hash FROM reports").fetchall()

    last: dict[str, ReportPublished] = {}
    for event in topic.events:
        assert isinstance(event.data, ReportPublished)
        key = f"{event.data.province}/{event.data.period}/{event.data.scope}"
        if key not in last or last[key].revision < event.data.revision:
            last[key] = event.data
    assert {row[0]: row[1:] for row in rows} == {
        key: (one.revision, one.final, one.totals.total, one.totals.open_overdue, one.content_hash)
        for key, one in last.items()
    }
    assert len(last) <= news <= len(topic.values)
    assert any(one.amendment is not None for one in last.values()), "something was amended"


def test_loop_of_the_page_can_be_read_by_python() -> None:
    assert callable(example(1)["follow"])


def test_page_names_every_topic_of_reports() -> None:
    for kind in ("weekly", "monthly", "quarterly", "half-yearly", "yearly"):
        assert f"`dondoc.reports.{kind}.v1`" in PAGE
