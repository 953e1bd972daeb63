"""What the next digest of an agency would say, were it written now. Nothing is stored."""

from collections.abc import Mapping
from datetime import datetime

from services.notify.digests import gather
from services.notify.domain import timing
from services.notify.domain.dispatch import Desk, waiting_for_digest
from services.notify.domain.pipeline import Verdict, again
from services.notify.domain.routing import Role
from services.notify.lookup import Lookup
from services.notify.ports import Channel, Compose, Letter, Message, NotifyStore
from shared.workdays.calendar import local_day

MESSAGE_ID = "preview"
WAITING_MAX = 5_000


class Previews:
    """Of all provinces."""

    def __init__(self, store: NotifyStore, lookup: Lookup, channels: Mapping[str, Channel], compose: Compose) -> None:
        self._store = store
        self._lookup = lookup
        self._channels = channels
        self._compose = compose

    async def digest(self, province: str, agency: str, *, now: datetime) -> tuple[Message, datetime, bool] | None:
        """The message, when it leaves, and whether it has any news, without which it would not leave.

        None for an agency that the registry does not know.
        """
        registry, rules = await self._lookup.registry(province), self._lookup.rules(province)
        record = registry.get(agency)
        if record is None:
            return None
        leaves = timing.next_digest(now, rules)
        day = local_day(leaves)
        desk = Desk(province, agency)
        channel = next(name for name, one in self._channels.items() if not one.is_optional)
        waiting = await self._store.together(waiting_for_digest(desk, channel), now=leaves, limit=WAITING_MAX)
        known = await self._store.tasks({one.alert.task_id for one in waiting})
        silences = await self._lookup.silences(province, now=now)
        going = [
            one
            for one in waiting
            if again(
                one.alert,
                known[one.alert.task_id],
                one.recipient,
                lane=one.lane,
                rules=rules,
                silences=silences,
                now=now,
            ).verdict
            is Verdict.GO
        ]
        found = await gather(self._store, self._lookup, desk, channel, day, going, known, now=now)
        letter = Letter(MESSAGE_ID, "", province, agency, record.name, Role.AGENCY, None, registry.names)
        return self._compose.digest(letter, found.content, now=leaves), leaves, found.has_news
