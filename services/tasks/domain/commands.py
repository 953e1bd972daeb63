"""What can be asked of a task. Commands carry what was said; who said it and when is in the cause."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from services.tasks.domain.task import Document


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The agency takes the task."""


@dataclass(frozen=True, slots=True)
class ReportProgress:
    """Work goes on."""

    percent: int
    note: str


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """A result is handed in."""

    document: Document
    summary: str
    evidence_count: int
    delay_cause: str | None
    delay_note: str = ""


@dataclass(frozen=True, slots=True)
class Contribute:
    """A cooperating agency tells what it did."""

    summary: str
    document: Document | None
    evidence_count: int
    stands_for: frozenset[str] = frozenset()
    """Agencies that were reorganised into the one that speaks."""


@dataclass(frozen=True, slots=True)
class JudgeContribution:
    """The lead's word on a cooperating agency's latest contribution."""

    agency: str
    verdict: Literal["accepted", "returned"]
    note: str


@dataclass(frozen=True, slots=True)
class ReportDisbursement:
    """Money paid out, cumulative."""

    as_of: date
    cumulative_vnd: int


@dataclass(frozen=True, slots=True)
class RaiseObstacle:
    """Something is in the way."""

    obstacle_id: str
    description: str
    beyond_authority: bool


@dataclass(frozen=True, slots=True)
class ClearObstacle:
    """It is gone."""

    obstacle_id: str


@dataclass(frozen=True, slots=True)
class RequestExtension:
    """More time is asked for."""

    requested_last_day: date
    reason: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """The reviewer accepts the latest result."""

    note: str


@dataclass(frozen=True, slots=True)
class ReturnResult:
    """The reviewer sends it back."""

    reason: str


@dataclass(frozen=True, slots=True)
class GrantExtension:
    """A new last day."""

    last_day: date
    document: Document
    reason: str


@dataclass(frozen=True, slots=True)
class RefuseExtension:
    """The deadline stands."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The task ends without result."""

    reason: str
    document: Document


@dataclass(frozen=True, slots=True)
class Suspend:
    """The deadline's clock stands still from here on."""

    reason: str
    document: Document


@dataclass(frozen=True, slots=True)
class Resume:
    """It goes on, from where it stood or with a new last day."""

    document: Document
    last_day: date | None


@dataclass(frozen=True, slots=True)
class Reassign:
    """Another agency takes over."""

    to_agency: str
    reason: str
    document: Document


@dataclass(frozen=True, slots=True)
class AnswerObstacle:
    """The answer to an obstacle."""

    obstacle_id: str


@dataclass(frozen=True, slots=True)
class ForwardObstacle:
    """The obstacle goes to who can decide."""

    obstacle_id: str
    to: Literal["chairman", "committee"]


@dataclass(frozen=True, slots=True)
class Allocate:
    """Money is given for the task."""

    allocation_id: str
    fiscal_year: int
    amount_vnd: int
    document: Document
    plan: Literal["assigned", "supplementary", "carried_over"] = "assigned"


AgencyCommand = (
    Acknowledge
    | ReportProgress
    | SubmitResult
    | JudgeContribution
    | ReportDisbursement
    | RaiseObstacle
    | ClearObstacle
    | RequestExtension
)
"""What only the task's own agency may say."""
AuthorityCommand = (
    AcceptResult
    | ReturnResult
    | GrantExtension
    | RefuseExtension
    | Cancel
    | Suspend
    | Resume
    | Reassign
    | AnswerObstacle
    | ForwardObstacle
    | Allocate
)
Command = AgencyCommand | AuthorityCommand | Contribute
AGENCY_COMMANDS = (
    Acknowledge,
    ReportProgress,
    SubmitResult,
    JudgeContribution,
    ReportDisbursement,
    RaiseObstacle,
    ClearObstacle,
    RequestExtension,
)
