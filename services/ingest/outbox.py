"""Secures events: at the broker, or in the outbox while the broker is away. Then forwards what waits, in order.

A report must not be late because the province's broker is down: what the outbox keeps is accepted, with its true
`received_at` (ADR 0016). Once something of this replica waits there, what follows goes there too, so that the order in
which it took events holds. Forwarding tells some events twice, never none: tasks applies each once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from services.ingest import metrics
from services.ingest.ports import (
    Kept,
    Message,
    NotAcknowledgedError,
    Outbox,
    OutboxDownError,
    Publish,
    TooLargeError,
)

log = structlog.get_logger()

PAGE_EVENTS = 1_000
PAGE_BYTES = 8 * 1024 * 1024
TURN_SECONDS = 5.0
"""Real time after which a turn ends although the broker is still awaited: the process shows that it is alive."""
REST_SECONDS = 3.0
"""Real time for which a replica whose broker is away leaves forwarding to others, who look meanwhile."""
LOOK_EVERY_SECONDS = 2.0
"""Real time between looks for what others left, and at the backlog."""


class SecuredSubmissions:
    """See ports.Publish. NotAcknowledgedError: neither the broker nor the outbox answered in time."""

    def __init__(
        self, publish: Publish, forward: Publish, outbox: Outbox, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`publish` gives up in time for the sender; `forward` tries as long as the producer does."""
        self._publish = publish
        self._forward = forward
        self._outbox = outbox
        self._monotonic = monotonic
        self._waits = False
        """Whether something that this replica kept may still wait."""
        self._keeping = 0
        self._kept = 0
        self._broker_is_away = False
        self._rests_until = 0.0
        self._is_prepared = False
        self._forwarding: asyncio.Task[None] | None = None
        self._look_at = monotonic()

    async def __call__(self, messages: Sequence[Message]) -> None:
        if self._waits:
            try:
                await self._keep(messages)
            except OutboxDownError:
                # Out of order rather than not at all.
                await self._publish(messages)
            return
        try:
            await self._publish(messages)
        except NotAcknowledgedError as away:
            try:
                await self._keep(messages)
            except OutboxDownError:
                raise away from None

    async def _keep(self, messages: Sequence[Message]) -> None:
        self._keeping += 1
        try:
            await self._outbox.keep(messages)
        finally:
            self._keeping -= 1
        self._kept += 1
        metrics.OUTBOX_KEPT.inc(len(messages))
        if not self._waits:
            self._waits = True
            log.warning("outbox.begun")

    async def can_keep(self) -> bool:
        """Whether events could be taken now without the broker."""
        try:
            await self._outbox.backlog()
        except OutboxDownError:
            return False
        return True

    async def turn(self) -> None:
        """Forward what waits, unless another replica does."""
        looks = self._monotonic() >= self._look_at
        if not (self._waits or looks):
            return
        if looks:
            self._look_at = self._monotonic() + LOOK_EVERY_SECONDS
        try:
            if not self._is_prepared:
                await self._outbox.prepare()
                self._is_prepared = True
            if await self._goes_on() and self._waits:
                await self._notice_the_end()
            if looks:
                backlog = await self._outbox.backlog()
                metrics.OUTBOX_EVENTS.set(backlog.events)
                metrics.OUTBOX_OLDEST_SECONDS.set(backlog.oldest_seconds)
        except OutboxDownError as error:
            log.warning("outbox.down", cause=type(error.__cause__).__name__)

    async def _goes_on(self) -> bool:
        """Forward for a turn. Returns whether it has ended; what the broker is slow to take is awaited next turn too.

        Given up and sent again, it would arrive twice.
        """
        if self._forwarding is None:
            self._forwarding = asyncio.create_task(self._forward_pages(), name="outbox-forwarding")
        try:
            await asyncio.wait([self._forwarding], timeout=TURN_SECONDS)
        except asyncio.CancelledError:
            self._forwarding.cancel()
            raise
        if not self._forwarding.done():
            return False
        ended, self._forwarding = self._forwarding, None
        ended.result()
        return True

    async def _forward_pages(self) -> None:
        while self._monotonic() >= self._rests_until:
            # A broker that was away a moment ago is asked with one event: what it does not answer may arrive again.
            page = await self._outbox.oldest(
                events_max=1 if self._broker_is_away else PAGE_EVENTS, bytes_max=PAGE_BYTES
            )
            if not page or not await self._outbox.lead():
                return
            try:
                await self._forward_some(page)
            except NotAcknowledgedError:
                self._broker_is_away = True
                # It may be away for this replica alone, which must not keep what it cannot forward to itself.
                self._rests_until = self._monotonic() + REST_SECONDS
                await self._outbox.step_back()
                return
            self._broker_is_away = False

    async def _forward_some(self, page: Sequence[Kept]) -> None:
        try:
            await self._forward([one.message for one in page])
        except TooLargeError:
            if len(page) == 1:
                await self._outbox.set_aside(page[0].key, "too_large")
                metrics.OUTBOX_SET_ASIDE.inc()
                log.error("outbox.set_aside", key=page[0].key, reason="too_large")
                return
            middle = len(page) // 2
            await self._forward_some(page[:middle])
            await self._forward_some(page[middle:])
            return
        await self._outbox.forget([one.key for one in page])
        metrics.OUTBOX_FORWARDED.inc(len(page))

    async def _notice_the_end(self) -> None:
        """Events go to the broker again once nothing of this replica waits, nor is on its way into the outbox."""
        before = self._kept
        if not await self._outbox.has_own() and self._kept == before and not self._keeping:
            self._waits = False
            log.info("outbox.empty")
