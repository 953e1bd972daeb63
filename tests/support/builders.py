"""Builders: a test says only what it is about."""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from services.tasks.domain.commands import Command
from services.tasks.domain.deadlines import POLICIES, Boundary, deadline
from services.tasks.domain.decide import decide
from services.tasks.domain.decision import Decision, Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy
from services.tasks.domain.task import Cause, Document, Task
from shared.workdays.calendar import WorkingCalendar

PLAIN = WorkingCalendar()
RULES = Rules(PLAIN, MilestonePolicy())
RULEBOOK = Rulebook(RULES)
AGENCY, REVIEWER = "H48.21", "H48.07"

_ids = count(1)


def at(text: str) -> datetime:
    """An instant from local time in Vietnam: `at("2024-10-19 16:00")`."""
    return datetime.fromisoformat(f"{text}+07:00").astimezone(UTC)


def a_cause(received: str | datetime = "2024-10-14 08:00", actor: str = AGENCY, event_id: str | None = None) -> Cause:
    instant = at(received) if isinstance(received, str) else received
    return Cause(event_id or f"//test#{next(_ids)}", actor, instant, instant + timedelta(seconds=1))


def a_document(issued_on: date = date(2024, 10, 14), number: str | None = "1/BC") -> Document:
    return Document(issued_on, number)


def a_task(due: date | None = date(2024, 10, 19), **changes: Any) -> Task:
    """A task assigned on 14/10/2024 08:00 whose document says "trước ngày" the day after `due`."""
    cause = a_cause("2024-10-14 08:00", "H48.01", "//test#directive")
    deadlines = (deadline(due, POLICIES[Boundary.BEFORE], PLAIN, version=1, cause=cause),) if due else ()
    fields: dict[str, Any] = {
        "task_id": f"H48/TB-1/II.1.h/{AGENCY}",
        "province": "H48",
        "directive": "TB-1",
        "clause": "II.1.h",
        "agency": AGENCY,
        "period": None,
        "title": "Đề xuất nhiệm vụ ưu tiên",
        "phrase": "trước ngày 20/10/2024",
        "category": "dated",
        "bases": (),
        "cooperating": (),
        "reviewer": REVIEWER,
        "acceptance": "reviewer",
        "assigned": cause,
        "seq": 1,
        "deadlines": deadlines,
    }
    return Task(**{**fields, **changes})


def after(task: Task, *steps: tuple[Command, str] | tuple[Command, str, str], rules: Rules = RULES) -> Decision:
    """Apply commands in turn: (command, local time of receipt[, actor]). Returns the last decision, all facts."""
    facts: tuple[Any, ...] = ()
    decision = None
    for step in steps:
        command, received = step[0], step[1]
        actor = step[2] if len(step) == 3 else AGENCY
        decision = decide(task, command, cause=a_cause(received, actor), rules=rules)
        task, facts = decision.task, facts + decision.facts
    assert decision is not None
    return Decision(task, facts, decision.reason)
