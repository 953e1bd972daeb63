"""Which deliveries go out as one message, and under which id."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.routing import Recipient

ALERTS_PER_MESSAGE_MAX = 100


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert for one recipient over one channel."""

    delivery_id: str
    alert: Alert
    recipient: Recipient
    attempts: int


@dataclass(frozen=True, slots=True)
class Group:
    """Deliveries that are one message: same recipient, same kind and level, same directive."""

    recipient: Recipient
    kind: AlertKind
    level: int
    directive: str
    deliveries: tuple[Delivery, ...]

    @property
    def message_id(self) -> str:
        """Stable over repeats of the same group: a crash between sending and noting it repeats the id."""
        ids = "\n".join(sorted(delivery.delivery_id for delivery in self.deliveries))
        return hashlib.sha256(ids.encode()).hexdigest()[:32]


def grouped(deliveries: Iterable[Delivery]) -> list[Group]:
    """Group; the most overdue first within a message, at most ALERTS_PER_MESSAGE_MAX in one."""
    found: dict[tuple[Recipient, AlertKind, int, str], list[Delivery]] = {}
    for delivery in deliveries:
        alert = delivery.alert
        found.setdefault((delivery.recipient, alert.kind, alert.level, alert.directive), []).append(delivery)
    return [
        Group(recipient, kind, level, directive, part)
        for (recipient, kind, level, directive), some in found.items()
        for part in _parts(sorted(some, key=_urgency))
    ]


def _urgency(delivery: Delivery) -> tuple[str, str]:
    last_day = delivery.alert.last_day
    return (last_day.isoformat() if last_day else "9999", delivery.alert.task_id)


def _parts(deliveries: Sequence[Delivery]) -> Iterable[tuple[Delivery, ...]]:
    for start in range(0, len(deliveries), ALERTS_PER_MESSAGE_MAX):
        yield tuple(deliveries[start : start + ALERTS_PER_MESSAGE_MAX])
