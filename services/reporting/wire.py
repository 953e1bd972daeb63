"""Contract ↔ domain; the only file of this service that knows the contract's models."""

import json
from typing import Any

from services.reporting.domain import facts
from services.reporting.domain.periods import MONTHLY
from services.reporting.domain.report import PROVINCE_SCOPE, Figures, Report, in_order
from services.reporting.ports import Kept, Message
from shared.contracts.codec import encode
from shared.contracts.registry_facts import AgencyChanged
from shared.contracts.report_facts import Money, Rates, ReportPublished, Totals
from shared.contracts.task_facts import Cause, SubmissionRejected, TaskChanged, TaskSnapshot
from shared.contracts.topics import AGENCIES, REPORTS_MONTHLY, TASKS
from shared.runtime.consuming import Received

SOURCE = "//dondoc/reporting"
CONSUMED = (TASKS, AGENCIES)
EVENT_TYPE = "dondoc.report.published.v1"
_SUSPENDED = frozenset({"suspended-time-not-counted", "suspended-when-overdue"})
"""Policies of a deadline that a resumption moved by the days of the suspension."""


def kept_task(received: Received) -> Kept | None:
    """The task that an event shows; None for a rejection that concerns no known task."""
    match received.event.data:
        case TaskChanged(task=task) | SubmissionRejected(task=TaskSnapshot() as task):
            return Kept(task.task_id, task.seq, task.province, received.partition, _as_it_came(received, "task"))
    return None


def kept_agency(received: Received) -> Kept | None:
    """The agency that an event shows."""
    match received.event.data:
        case AgencyChanged() as agency:
            return Kept(
                f"{agency.province}/{agency.code}",
                agency.seq,
                agency.province,
                received.partition,
                _as_it_came(received, None),
            )
    return None


def _as_it_came(received: Received, field: str | None) -> str:
    """Verbatim, with fields that only a newer producer knows."""
    content: Any = received.event.envelope.data
    return json.dumps(content[field] if field else content, ensure_ascii=False, separators=(",", ":"))


def task_facts(kept: Kept) -> facts.TaskFacts:
    """What reports need of a kept task."""
    task = TaskSnapshot.model_validate_json(kept.snapshot)
    return facts.TaskFacts(
        task_id=task.task_id,
        seq=task.seq,
        agency=task.agency,
        assigned_at=task.assigned.received_at,
        deadlines=tuple(
            facts.Deadline(
                version=one.version,
                legal=one.legal,
                operational=one.operational,
                due_at=one.due_at,
                granted=one.given_by == "extension" or (one.given_by == "directive" and one.document is not None),
                received_at=one.cause.received_at,
                suspended_days=one.policy in _SUSPENDED,
            )
            for one in task.deadlines
        ),
        results=tuple(
            facts.Result(one.cause.received_at, one.verdict, _received(one.verdict_cause)) for one in task.results
        ),
        obstacles=tuple(facts.Obstacle(one.cause.received_at, _received(one.cleared)) for one in task.obstacles),
        allocations=tuple(
            facts.Allocation(one.allocation_id, one.amount_vnd, one.cause.received_at) for one in task.allocations
        ),
        disbursements=tuple(
            facts.Disbursement(one.as_of, one.cumulative_vnd, one.cause.received_at) for one in task.disbursements
        ),
        suspensions=tuple(facts.Suspension(one.cause.received_at, _received(one.resumed)) for one in task.suspensions),
        ended=facts.End(task.ended.how, task.ended.cause.received_at) if task.ended is not None else None,
    )


def _received(cause: Cause | None) -> Any:
    return cause.received_at if cause is not None else None


def agency_name(kept: Kept) -> tuple[str, str]:
    """An agency's code and name."""
    agency = AgencyChanged.model_validate_json(kept.snapshot)
    return agency.code, agency.name


def published(report: Report) -> ReportPublished:
    """A report as consumers see it."""
    figures = report.figures
    return ReportPublished(
        province=report.province,
        period=report.period,
        scope=report.scope,
        scope_name=report.scope_name,
        starts_on=report.starts_on,
        cut_off_on=report.cut_off_on,
        revision=report.revision,
        final=report.final,
        totals=totals(figures),
        rates=Rates(on_time_of_due=figures.on_time_of_due, done_of_all=figures.done_of_all),
        days_late=figures.days_late,
        extended=figures.extended,
        obstacles_open=figures.obstacles_open,
        money=Money(
            allocated_vnd=figures.allocated_vnd,
            disbursed_vnd=figures.disbursed_vnd,
            disbursed_percent=figures.disbursed_percent,
        ),
        content_hash=figures.content_hash,
        computed_at=report.computed_at,
    )


def report_schema(ref_template: str) -> dict[str, Any]:
    """The JSON Schema of a published report."""
    return ReportPublished.model_json_schema(mode="serialization", ref_template=ref_template)


def totals(figures: Figures) -> Totals:
    """The columns of the official report."""
    return Totals(
        total=figures.total,
        done_on_time=figures.done_on_time,
        done_late=figures.done_late,
        open_in_time=figures.open_in_time,
        open_due_soon=figures.open_due_soon,
        open_overdue=figures.open_overdue,
        open_no_deadline=figures.open_no_deadline,
        done_without_deadline=figures.done_without_deadline,
        ended_without_result=figures.ended_without_result,
    )


def message(report: Report) -> Message:
    """The event that tells a revision. Its id is `{key}:{revision}`: a repeat keeps it, and consumers drop it."""
    assert report.regime == MONTHLY.id, "each regime has its topic"
    value = encode(
        event_type=EVENT_TYPE,
        event_id=f"{report.key}:{report.revision}",
        source=SOURCE,
        time=report.computed_at,
        province=report.province,
        subject=report.key,
        data=published(report),
    )
    return Message(REPORTS_MONTHLY.name, report.key, value)


def document(reports: list[Report]) -> dict[str, Any]:
    """All reports of one province and period, as `GET /v1/reports/{period}.json` answers."""
    ordered = in_order(reports)
    whole = ordered[0]
    assert whole.scope == PROVINCE_SCOPE, "a period has a report on its province before any on an agency"
    return {
        "province": whole.province,
        "period": whole.period,
        "regime": whole.regime,
        "starts_on": whole.starts_on.isoformat(),
        "cut_off_on": whole.cut_off_on.isoformat(),
        "final": whole.final,
        "revision": whole.revision,
        "scopes": [published(report).model_dump(mode="json") for report in ordered],
    }
