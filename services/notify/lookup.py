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
class Lookup:
    """Of all provinces."""

    store: NotifyStore
    rulebook: Rulebook
    monotonic: Callable[[], float] = time.monotonic
    _registries: dict[str, tuple[float, Registry]] = field(default_factory=dict, init=False)
    _silences: dict[str, tuple[float, tuple[Silence, ...]]] = field(default_factory=dict, init=False)

    def rules(self, province: str) -> Rules:
        """Calendar and policy of a province."""
        return self.rulebook.of(province)

    async def registry(self, province: str) -> Registry:
        """Its agencies."""
        at = self.monotonic()
        read_at, registry = self._registries.get(province, (-KEPT_SECONDS, None))
        if registry is None or at - read_at >= KEPT_SECONDS:
            registry = await self.store.registry(province)
            self._registries[province] = (at, registry)
        return registry

    async def silences(self, province: str, *, now: datetime) -> tuple[Silence, ...]:
        """Its silences that hold now."""
        at = self.monotonic()
        read_at, kept = self._silences.get(province, (-KEPT_SECONDS, None))
        if kept is None or at - read_at >= KEPT_SECONDS:
            kept = tuple(await self.store.silences(province, active_at=now))
            self._silences[province] = (at, kept)
        return tuple(one for one in kept if one.is_active(now))

    def forget(self) -> None:
        """Something of it has changed through this very process."""
        self._registries.clear()
        self._silences.clear()
