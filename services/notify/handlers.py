"""fact → alert → inhibit → route → dedup → record → publish; then deliver: inhibit again → group → send → note."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import structlog

from services.notify import metrics, wire
from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach, may_have_heard, once, reach_before
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
from shared.runtime.errors import is_transient
from shared.runtime.together import together

log = structlog.get_logger()

LOCAL = timedelta(hours=7)
"""Asia/Ho_Chi_Minh; no summer time."""

# Everything below is real time: a rehearsal's clock may run 100,000 times as fast, mail servers do not.
LEFTOVER_AFTER_SECONDS = 5.0
"""What is unpublished for this long is a crash's leftover, not a batch in hand."""
DELIVERIES_PER_TURN = 5_000
SENDERS_MAX = 8
"""Messages on their way at once over one channel: a slow server must not be flooded, nor hold other channels up."""
CLAIM_SECONDS = 60.0
"""Longer than any channel takes over a message; a crash in between costs this much delay and no message."""
RETRY_SECONDS_MAX = 600.0
GIVE_UP_SECONDS = 5 * 24 * 3600.0
"""As long as mail servers among themselves keep trying; what is stale by then has been suppressed."""
UNKNOWN_AGENCY_SECONDS = 600.0
"""How long the registry may lag behind the tasks before a missing agency counts as one without a mailbox."""
UNKNOWN_AGENCY_RETRY_SECONDS = 5.0

Publish = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class NotifyHandlers:
    """The pipeline, in its two halves."""

    def __init__(
        self,
        store: NotifyStore,
        publish: Publish,
        channels: Mapping[str, Channel],
        compose: Compose,
        clock: Clock,
        *,
        group_wait_seconds: float,
        real_time: Callable[[], float] = time.time,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`progress` is called for each message that was handled: a turn may take long and still not be stuck."""
        self._store = store
        self._publish = publish
        self._channels = channels
        self._compose = compose
        self._clock = clock
        self._group_wait_seconds = group_wait_seconds
        self._real_time = real_time
        self._progress = progress
        self._sending = {name: asyncio.Semaphore(SENDERS_MAX) for name in channels}

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
        alerts = once(
            (alert, record.partition) for record in records if (alert := wire.alert(record.event)) is not None
        )
        if not alerts:
            return
        await self._decide(alerts)
        await self._tell(await self._store.unpublished([alert.alert_id for alert, _ in alerts]))

    async def _decide(self, alerts: Sequence[tuple[Alert, int]]) -> None:
        known = await self._store.tasks({alert.task_id for alert, _ in alerts})
        today = local_day(self._clock.now())
        above = {
            province: await self._store.supervisors(province, today)
            for province in {alert.province for alert, _ in alerts}
        }
        # What is taken back may have been decided in this very batch, so that is recorded first.
        for part in (
            [one for one in alerts if one[0].kind is not AlertKind.OVERDUE_RETRACTED],
            [one for one in alerts if one[0].kind is AlertKind.OVERDUE_RETRACTED],
        ):
            stories = await self._stories(alert for alert, _ in part)
            decided = [
                self._decided(
                    alert, partition, known[alert.task_id], above[alert.province], stories.get(alert.task_id, ())
                )
                for alert, partition in part
            ]
            now = self._real_time()
            new = await self._store.record(
                decided, channels=tuple(self._channels), now=now, due=now + self._group_wait_seconds
            )
            for one in new:
                metrics.ALERTS.labels(one.alert.kind.value, one.reason.value).inc()

    def _decided(
        self, alert: Alert, partition: int, task: TaskState, above: Supervisors, story: Sequence[Heard]
    ) -> Decided:
        reason = why(alert, task)
        found = recipients(alert, above, may_have_heard(story, alert.seq))
        if reason is Reason.DUE and not found:
            reason = Reason.NOBODY_WAS_TOLD if alert.kind is AlertKind.OVERDUE_RETRACTED else Reason.NO_RECIPIENT
        return Decided(alert, partition, reason, found if reason is Reason.DUE else (), self._clock.now())

    async def _stories(self, alerts: Iterable[Alert]) -> Mapping[str, Sequence[Heard]]:
        ids = {alert.task_id for alert in alerts if alert.kind is AlertKind.OVERDUE_RETRACTED}
        return await self._store.overdue_stories(ids) if ids else {}

    async def tell_leftovers(self, partitions: Sequence[int]) -> int:
        """Publish what a crash left unpublished in these partitions, a page of it. Returns how many alerts."""
        before = self._real_time() - LEFTOVER_AFTER_SECONDS
        left = await self._store.leftovers(partitions, recorded_before=before)
        await self._tell(left)
        return len(left)

    async def _tell(self, untold: Sequence[Decided]) -> None:
        if not untold:
            return
        await self._publish([wire.message(decided) for decided in untold])
        await self._store.published([decided.alert.alert_id for decided in untold])

    # -- delivering ------------------------------------------------------------------------------------------------

    async def deliver(self, partitions: Sequence[int]) -> int:
        """Send what is due of these partitions. Returns how many messages went out.

        One message that cannot be written or sent stops no other. Only the store's errors come out of here.
        """
        pending = await self._store.pending(partitions, now=self._real_time(), limit=DELIVERIES_PER_TURN)
        metrics.PENDING.set(len(pending))
        due = await self._still_due(pending)
        if not due:
            return 0
        contacts = await self._contacts(due)
        groups = grouped(await self._addressed(due, contacts))
        return sum(await together(self._send(one, contacts) for one in groups))

    async def _still_due(self, pending: Sequence[Delivery]) -> list[Delivery]:
        """A task that was finished since the alert was decided must not be nagged about."""
        if not pending:
            return []
        known = await self._store.tasks({one.alert.task_id for one in pending})
        stories = await self._stories(one.alert for one in pending)
        due: list[Delivery] = []
        silenced: dict[Reason, list[Delivery]] = {}
        for one in pending:
            reason = why(one.alert, known[one.alert.task_id])
            if reason is Reason.DUE and one.alert.kind is AlertKind.OVERDUE_RETRACTED:
                reach = reach_before(stories.get(one.alert.task_id, ()), one.recipient, one.alert.seq)
                if reach is Reach.PENDING:
                    # The overdue itself is still on its way; what becomes of it decides.
                    continue
                reason = Reason.DUE if reach is Reach.TOLD else Reason.NOBODY_WAS_TOLD
            if reason is Reason.DUE:
                due.append(one)
            else:
                silenced.setdefault(reason, []).append(one)
        for reason, some in silenced.items():
            await self._store.suppressed(some, reason)
            for one in some:
                metrics.DELIVERIES.labels(one.channel, "suppressed").inc()
        return due

    async def _contacts(self, due: Sequence[Delivery]) -> dict[str, Mapping[str, Contact]]:
        wanted: dict[str, set[str]] = {}
        for one in due:
            wanted.setdefault(one.alert.province, set()).update((one.recipient.agency, one.alert.agency))
        return {province: await self._store.contacts(province, codes) for province, codes in wanted.items()}

    async def _addressed(
        self, due: Sequence[Delivery], contacts: Mapping[str, Mapping[str, Contact]]
    ) -> list[tuple[Delivery, str]]:
        addressed = []
        unknown: list[Delivery] = []
        unreachable: dict[Recipient, list[Delivery]] = {}
        for one in due:
            contact = contacts[one.alert.province].get(one.recipient.agency)
            mailbox = _mailbox(one.recipient, contact)
            if mailbox is not None:
                addressed.append((one, mailbox))
            elif contact is None and self._real_time() - one.recorded_at < UNKNOWN_AGENCY_SECONDS:
                unknown.append(one)
            else:
                unreachable.setdefault(one.recipient, []).append(one)
        if unknown:
            until = self._real_time() + UNKNOWN_AGENCY_RETRY_SECONDS
            await self._store.postponed(unknown, "agency_unknown", until=until)
        for some in unreachable.values():
            await self._note(tuple(some), Refused("no_contact"))
        return addressed

    async def _send(self, group: Group, contacts: Mapping[str, Mapping[str, Contact]]) -> bool:
        channel = group.first.channel
        async with self._sending[channel]:
            # Written down first: whatever happens from here on, it may have been heard, and a repeat is this message.
            claimed = await self._store.claim(
                group.deliveries, message_id=group.message_id, until=self._real_time() + CLAIM_SECONDS
            )
            if not claimed:
                return False
            group = Group(group.mailbox, tuple(claimed))
            with metrics.SEND_SECONDS.labels(channel).time():
                outcome = await self._attempt(group, contacts[group.first.alert.province])
        await self._note(group.deliveries, outcome)
        self._progress()
        return isinstance(outcome, Delivered)

    async def _attempt(self, group: Group, contacts: Mapping[str, Contact]) -> Sent:
        try:
            return await self._channels[group.first.channel](
                self._compose(group, contacts, now=self._clock.now()),
            )
        # Our own bug in one message: it is kept and tried again, for a release that mends it; the others go out.
        except Exception as error:
            if is_transient(error):
                return RetryLater(type(error).__name__)
            log.exception("message.failed", kind=group.first.alert.kind, agency=group.first.recipient.agency)
            return RetryLater("bug")

    async def _note(self, deliveries: Sequence[Delivery], outcome: Sent) -> None:
        first = deliveries[0]
        now = self._real_time()
        cause = ""
        match outcome:
            case Delivered():
                name = "sent"
                await self._store.sent(deliveries, at=self._clock.now())
            case RetryLater(cause, after_seconds) if now - first.recorded_at < GIVE_UP_SECONDS:
                name = "postponed"
                wait = after_seconds if after_seconds is not None else 2.0 ** min(first.attempts - 1, 10)
                await self._store.postponed(deliveries, cause, until=now + min(RETRY_SECONDS_MAX, wait))
            case RetryLater(cause) | Refused(cause):
                name = "failed"
                await self._store.failed(deliveries, cause)
        metrics.MESSAGES.labels(first.channel, name).inc()
        metrics.DELIVERIES.labels(first.channel, name).inc(len(deliveries))
        log.info(
            "message.handled",
            outcome=name,
            channel=first.channel,
            kind=first.alert.kind,
            agency=first.recipient.agency,
            role=first.recipient.role,
            alerts=len(deliveries),
            cause=cause,
        )


def _mailbox(recipient: Recipient, contact: Contact | None) -> str | None:
    if contact is None:
        return None
    return contact.head_mailbox or contact.mailbox if recipient.role is Role.HEAD else contact.mailbox


def local_day(instant: datetime) -> date:
    return (instant + LOCAL).date()
