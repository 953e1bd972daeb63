"""What deciding, forming and sending look up for every alert: agencies, silences and rules, read once a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from services.notify.domain.registry import Registry
from services.notify.domain.rulebook import Rulebook, Rules
from services.notify.domain.silences import Silence
from services.notify.ports import NotifyStore

KEPT_SECONDS = 1.0
"""A silence or a new mailbox is known to every replica after this long."""


@dataclass(slots=True)
class _Kept:
    registry: Registry
    silences: tuple[Silence, ...]
    read_at: float


@dataclass(slots=True)
class Lookup:
    """Of all provinces."""

    store: NotifyStore
    rulebook: Rulebook
    monotonic: Callable[[], float] = time.monotonic
    _kept: dict[str, _Kept] = field(default_factory=dict, init=False)

    def rules(self, province: str) -> Rules:
        """Calendar and policy of a province."""
        return self.rulebook.of(province)

    async def registry(self, province: str) -> Registry:
        """Its agencies."""
        return (await self._of(province)).registry

    async def silences(self, province: str, *, now: datetime) -> tuple[Silence, ...]:
        """Its silences that hold now."""
        return tuple(one for one in (await self._of(province)).silences if one.is_active(now))

    def forget(self) -> None:
        """Something of it has changed through this very process."""
        self._kept.clear()

    async def _of(self, province: str) -> _Kept:
        kept = self._kept.get(province)
        if kept is None or self.monotonic() - kept.read_at >= KEPT_SECONDS:
            read_at = self.monotonic()
            registry = await self.store.registry(province)
            kept = _Kept(registry, tuple(await self.store.silences(province)), read_at)
            self._kept[province] = kept
        return kept
