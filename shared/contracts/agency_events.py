"""What an agency may say about its own tasks and indicators (scope `events:write`)."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.identifiers import AgencyCode, IndicatorCode, LongText, OwnId, PeriodId, ShortText, TaskId
from shared.contracts.model import Day, Document, Evidence, Part, Vnd

EvidenceList = Annotated[tuple[Evidence, ...], Field(max_length=50)]


class DelayCause(StrEnum):
    """Why a result is late: the short coded list of design §4."""

    ADMINISTRATIVE = "administrative"
    DISAGREEMENT = "disagreement"
    MONEY = "money"
    DEPENDENCY = "dependency"
    EXTERNAL = "external"
    OTHER = "other"


class TaskAcknowledged(Part):
    """The agency has read the task and takes it."""

    task_id: TaskId
    note: LongText = ""


class TaskProgressReported(Part):
    """Work goes on."""

    task_id: TaskId
    percent: Annotated[int, Field(ge=0, le=100)]
    note: LongText = ""
    evidence: EvidenceList = ()


class TaskResultSubmitted(Part):
    """The result is handed in; whether it is accepted is the reviewer's word."""

    task_id: TaskId
    document: Document
    summary: LongText = ""
    evidence: EvidenceList = ()
    delay_cause: DelayCause | None = None
    delay_note: LongText = ""


class TaskContributionSubmitted(Part):
    """What a cooperating agency did for a task; the lead decides what becomes of it."""

    task_id: TaskId
    """The lead's task."""
    summary: Annotated[LongText, Field(min_length=1)]
    document: Document | None = None
    evidence: EvidenceList = ()


class TaskContributionJudged(Part):
    """The lead takes a cooperating agency's latest contribution, or asks for more."""

    task_id: TaskId
    agency: AgencyCode
    """Who contributed."""
    verdict: Literal["accepted", "returned"]
    note: LongText = ""


class TaskDisbursementReported(Part):
    """Money paid out so far, cumulative since the allocation, as of a day."""

    task_id: TaskId
    as_of: Day
    cumulative_vnd: Vnd


class TaskObstacleRaised(Part):
    """Something is in the way. `beyond_authority`: the agency cannot remove it itself."""

    task_id: TaskId
    obstacle_id: OwnId
    description: Annotated[LongText, Field(min_length=1)]
    beyond_authority: bool = False


class TaskObstacleCleared(Part):
    """The obstacle is gone."""

    task_id: TaskId
    obstacle_id: OwnId
    note: LongText = ""


class TaskExtensionRequested(Part):
    """The agency asks for a later last day; nothing changes until it is granted."""

    task_id: TaskId
    requested_last_day: Day
    reason: Annotated[LongText, Field(min_length=1)]
    document: Document | None = None


class IndicatorReported(Part):
    """An indicator's value for a period, as a fraction with its source."""

    code: IndicatorCode
    period: PeriodId
    numerator: Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=4)]
    denominator: Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=4)]
    data_source: ShortText
