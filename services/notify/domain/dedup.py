"""What was told already: the names that make a repeat recognisable, and who heard what may have to be taken back."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.routing import Recipient

OVERDUE_STORY = frozenset({AlertKind.OVERDUE, AlertKind.ESCALATION, AlertKind.OVERDUE_RETRACTED})
"""The kinds that a retraction looks back on."""

With = TypeVar("With")


def delivery_id(alert_id: str, recipient: Recipient, channel: str) -> str:
    """One alert to one recipient over one channel, for ever: a repeat of the fact has the same one."""
    return f"{alert_id}:{recipient.role}:{recipient.agency}:{channel}"


def once(alerts: Iterable[tuple[Alert, With]]) -> list[tuple[Alert, With]]:
    """Drop repeats of a fact within a batch; the first counts. Repeats over batches meet the store's keys."""
    seen: dict[str, tuple[Alert, With]] = {}
    for alert, rest in alerts:
        seen.setdefault(alert.alert_id, (alert, rest))
    return list(seen.values())


class Reach(StrEnum):
    """Whether a delivery reached its recipient."""

    TOLD = "told"
    """It went out, or was handed over and nobody knows: then it counts as heard."""
    PENDING = "pending"
    NOT_TOLD = "not_told"


@dataclass(frozen=True, slots=True)
class Heard:
    """One delivery of an overdue, an escalation or a retraction."""

    kind: AlertKind
    seq: int
    recipient: Recipient
    reach: Reach


def reach_before(story: Iterable[Heard], recipient: Recipient, seq: int) -> Reach:
    """Whether a recipient has heard of an overdue that the retraction with this `seq` would be the first to undo."""
    mine = [one for one in story if one.recipient == recipient and one.seq < seq and one.reach is not Reach.NOT_TOLD]
    undone = max((one.seq for one in mine if one.kind is AlertKind.OVERDUE_RETRACTED), default=0)
    open_ones = {one.reach for one in mine if one.seq > undone}
    if Reach.TOLD in open_ones:
        return Reach.TOLD
    return Reach.PENDING if open_ones else Reach.NOT_TOLD


def may_have_heard(story: Iterable[Heard], seq: int) -> frozenset[Recipient]:
    """Whom the retraction with this `seq` may have to reach. Asked again, per recipient, just before sending."""
    heard = tuple(story)
    return frozenset(one.recipient for one in heard if reach_before(heard, one.recipient, seq) is not Reach.NOT_TOLD)
