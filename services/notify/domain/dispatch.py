"""What goes out as one message: to one desk, over one channel, under one id for ever."""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from services.notify.domain.alert import Alert
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Recipient, Role

DIGEST = "digest"
SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Desk:
    """Where messages are read: an agency's own desk, or its head's where the head has an address."""

    province: str
    agency: str
    is_head: bool = False

    @property
    def key(self) -> str:
        """`H48/H48.21`, with `/head` for the head's."""
        return f"{self.province}/{self.agency}{'/head' if self.is_head else ''}"


class Lane(StrEnum):
    """How a delivery goes out."""

    DIGEST = "digest"
    OWN = "own"
    """As a message of its own, with what else is of its kind."""
    RESEND = "resend"
    """An officer asked for it: at once, whatever the hour."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert for one recipient over one channel."""

    delivery_id: str
    alert: Alert
    recipient: Recipient
    channel: str
    slot: int
    recorded_at: float
    """Real seconds."""
    lane: Lane = Lane.OWN
    waits: str = ""
    """`waits_with`: what becomes one message with it. Empty once it is in one."""
    is_folded: bool = False
    """It would have been a message of its own, had there not been too many."""
    resent: int = 0
    """How often an officer has sent it again."""
    is_tried: bool = False
    """It was in a try of its message, and may have been heard."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message, whatever becomes of it."""

    dispatch_id: str
    """The message's id, stable over repeats."""
    desk: Desk
    role: Role
    """In which role its readers are addressed."""
    channel: str
    kind: str
    """`digest`, `summary`, or the kind of its alerts."""
    slot: int
    formed_at: float
    """Real seconds."""
    level: int = 0
    day: date | None = None
    """Of a digest."""
    month: str = ""
    """Of a summary."""
    formed_on: datetime | None = None
    """Business time."""
    passes: bool = False
    """It does not wait for the office to open."""
    attempts: int = 0
    is_tried: bool = False
    """Something was handed over under its id, or may have been."""


def slot_of(province: str, agency: str, slots: int) -> int:
    """Which slot an agency's messages belong to: who owns that partition forms and sends them, and nobody else."""
    return zlib.crc32(f"{province}/{agency}".encode()) % slots


def digest_id(desk: Desk, day: date, channel: str) -> str:
    """One digest a desk, working day and channel."""
    return _hashed("digest", desk.key, day.isoformat(), channel)


def summary_id(desk: Desk, month: str, channel: str) -> str:
    """One summary a desk, month and channel."""
    return _hashed("summary", desk.key, month, channel)


def announcement_id(desk: Desk, directive: str, channel: str, *, number: int = 0) -> str:
    """One message about a new directive, however many tasks it brings. `number`: of those that had nothing to say."""
    return _hashed("announcement", desk.key, directive, channel, str(number))


def message_id(delivery_ids: Iterable[str], *, resent: int = 0, number: int = 0) -> str:
    """Of any other message: what it was made of.

    `resent`: how often an officer has sent it again; it is a message of its own then, or its readers would drop it as
    a repeat. `number`: of messages that ended without having carried anything.
    """
    return _hashed("message", str(resent), str(number), *sorted(delivery_ids))


def desk_of(recipient: Recipient, registry: Registry, province: str, on: date) -> Desk:
    """Whose desk a recipient's messages come to on a day: a successor's, and the head's own where there is one."""
    reader = registry.reader_of(recipient.agency, on)
    record = registry.get(reader)
    has_own = record is not None and record.head_contact not in {None, record.contact}
    return Desk(province, reader, is_head=recipient.role is Role.HEAD and has_own)


def waits_with(alert: Alert, desk: Desk, channel: str, lane: Lane, *, resent: int = 0) -> str:
    """What waits together to become one message."""
    match lane:
        case Lane.DIGEST:
            return waiting_for_digest(desk, channel)
        case Lane.RESEND:
            return f"{channel}|{desk.key}|{alert.alert_id}|{resent}"
        case Lane.OWN:
            return f"{channel}|{desk.key}|{alert.kind.value}|{alert.level}|{alert.directive}"


def place_of(waits: str) -> str:
    """Channel and desk of what waits together."""
    channel, desk, _ = waits.split("|", 2)
    return f"{channel}|{desk}"


def waiting_for_digest(desk: Desk, channel: str) -> str:
    """What waits together for a desk's next digest."""
    return f"{channel}|{desk.key}|{DIGEST}"


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
