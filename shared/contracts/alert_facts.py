"""What `notify` publishes on `dondoc.alerts.v1`. No addresses: personal data stays in notify."""

from enum import StrEnum
from typing import Literal

from shared.contracts.identifiers import AgencyCode, ClauseId, DirectiveSlug, ProvinceCode, TaskId
from shared.contracts.model import Instant, Part


class AlertKind(StrEnum):
    """What an alert is about."""

    ASSIGNED = "assigned"
    DUE_SOON = "due_soon"
    OVERDUE = "overdue"
    OVERDUE_RETRACTED = "overdue_retracted"
    ESCALATION = "escalation"
    REVIEW_REMINDER = "review_reminder"
    RESULT_RETURNED = "result_returned"
    EXTENSION_GRANTED = "extension_granted"
    EXTENSION_REFUSED = "extension_refused"
    OBSTACLE = "obstacle"
    ENDED = "ended"


class RecipientRole(StrEnum):
    """In which role a recipient hears an alert."""

    AGENCY = "agency"
    HEAD = "head"
    STANDING = "standing"
    CHAIRMAN_OFFICE = "chairman_office"
    REVIEWER = "reviewer"


class Recipient(Part):
    """Who hears it: an agency in a role."""

    agency: AgencyCode
    role: RecipientRole


class _Alert(Part):
    alert_id: str
    level: int
    """Escalation level, else 0."""
    province: ProvinceCode
    task_id: TaskId
    seq: int
    directive: DirectiveSlug
    clause: ClauseId
    agency: AgencyCode
    title: str
    outcome: Literal["notify", "silent"]
    reason: str
    """Why it is sent, or why it stays silent: an enum value of notify."""
    recipients: tuple[Recipient, ...]
    fact_received_at: Instant
    decided_at: Instant


class AlertDecided(_Alert):
    """One decided alert. `alert_id` is `{task_id}:{seq}` of the fact behind it, stable over repeats."""

    kind: AlertKind


class AlertDecidedV2(_Alert):
    """The same, for the kinds that v1 does not know: `changed`, `contribution`, `succession`, and what is to come."""

    kind: str
    """An open word: ignore what you do not know."""
