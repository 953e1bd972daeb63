"""Sending: claim → look at each task again → compose → hand over → note. A slow channel or desk holds up no other."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from services.notify import metrics
from services.notify.digests import gather, supervises
from services.notify.domain import timing
from services.notify.domain.alert import TaskState
from services.notify.domain.digest import Summary, Topic, line_of_task, section
from services.notify.domain.dispatch import DIGEST, SUMMARY, Delivery, Dispatch
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Again, Stage, Step, inhibited, silenced
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Recipient, Role
from services.notify.handlers import contact
from services.notify.lookup import Lookup
from services.notify.ports import (
    Channel,
    Compose,
    Delivered,
    Letter,
    Message,
    NotifyStore,
    Refused,
    RetryLater,
    Sent,
)
from shared.runtime.clock import Clock
from shared.runtime.errors import is_transient
from shared.workdays.calendar import local_day

log = structlog.get_logger()

# All in real time: a rehearsal's clock may run 100,000 times as fast, mail servers do not.
SENDERS_MAX = 8
"""Messages on their way at once over one channel, each to another desk: a slow server must not be flooded."""
CLAIM_SECONDS = 60.0
"""Longer than any channel takes over a message; a crash in between costs this much delay and no message."""
STOP_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class _Written:
    message: Message
    listed: Mapping[str, str] | None = None
    """Of a digest: what the next one compares itself with."""
    overdue: Mapping[str, int] = field(default_factory=dict)
    """What its reader hears is overdue: task id → newest `seq`."""


class Sending:
    """The last third of the pipeline."""

    def __init__(
        self,
        store: NotifyStore,
        channels: Mapping[str, Channel],
        compose: Compose,
        lookup: Lookup,
        clock: Clock,
        *,
        real_time: Callable[[], float] = time.time,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`progress` is called for each message that was handled: a turn may take long and still not be stuck."""
        self._store = store
        self._channels = channels
        self._compose = compose
        self._lookup = lookup
        self._clock = clock
        self._real_time = real_time
        self._progress = progress
        self._on_their_way: dict[str, dict[str, asyncio.Task[None]]] = {name: {} for name in channels}

    async def turn(self, slots: Collection[int]) -> int:
        """Start what is due and has a sender free. Returns how many messages. What went wrong before is raised here."""
        self._raise_failures()
        started = 0
        for name, under_way in self._on_their_way.items():
            free = SENDERS_MAX - len(under_way)
            if free <= 0:
                continue
            due = await self._store.due(
                slots, name, now=self._real_time(), at=self._clock.now(), busy=tuple(under_way), limit=free
            )
            for one in due:
                # One desk, one message at a time: whoever is slow, or has much to hear, takes no more than one sender.
                under_way[one.desk.key] = asyncio.create_task(self._send(one))
                started += 1
        return started

    async def turns(self, slots: Callable[[], Collection[int]], *, look_seconds: float) -> None:
        """Turn until nothing more is due: whenever a sender is free again, and every so often for another channel's."""
        while await self.turn(slots()):
            await asyncio.wait(self._tasks(), timeout=look_seconds, return_when=asyncio.FIRST_COMPLETED)
            self._progress()

    async def idle(self) -> None:
        """Wait until nothing is on its way."""
        while tasks := self._tasks():
            await asyncio.wait(tasks)
            self._raise_failures()

    async def stop(self) -> None:
        """Let what is on its way arrive, but not for ever: what is given up is repeated under its id."""
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS_MAX)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for under_way in self._on_their_way.values() for task in under_way.values()]

    def _raise_failures(self) -> None:
        for under_way in self._on_their_way.values():
            for desk, task in list(under_way.items()):
                if task.done():
                    del under_way[desk]
                    if not task.cancelled() and (error := task.exception()) is not None:
                        raise error

    async def _send(self, dispatch: Dispatch) -> None:
        now = self._clock.now()
        rules = self._lookup.rules(dispatch.desk.province)
        opens = timing.office_opens(now, rules)
        if not dispatch.passes and opens > now:
            await self._store.postponed(dispatch, "office_closed", until=self._real_time(), not_before=opens)
            return
        # Written down first: whatever happens from here on, it may have been heard, and a repeat is this message.
        claimed = await self._store.claim(dispatch, until=self._real_time() + CLAIM_SECONDS)
        if claimed is None:
            return
        with metrics.SEND_SECONDS.labels(dispatch.channel).time():
            written, outcome = await self._attempt(claimed, now)
        if written is not None and not isinstance(outcome, Refused):
            # Whoever reads of an overdue in a list must hear when it is taken back, whatever became of its alert.
            role = Role.HEAD if claimed.kind == SUMMARY or claimed.desk.is_head else Role.AGENCY
            await self._store.heard(written.overdue, Recipient(claimed.desk.agency, role), at=now)
        await self._note(claimed, outcome, written.listed if written is not None else None, written_at=now)
        self._progress()

    async def _attempt(self, dispatch: Dispatch, now: datetime) -> tuple[_Written | None, Sent | None]:
        """What was handed over, and what became of it; None where nothing was left to be said."""
        written: _Written | None = None
        try:
            registry = await self._lookup.registry(dispatch.desk.province)
            if self._address(dispatch, registry) is None:
                return None, Refused("no_contact")
            written = await self._written(dispatch, registry, now)
            if written is None:
                return None, None
            return written, await self._channels[dispatch.channel](written.message)
        # Our own bug in one message: it is kept and tried again, for a release that mends it; the others go out.
        except Exception as error:
            if is_transient(error):
                return written, RetryLater(type(error).__name__)
            log.exception("message.failed", kind=dispatch.kind, agency=dispatch.desk.agency)
            return written, RetryLater("bug")

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _written(self, dispatch: Dispatch, registry: Registry, now: datetime) -> _Written | None:
        letter = self._letter(dispatch, registry)
        if dispatch.kind == SUMMARY:
            summary, overdue = await self._summary(dispatch)
            return _Written(self._compose.summary(letter, summary, now=now), overdue=overdue)
        deliveries, known = await self._still_due(dispatch, now)
        if dispatch.kind == DIGEST:
            day = dispatch.day or local_day(now)
            found = await gather(
                self._store, self._lookup, dispatch.desk, dispatch.channel, day, deliveries, known, now=now
            )
            if not found.has_news:
                return None
            message = self._compose.digest(letter, found.content, now=now)
            return _Written(message, found.content.listed, found.overdue)
        if not deliveries:
            return None
        return _Written(self._compose.alerts(letter, [one.alert for one in deliveries], now=now))

    async def _still_due(self, dispatch: Dispatch, now: datetime) -> tuple[list[Delivery], Mapping[str, TaskState]]:
        """A task that was finished since the message was formed must not be nagged about."""
        deliveries = await self._store.deliveries_of(dispatch.dispatch_id)
        if dispatch.is_tried:
            # A repeat is the message that it was: what came in since the first try waits again once this has ended.
            deliveries = [one for one in deliveries if one.is_tried]
        else:
            deliveries = await self._not_silenced(dispatch, deliveries, now)
        known = await self._store.tasks({one.alert.task_id for one in deliveries})
        by_reason = inhibited(deliveries, known, now=now)
        due = by_reason.pop(Reason.DUE, [])
        for reason, some in by_reason.items():
            await self._store.suppress(some, Step(Stage.INHIBIT, reason.value))
            metrics.DELIVERIES.labels(dispatch.channel, "suppressed").inc(len(some))
        if due:
            await self._store.tried(dispatch, due)
        return due, known

    async def _not_silenced(
        self, dispatch: Dispatch, deliveries: Sequence[Delivery], now: datetime
    ) -> Sequence[Delivery]:
        """An officer may have asked for quiet since the message was formed, as over a night."""
        silences = await self._lookup.silences(dispatch.desk.province, now=now)
        if not silences:
            return deliveries
        rules = self._lookup.rules(dispatch.desk.province)
        going: list[Delivery] = []
        held: dict[Again, list[Delivery]] = {}
        for one in deliveries:
            found = silenced(one.alert, lane=one.lane, silences=silences, rules=rules, now=now)
            if found is None:
                going.append(one)
            else:
                held.setdefault(found, []).append(one)
        for found, some in held.items():
            assert found.until is not None, "a silence ends"
            await self._store.put_back(some, found.step, until=found.until, silence_id=found.silence_id)
        return going

    async def _summary(self, dispatch: Dispatch) -> tuple[Summary, Mapping[str, int]]:
        desk = dispatch.desk
        counts = await self._store.counts(desk.province, desk.agency)
        overdue = [one for one in await self._store.standing(desk.province, desk.agency) if one.overdue_since]
        lines = [line_of_task(one, is_new=False) for one in overdue]
        others = counts.all - counts.completed - counts.submitted - counts.overdue - counts.due_soon
        summary = Summary(
            dispatch.month,
            counts.all,
            counts.completed,
            counts.submitted,
            counts.overdue,
            counts.due_soon,
            others,
            section(Topic.OVERDUE, lines) if lines else None,
        )
        return summary, {one.task_id: one.seq for one in overdue}

    def _letter(self, dispatch: Dispatch, registry: Registry) -> Letter:
        desk = dispatch.desk
        record = registry.get(desk.agency)
        return Letter(
            dispatch.dispatch_id,
            self._address(dispatch, registry) or "",
            desk.province,
            desk.agency,
            record.name if record is not None else desk.agency,
            dispatch.role,
            record.head_title if record is not None and dispatch.role is Role.HEAD else None,
            registry.names,
        )

    def _address(self, dispatch: Dispatch, registry: Registry) -> str | None:
        desk = dispatch.desk
        channel = self._channels[dispatch.channel]
        return channel.address(desk.province, Recipient(desk.agency, dispatch.role), contact(registry, desk.agency))

    # -- noting ----------------------------------------------------------------------------------------------------

    async def _note(
        self, dispatch: Dispatch, outcome: Sent | None, listed: Mapping[str, str] | None, *, written_at: datetime
    ) -> None:
        cause = ""
        match outcome:
            case None:
                name = "empty"
                await self._store.empty(dispatch)
            case Delivered():
                name = "sent"
                await self._sent(dispatch, listed, written_at)
            case RetryLater(cause, asked):
                now = self._real_time()
                retries = self._channels[dispatch.channel].retries
                wait = retries.wait(dispatch.attempts, age=now - dispatch.formed_at, asked=asked)
                if wait is None:
                    name = "failed"
                    await self._failed(dispatch, cause)
                else:
                    name = "postponed"
                    await self._store.postponed(dispatch, cause, until=now + wait)
            case Refused(cause, disables):
                name = "failed"
                if disables:
                    await self._disable(dispatch, cause)
                await self._failed(dispatch, cause, was_refused=True)
        metrics.MESSAGES.labels(dispatch.channel, name).inc()
        log.info(
            "message.handled",
            outcome=name,
            channel=dispatch.channel,
            kind=dispatch.kind,
            agency=dispatch.desk.agency,
            role=dispatch.role,
            message_id=dispatch.dispatch_id,
            attempts=dispatch.attempts,
            cause=cause,
        )

    async def _sent(self, dispatch: Dispatch, listed: Mapping[str, str] | None, written_at: datetime) -> None:
        desk = dispatch.desk
        await self._store.sent(dispatch, at=self._clock.now(), listed=listed)
        await self._store.reached(desk, dispatch.channel)
        registry = await self._lookup.registry(desk.province)
        if dispatch.kind == DIGEST and supervises(desk, registry, local_day(written_at)):
            await self._store.told_unreachable(desk.province, up_to=written_at)

    async def _failed(self, dispatch: Dispatch, cause: str, *, was_refused: bool = False) -> None:
        now = self._clock.now()
        # Noted first: a crash in between repeats the note, and loses none.
        await self._store.note_unreachable(dispatch.desk, dispatch.role.value, dispatch.channel, cause, at=now)
        await self._store.failed(dispatch, cause, at=now, was_refused=was_refused)

    async def _disable(self, dispatch: Dispatch, cause: str) -> None:
        registry = await self._lookup.registry(dispatch.desk.province)
        address = self._address(dispatch, registry)
        if address is not None:
            await self._store.disable(dispatch.channel, address, cause, at=self._clock.now())
