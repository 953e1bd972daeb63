"""An outbox in memory: what several replicas share, and each one's view of it. Passes the contract suite."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.ingest.mongo import LEASE_SECONDS
from services.ingest.ports import Backlog, Kept, Message, OutboxDownError


@dataclass(slots=True)
class SharedOutbox:
    """What the replicas of ingest have in common."""

    events: dict[str, tuple[str, float, Message]] = field(default_factory=dict)
    """Key → replica, when, what."""
    aside: dict[str, str] = field(default_factory=dict)
    leader: tuple[str, float] | None = None
    now: float = 0.0
    is_down: bool = False
    count: int = 0


class MemoryOutbox:
    """Implements ports.Outbox."""

    def __init__(self, shared: SharedOutbox, replica: str) -> None:
        self._shared = shared
        self._replica = replica

    def _here(self) -> SharedOutbox:
        if self._shared.is_down:
            raise OutboxDownError
        return self._shared

    async def prepare(self) -> None:
        """Nothing to make ready."""

    async def keep(self, messages: Sequence[Message]) -> None:
        here = self._here()
        for one in messages:
            here.count += 1
            here.events[f"{here.count:020d}"] = (self._replica, here.now, one)

    async def has_own(self) -> bool:
        here = self._here()
        return any(replica == self._replica for key, (replica, _, _) in here.events.items() if key not in here.aside)

    async def lead(self) -> bool:
        here = self._here()
        if here.leader is not None and here.leader[0] != self._replica and here.leader[1] >= here.now:
            return False
        here.leader = (self._replica, here.now + LEASE_SECONDS)
        return True

    async def step_back(self) -> None:
        here = self._here()
        if here.leader is not None and here.leader[0] == self._replica:
            here.leader = None

    async def oldest(self, *, events_max: int, bytes_max: int) -> Sequence[Kept]:
        here = self._here()
        found: list[Kept] = []
        size = 0
        for key, (_, _, message) in sorted(here.events.items()):
            if key in here.aside:
                continue
            if len(found) == events_max or size >= bytes_max:
                break
            found.append(Kept(key, message))
            size += len(message.value)
        return found

    async def forget(self, keys: Collection[str]) -> None:
        here = self._here()
        for key in keys:
            here.events.pop(key, None)

    async def set_aside(self, key: str, reason: str) -> None:
        self._here().aside[key] = reason

    async def backlog(self) -> Backlog:
        here = self._here()
        oldest = min((at for _, at, _ in here.events.values()), default=here.now)
        return Backlog(len(here.events), here.now - oldest)
