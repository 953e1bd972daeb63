"""fact → alert → inhibit → route → record → publish; then deliver: inhibit again → group → send → note."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog

from services.notify import metrics, wire
from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.grouping import Delivery, Group, grouped
from services.notify.domain.inhibit import Reason, why
from services.notify.domain.routing import Recipient, Role, Supervisors, recipients
from services.notify.ports import (
    Channel,
    Compose,
    Contact,
    Decided,
    Delivered,
    NotifyStore,
    Refused,
    RetryLater,
    Sent,
)
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received

log = structlog.get_logger()

EMAIL = "email"
DELIVERIES_PER_TURN = 2_000
SENDERS_MAX = 8
"""Messages on their way at once: a slow mail server must not hold the others up, nor be flooded."""
ATTEMPTS_MAX = 40
RETRY_SECONDS_MAX = 300.0

Publish = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class NotifyHandlers:
    """The pipeline, in its two halves."""

    def __init__(
        self,
        store: NotifyStore,
        publish: Publish,
        channel: Channel,
        compose: Compose,
        clock: Clock,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._publish = publish
        self._channel = channel
        self._compose = compose
        self._clock = clock
        self._real_time = real_time
        self._sending = asyncio.Semaphore(SENDERS_MAX)

    # -- deciding --------------------------------------------------------------------------------------------------

    async def on_records(self, records: Sequence[Received]) -> None:
        """Apply a batch of both topics."""
        await self._store.learn_agencies([one for record in records if (one := wire.agency(record.event)) is not None])
        newest: dict[str, TaskState] = {}
        for record in records:
            known = wire.state(record.event)
            if known is not None and (known[0] not in newest or newest[known[0]].seq < known[1].seq):
                newest[known[0]] = known[1]
        if not newest:
            return
        await self._store.learn_tasks(newest)
        alerts = [(alert, record.partition) for record in records if (alert := wire.alert(record.event)) is not None]
        if not alerts:
            return
        await self._decide(alerts)
        await self._tell([alert.alert_id for alert, _ in alerts], [])

    async def _decide(self, alerts: Sequence[tuple[Alert, int]]) -> None:
        known = await self._store.tasks({alert.task_id for alert, _ in alerts})
        provinces = {alert.province for alert, _ in alerts}
        above = {province: await self._store.supervisors(province) for province in provinces}
        decided_at = self._clock.now()
        retractions = [one for one in alerts if one[0].kind is AlertKind.OVERDUE_RETRACTED]
        others = [one for one in alerts if one[0].kind is not AlertKind.OVERDUE_RETRACTED]
        # What is taken back may have been told in this very batch, so it is recorded first.
        for part in (others, retractions):
            told = await self._store.told_of_overdue({alert.task_id for alert, _ in part if part is retractions})
            await self._store.record(
                [
                    self._decided(
                        alert, partition, known[alert.task_id], above[alert.province], told, decided_at=decided_at
                    )
                    for alert, partition in part
                ]
            )

    @staticmethod
    def _decided(
        alert: Alert,
        partition: int,
        task: TaskState,
        above: Supervisors,
        told: Mapping[str, frozenset[Recipient]],
        *,
        decided_at: datetime,
    ) -> Decided:
        reason = why(alert, task)
        found = recipients(alert, above, told.get(alert.task_id, ()))
        if reason is Reason.DUE and not found:
            reason = Reason.NOBODY_WAS_TOLD if alert.kind is AlertKind.OVERDUE_RETRACTED else Reason.NO_RECIPIENT
        metrics.ALERTS.labels(alert.kind.value, reason.value).inc()
        return Decided(alert, partition, reason, found if reason is Reason.DUE else (), decided_at)

    async def _tell(self, alert_ids: Sequence[str] | None, partitions: Sequence[int]) -> None:
        untold = await self._store.unpublished(alert_ids, partitions)
        if not untold:
            return
        await self._publish([wire.message(decided) for decided in untold])
        await self._store.published([decided.alert.alert_id for decided in untold])

    # -- delivering ------------------------------------------------------------------------------------------------

    async def deliver(self, partitions: Sequence[int]) -> int:
        """Publish leftovers and send what is due of these partitions. Returns how many messages went out."""
        await self._tell(None, partitions)
        pending = await self._store.pending(partitions, now=self._real_time(), limit=DELIVERIES_PER_TURN)
        metrics.PENDING.set(len(pending))
        if not pending:
            return 0
        groups = grouped(await self._still_due(pending))
        contacts = await self._contacts(groups)
        outcomes = await asyncio.gather(*(self._send(group, contacts) for group in groups))
        return sum(outcomes)

    async def _still_due(self, pending: Sequence[Delivery]) -> list[Delivery]:
        """A task that was finished since the alert was decided must not be nagged about."""
        known = await self._store.tasks({one.alert.task_id for one in pending})
        due = []
        for delivery in pending:
            reason = why(delivery.alert, known[delivery.alert.task_id])
            if reason is Reason.DUE:
                due.append(delivery)
            else:
                await self._store.suppressed(delivery, reason)
                metrics.DELIVERIES.labels(EMAIL, "suppressed").inc()
        return due

    async def _contacts(self, groups: Sequence[Group]) -> dict[tuple[str, str], Contact]:
        wanted: dict[str, set[str]] = {}
        for group in groups:
            wanted.setdefault(group.deliveries[0].alert.province, set()).add(group.recipient.agency)
        return {
            (province, code): contact
            for province, codes in wanted.items()
            for code, contact in (await self._store.contacts(province, codes)).items()
        }

    async def _send(self, group: Group, contacts: Mapping[tuple[str, str], Contact]) -> int:
        contact = contacts.get((group.deliveries[0].alert.province, group.recipient.agency))
        to = _mailbox(group.recipient, contact)
        if contact is None or to is None:
            await self._note(group, Refused("no_contact"))
            return 0
        message = self._compose(group, contact, to, now=self._clock.now())
        async with self._sending:
            with metrics.SEND_SECONDS.labels(EMAIL).time():
                outcome = await self._channel(message)
        await self._note(group, outcome)
        return int(isinstance(outcome, Delivered))

    async def _note(self, group: Group, outcome: Sent) -> None:
        deliveries = group.deliveries
        match outcome:
            case Delivered():
                name = "sent"
                await self._store.sent(deliveries, message_id=group.message_id, at=self._clock.now())
            case RetryLater(cause) if deliveries[0].attempts + 1 < ATTEMPTS_MAX:
                name = "postponed"
                wait = min(RETRY_SECONDS_MAX, 2.0 ** min(deliveries[0].attempts, 10))
                await self._store.postponed(deliveries, cause, until=self._real_time() + wait)
            case RetryLater(cause) | Refused(cause):
                name = "failed"
                await self._store.failed(deliveries, cause)
        metrics.MESSAGES.labels(EMAIL, name).inc()
        metrics.DELIVERIES.labels(EMAIL, name).inc(len(deliveries))
        log.info(
            "message.handled",
            outcome=name,
            kind=group.kind,
            agency=group.recipient.agency,
            role=group.recipient.role,
            alerts=len(deliveries),
            cause=getattr(outcome, "cause", ""),
        )


def _mailbox(recipient: Recipient, contact: Contact | None) -> str | None:
    if contact is None:
        return None
    return contact.head_mailbox or contact.mailbox if recipient.role is Role.HEAD else contact.mailbox
