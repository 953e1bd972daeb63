"""Which deliveries go out as one message, under which id, and in which order they are listed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.routing import Recipient

ALERTS_LISTED_MAX = 100
"""Of one message; the rest is counted and stands on the board."""

_ACROSS_DIRECTIVES = frozenset({AlertKind.DUE_SOON, AlertKind.OVERDUE})
"""What comes by the day, for many tasks at once. The others are about a document."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert for one recipient over one channel."""

    delivery_id: str
    alert: Alert
    recipient: Recipient
    channel: str
    recorded_at: float
    """Real seconds."""
    attempts: int = 0
    message_id: str = ""
    """Of the message it was tried in; a repeat is that same message, whatever came since."""


@dataclass(frozen=True, slots=True)
class Group:
    """Deliveries that are one message: same mailbox, same kind and level, and where it matters the same directive."""

    mailbox: str
    deliveries: tuple[Delivery, ...]

    @property
    def first(self) -> Delivery:
        """Any of them, for what they have in common."""
        return self.deliveries[0]

    @property
    def message_id(self) -> str:
        """Stable over repeats: a crash between sending and noting it repeats the id."""
        if self.first.message_id:
            return self.first.message_id
        ids = "\n".join(sorted(delivery.delivery_id for delivery in self.deliveries))
        return hashlib.sha256(ids.encode()).hexdigest()[:32]

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Who reads that mailbox."""
        found = {delivery.recipient for delivery in self.deliveries}
        return tuple(sorted(found, key=lambda one: (one.agency, one.role)))

    @property
    def directives(self) -> tuple[str, ...]:
        """The directives it is about."""
        return tuple(sorted({delivery.alert.directive for delivery in self.deliveries}))

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """The newest alert of each task, the longest due first."""
        newest: dict[str, Alert] = {}
        for delivery in self.deliveries:
            alert = delivery.alert
            if alert.task_id not in newest or newest[alert.task_id].seq < alert.seq:
                newest[alert.task_id] = alert
        return tuple(sorted(newest.values(), key=_urgency))


def waiting_key(alert: Alert, recipient: Recipient, channel: str) -> str:
    """What waits together for its message, before anybody looks up a mailbox."""
    directive = "" if alert.kind in _ACROSS_DIRECTIVES else alert.directive
    return "|".join((channel, alert.province, recipient.agency, alert.kind.value, str(alert.level), directive))


def grouped(addressed: Iterable[tuple[Delivery, str]]) -> list[Group]:
    """Group deliveries with their mailboxes. What was tried together stays together, under its id."""
    found: dict[tuple[str, ...], list[Delivery]] = {}
    for delivery, mailbox in addressed:
        alert = delivery.alert
        directive = "" if alert.kind in _ACROSS_DIRECTIVES else alert.directive
        key = (
            (mailbox, delivery.message_id)
            if delivery.message_id
            else (mailbox, delivery.channel, alert.province, alert.kind.value, str(alert.level), directive)
        )
        found.setdefault(key, []).append(delivery)
    return [Group(key[0], tuple(some)) for key, some in found.items()]


def _urgency(alert: Alert) -> tuple[str, str]:
    return (alert.last_day.isoformat() if alert.last_day else "9999", alert.task_id)
