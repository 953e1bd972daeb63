"""A closed period as it was: kept revision by revision, and counted again from what was known when it closed."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.domain.aggregate import aggregate
from services.reporting.knowledge import indicator_known_by, known_by
from services.reporting.wire import snapshot_of, task_facts
from shared.contracts.registry_facts import IndicatorValue
from shared.contracts.report_facts import ReportPublished
from shared.contracts.task_facts import TaskSnapshot
from shared.runtime.consuming import Received
from tests.flow.reporting.harness import Replica
from tests.flow.reporting.snapshots import a_cause, a_snapshot, changed, indicator
from tests.flow.reporting.test_oracle import CALENDAR, flat, histories
from tests.unit.reporting.builders import DECREE_09, at

TURNS = ("2024-11-16 09:00", "2024-12-20 09:00", "2025-01-20 09:00")
"""When each version of the tasks has come in, and time is looked at."""
RECORDED = tuple(at(one) - timedelta(hours=1) for one in TURNS)
_tasks = st.integers(1, 6).flatmap(lambda count: st.tuples(*(histories(number, RECORDED) for number in range(count))))


async def play(tasks: Sequence[Sequence[Received]]) -> Replica:
    """Each version of all tasks, then time: three months close, each on what is known by then."""
    replica = Replica()
    for place, turn in enumerate(TURNS):
        await replica.receive(*(history[place] for history in tasks if place < len(history)))
        await replica.at(turn)
    return replica


def first_finals(replica: Replica) -> list[ReportPublished]:
    """What each report said when its period closed. Groups are sums of agencies: left out."""
    found: dict[str, ReportPublished] = {}
    for event in replica.topic.events:
        one = event.data
        if isinstance(one, ReportPublished) and one.final and not one.scope.startswith("group:"):
            found.setdefault(f"{one.province}/{one.period}/{one.scope}", one)
    return list(found.values())


@given(_tasks)
@settings(deadline=None, max_examples=25)
def test_what_was_known_at_the_close_gives_the_first_final_revision_again(tasks: Sequence[Sequence[Received]]) -> None:
    """INVARIANT: a closed period can be counted again as it was at its cut-off, from the snapshots of today.

    If it broke, nobody could tell a figure that facts changed from one that we did.
    """
    replica = asyncio.run(play(tasks))
    newest = [one for history in tasks if (one := snapshot_of(history[-1])) is not None]

    for report in first_finals(replica):
        known = [task_facts(one) for task in newest if (one := known_by(task, report.computed_at)) is not None]
        closing = DECREE_09.period(report.period).closing
        counted = aggregate(known, closing, calendar=CALENDAR).get(report.scope)
        assert counted is not None, (report.period, report.scope)
        assert {name: getattr(counted, name) for name in flat(report)} == flat(report), (report.period, report.scope)


@given(_tasks)
@settings(deadline=None, max_examples=10)
def test_the_first_final_revision_is_the_oldest_that_is_kept(tasks: Sequence[Sequence[Received]]) -> None:
    replica = asyncio.run(play(tasks))

    for first in first_finals(replica):
        kept = asyncio.run(replica.store.kept_revisions(f"{first.province}/{first.period}/{first.scope}", 100))
        assert (kept[-1].revision, kept[-1].content_hash) == (first.revision, first.content_hash)
        assert [one.revision for one in kept] == list(range(kept[0].revision, first.revision - 1, -1)), "no gap"


def test_fact_is_known_from_the_moment_it_was_recorded() -> None:
    late = a_cause("2024-11-12")
    task = snapshot_of(changed(a_snapshot(2, result="2024-11-12", accepted="2024-11-13")))
    assert task is not None

    before = known_by(task, late["recorded_at"] - timedelta(microseconds=1))
    between = known_by(task, late["recorded_at"])

    assert before is not None
    assert between is not None
    assert (len(before.results), len(between.results)) == (0, 1)
    assert (between.results[0].verdict, between.results[0].verdict_cause) == (None, None)
    assert known_by(task, at("2024-11-14")) == task
    assert known_by(task, at("2024-10-10")) is None


def test_indicator_is_known_as_far_as_it_had_been_reported() -> None:
    value = indicator("H48.07", "DVCTT", "2024-Q4", 45, 100, received="2024-11-12", target="50").event.data
    assert isinstance(value, IndicatorValue)

    early, late = indicator_known_by(value, at("2024-11-01")), indicator_known_by(value, at("2024-11-14"))

    assert (len(early.reports), len(early.targets)) == (0, 1)
    assert late == value


def test_every_list_of_a_snapshot_is_looked_at() -> None:
    """A list that is added to the contract must be cut off too, or be named here with why not."""
    not_counted = {
        "bases",
        "cooperating",
        "milestones",  # what time does is judged anew
        "dependencies",
        "contributions",  # no figure rests on them
    }
    lists = {name for name, one in TaskSnapshot.model_fields.items() if str(one.annotation).startswith("tuple")}
    full = snapshot_of(
        changed(
            a_snapshot(
                result="2024-11-12",
                suspensions=[
                    {
                        "reason": "",
                        "document": {"issued_on": date(2024, 11, 1)},
                        "cause": a_cause("2024-11-12"),
                        "resumed": None,
                        "resumed_document": None,
                    }
                ],
            )
        )
    )
    assert full is not None
    known = known_by(full, at("2024-10-12"))
    assert known is not None

    looked_at = {"deadlines", "results", "extensions", "obstacles", "allocations", "disbursements", "suspensions"}
    assert lists - not_counted == looked_at
    assert (known.results, known.suspensions) == ((), ())
