"""What a province has decided about messages: when they come, how high an escalation goes, how many are too many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time

from services.notify.domain.alert import AlertKind
from services.notify.domain.routing import Role


@dataclass(frozen=True, slots=True)
class NotifyPolicy:
    """One province's policy. Times are local (Asia/Ho_Chi_Minh)."""

    version: str = "plain"
    digest_at: time = time(8)
    """When the digest of a working day leaves; not before the reminders of that day were raised."""
    office_from: time = time(7, 30)
    office_to: time = time(17)
    """Outside these hours, and on days off, nothing is sent but what passes."""
    passes: frozenset[AlertKind] = frozenset({AlertKind.ESCALATION})
    """Kinds that do not wait for the office to open."""
    levels: Mapping[int, tuple[Role, ...]] = field(
        default_factory=lambda: {
            1: (Role.AGENCY, Role.HEAD),
            2: (Role.AGENCY, Role.HEAD, Role.STANDING),
            3: (Role.AGENCY, Role.HEAD, Role.STANDING, Role.CHAIRMAN_OFFICE),
        }
    )
    """Who hears an escalation of which level."""
    cooperating_hear: frozenset[AlertKind] = frozenset({AlertKind.ASSIGNED})
    """Kinds that the cooperating agencies of a task hear as well."""
    messages_per_hour: int = 20
    """Most immediate messages to one mailbox in an hour; what is more goes into the next digest."""
    summary_day: int = 15
    """From which day of the month on the monthly summary leaves, on a working day; reports are due before the 20th."""
