"""Deciding: fact → alert → inhibit → mute → silence → route → record → publish. What follows is forming and sending."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.notify import metrics, wire
from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.dedup import Heard, delivery_id, once
from services.notify.domain.dispatch import Delivery, Lane, desk_of, slot_of, waits_with
from services.notify.domain.pipeline import Decision, decide
from services.notify.domain.registry import Registry
from services.notify.domain.routing import needs_supervisors
from services.notify.lookup import Lookup
from services.notify.ports import Channel, Contact, Decided, NotifyStore, Wanted
from shared.contracts.topics import TASKS
from shared.runtime.clock import Clock
from shared.runtime.consuming import Received
from shared.runtime.errors import TransientError
from shared.workdays.calendar import local_day

LEFTOVER_AFTER_SECONDS = 5.0
"""What is unpublished for this long, in real time, is a crash's leftover, not a batch in hand."""
SLOTS = TASKS.partitions
REGISTRY_SECONDS = 20.0
"""How long, in real time and once a province, alerts for supervisors wait for a registry that names some."""

Publish = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class NotifyHandlers:
    """The first half of the pipeline."""

    def __init__(
        self,
        store: NotifyStore,
        publish: Publish,
        channels: Mapping[str, Channel],
        lookup: Lookup,
        clock: Clock,
        *,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._publish = publish
        self._channels = channels
        self._lookup = lookup
        self._clock = clock
        self._real_time = real_time
        self._unsupervised_since: dict[str, float] = {}

    async def on_records(self, records: Sequence[Received]) -> None:
        """Apply a batch of both topics."""
        agencies = [one for record in records if (one := wire.agency(record.event)) is not None]
        if agencies:
            await self._store.learn_agencies(agencies)
            self._lookup.forget()
        newest: dict[str, TaskState] = {}
        for record in records:
            known = wire.state(record.event)
            if known is not None and (known.task_id not in newest or newest[known.task_id].seq < known.seq):
                newest[known.task_id] = known
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
        # What is read back may be newer than this batch: another replica, or a repeat after a crash.
        known = await self._store.tasks({alert.task_id for alert, _ in alerts})
        # What is taken back may have been decided in this very batch, so that is recorded first.
        for part in (
            [one for one in alerts if one[0].kind is not AlertKind.OVERDUE_RETRACTED],
            [one for one in alerts if one[0].kind is AlertKind.OVERDUE_RETRACTED],
        ):
            await self._record(part, known)

    async def _record(self, alerts: Sequence[tuple[Alert, int]], known: Mapping[str, TaskState]) -> None:
        now, real = self._clock.now(), self._real_time()
        stories = await self._stories(alert for alert, _ in alerts)
        decided: list[Decided] = []
        wanted: list[Wanted] = []
        for alert, partition in alerts:
            registry = await self._lookup.registry(alert.province)
            self._await_registry(alert, registry, now)
            decision = decide(
                alert,
                known[alert.task_id],
                registry=registry,
                rules=self._lookup.rules(alert.province),
                silences=await self._lookup.silences(alert.province, now=now),
                story=stories.get(alert.task_id, ()),
                now=now,
            )
            decided.append(Decided(alert, partition, decision.reason, decision.recipients, now, decision.steps))
            wanted += self._wanted(alert, decision, registry, now=now, real=real)
        for one in await self._store.record(decided, wanted, now=real):
            metrics.ALERTS.labels(one.alert.kind.value, one.reason.value).inc()

    def _await_registry(self, alert: Alert, registry: Registry, now: datetime) -> None:
        """Tasks may come before the agencies that supervise them are known, as after a restore: wait a while."""
        if not needs_supervisors(alert) or registry.supervisors(local_day(now)).standing is not None:
            return
        since = self._unsupervised_since.setdefault(alert.province, self._real_time())
        if self._real_time() - since < REGISTRY_SECONDS:
            raise TransientError(f"the registry of {alert.province} names no standing agency yet")

    def _wanted(
        self, alert: Alert, decision: Decision, registry: Registry, *, now: datetime, real: float
    ) -> Iterable[Wanted]:
        today = local_day(now)
        lane = Lane.DIGEST if decision.in_digest else Lane.OWN
        for recipient in decision.recipients:
            desk = desk_of(recipient, registry, alert.province, today)
            reader, whom = replace(recipient, agency=desk.agency), contact(registry, desk.agency)
            for name, channel in self._channels.items():
                if channel.is_optional and channel.address(alert.province, reader, whom) is None:
                    continue
                delivery = Delivery(
                    delivery_id(alert.alert_id, recipient, name),
                    alert,
                    recipient,
                    name,
                    slot_of(alert.province, desk.agency, SLOTS),
                    real,
                    lane,
                    waits_with(alert, desk, name, lane),
                )
                yield Wanted(delivery, now, decision.not_before, decision.silence_id)

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


def contact(registry: Registry, agency: str) -> Contact | None:
    """Where an agency is reached; None for one that the registry does not know."""
    one = registry.get(agency)
    return Contact(one.name, one.contact, one.head_contact, one.head_title) if one is not None else None
