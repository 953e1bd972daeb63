"""The event table: every type, its data, its topic and who may send it. One row, one truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.contracts import (
    agency_events,
    alert_facts,
    authority_events,
    registry_facts,
    report_facts,
    task_facts,
)
from shared.contracts.model import Part
from shared.contracts.topics import (
    AGENCIES,
    ALERTS,
    DIRECTIVES,
    INDICATORS,
    REPORTS_HALF_YEARLY,
    REPORTS_MONTHLY,
    REPORTS_QUARTERLY,
    REPORTS_WEEKLY,
    REPORTS_YEARLY,
    SUBMISSIONS,
    TASKS,
    Topic,
)


class Sender(StrEnum):
    """Who may put an event on its topic."""

    AGENCY = "agency"
    AUTHORITY = "authority"
    PLATFORM = "platform"


class KeyedBy(StrEnum):
    """What the record key of a submission is (design §5)."""

    TASK = "task"
    PROVINCE = "province"
    AGENCY = "agency"


@dataclass(frozen=True, slots=True)
class EventType:
    """A row of the event table. The same name may stand on two topics with different data: look up by topic."""

    name: str
    """The CloudEvents `type`, e.g. `dondoc.task.acknowledged.v1`."""
    model: type[Part]
    topic: Topic
    sender: Sender
    keyed_by: KeyedBy

    @property
    def slug(self) -> str:
        """File-name form: `task.acknowledged.v1`."""
        return self.name.removeprefix("dondoc.")


def _agency(name: str, model: type[Part], keyed_by: KeyedBy = KeyedBy.TASK) -> EventType:
    return EventType(f"dondoc.{name}.v1", model, SUBMISSIONS, Sender.AGENCY, keyed_by)


def _authority(name: str, model: type[Part], keyed_by: KeyedBy = KeyedBy.TASK) -> EventType:
    return EventType(f"dondoc.{name}.v1", model, SUBMISSIONS, Sender.AUTHORITY, keyed_by)


def _fact(name: str, model: type[Part] = task_facts.TaskChanged, topic: Topic = TASKS) -> EventType:
    return EventType(f"dondoc.{name}.v1", model, topic, Sender.PLATFORM, KeyedBy.TASK)


A, D = agency_events, authority_events
EVENTS: Final[tuple[EventType, ...]] = (
    _agency("task.acknowledged", A.TaskAcknowledged),
    _agency("task.progress_reported", A.TaskProgressReported),
    _agency("task.result_submitted", A.TaskResultSubmitted),
    _agency("task.contribution_submitted", A.TaskContributionSubmitted),
    _agency("task.contribution_judged", A.TaskContributionJudged),
    _agency("task.disbursement_reported", A.TaskDisbursementReported),
    _agency("task.obstacle_raised", A.TaskObstacleRaised),
    _agency("task.obstacle_cleared", A.TaskObstacleCleared),
    _agency("task.extension_requested", A.TaskExtensionRequested),
    _agency("indicator.reported", A.IndicatorReported, KeyedBy.AGENCY),
    _authority("agency.registered", D.AgencyRegistered, KeyedBy.PROVINCE),
    _authority("agency.reorganised", D.AgencyReorganised, KeyedBy.PROVINCE),
    _authority("directive.issued", D.DirectiveIssued, KeyedBy.PROVINCE),
    _authority("directive.revoked", D.DirectiveRevoked, KeyedBy.PROVINCE),
    _authority("obligation.triggered", D.ObligationTriggered, KeyedBy.PROVINCE),
    _authority("obligation.dated", D.ObligationDated, KeyedBy.PROVINCE),
    _authority("obligation.suspended", D.ObligationSuspended, KeyedBy.PROVINCE),
    _authority("obligation.resumed", D.ObligationResumed, KeyedBy.PROVINCE),
    _authority("budget.allocated", D.BudgetAllocated, KeyedBy.PROVINCE),
    _authority("indicator.target_set", D.IndicatorTargetSet, KeyedBy.PROVINCE),
    _authority("task.result_accepted", D.TaskResultAccepted),
    _authority("task.result_returned", D.TaskResultReturned),
    _authority("task.extension_granted", D.TaskExtensionGranted),
    _authority("task.extension_refused", D.TaskExtensionRefused),
    _authority("task.cancelled", D.TaskCancelled),
    _authority("task.suspended", D.TaskSuspended),
    _authority("task.resumed", D.TaskResumed),
    _authority("task.reassigned", D.TaskReassigned),
    _authority("task.obstacle_answered", D.TaskObstacleAnswered),
    _authority("task.obstacle_forwarded", D.TaskObstacleForwarded),
    *(
        _fact(f"task.{what}")
        for what in (
            "assigned",
            "acknowledged",
            "progressed",
            "result_received",
            "completed",
            "returned",
            "due_soon",
            "overdue",
            "overdue_retracted",
            "escalated",
            "review_due",
            "extension_requested",
            "extended",
            "extension_refused",
            "dated",
            "corrected",
            "rescheduled",
            "suspended",
            "resumed",
            "cancelled",
            "transferred",
            "succession_due",
            "contribution_received",
            "contribution_judged",
            "allocated",
            "disbursed",
            "obstacle_raised",
            "obstacle_answered",
            "obstacle_forwarded",
            "obstacle_cleared",
        )
    ),
    _fact("submission.rejected", task_facts.SubmissionRejected),
    _fact("agency.changed", registry_facts.AgencyChanged, AGENCIES),
    _fact("indicator.changed", registry_facts.IndicatorValue, INDICATORS),
    _fact("directive.changed", registry_facts.DirectiveChanged, DIRECTIVES),
    _fact("alert.decided", alert_facts.AlertDecided, ALERTS),
    EventType("dondoc.alert.decided.v2", alert_facts.AlertDecidedV2, ALERTS, Sender.PLATFORM, KeyedBy.TASK),
    *(
        _fact("report.published", report_facts.ReportPublished, topic)
        for topic in (REPORTS_WEEKLY, REPORTS_MONTHLY, REPORTS_QUARTERLY, REPORTS_HALF_YEARLY, REPORTS_YEARLY)
    ),
    *(
        _fact("report.prepared", report_facts.ReportPrepared, topic)
        for topic in (REPORTS_WEEKLY, REPORTS_MONTHLY, REPORTS_QUARTERLY, REPORTS_HALF_YEARLY, REPORTS_YEARLY)
    ),
)

BY_TOPIC: Final[Mapping[str, Mapping[str, EventType]]] = {
    topic: {event.name: event for event in EVENTS if event.topic.name == topic}
    for topic in {event.topic.name for event in EVENTS}
}
"""topic name → event type → row."""
