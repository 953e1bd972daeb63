"""What the authority may say: the registry, directives, decisions on tasks (scope `authority:write`)."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from shared.contracts.due_rules import DueRule, FixedDue
from shared.contracts.identifiers import (
    AgencyCode,
    ClauseId,
    DirectiveSlug,
    IndicatorCode,
    LongText,
    OwnId,
    PeriodId,
    ShortText,
    TaskId,
)
from shared.contracts.model import Day, Document, Part, Vnd

Mailbox = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;]{1,64}@[^@\s<>,;]{1,190}$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^@[a-z][a-z0-9_-]{0,39}$")]
"""A group of agencies, e.g. `@all`, `@districts`: who is in it is said by each agency's registration."""


class AgencyRole(StrEnum):
    """What an agency is in the chain of supervision."""

    AGENCY = "agency"
    STANDING = "standing"
    CHAIRMAN_OFFICE = "chairman_office"


class AgencyRegistered(Part):
    """An agency, as it is from `valid_from` on. Sent again, the record is replaced."""

    code: AgencyCode
    name: ShortText
    role: AgencyRole = AgencyRole.AGENCY
    groups: Annotated[tuple[GroupName, ...], Field(max_length=20)] = ()
    valid_from: Day
    head_title: ShortText | None = None
    head_name: ShortText | None = None
    """Who heads the agency: reports name the responsible head by name and title. Personal data, in no log."""
    contact: Mailbox | None = None
    """The agency's official mailbox."""
    head_contact: Mailbox | None = None


class Reorganisation(StrEnum):
    """What happened to the agencies."""

    MERGED = "merged"
    SPLIT = "split"
    RENAMED = "renamed"
    ABOLISHED = "abolished"


class AgencyReorganised(Part):
    """Old agencies, new agencies, and the document that says so."""

    change: Reorganisation
    predecessors: Annotated[tuple[AgencyCode, ...], Field(min_length=1, max_length=300)]
    successors: Annotated[tuple[AgencyCode, ...], Field(max_length=300)] = ()
    effective_on: Day
    document: Document


class Category(StrEnum):
    """What kind of obligation a clause is (domain §4)."""

    DATED = "dated"
    RECURRING = "recurring"
    CONDITIONAL = "conditional"
    BY_REFERENCE = "by_reference"
    STANDING = "standing"
    INDICATOR = "indicator"


class PriorExtension(Part):
    """An extension that the directive itself records: the day before it may be unknown."""

    document: Document
    original_last_day: Day | None = None


class Obligation(Part):
    """One clause of a directive, or a part of one: who, what, until when, on what basis."""

    clause: ClauseId
    title: ShortText
    phrase: Annotated[str, StringConstraints(max_length=500)] = ""
    """The deadline as the document words it, verbatim."""
    leads: Annotated[tuple[AgencyCode | GroupName, ...], Field(min_length=1, max_length=300)]
    cooperating: Annotated[tuple[AgencyCode | GroupName, ...], Field(max_length=300)] = ()
    due: DueRule
    category: Category
    bases: Annotated[tuple[ShortText, ...], Field(max_length=30)] = ()
    acceptance: Literal["reviewer", "automatic"] = "reviewer"
    reviewer: AgencyCode | None = None
    """Who judges the result; without it, the province's standing agency."""
    extended_by: PriorExtension | None = None
    feeds: Annotated[tuple[ClauseId, ...], Field(max_length=30)] = ()
    """Clauses of the same directive that need this one's result."""


class DirectiveIssued(Part):
    """A decision document with everything it orders. A higher `revision` corrects it."""

    directive: DirectiveSlug
    revision: Annotated[int, Field(ge=1, le=10_000)] = 1
    kind: Annotated[str, StringConstraints(pattern=r"^[A-ZĐ][A-Za-zĐđyÝý]{0,9}$")]
    """TB, QĐ, KH, CT, CV and so on (Decree 30/2020, annex III); CV is ours for công văn."""
    number: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    issuer: ShortText
    issued_on: Day
    title: ShortText
    obligations: Annotated[tuple[Obligation, ...], Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _clauses_are_unique(self) -> "DirectiveIssued":
        seen: set[str] = set()
        for obligation in self.obligations:
            if obligation.clause in seen:
                raise ValueError(f"clause {obligation.clause} stands twice; use parts, e.g. {obligation.clause}-2")
            seen.add(obligation.clause)
        return self


class DirectiveRevoked(Part):
    """The directive is withdrawn: its open tasks end without result."""

    directive: DirectiveSlug
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document


class ObligationTriggered(Part):
    """The condition of a conditional obligation occurred: its agencies, or those named, owe it from here on."""

    directive: DirectiveSlug
    clause: ClauseId
    occurred_on: Day
    """Names the occurrence: one task an agency and day."""
    agencies: Annotated[tuple[AgencyCode, ...], Field(max_length=300)] = ()
    """Some of the obligation's leads; all of them where none is named."""
    note: LongText = ""
    document: Document | None = None


class ObligationDated(Part):
    """The day of an obligation without one is known now, e.g. from the document that it refers to."""

    directive: DirectiveSlug
    clause: ClauseId
    due: FixedDue
    document: Document


class ObligationSuspended(Part):
    """No period of a recurring obligation opens until it is resumed. Tasks that are open stay as they are."""

    directive: DirectiveSlug
    clause: ClauseId
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document


class ObligationResumed(Part):
    """Periods open again, from the next one on."""

    directive: DirectiveSlug
    clause: ClauseId
    reason: LongText = ""
    document: Document


class TaskResultAccepted(Part):
    """The reviewer accepts the latest result: the task is completed, judged by when that result was received."""

    task_id: TaskId
    note: LongText = ""
    document: Document | None = None


class TaskResultReturned(Part):
    """The reviewer sends the result back; the task is in progress again."""

    task_id: TaskId
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document | None = None


class TaskExtensionGranted(Part):
    """A new last day, with the document that grants it. The original stays for ever."""

    task_id: TaskId
    last_day: Day
    document: Document
    reason: LongText = ""


class TaskExtensionRefused(Part):
    """The extension is refused; the deadline stands."""

    task_id: TaskId
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document | None = None


class TaskCancelled(Part):
    """The task ends without result (không tiếp tục thực hiện)."""

    task_id: TaskId
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document


class TaskSuspended(Part):
    """Work stops by decision (tạm dừng). The clock of the deadline stands still."""

    task_id: TaskId
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document


class TaskResumed(Part):
    """Work goes on. The deadline moves by the days of the suspension, unless a last day is named."""

    task_id: TaskId
    reason: LongText = ""
    document: Document
    last_day: Day | None = None


class TaskReassigned(Part):
    """Another agency takes the task over; deadline and history stay."""

    task_id: TaskId
    to_agency: AgencyCode
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document


class BudgetAllocated(Part):
    """Money given for a task by a decision. The same `allocation_id` again replaces the amount."""

    allocation_id: OwnId
    task_id: TaskId
    fiscal_year: Annotated[int, Field(ge=2000, le=2100)]
    amount_vnd: Vnd
    document: Document
    plan: Literal["assigned", "supplementary", "carried_over"] = "assigned"
    """The plan assigned by the competent authority, or what the province added or carried over from the year before:
    disbursement is measured against the first alone and against all (two denominators)."""


class IndicatorTargetSet(Part):
    """What an indicator must reach."""

    code: IndicatorCode
    title: ShortText
    period: PeriodId
    agency: AgencyCode | None = None
    """Whose target; without it, every agency's of the province."""
    at_least_percent: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=4)]
    document: Document


class TaskObstacleAnswered(Part):
    """The answer to an obstacle."""

    task_id: TaskId
    obstacle_id: OwnId
    answer: Annotated[LongText, Field(min_length=1)]
    document: Document | None = None


class TaskObstacleForwarded(Part):
    """An obstacle beyond the agency's authority goes to who can decide."""

    task_id: TaskId
    obstacle_id: OwnId
    to: Literal["chairman", "committee"]
    note: LongText = ""
