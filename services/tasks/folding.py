"""One document's next state, growing submission by submission in memory; and what a submission is on its way there."""

from datetime import datetime
from typing import NamedTuple

from services.tasks import metrics, wire
from services.tasks.domain.decision import EXPLANATIONS, Decision, Rules
from services.tasks.domain.milestones import next_at
from services.tasks.domain.task import Task
from services.tasks.ports import (
    Change,
    LedgerEntry,
    Message,
    Outcome,
    Parked,
    Position,
    Stored,
    Untold,
    Verdict,
    Write,
)
from shared.contracts.codec import Event, decode
from shared.contracts.events import KeyedBy
from shared.contracts.topics import SUBMISSIONS


class Submission(NamedTuple):
    """A claimed submission on its way to a task."""

    event: Event
    entry: LedgerEntry
    foreign: bool = False
    """Its record's key is not the task's: the fence cannot see it, so its key is kept in the document."""
    parked: bool = False
    """It waited for its task. Its key is kept as well: whoever claimed it may wake up and hold it for unapplied."""

    @property
    def position(self) -> Position:
        """Where its record stands."""
        return self.entry.position


def is_foreign(event: Event) -> bool:
    """Whether an event's record lies under another key than the task it speaks of."""
    return event.kind.keyed_by is not KeyedBy.TASK


def parked_submission(parked: Parked, entry: LedgerEntry) -> Submission:
    """A submission as it comes out of the waiting room."""
    event = decode(SUBMISSIONS.name, parked.value)
    return Submission(event, entry, foreign=is_foreign(event), parked=True)


class Fold:
    """One document's next state, growing submission by submission in memory."""

    def __init__(self, stored: Stored, rules: Rules) -> None:
        self._stored = stored
        self._rules = rules
        self.task = stored.task
        self.touched = False
        self._offset = stored.offset
        self._steps = stored.steps
        self._messages: list[Message] = list(stored.untold.messages) if stored.untold else []
        self._verdicts: list[Verdict] = list(stored.untold.verdicts) if stored.untold else []
        self._history: list[Change] = []
        self._text = stored.text
        """The task as it was told last."""
        self._next_at = stored.next_at
        self._knows_next_at = stored.rules == rules.version

    def has(self, submission: Submission) -> bool:
        """Whether the document holds this submission already."""
        if submission.entry.key in self._steps:
            return True
        if submission.parked:
            # Somebody who claimed it before it was parked may have applied it as an ordinary one. Until its ledger
            # entry is closed, which its reader looks at after the document, the document owes its outcome.
            return any(one.key == submission.entry.key for one in self._verdicts)
        if submission.foreign:
            return False
        return submission.position.partition == self._stored.partition and submission.position.offset <= self._offset

    def is_due(self, now: datetime) -> bool:
        """Whether time does something to the task by then."""
        at = self.next_at()
        return at is not None and at <= now

    def next_at(self) -> datetime | None:
        """When time will next do something to the task."""
        if not self._knows_next_at:
            self._next_at = next_at(self.task, self._rules.milestones, self._rules.calendar)
            self._knows_next_at = True
        return self._next_at

    def take(self, submission: Submission, decision: Decision, *, closes: bool = True) -> None:
        """Add a decided submission. `closes`: the ledger entry closes with this document."""
        self._add(decision, submission.event)
        # The fence sees neither: a parked one lies before records that may not have been applied yet.
        if submission.foreign or submission.parked:
            self._steps = (*self._steps, submission.entry.key)
        elif submission.position.partition == self._stored.partition:
            self._offset = submission.position.offset
        if closes:
            self._verdicts.append(
                Verdict(
                    submission.entry.key,
                    Outcome.REJECTED if decision.rejected else Outcome.APPLIED,
                    str(decision.reason),
                    EXPLANATIONS.get(decision.reason, ""),
                )
            )

    def pass_to(self, decision: Decision) -> None:
        """Add what time did."""
        self._add(decision, None)

    def _add(self, decision: Decision, event: Event | None) -> None:
        assert decision.facts or decision.task is self.task, "a task changes by facts"
        self.touched = True
        before, self.task = self.task, decision.task
        # Most of what is said plans nothing anew.
        self._knows_next_at = self._knows_next_at and _planned_alike(before, self.task)
        for fact in decision.facts:
            self._text = wire.snapshot_json(fact.task)
            self._messages.append(wire.message(fact, event, text=self._text))
            self._history.append(wire.change(fact))
            metrics.FACTS_OF[fact.kind].inc()

    def write(self, token: str, heir: Write | None = None) -> Write:
        """The write that makes it so. `heir`: of the task that goes on where this one ends."""
        return Write(
            task=self.task,
            text=self._text,
            partition=self._stored.partition,
            offset=self._offset,
            steps=self._steps,
            untold=Untold(token, tuple(self._messages), tuple(self._verdicts)),
            replaces=self._stored.version,
            next_at=self.next_at(),
            rules=self._rules.version,
            history=tuple(self._history),
            since=self._stored,
            heir=heir,
        )


def _planned_alike(before: Task, after: Task) -> bool:
    """Whether nothing changed that milestones are planned by. Values are never changed in place."""
    return (
        before.deadlines is after.deadlines
        and before.results is after.results
        and before.milestones is after.milestones
        and before.suspensions is after.suspensions
        and before.ended is after.ended
    )


def as_step(submission: Submission) -> Submission:
    """The same submission as a step on documents of other keys."""
    return submission._replace(foreign=True)
