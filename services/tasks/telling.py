"""Tells what documents owe: publish, close the ledger, forget. And knows where submissions may be waiting."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.tasks import metrics, wire
from services.tasks.domain.task import Cause
from services.tasks.ports import (
    Message,
    Outcome,
    Registry,
    TaskStore,
    Untold,
    Verdict,
)
from shared.contracts.codec import Event
from shared.runtime.clock import Clock

Publish = Callable[[Sequence[Message]], Awaitable[None]]
PartitionOf = Callable[[str], Awaitable[int]]


class Teller:
    """Publishes what documents owe and closes the ledger, then forgets it. Order: tell, close, forget."""

    def __init__(self, store: TaskStore, publish: Publish, clock: Clock) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._without_parked: set[int] = set()
        self._in_hand: set[str] = set()

    def partitions_changed(self) -> None:
        """The partitions of this replica are others now, and may hold what another replica parked."""
        self._without_parked.clear()

    def note_parked(self, partitions: Iterable[int], *, any_parked: bool) -> None:
        """Whether submissions of these partitions wait; said while none of their records is being applied."""
        if any_parked:
            self._without_parked.difference_update(partitions)
        else:
            self._without_parked.update(partitions)

    def may_wait(self, partition: int) -> bool:
        """Whether submissions of a partition may be waiting for their task."""
        return partition not in self._without_parked

    @contextmanager
    def hand(self) -> Iterator[str]:
        """A token for what one group of writes owes: it is forgotten in one step, and nothing newer with it.

        While the group is in hand, it is about to be told, however slow the broker is: no leftover of a crash.
        """
        token = uuid.uuid4().hex
        self._in_hand.add(token)
        try:
            yield token
        finally:
            self._in_hand.discard(token)

    def in_hand(self) -> frozenset[str]:
        """The tokens of what this process is about to tell; ask before looking for what is untold."""
        return frozenset(self._in_hand)

    async def tell(self, owed: Mapping[str, Untold]) -> None:
        """Tell what tasks owe, in order per task."""
        if not owed:
            return
        verdicts = [verdict for untold in owed.values() for verdict in untold.verdicts]
        await self._publish([message for untold in owed.values() for message in untold.messages])
        await self.close(verdicts)
        await self._store.told({task_id: untold.token for task_id, untold in owed.items()})

    async def tell_entries(self, registry: Registry, owed: Mapping[str, Untold]) -> None:
        """Tell what registry documents owe."""
        for entry_id, untold in owed.items():
            await self._publish(untold.messages)
            await self.close(untold.verdicts)
            await self._store.entry_told(registry, entry_id, untold.token)

    async def close(self, verdicts: Sequence[Verdict]) -> None:
        """Write outcomes into the ledger."""
        await self._store.close(verdicts, recorded_at=self._clock.now())
        for (outcome, reason), number in Counter((one.outcome, one.reason) for one in verdicts).items():
            metrics.SUBMISSIONS.labels(outcome.value, reason).inc(number)

    async def reject(self, event: Event, *, reason: str, detail: str, at: Cause) -> None:
        """Tell and close a submission that no task knows of. Its event's id is fixed: doing it again tells the same.

        Not what was decided already: whoever slept over it sees what came later, and would reject it for that.
        """
        known = (await self._store.ledger([event.key])).get(event.key)
        if known is not None and known.outcome.final:
            return
        message = wire.rejection(
            event, reason=reason, detail=detail, event_id=f"{event.key}:rejected", task=None, at=at
        )
        await self._publish([message])
        await self.close([Verdict(event.key, Outcome.REJECTED, reason, detail)])

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish what no document owes; the caller must be able to do it again."""
        await self._publish(messages)
