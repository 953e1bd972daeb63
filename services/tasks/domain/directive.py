"""Directives: who is meant by a group, which tasks an obligation makes, which it will make later."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

from services.tasks.domain.deadlines import (
    ByReferenceRule,
    ConditionalRule,
    DueRule,
    FixedRule,
    OpenEndedRule,
    RecurringRule,
    RelativeRule,
    single_deadline,
    triggered_deadline,
)
from services.tasks.domain.decision import Rules
from services.tasks.domain.recurrence import Period, opened_by, period_deadline
from services.tasks.domain.succession import Edge, plain_successor
from services.tasks.domain.task import CLOCK, Cause, Deadline, Dependency, Document, Task, share_id


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which no period of an obligation opens."""

    begun: Cause
    document: Document
    ended: Cause | None = None

    def covers(self, instant: datetime) -> bool:
        """Whether nothing opens at an instant."""
        return self.begun.received_at <= instant and (self.ended is None or instant < self.ended.received_at)


@dataclass(frozen=True, slots=True)
class Joined:
    """An agency that a later revision named."""

    agency: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Revocation:
    """The decision that withdrew the whole directive."""

    reason: str
    document: Document
    cause: Cause


@dataclass(frozen=True, slots=True)
class Obligation:
    """One clause with its agencies already named one by one."""

    province: str
    directive: str
    clause: str
    title: str
    phrase: str
    category: str
    bases: tuple[str, ...]
    leads: tuple[str, ...]
    cooperating: tuple[str, ...]
    due: DueRule
    acceptance: Literal["reviewer", "automatic"]
    reviewer: str
    prior_document: Document | None
    issued: Cause
    source: Document
    """The directive itself, as people cite it."""
    revision: int = 1
    ruled: Cause | None = None
    """What brought the due rule in force; None: this very revision."""
    dependencies: tuple[Dependency, ...] = ()
    pauses: tuple[Pause, ...] = ()
    withdrawn: bool = False
    """Revoked, or left out of a later revision: nothing opens any more."""
    joined: tuple[Joined, ...] = ()
    """Leads that the first revision did not name. They owe no period that was over before they were named."""
    revoked: Revocation | None = None

    @property
    def obligation_id(self) -> str:
        """`{province}/{directive}/{clause}`."""
        return f"{self.province}/{self.directive}/{self.clause}"

    @property
    def ruled_by(self) -> Cause:
        """What brought its due rule in force. Periods that begin later are opened by the clock."""
        return self.ruled or self.issued

    def following(self, before: "Obligation | None") -> "Obligation":
        """This revision of an obligation that stood before: pauses last, and so does a due rule that is the same."""
        if before is None or before.withdrawn:
            return self
        since = {one.agency: one for one in before.joined}
        since |= {one: Joined(one, self.issued) for one in self.leads if one not in before.leads}
        return replace(
            self,
            pauses=before.pauses,
            ruled=before.ruled_by if before.due == self.due else None,
            joined=tuple(since[one] for one in self.leads if one in since),
        )

    def takes_its_day_away(self, before: "Obligation | None") -> bool:
        """Whether tasks that have a day by what stood before would have none by what stands now."""
        if before is None or before.withdrawn:
            return False
        match before.due, self.due:
            case (FixedRule() | RelativeRule(), OpenEndedRule() | ByReferenceRule()):
                return True
            case (ConditionalRule(days=int()), ConditionalRule(days=None)):
                return True
        return False

    @property
    def pause(self) -> Pause | None:
        """The pause that is running."""
        return self.pauses[-1] if self.pauses and self.pauses[-1].ended is None else None

    def paused(self, pause: Pause) -> "Obligation":
        """From its beginning on nothing opens. Said again, by whoever slept over it, it begins nothing anew."""
        return self if self.was_paused_by(pause.begun) else replace(self, pauses=(*self.pauses, pause))

    def resumed(self, cause: Cause) -> "Obligation":
        """Ends the pause that is running. Said again, it does not end a later one."""
        if self.pause is None or self.was_resumed_by(cause):
            return self
        return replace(self, pauses=(*self.pauses[:-1], replace(self.pauses[-1], ended=cause)))

    def was_resumed_by(self, cause: Cause) -> bool:
        """Whether this very event ended a pause."""
        return any(one.ended is not None and one.ended.event_id == cause.event_id for one in self.pauses)

    def was_paused_by(self, cause: Cause) -> bool:
        """Whether this very event began a pause."""
        return any(one.begun.event_id == cause.event_id for one in self.pauses)

    @property
    def latest_word(self) -> Cause:
        """What was said of it last."""
        words = [self.issued, *(one.ended or one.begun for one in self.pauses)]
        return max(words, key=lambda cause: cause.received_at)


def obligation_id_of(task_id: str) -> str:
    """The obligation that a task is a share of."""
    return "/".join(task_id.split("/")[:3])


def shared_by(task_id: str) -> tuple[str, ...]:
    """What the shares of all its agencies have in common: the obligation and, where it recurs, the period."""
    parts = task_id.split("/")
    return (*parts[:3], *parts[4:])


def tasks_of(obligation: Obligation, *, until: datetime, recorded_at: datetime, rules: Rules) -> Iterator[Task]:
    """The tasks an obligation has made by an instant; for a recurring one, those of all periods begun."""
    due = obligation.due
    if isinstance(due, RecurringRule):
        for period in opened_by(due, until):
            yield from period_tasks(obligation, period, recorded_at=recorded_at, rules=rules)
        return
    if isinstance(due, ConditionalRule):
        return
    first = single_deadline(due, rules.calendar, cause=obligation.issued, document=obligation.prior_document)
    for agency in obligation.leads:
        yield _task(obligation, agency, None, obligation.issued, (first,) if first is not None else ())


def period_tasks(obligation: Obligation, period: Period, *, recorded_at: datetime, rules: Rules) -> Iterator[Task]:
    """One period's tasks. A period that was running when the directive came is assigned by the directive."""
    due = obligation.due
    assert isinstance(due, RecurringRule), "only recurring obligations have periods"
    if any(pause.covers(period.opens_at) for pause in obligation.pauses):
        return
    cause = obligation.ruled_by
    if period.opens_at > cause.received_at:
        opening = f"{obligation.obligation_id}:opens:{period.id}"
        cause = Cause(opening, CLOCK, period.opens_at, recorded_at)
    joined = {one.agency: one.cause for one in obligation.joined}
    for agency in obligation.leads:
        named = joined.get(agency, cause)
        assigned = named if named.received_at > cause.received_at else cause
        last_day = period_deadline(due, period, rules.calendar, cause=assigned)
        if agency not in joined or last_day.due_at > named.received_at:
            yield _task(obligation, agency, period.id, assigned, (last_day,))


def occurrence_tasks(
    obligation: Obligation,
    agencies: Iterable[str],
    occurred_on: date,
    document: Document | None,
    *,
    cause: Cause,
    rules: Rules,
) -> Iterator[Task]:
    """The tasks that one occurrence of the condition opens, named by its day."""
    due = obligation.due
    assert isinstance(due, ConditionalRule), "only conditional obligations are triggered"
    first = triggered_deadline(due, occurred_on, rules.calendar, cause=cause, document=document)
    for agency in agencies:
        yield _task(obligation, agency, occurred_on.isoformat(), cause, (first,) if first is not None else ())


def parts_of(obligation: Obligation, agency: str) -> dict[str, Any]:
    """What a task of an agency takes from its obligation, apart from its name and its deadline."""
    return {
        "title": obligation.title,
        "phrase": obligation.phrase,
        "category": obligation.category,
        "bases": obligation.bases,
        "cooperating": tuple(code for code in obligation.cooperating if code != agency),
        "reviewer": obligation.reviewer,
        "acceptance": obligation.acceptance,
        "dependencies": obligation.dependencies,
    }


def _task(
    obligation: Obligation, agency: str, period: str | None, cause: Cause, deadlines: tuple[Deadline, ...]
) -> Task:
    return Task(
        task_id=share_id(obligation.obligation_id, agency, period),
        province=obligation.province,
        directive=obligation.directive,
        clause=obligation.clause,
        agency=agency,
        period=period,
        assigned=cause,
        deadlines=deadlines,
        **parts_of(obligation, agency),
    )


def as_of(obligation: Obligation, edges: Mapping[str, Edge], at: datetime) -> Obligation:
    """The obligation with the agencies that its names mean at an instant; one whose successor is not plain stays."""

    def now(codes: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(plain_successor(code, edges, at) or code for code in codes))

    if not edges:
        return obligation
    return replace(
        obligation,
        leads=now(obligation.leads),
        cooperating=now(obligation.cooperating),
        reviewer=plain_successor(obligation.reviewer, edges, at) or obligation.reviewer,
    )
