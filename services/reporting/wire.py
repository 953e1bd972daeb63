"""Contract ↔ domain; the only file of this service that knows the contract's models."""

import json
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final

import orjson

from services.reporting.domain import facts
from services.reporting.domain.aggregate import labels
from services.reporting.domain.figures import Figures, is_in
from services.reporting.domain.indicators import Indicator, IndicatorFigure, IndicatorReport, IndicatorTarget
from services.reporting.domain.occasions import occasions
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Amendment, LateFact, Report
from services.reporting.domain.schedule import Column
from services.reporting.domain.scopes import PROVINCE_SCOPE, in_order
from services.reporting.domain.trace import RULES, Trace, trace
from services.reporting.ports import Entry, KeptTask, Listed, Message, Registry
from shared.contracts import report_facts as shown
from shared.contracts.codec import encode
from shared.contracts.registry_facts import AgencyChanged, DirectiveChanged, IndicatorValue
from shared.contracts.report_facts import ReportPublished
from shared.contracts.task_facts import Cause, DeadlineVersion, SubmissionRejected, TaskChanged, TaskSnapshot
from shared.contracts.topics import (
    AGENCIES,
    DIRECTIVES,
    INDICATORS,
    REPORTS_HALF_YEARLY,
    REPORTS_MONTHLY,
    REPORTS_QUARTERLY,
    REPORTS_WEEKLY,
    REPORTS_YEARLY,
    TASKS,
)
from shared.runtime.consuming import Received
from shared.workdays.calendar import WorkingCalendar

SOURCE = "//dondoc/reporting"
CONSUMED = (TASKS, AGENCIES, INDICATORS, DIRECTIVES)
EVENT_TYPE = "dondoc.report.published.v1"
TOPICS: Final = {
    Kind.WEEKLY: REPORTS_WEEKLY,
    Kind.MONTHLY: REPORTS_MONTHLY,
    Kind.QUARTERLY: REPORTS_QUARTERLY,
    Kind.HALF_YEARLY: REPORTS_HALF_YEARLY,
    Kind.YEARLY: REPORTS_YEARLY,
}
REVISION_FIELDS: Final = frozenset({"revision", "final", "computed_at", "as_of", "content_hash", "amendment"})
"""What a list of revisions shows of each."""
_SUSPENDED = frozenset({"suspended-time-not-counted", "suspended-when-overdue"})
"""Policies of a deadline that a resumption moved by the days of the suspension."""


# -- tasks -------------------------------------------------------------------------------------------------------------


def snapshot_of(received: Received) -> TaskSnapshot | None:
    """The task that an event shows; None for a rejection that concerns no known task."""
    match received.event.data:
        case TaskChanged(task=task) | SubmissionRejected(task=TaskSnapshot() as task):
            return task
    return None


def newest_snapshots(records: Iterable[Received]) -> dict[str, tuple[Received, TaskSnapshot]]:
    """Task → the newest of the records that show it, and what it shows."""
    newest: dict[str, tuple[Received, TaskSnapshot]] = {}
    for one in records:
        task = snapshot_of(one)
        if task is not None and (task.task_id not in newest or newest[task.task_id][1].seq < task.seq):
            newest[task.task_id] = (one, task)
    return newest


def kept_task(received: Received, task: TaskSnapshot, calendar: WorkingCalendar) -> KeptTask:
    """A task as reporting keeps it."""
    known = task_facts(task)
    course = trace(known, calendar=calendar)
    return KeptTask(
        id=task.task_id,
        seq=task.seq,
        province=task.province,
        partition=received.partition,
        labels=labels(known),
        trace=course,
        rules=trace_rules(calendar),
        listed=listed(task, known, course),
        occasions=occasions(known, course),
        snapshot=_as_it_came(received, "task"),
    )


@cache
def trace_rules(calendar: WorkingCalendar) -> str:
    """What a trace rests on beside the facts. A calendar's decided days may change under the same version."""
    days = ",".join(sorted(one.isoformat() for one in (*calendar.days_off, *calendar.days_worked)))
    return f"{RULES}/{zlib.crc32(days.encode()):08x}"


def retraced(snapshot: str, calendar: WorkingCalendar) -> Trace:
    """The trace of a kept snapshot."""
    return trace(task_facts(read_snapshot(snapshot)), calendar=calendar)


def read_snapshot(snapshot: str) -> TaskSnapshot:
    """A kept snapshot."""
    return TaskSnapshot.model_validate_json(snapshot)


def late_fact(received: Received, kept: KeptTask) -> LateFact:
    """What an event told, for an amendment's reasons."""
    data = received.event.data
    if isinstance(data, TaskChanged):
        cause, reason = data.change.cause, data.change.reason
        return LateFact(kept.id, kept.seq, reason, cause.received_at, cause.recorded_at)
    assert isinstance(data, SubmissionRejected), "what else shows a task"
    recorded_at = received.event.envelope.time or data.received_at
    return LateFact(kept.id, kept.seq, data.reason, data.received_at, recorded_at)


def listed(task: TaskSnapshot, known: facts.TaskFacts, course: Trace) -> Listed:
    """What lists look at: how the task stands by all that is known of it."""
    deadline = known.deadlines[-1] if known.deadlines else None
    late_from = None
    # Would it be overdue once all that is known has come? Not if it is done, stands still or waits for a verdict.
    if deadline is not None and course.steps and is_in(Column.OPEN_OVERDUE, course.steps[-1].adds):
        late_from = deadline.due_at
    is_open = task.result.value not in {"completed", "discontinued", "transferred"}
    return Listed(
        clause=task.clause,
        period=task.period,
        title=task.title,
        result=task.result.value,
        is_open=is_open,
        legal=deadline.legal if deadline is not None else None,
        late_from=late_from,
        concerns=tuple(dict.fromkeys((task.agency, *task.cooperating, task.reviewer))),
        is_obstructed=is_open and any(one.cleared is None for one in task.obstacles),
    )


def _as_it_came(received: Received, field: str | None) -> str:
    """Verbatim, with fields that only a newer producer knows."""
    content: Any = received.event.envelope.data
    shown = content[field] if field else content
    try:
        return orjson.dumps(shown).decode()
    except orjson.JSONEncodeError:
        # Numbers of more than 64 bits.
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def task_facts(task: TaskSnapshot) -> facts.TaskFacts:
    """What reports need of a task."""
    return facts.TaskFacts(
        task_id=task.task_id,
        seq=task.seq,
        agency=task.agency,
        directive=task.directive,
        category=task.category.value,
        assigned_at=task.assigned.received_at,
        deadlines=tuple(
            facts.Deadline(
                version=one.version,
                legal=one.legal,
                operational=one.operational,
                due_at=one.due_at,
                granted=_granted(one),
                received_at=one.cause.received_at,
                suspended_days=one.policy in _SUSPENDED,
            )
            for one in task.deadlines
        ),
        results=tuple(
            facts.Result(
                one.cause.received_at,
                one.verdict,
                _received(one.verdict_cause),
                one.delay_cause.value if one.delay_cause is not None else None,
            )
            for one in task.results
        ),
        extensions=tuple(
            facts.Extension(one.cause.received_at, one.outcome, _received(one.outcome_cause)) for one in task.extensions
        ),
        obstacles=tuple(
            facts.Obstacle(
                one.cause.received_at, _received(one.cleared), _received(one.answered), _received(one.forwarded)
            )
            for one in task.obstacles
        ),
        allocations=tuple(
            facts.Allocation(one.allocation_id, one.amount_vnd, one.cause.received_at, one.plan == "assigned")
            for one in task.allocations
        ),
        disbursements=tuple(
            facts.Disbursement(one.as_of, one.cumulative_vnd, one.cause.received_at) for one in task.disbursements
        ),
        suspensions=tuple(facts.Suspension(one.cause.received_at, _received(one.resumed)) for one in task.suspensions),
        ended=facts.End(task.ended.how, task.ended.cause.received_at) if task.ended is not None else None,
    )


def _granted(one: DeadlineVersion) -> bool:
    """Whether a version gives more time by a document. One that a changed calendar moved was granted before."""
    if one.cause.actor == "clock":
        return False
    return one.given_by == "extension" or (one.given_by == "directive" and one.document is not None)


def _received(cause: Cause | None) -> datetime | None:
    return cause.received_at if cause is not None else None


# -- the smaller documents ---------------------------------------------------------------------------------------------


def entry(received: Received) -> tuple[Registry, Entry] | None:
    """The agency, indicator or directive that an event shows."""
    snapshot = _as_it_came(received, None)
    match received.event.data:
        case AgencyChanged() as one:
            return Registry.AGENCIES, Entry(f"{one.province}/{one.code}", one.seq, one.province, snapshot)
        case IndicatorValue() as one:
            entry_id = f"{one.province}/{one.agency}/{one.code}/{one.period}"
            return Registry.INDICATORS, Entry(entry_id, one.seq, one.province, snapshot)
        case DirectiveChanged() as one:
            return Registry.DIRECTIVES, Entry(f"{one.province}/{one.directive}", one.seq, one.province, snapshot)
    return None


def agency(kept: Entry) -> AgencyChanged:
    """An agency's record."""
    return AgencyChanged.model_validate_json(kept.snapshot)


def directive(kept: Entry) -> DirectiveChanged:
    """A directive's record."""
    return DirectiveChanged.model_validate_json(kept.snapshot)


def indicator(kept: Entry) -> Indicator:
    """An indicator's record, with all that was ever said of it."""
    value = IndicatorValue.model_validate_json(kept.snapshot)
    return Indicator(
        agency=value.agency,
        code=value.code,
        period=value.period,
        title=value.title,
        reports=tuple(
            IndicatorReport(one.numerator, one.denominator, one.data_source, one.cause.received_at)
            for one in value.reports
        ),
        targets=tuple(
            IndicatorTarget(one.at_least_percent, one.document.number, one.general, one.cause.received_at)
            for one in value.targets
        ),
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def published(report: Report) -> ReportPublished:
    """A report as consumers see it."""
    figures = report.figures
    return ReportPublished(
        province=report.province,
        period=report.period,
        kind=report.kind.value,
        scope=report.scope,
        scope_name=report.scope_name,
        regime=report.regime,
        starts_on=report.starts_on,
        cut_off_on=report.cut_off_on,
        due_on=report.due_on,
        as_of=report.as_of,
        revision=report.revision,
        final=report.final,
        totals=totals(figures),
        rates=rates(figures),
        days_late=figures.days_late,
        extended=figures.extended,
        obstacles_open=figures.obstacles_open,
        money=money(figures),
        causes=shown.Causes(**figures.causes),
        extensions=shown.Extensions(
            granted=figures.extensions_granted,
            refused=figures.extensions_refused,
            pending=figures.extensions_pending,
        ),
        obstacles=shown.Obstacles(
            open=figures.obstacles_open,
            raised=figures.obstacles_raised,
            answered=figures.obstacles_answered,
            forwarded=figures.obstacles_forwarded,
            cleared=figures.obstacles_cleared,
        ),
        previous=_earlier(report.previous_period, report.previous),
        year_before=_earlier(report.year_before_period, report.year_before),
        indicators=tuple(_indicator(one) for one in report.indicators),
        members=report.members,
        amendment=_amendment(report.amendment) if report.amendment is not None else None,
        content_hash=report.content_hash,
        computed_at=report.computed_at,
    )


@lru_cache(maxsize=4_096)
def totals(figures: Figures) -> shown.Totals:
    """The columns of the official report."""
    return shown.Totals(
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


@lru_cache(maxsize=4_096)
def rates(figures: Figures) -> shown.Rates:
    """Both official rates."""
    return shown.Rates(on_time_of_due=figures.on_time_of_due, done_of_all=figures.done_of_all)


@lru_cache(maxsize=4_096)
def money(figures: Figures) -> shown.Money:
    """Money against both denominators."""
    return shown.Money(
        allocated_vnd=figures.allocated_vnd,
        disbursed_vnd=figures.disbursed_vnd,
        disbursed_percent=figures.disbursed_percent,
        assigned_vnd=figures.assigned_vnd,
        disbursed_of_assigned_percent=figures.disbursed_of_assigned_percent,
        funded=figures.funded,
    )


def _earlier(period: str | None, figures: Figures | None) -> shown.Earlier | None:
    if period is None or figures is None:
        return None
    return shown.Earlier(
        period=period,
        totals=totals(figures),
        rates=rates(figures),
        days_late=figures.days_late,
        money=money(figures),
    )


def _indicator(one: IndicatorFigure) -> shown.IndicatorShown:
    return shown.IndicatorShown(
        code=one.code,
        title=one.title,
        period=one.period,
        numerator=one.numerator,
        denominator=one.denominator,
        percent=one.percent,
        at_least_percent=one.at_least_percent,
        target_document=one.target_document,
        data_source=one.data_source,
        agencies=one.agencies,
        agencies_met=one.agencies_met,
        met=one.is_met,
        benchmarks=tuple(
            shown.BenchmarkShown(
                kind=benchmark.kind.value,
                percent=benchmark.percent,
                valid_from=benchmark.valid_from,
                source=benchmark.source,
            )
            for benchmark in one.benchmarks
        ),
    )


def _amendment(one: Amendment) -> shown.AmendmentShown:
    return shown.AmendmentShown(
        changed=tuple(
            shown.ChangedFigure(figure=name, before=before, after=after)
            for name, (before, after) in one.changed.items()
        ),
        because=tuple(
            shown.LateFactShown(
                task_id=fact.task_id,
                seq=fact.seq,
                reason=fact.reason,
                received_at=fact.received_at,
                recorded_at=fact.recorded_at,
            )
            for fact in one.because
        ),
        more=one.more,
    )


def report_schema(ref_template: str) -> dict[str, Any]:
    """The JSON Schema of a published report."""
    return ReportPublished.model_json_schema(mode="serialization", ref_template=ref_template)


def message(report: Report) -> Message:
    """The event that tells a revision. Its id is `{key}:{revision}`: a repeat keeps it, and consumers drop it."""
    value = encode(
        event_type=EVENT_TYPE,
        event_id=f"{report.key}:{report.revision}",
        source=SOURCE,
        time=report.computed_at,
        province=report.province,
        subject=report.key,
        data=published(report),
    )
    return Message(TOPICS[report.kind].name, report.key, value)


def document(reports: Sequence[Report]) -> dict[str, Any]:
    """All reports of one province and period, as `GET /v1/reports/{period}.json` answers."""
    by_scope = {report.scope: report for report in reports}
    ordered = [by_scope[one] for one in in_order((report.scope, report.scope_name) for report in reports)]
    assert ordered[0].scope == PROVINCE_SCOPE, "a period has a report on its province before any other"
    return _period_of(ordered[0]) | {"scopes": [published(report).model_dump(mode="json") for report in ordered]}


def one_revision(report: Report) -> dict[str, Any]:
    """One revision, in the same form: there is nothing beside it, since each scope counts its own."""
    return _period_of(report) | {"scopes": [published(report).model_dump(mode="json")]}


def revisions(reports: Sequence[Report]) -> dict[str, Any]:
    """What became of one report, as `GET /v1/reports/{period}/revisions` answers. Newest first."""
    newest = published(reports[0])
    return {
        "province": newest.province,
        "period": newest.period,
        "scope": newest.scope,
        "scope_name": newest.scope_name,
        "revisions": [published(report).model_dump(mode="json", include=set(REVISION_FIELDS)) for report in reports],
    }


def _period_of(report: Report) -> dict[str, Any]:
    return {
        "province": report.province,
        "period": report.period,
        "kind": report.kind.value,
        "regime": report.regime,
        "starts_on": report.starts_on.isoformat(),
        "cut_off_on": report.cut_off_on.isoformat(),
        "due_on": report.due_on.isoformat(),
        "final": report.final,
        "revision": report.revision,
    }
