"""In-memory parts of notify; tests/contract/test_notify_store.py vouches for the store."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from services.notify.domain.alert import TaskState
from services.notify.domain.dedup import OVERDUE_STORY, Heard, Reach, delivery_id
from services.notify.domain.grouping import Delivery, waiting_key
from services.notify.domain.inhibit import Reason
from services.notify.domain.routing import Supervisors, supervisors
from services.notify.ports import AgencyRecord, AlertWithDeliveries, Contact, Decided, DeliveryState
from shared.contracts.alert_facts import AlertDecided
from shared.contracts.codec import decode
from shared.contracts.topics import ALERTS


@dataclass(slots=True)
class _Row:
    delivery: Delivery
    partition: int
    waits: str
    next_try: float
    state: str = "pending"
    cause: str = ""
    sent_at: datetime | None = None

    @property
    def reach(self) -> Reach:
        if self.state == "sent" or self.delivery.attempts:
            return Reach.TOLD
        return Reach.PENDING if self.state == "pending" else Reach.NOT_TOLD


class MemoryNotifyStore:
    """Implements ports.NotifyStore."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskState] = {}
        self._agencies: dict[tuple[str, str], AgencyRecord] = {}
        self._alerts: dict[str, tuple[Decided, float]] = {}
        self._unpublished: set[str] = set()
        self._rows: dict[str, _Row] = {}

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        for task_id, one in states.items():
            if task_id not in self._tasks or self._tasks[task_id].seq < one.seq:
                self._tasks[task_id] = one

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        return {one: self._tasks[one] for one in ids if one in self._tasks}

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        for one in records:
            known = self._agencies.get((one.province, one.code))
            if known is None or known.seq < one.seq:
                self._agencies[one.province, one.code] = one

    async def role(self, province: str, code: str, on: date) -> str | None:
        one = self._agencies.get((province, code))
        return one.role if one is not None and (one.valid_to is None or one.valid_to >= on) else None

    async def supervisors(self, province: str, on: date) -> Supervisors:
        return supervisors(
            {
                one.code: one.role
                for one in self._agencies.values()
                if one.province == province and one.role != "agency" and (one.valid_to is None or one.valid_to >= on)
            }
        )

    async def contacts(self, province: str, codes: Collection[str]) -> Mapping[str, Contact]:
        return {
            code: Contact(one.name, one.contact, one.head_contact, one.head_title)
            for code in codes
            if (one := self._agencies.get((province, code))) is not None
        }

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        stories: dict[str, list[Heard]] = {}
        for row in self._rows.values():
            alert = row.delivery.alert
            if alert.task_id in task_ids and alert.kind in OVERDUE_STORY:
                heard = Heard(alert.kind, alert.seq, row.delivery.recipient, row.reach)
                stories.setdefault(alert.task_id, []).append(heard)
        return stories

    async def record(
        self, decided: Sequence[Decided], *, channels: Collection[str], now: float, due: float
    ) -> Sequence[Decided]:
        new = [one for one in decided if one.alert.alert_id not in self._alerts]
        for one in new:
            self._alerts[one.alert.alert_id] = (one, now)
            self._unpublished.add(one.alert.alert_id)
        for one in [self._alerts[one.alert.alert_id][0] for one in decided]:
            for recipient in one.recipients:
                for channel in channels:
                    key = delivery_id(one.alert.alert_id, recipient, channel)
                    delivery = Delivery(key, one.alert, recipient, channel, now)
                    waits = waiting_key(one.alert, recipient, channel)
                    self._rows.setdefault(key, _Row(delivery, one.partition, waits, due))
        return new

    async def unpublished(self, alert_ids: Collection[str]) -> Sequence[Decided]:
        return self._ordered(self._unpublished & set(alert_ids))

    async def leftovers(self, partitions: Collection[int], *, recorded_before: float) -> Sequence[Decided]:
        return self._ordered(
            one
            for one in self._unpublished
            if self._alerts[one][0].partition in partitions and self._alerts[one][1] < recorded_before
        )

    def _ordered(self, ids: Iterable[str]) -> list[Decided]:
        return sorted((self._alerts[one][0] for one in ids), key=lambda one: one.alert.seq)

    async def published(self, alert_ids: Collection[str]) -> None:
        self._unpublished -= set(alert_ids)

    async def pending(self, partitions: Collection[int], *, now: float, limit: int) -> Sequence[Delivery]:
        mine = [row for row in self._rows.values() if row.state == "pending" and row.partition in partitions]
        due = sorted((row for row in mine if row.next_try <= now), key=lambda row: row.next_try)[:limit]
        together = {row.waits for row in due}
        found = sorted(
            (row for row in mine if row.waits in together), key=lambda row: (row.waits, row.delivery.delivery_id)
        )
        return [row.delivery for row in found[:limit]]

    async def claim(self, deliveries: Sequence[Delivery], *, message_id: str, until: float) -> Sequence[Delivery]:
        known = {one.delivery_id: one.attempts for one in deliveries}
        claimed = []
        for row in self._pending_rows(deliveries):
            if row.delivery.attempts == known[row.delivery.delivery_id]:
                row.delivery = replace(row.delivery, attempts=row.delivery.attempts + 1, message_id=message_id)
                row.waits, row.next_try = message_id, until
                claimed.append(row.delivery)
        return claimed

    async def sent(self, deliveries: Sequence[Delivery], *, at: datetime) -> None:
        for row in self._pending_rows(deliveries):
            row.state, row.cause, row.sent_at = "sent", "", at

    async def failed(self, deliveries: Sequence[Delivery], cause: str) -> None:
        for row in self._pending_rows(deliveries):
            row.state, row.cause = "failed", cause

    async def suppressed(self, deliveries: Sequence[Delivery], reason: Reason) -> None:
        for row in self._pending_rows(deliveries):
            row.state, row.cause = "suppressed", reason.value

    async def postponed(self, deliveries: Sequence[Delivery], cause: str, *, until: float) -> None:
        for row in self._pending_rows(deliveries):
            row.cause, row.next_try = cause, until

    def _pending_rows(self, deliveries: Sequence[Delivery]) -> list[_Row]:
        return [row for one in deliveries if (row := self._rows[one.delivery_id]).state == "pending"]

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        found = [
            one
            for key, (one, _) in sorted(self._alerts.items())
            if (after is None or key > after)
            and (reader is None or reader in one.readers)
            and all(_value(one, name) == value for name, value in wanted.items())
        ]
        return [AlertWithDeliveries(one, self._states(one.alert.alert_id)) for one in found[:limit]]

    def _states(self, alert_id: str) -> tuple[DeliveryState, ...]:
        return tuple(
            DeliveryState(
                row.delivery.recipient.agency,
                row.delivery.recipient.role.value,
                row.delivery.channel,
                row.state,
                row.cause,
                row.delivery.attempts,
                row.sent_at,
                row.delivery.message_id or None,
            )
            for key, row in sorted(self._rows.items())
            if row.delivery.alert.alert_id == alert_id
        )


def _value(one: Decided, name: str) -> str:
    if name == "outcome":
        return "notify" if one.notify else "silent"
    return str(getattr(one.alert, name))


@dataclass(slots=True)
class MemoryTopic:
    """The alerts topic, as the broker acknowledged it. `lose_next`: the process dies before telling."""

    values: list[bytes] = field(default_factory=list)
    lose_next: bool = False

    async def __call__(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        if self.lose_next:
            self.lose_next = False
            raise ConnectionError("died before telling")
        assert all(topic == ALERTS.name for topic, _, _ in messages)
        self.values.extend(value for _, _, value in messages)

    def alerts(self) -> list[AlertDecided]:
        return [one for value in self.values if isinstance(one := decode(ALERTS.name, value).data, AlertDecided)]
