"""Forming: deliveries whose time has come → looked at again → group → dedup → one message. Sending takes it from there.

All of an agency's deliveries lie in one slot, whatever task they are about, so one replica forms its messages.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from services.notify import metrics
from services.notify.domain import dispatch as dispatches
from services.notify.domain import timing
from services.notify.domain.alert import AlertKind
from services.notify.domain.dispatch import (
    DIGEST,
    SUMMARY,
    Delivery,
    Desk,
    Dispatch,
    Lane,
    desk_of,
    slot_of,
    waits_with,
)
from services.notify.domain.inhibit import Reason, why
from services.notify.domain.pipeline import Again, Stage, Step, Verdict, again
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Role
from services.notify.domain.rulebook import Rules
from services.notify.handlers import SLOTS, contact
from services.notify.lookup import Lookup
from services.notify.ports import Channel, NotifyStore
from shared.runtime.clock import Clock
from shared.workdays.calendar import local_day

TOGETHER_MAX = 20_000
"""Deliveries put into one message at a time; a province's tasks of one agency stay far below."""
STREAM_SECONDS_MAX = 60.0
"""A group that still grows is closed after this long, in real time."""
HALF_FORMED_SECONDS = 60.0
"""A message that is half formed for this long, in real time, is a crash's leftover."""
STRANDED_PAGE = 500
LOOK_AGAIN = timedelta(seconds=5)
UNKNOWN_AGENCY_SECONDS = 600.0
"""How long the registry may lag behind the tasks, in real time, before a missing agency counts as unreachable."""
HOUR = timedelta(hours=1)


class Forming:
    """The second third of the pipeline."""

    def __init__(
        self,
        store: NotifyStore,
        channels: Mapping[str, Channel],
        lookup: Lookup,
        clock: Clock,
        *,
        group_wait_seconds: float,
        real_time: Callable[[], float] = time.time,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """`group_wait_seconds`: real time that a group must be quiet for. `progress` is called for each group."""
        self._store = store
        self._channels = channels
        self._lookup = lookup
        self._clock = clock
        self._group_wait_seconds = group_wait_seconds
        self._real_time = real_time
        self._progress = progress
        self._summed_up: dict[str, tuple[str, frozenset[int]]] = {}

    async def turn(self, slots: Collection[int]) -> int:
        """Form what is due in these slots. Returns how many messages."""
        if not slots:
            return 0
        now = self._clock.now()
        formed = 0
        groups = await self._store.waiting(slots, now=now)
        for waits in groups:
            formed += await self._form(waits, slots, now)
            self._progress()
        metrics.WAITING.set(len(groups) - formed)
        await self._after_crashes(slots)
        for province in await self._store.provinces():
            formed += await self._summaries(province, slots, now)
            formed += await self._unreachable(province, slots, now)
        metrics.FORMED_UNTIL.set(now.timestamp())
        return formed

    async def _after_crashes(self, slots: Collection[int]) -> None:
        before = self._real_time() - HALF_FORMED_SECONDS
        for one in await self._store.unready(slots, formed_before=before):
            await self._store.ready(one)
        await self._store.unsettled(slots)
        for dispatch_id in await self._store.stranded(slots, attached_before=before, limit=STRANDED_PAGE):
            await self._store.release(dispatch_id)

    # -- what alerts ask for ---------------------------------------------------------------------------------------

    async def _form(self, waits: str, slots: Collection[int], now: datetime) -> int:
        deliveries = await self._store.together(waits, now=now, limit=TOGETHER_MAX)
        if not deliveries or not self._is_quiet(deliveries):
            return 0
        first = deliveries[0]
        province = first.alert.province
        registry, rules = await self._lookup.registry(province), self._lookup.rules(province)
        desk = desk_of(first.recipient, registry, province, local_day(now))
        if await self._moved(deliveries, desk, slots, now):
            return 0
        going = await self._looked_at_again(deliveries, rules, now)
        if not going or not await self._is_reached(going, desk, registry, now):
            return 0
        dispatch = await self._dispatch(going, desk, rules, now)
        if dispatch is None:
            return 0
        step = Step(Stage.GROUP, dispatch.kind if dispatch.kind != DIGEST else f"digest of {dispatch.day}")
        await self._store.attach(dispatch, going, step, now=self._real_time())
        return await self._made_ready(dispatch)

    async def _made_ready(self, dispatch: Dispatch) -> int:
        if await self._store.ready(dispatch):
            return 1
        # Another replica that believes to own the slot was faster, and its message has gone.
        await self._store.release(dispatch.dispatch_id)
        return 0

    def _is_quiet(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether nothing more seems to come: one message for a directive's tasks, however slowly they are written."""
        if deliveries[0].lane is Lane.RESEND:
            return True
        now = self._real_time()
        newest = max(one.recorded_at for one in deliveries)
        oldest = min(one.recorded_at for one in deliveries)
        return now - newest >= self._group_wait_seconds or now - oldest >= STREAM_SECONDS_MAX

    async def _moved(self, deliveries: Sequence[Delivery], desk: Desk, slots: Collection[int], now: datetime) -> bool:
        """Whether somebody else reads for the agency by now: then its messages wait there."""
        first = deliveries[0]
        waits = waits_with(first.alert, desk, first.channel, first.lane, resent=first.resent)
        slot = slot_of(desk.province, desk.agency, SLOTS)
        if waits == first.waits and slot in slots:
            return False
        moved = [replace(one, waits=waits, slot=slot) for one in deliveries]
        await self._store.move(moved, Step(Stage.ROUTE, f"read by {desk.key}"), not_before=now)
        return True

    async def _looked_at_again(self, deliveries: Sequence[Delivery], rules: Rules, now: datetime) -> list[Delivery]:
        """Those that go; the others are silenced or wait on, each with its reason."""
        known = await self._store.tasks({one.alert.task_id for one in deliveries})
        retracting = {one.alert.task_id for one in deliveries if one.alert.kind is AlertKind.OVERDUE_RETRACTED}
        stories = await self._store.overdue_stories(retracting) if retracting else {}
        silences = await self._lookup.silences(deliveries[0].alert.province, now=now)
        going: list[Delivery] = []
        others: dict[Again, list[Delivery]] = {}
        for one in deliveries:
            found = again(
                one.alert,
                known[one.alert.task_id],
                one.recipient,
                lane=one.lane,
                rules=rules,
                silences=silences,
                story=stories.get(one.alert.task_id, ()),
                now=now,
            )
            if found.verdict is Verdict.GO:
                going.append(one)
            else:
                others.setdefault(found, []).append(one)
        for found, some in others.items():
            if found.verdict is Verdict.SUPPRESS:
                await self._store.suppress(some, found.step)
                metrics.DELIVERIES.labels(some[0].channel, "suppressed").inc(len(some))
            elif found.until is not None:
                await self._store.hold(some, found.step, until=found.until, silence_id=found.silence_id)
            else:
                await self._silence_the_untold(some, now)
                await self._store.hold(some, found.step, until=now + LOOK_AGAIN)
        return going

    async def _silence_the_untold(self, retractions: Sequence[Delivery], now: datetime) -> None:
        """An overdue that still waits for its digest is never told once it is taken back, nor is its retraction."""
        waiting = await self._store.waiting_of({one.alert.task_id for one in retractions})
        known = await self._store.tasks({one.alert.task_id for one in waiting})
        for one in waiting:
            reason = why(one.alert, known[one.alert.task_id], now=now)
            if reason is not Reason.DUE:
                await self._store.suppress([one], Step(Stage.INHIBIT, reason.value))

    async def _is_reached(self, deliveries: Sequence[Delivery], desk: Desk, registry: Registry, now: datetime) -> bool:
        """Whether the desk has a good address. If not, they have failed, and the standing agency hears."""
        first = deliveries[0]
        channel = self._channels.get(first.channel)
        whom = contact(registry, desk.agency)
        if channel is None:
            cause = "channel_gone"
        elif (
            address := channel.address(desk.province, replace(first.recipient, agency=desk.agency), whom)
        ) is not None:
            disabled = await self._store.disabled(first.channel, address)
            if disabled is None:
                return True
            cause = f"disabled: {disabled}"
        elif whom is None and self._real_time() - first.recorded_at < UNKNOWN_AGENCY_SECONDS:
            await self._store.hold(deliveries, Step(Stage.ROUTE, "agency_unknown"), until=now + LOOK_AGAIN)
            return False
        else:
            cause = "no_contact"
        await self._store.fail(deliveries, Step(Stage.ROUTE, cause))
        await self._store.note_unreachable(desk, first.recipient.role.value, first.channel, cause, at=now)
        metrics.DELIVERIES.labels(first.channel, "failed").inc(len(deliveries))
        return False

    async def _dispatch(
        self, deliveries: Sequence[Delivery], desk: Desk, rules: Rules, now: datetime
    ) -> Dispatch | None:
        """Open the message that these become; None where they have to wait for the next digest."""
        first = deliveries[0]
        alert, channel = first.alert, first.channel
        ids = [one.delivery_id for one in deliveries]
        base = self._opened(desk, _role(desk, deliveries), channel, now)
        match first.lane:
            case Lane.DIGEST:
                day = timing.digest_day(now, rules)
                digest = replace(base, dispatch_id=dispatches.digest_id(desk, day, channel), kind=DIGEST, day=day)
                if await self._store.open(digest):
                    return digest
                step = Step(Stage.DEDUP, f"digest of {day} has left")
                await self._store.hold(deliveries, step, until=timing.next_digest(now, rules))
                return None
            case Lane.RESEND:
                name = dispatches.resend_id(ids, first.resent)
                one = replace(base, dispatch_id=name, kind=alert.kind.value, level=alert.level, passes=True)
                return one if await self._store.open(one) else None
        passes = alert.kind in rules.policy.passes
        one = replace(base, kind=alert.kind.value, level=alert.level, passes=passes)
        told_lately = await self._store.formed_since(desk, channel, now - HOUR)
        if told_lately >= rules.policy.messages_per_hour:
            metrics.FOLDED.labels(channel).inc(len(deliveries))
            await self._to_digest(deliveries, desk, Step(Stage.GROUP, "too_many_in_an_hour"), rules, now, folded=True)
            return None
        if alert.kind is AlertKind.ASSIGNED:
            one = replace(one, dispatch_id=dispatches.announcement_id(desk, alert.directive, channel))
            if not await self._store.open(one):
                step = Step(Stage.DEDUP, "directive_announced_already")
                await self._to_digest(deliveries, desk, step, rules, now, folded=False)
                return None
            return one
        one = replace(one, dispatch_id=dispatches.message_id(ids))
        return one if await self._store.open(one) else None

    async def _to_digest(
        self, deliveries: Sequence[Delivery], desk: Desk, step: Step, rules: Rules, now: datetime, *, folded: bool
    ) -> None:
        first = deliveries[0]
        waits = waits_with(first.alert, desk, first.channel, Lane.DIGEST)
        moved = [replace(one, lane=Lane.DIGEST, waits=waits, is_folded=folded) for one in deliveries]
        await self._store.move(moved, step, not_before=timing.next_digest(now, rules))

    def _opened(self, desk: Desk, role: Role, channel: str, now: datetime) -> Dispatch:
        slot = slot_of(desk.province, desk.agency, SLOTS)
        return Dispatch("", desk, role, channel, "", slot, self._real_time(), formed_on=now)

    # -- what no alert asks for ------------------------------------------------------------------------------------

    async def _summaries(self, province: str, slots: Collection[int], now: datetime) -> int:
        """The month's summary for every head whose agency has tasks."""
        rules = self._lookup.rules(province)
        month = timing.summary_month(now, rules)
        done = (month or "", frozenset(slots))
        if month is None or self._summed_up.get(province) == done:
            return 0
        registry = await self._lookup.registry(province)
        formed = 0
        for desk in _heads(registry, province, local_day(now)):
            if slot_of(province, desk.agency, SLOTS) not in slots:
                continue
            if not (await self._store.counts(province, desk.agency)).all:
                continue
            for name, channel in self._channels.items():
                if channel.is_optional:
                    continue
                base = self._opened(desk, Role.HEAD, name, now)
                one = replace(base, dispatch_id=dispatches.summary_id(desk, month, name), kind=SUMMARY, month=month)
                formed += await self._open_bare(one)
            self._progress()
        # Only to spare the questions: another replica, or this one after a start, meets the ids.
        self._summed_up[province] = done
        return formed

    async def _unreachable(self, province: str, slots: Collection[int], now: datetime) -> int:
        """A digest for the standing agency where nothing else asks for one, but somebody could not be reached."""
        _, news = await self._store.unreachable(province)
        standing = (await self._lookup.registry(province)).supervisors(local_day(now)).standing
        if news is None or standing is None or slot_of(province, standing, SLOTS) not in slots:
            return 0
        rules = self._lookup.rules(province)
        day = timing.digest_day(now, rules)
        if day != local_day(now) or news >= timing.digest_leaves(day, rules):
            return 0
        desk = Desk(province, standing)
        formed = 0
        for name, channel in self._channels.items():
            if channel.is_optional:
                continue
            base = self._opened(desk, Role.STANDING, name, now)
            one = replace(base, dispatch_id=dispatches.digest_id(desk, day, name), kind=DIGEST, day=day)
            formed += await self._open_bare(one)
        return formed

    async def _open_bare(self, dispatch: Dispatch) -> int:
        """A message without deliveries."""
        return await self._made_ready(dispatch) if await self._store.open(dispatch) else 0


def _role(desk: Desk, deliveries: Sequence[Delivery]) -> Role:
    """How its readers are addressed: the head in person only at a desk of their own."""
    if desk.is_head:
        return Role.HEAD
    roles = {one.recipient.role for one in deliveries} - {Role.HEAD}
    return roles.pop() if len(roles) == 1 else Role.AGENCY


def _heads(registry: Registry, province: str, today: date) -> Iterable[Desk]:
    for one in registry.records:
        if one.exists(today) and (one.contact or one.head_contact):
            yield Desk(province, one.code, is_head=one.head_contact not in {None, one.contact})
