"""What a digest is put together from: read for one that leaves, and for one that an officer wants to see before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.notify.domain.alert import TaskState
from services.notify.domain.digest import Digest, Unreachable, digest
from services.notify.domain.dispatch import Delivery, Desk
from services.notify.domain.registry import Registry
from services.notify.lookup import Lookup
from services.notify.ports import NotifyStore
from shared.workdays.calendar import local_day


@dataclass(frozen=True, slots=True)
class Gathered:
    """A digest and what goes with it."""

    content: Digest
    has_news: bool
    """Without any it does not leave."""
    overdue: Mapping[str, int]
    """What its reader hears is overdue: task id → newest `seq`."""


async def gather(
    store: NotifyStore,
    lookup: Lookup,
    desk: Desk,
    channel: str,
    day: date,
    deliveries: Sequence[Delivery],
    known: Mapping[str, TaskState],
    *,
    now: datetime,
) -> Gathered:
    """Put a desk's digest of a day together. `known`: the newest states of the tasks that `deliveries` are about."""
    registry = await lookup.registry(desk.province)
    # A repeat goes out later than its day, a preview is written before.
    on = max(day, local_day(now))
    rows: Sequence[Unreachable] = ()
    news = None
    if supervises(desk, registry, on):
        rows, news = await store.unreachable(desk.province)
        rows = [one for one in rows if registry.role(one.agency, on) is not None]
    silences = await lookup.silences(desk.province, now=now)
    before = await store.listed_before(desk, channel, day)
    standing = () if desk.is_head else await store.standing(desk.province, desk.agency)
    content = digest(
        day=day,
        standing=standing,
        alerts=[one.alert for one in deliveries],
        before=before,
        # Read last, and so the newest.
        states={**known, **await store.tasks(set(before))},
        is_silenced=lambda task: any(one.covers_task(task) for one in silences),
        folded=sum(one.is_folded for one in deliveries),
        unreachable=rows,
    )
    overdue = {one.task_id: one.seq for one in standing if one.task_id in content.overdue}
    return Gathered(content, bool(deliveries) or news is not None, overdue)


def supervises(desk: Desk, registry: Registry, on: date) -> bool:
    """Whether a desk is the standing agency's, which hears who cannot be reached."""
    return not desk.is_head and registry.supervisors(on).standing == desk.agency
