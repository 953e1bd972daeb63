"""An agency's obstacles and its money, out of the kept snapshots of its tasks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from services.reporting import content_wire, wire
from services.reporting.board import pages, words
from services.reporting.domain import listing
from services.reporting.domain.content import FundedRow, Stage
from services.reporting.domain.content_rules import RiskRule
from services.reporting.domain.schedule import AsOf
from shared.contracts.task_facts import TaskSnapshot
from shared.workdays.calendar import WorkingCalendar, local_day

STAGES: Final = {
    Stage.RAISED: "Chưa được trả lời",
    Stage.ANSWERED: "Đã được trả lời, chưa giải quyết xong",
    Stage.FORWARDED: "Đã chuyển cấp trên",
}


@dataclass(frozen=True, slots=True)
class ObstacleLine:
    """An obstacle that is not cleared."""

    description: str
    raised_on: date
    stage: Stage
    stage_words: str
    beyond_authority: bool


@dataclass(frozen=True, slots=True)
class Obstructed:
    """A task with such obstacles."""

    task_id: str
    href: str
    title: str
    clause: str
    directive: str
    obstacles: tuple[ObstacleLine, ...]


def obstructed(snapshots: Sequence[str], directives: pages.Names) -> tuple[Obstructed, ...]:
    """Tasks in the order given."""
    found = []
    for task in map(wire.read_snapshot, snapshots):
        directive = directives.get(task.directive, task.directive)
        href = pages.task_address(task.task_id)
        found.append(Obstructed(task.task_id, href, task.title, task.clause, directive, _open(task)))
    return tuple(found)


def _open(task: TaskSnapshot) -> tuple[ObstacleLine, ...]:
    lines = []
    for one in task.obstacles:
        if one.cleared is not None:
            continue
        stage = Stage.FORWARDED if one.forwarded else Stage.ANSWERED if one.answered else Stage.RAISED
        told = STAGES[stage]
        if one.forwarded is not None and one.forwarded_to in words.FORWARDED_TO:
            told = f"Đã chuyển {words.FORWARDED_TO[one.forwarded_to]}"
        raised_on = local_day(one.cause.received_at)
        lines.append(ObstacleLine(listing.shortened(one.description), raised_on, stage, told, one.beyond_authority))
    return tuple(lines)


def funded(
    snapshots: Sequence[str],
    directives: pages.Names,
    *,
    now: datetime,
    risk: RiskRule,
    calendar: WorkingCalendar,
) -> tuple[FundedRow, ...]:
    """As the report to the chairman reckons them: those at risk first, then by what is left to pay."""
    as_of = AsOf(now)
    lists = listing.Lists(
        listing.Window(as_of, since=now, upcoming_until=as_of.day),
        listing.Directory(directives=directives),
        risk=risk,
        rows_max=max(1, len(snapshots)),
        calendar=calendar,
    )
    for snapshot in snapshots:
        lists.add(content_wire.task_text(snapshot))
    return lists.funded.rows
