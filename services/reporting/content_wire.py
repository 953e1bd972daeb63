"""Contract ↔ content of the report: what lists say of a task, what is known of agencies, how it is told."""

from services.reporting import wire
from services.reporting.domain.content import Prepared
from services.reporting.domain.listing import AgencyCard, AllocationText, DocumentName, ObstacleText, TaskText
from services.reporting.domain.reading import Registered
from services.reporting.ports import Entry, Message
from shared.contracts.authority_events import AgencyRole
from shared.contracts.codec import encode
from shared.contracts.model import Document
from shared.contracts.report_facts import ReportPrepared

EVENT_TYPE = "dondoc.report.prepared.v1"


def task_text(snapshot: str) -> TaskText:
    """A kept snapshot, with the words to its facts."""
    task = wire.read_snapshot(snapshot)
    return TaskText(
        facts=wire.task_facts(task),
        clause=task.clause,
        period=task.period,
        title=task.title,
        deadline_documents=tuple(_document(one.document) for one in task.deadlines),
        delay_notes=tuple(one.delay_note for one in task.results),
        obstacles=tuple(ObstacleText(one.description, one.beyond_authority) for one in task.obstacles),
        allocations=tuple(AllocationText(one.fiscal_year, _named(one.document)) for one in task.allocations),
    )


def _document(one: Document | None) -> DocumentName | None:
    return _named(one) if one is not None else None


def _named(one: Document) -> DocumentName:
    return DocumentName(one.number, one.issued_on, one.issuer)


def agency_card(kept: Entry) -> AgencyCard:
    """An agency by its record."""
    one = wire.agency(kept)
    return AgencyCard(
        code=one.code,
        name=one.name,
        head_name=one.head_name,
        head_title=one.head_title,
        is_standing=one.role is AgencyRole.STANDING,
        valid_from=one.valid_from,
        valid_to=one.valid_to,
    )


def directive_name(kept: Entry) -> tuple[str, str]:
    """A directive's slug, and its number or, as long as it has none, its title."""
    one = wire.directive(kept)
    return one.directive, one.number or one.title


def registered(kept: Entry) -> tuple[str, Registered]:
    """An agency's code, and the role it has or had."""
    one = wire.agency(kept)
    return one.code, Registered(one.role.value, one.valid_from, one.valid_to)


def path(period: str) -> str:
    """Where the report of a period is read, without the ending."""
    return f"/v1/reports/{period}"


def message(prepared: Prepared) -> Message:
    """The event that tells a prepared revision. Its id is `{key}:{revision}`: a repeat keeps it."""
    content = prepared.content
    value = encode(
        event_type=EVENT_TYPE,
        event_id=f"{prepared.key}:{prepared.revision}",
        source=wire.SOURCE,
        time=prepared.prepared_at,
        province=content.province,
        subject=prepared.key,
        data=ReportPrepared(
            province=content.province,
            period=content.span.id,
            revision=prepared.revision,
            cut_off_on=content.span.cut_off_on,
            due_on=content.span.due_on,
            content_hash=prepared.content_hash,
            path=path(content.span.id),
            prepared_at=prepared.prepared_at,
        ),
    )
    return Message(wire.TOPICS[content.span.kind].name, prepared.key, value)
