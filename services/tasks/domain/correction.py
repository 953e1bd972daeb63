"""Corrections of what a task was given: by a later revision of its directive, a named day, or another calendar."""

import re
from dataclasses import replace
from datetime import date

from services.tasks.domain.deadlines import (
    ConditionalRule,
    FixedRule,
    RecurringRule,
    RelativeRule,
    hour_of,
    recalculated,
    single_deadline,
    triggered_deadline,
)
from services.tasks.domain.decision import ENTRIES_MAX, Decision, FactKind, Reason, Rules, changed
from services.tasks.domain.directive import Obligation, parts_of
from services.tasks.domain.recurrence import Period, opened_by, period_deadline
from services.tasks.domain.retraction import retract_if_in_time
from services.tasks.domain.task import CLOCK, Cause, Deadline, Document, End, GivenBy, Task

_AS_ASSIGNED = frozenset({GivenBy.DIRECTIVE, GivenBy.TRIGGER})
"""Given together with the task."""
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OF_THE_DIRECTIVE = frozenset({GivenBy.DIRECTIVE, GivenBy.TRIGGER, GivenBy.CORRECTION})
"""Versions that follow the directive's rule. An extension or a resumption is a decision on the task itself."""


def align(
    task: Task, obligation: Obligation | None, origin: Task, document: Document, cause: Cause, rules: Rules
) -> Decision | None:
    """Bring an open task in line with what its clause says now, or end it where the clause knows it no more.

    `origin`: the task as it was first assigned, whoever holds it now. None: nothing differs.
    """
    if obligation is None or obligation.withdrawn:
        return withdraw(task, Reason.CLAUSE_WITHDRAWN, document, cause=cause)
    if not {origin.agency, task.agency} & set(obligation.leads):
        return withdraw(task, Reason.NO_LONGER_NAMED, document, cause=cause)
    left_out = leave_out(task, obligation, origin, cause=cause)
    if left_out is not None:
        return left_out
    if not _has_period(task, obligation):
        return withdraw(task, Reason.NO_LONGER_NAMED, document, cause=cause)
    return correct(task, obligation, cause=cause, rules=rules)


def leave_out(task: Task, obligation: Obligation, origin: Task, *, cause: Cause) -> Decision | None:
    """End an open task whose period the clock opened before it was known that none should open; None for any other.

    The pause is the cause, whoever notices it when; `cause` says when that was.
    """
    if origin.assigned.actor != CLOCK:
        return None
    pause = next((one for one in obligation.pauses if one.covers(origin.assigned.received_at)), None)
    if pause is None:
        return None
    begun = replace(pause.begun, recorded_at=cause.recorded_at)
    return withdraw(task, Reason.PERIOD_SUSPENDED, pause.document, cause=begun)


def _has_period(task: Task, obligation: Obligation) -> bool:
    match obligation.due:
        case RecurringRule() as rule:
            return _period(task, rule, obligation) is not None
        case ConditionalRule():
            # An occurrence is named by its day; the periods of a rule that recurred before mostly are not.
            return task.period is not None and _DAY.fullmatch(task.period) is not None
        case _:
            return task.period is None


def _period(task: Task, rule: RecurringRule, obligation: Obligation) -> Period | None:
    begun = max(obligation.issued.received_at, task.assigned.received_at)
    return next((one for one in opened_by(rule, begun) if one.id == task.period), None)


def correct(task: Task, obligation: Obligation, *, cause: Cause, rules: Rules) -> Decision | None:
    """Bring an open task in line with its corrected obligation; None where nothing differs.

    A new day replaces the old one only while the directive's own day is in force: what was decided on the task itself,
    by extension or resumption, stands.
    """
    if not task.is_open:
        return None
    fields = {name: value for name, value in parts_of(obligation, task.agency).items() if getattr(task, name) != value}
    corrected = _corrected_deadline(task, obligation, cause, rules)
    if corrected is None and not fields:
        return None
    current = task.deadline
    if corrected is not None:
        fields["deadlines"] = (*task.deadlines, corrected)
    decision = changed(
        task,
        FactKind.CORRECTED,
        Reason.DIRECTIVE_CORRECTED if corrected is None else Reason.DEADLINE_CORRECTED,
        cause,
        previous=current.nominal.isoformat() if current and corrected else "",
        new=corrected.nominal.isoformat() if corrected else ",".join(sorted(fields)),
        **fields,
    )
    return decision if corrected is None else retract_if_in_time(decision, cause, Reason.DEADLINE_CORRECTED)


def _corrected_deadline(task: Task, obligation: Obligation, cause: Cause, rules: Rules) -> Deadline | None:
    current = task.deadline
    if len(task.deadlines) >= ENTRIES_MAX or (current is not None and current.given_by not in _OF_THE_DIRECTIVE):
        return None
    ruled = _ruled_deadline(task, obligation, rules)
    if ruled is None or (current is not None and _same_words(ruled, current)):
        return None
    version = current.version + 1 if current is not None else 1
    return replace(ruled, version=version, document=obligation.source, cause=cause, given_by=GivenBy.CORRECTION)


def _same_words(one: Deadline, other: Deadline) -> bool:
    return (one.nominal, one.policy, hour_of(one)) == (other.nominal, other.policy, hour_of(other))


def _ruled_deadline(task: Task, obligation: Obligation, rules: Rules) -> Deadline | None:
    """What the rule gives this task, as if it were assigned anew at the moment it was assigned.

    A share that was taken over counts from when it was first assigned: its first deadline came along.
    """
    due, first = obligation.due, task.deadlines[0] if task.deadlines else None
    assigned = first.cause if first is not None and first.given_by in _AS_ASSIGNED else task.assigned
    match due:
        case RecurringRule():
            period = _period(task, due, obligation)
            return period_deadline(due, period, rules.calendar, cause=assigned) if period is not None else None
        case ConditionalRule():
            return triggered_deadline(due, date.fromisoformat(task.period or ""), rules.calendar, cause=assigned)
        case _:
            return single_deadline(due, rules.calendar, cause=assigned, document=None)


def withdraw(task: Task, reason: Reason, document: Document, *, cause: Cause) -> Decision | None:
    """End an open task that the corrected directive does not know; None where it has ended anyway."""
    if not task.is_open:
        return None
    return changed(
        task,
        FactKind.CANCELLED,
        reason,
        cause,
        previous=task.result,
        new="discontinued",
        ended=End("discontinued", reason.value, document, None, cause),
    )


def give_day(task: Task, rule: FixedRule, document: Document, *, cause: Cause, rules: Rules) -> Decision | None:
    """Name the day of an open task that has none; None where it has one, which only an extension moves."""
    if not task.is_open or task.deadline is not None:
        return None
    found = single_deadline(rule, rules.calendar, cause=cause, document=document)
    assert found is not None, "a fixed rule names a day"
    named = replace(found, given_by=GivenBy.REFERENCE)
    return changed(
        task,
        FactKind.DATED,
        Reason.LAST_DAY_NAMED,
        cause,
        previous="",
        new=named.nominal.isoformat(),
        deadlines=(named,),
    )


def rescheduled(task: Task, obligation: Obligation | None, *, cause: Cause, rules: Rules) -> Deadline | None:
    """The next version of an open task's deadline by the calendar of these rules; None where no date moves.

    `obligation`: its rule, where it is known, since a rule that counts working days gives another day by another
    calendar.
    """
    current = task.deadline
    if not task.is_open or current is None or len(task.deadlines) >= ENTRIES_MAX:
        return None
    recounted = _recounted(task, current, obligation, cause, rules)
    return recounted or recalculated(current, rules.calendar, cause=cause)


def reschedule(task: Task, obligation: Obligation | None, *, cause: Cause, rules: Rules) -> Decision | None:
    """Give a task today's dates; None where none moves. Quiet: it reminds nobody.

    An overdue is taken back where the legal day moved beyond now.
    """
    current, again = task.deadline, rescheduled(task, obligation, cause=cause, rules=rules)
    if current is None or again is None:
        return None
    decision = changed(
        task,
        FactKind.RESCHEDULED,
        Reason.CALENDAR_CHANGED,
        cause,
        previous=f"{current.legal.isoformat()} ({current.operational.isoformat()})",
        new=f"{again.legal.isoformat()} ({again.operational.isoformat()})",
        deadlines=(*task.deadlines, again),
    )
    return retract_if_in_time(decision, cause, Reason.CALENDAR_CHANGED)


def _recounted(
    task: Task, current: Deadline, obligation: Obligation | None, cause: Cause, rules: Rules
) -> Deadline | None:
    """Working days counted anew, while the directive's own day is in force."""
    if obligation is None or current.given_by not in _OF_THE_DIRECTIVE:
        return None
    match obligation.due:
        case RelativeRule(working=True) | ConditionalRule(working=True):
            ruled = _ruled_deadline(task, obligation, rules)
        case _:
            return None
    if ruled is None or ruled.nominal == current.nominal:
        return None
    return replace(
        ruled, version=current.version + 1, document=current.document, cause=cause, given_by=current.given_by
    )
