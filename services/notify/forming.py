"""Forming: deliveries whose time has come → looked at again → group → dedup → one message. Sending takes it from there.

All of an agency's deliveries lie in one slot, whatever task they are about, so one replica forms its messages.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import structlog

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
    place_of,
    slot_of,
    waits_with,
)
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Again, Stage, Step, Verdict, again, inhibited
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Role
from services.notify.domain.rulebook import Rules
from services.notify.handlers import SLOTS, contact
from services.notify.lookup import Lookup
from services.notify.ports import Channel, NotifyStore
from shared.runtime.clock import Clock
from shared.runtime.errors import is_transient
from shared.workdays.calendar import local_day

log = structlog.get_logger()

FORMERS_MAX = 4
"""Messages that are formed at once, each for another desk."""
TOGETHER_MAX = 20_000
"""Deliveries put into one message at a time; a province's tasks of one agency stay far below."""
STREAM_SECONDS_MAX = 60.0
"""A group that still grows is closed after this long, in real time."""
HALF_FORMED_SECONDS = 60.0
"""A message that is half formed for this long, in real time, is a crash's leftover."""
STRANDED_PAGE = 500
FRESH_MAX = 20
BROKEN_SECONDS = 60.0
SUMMED_UP_SECONDS = 600.0
"""Whose agency or tasks become known later gets its summary as well."""
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
        self._summed_up: dict[str, tuple[str, frozenset[int], float]] = {}
        self._broken: dict[str, float] = {}

    async def turn(self, slots: Collection[int]) -> int:
        """Form what is due in these slots. Returns how many messages."""
        if not slots:
            return 0
        now = self._clock.now()
        formed = 0
        groups = await self._store.waiting(slots, now=now)
        formed += await self._form_all(groups, slots, now)
        metrics.WAITING.set(len(groups) - formed)
        await self._after_crashes(slots)
        for province in await self._store.provinces():
            formed += await self._summaries(province, slots, now)
            formed += await self._unreachable(province, slots, now)
        metrics.FORMED_UNTIL.set(now.timestamp())
        return formed

    async def _formed(self, waits: str, slots: Collection[int], now: datetime) -> int:
        """One group that cannot be read or formed must not keep all others waiting: it is tried again in a while."""
        if self._broken.get(waits, 0.0) > self._real_time():
            return 0
        try:
            return await self._form(waits, slots, now)
        except Exception as error:
            if is_transient(error):
                raise
            self._broken[waits] = self._real_time() + BROKEN_SECONDS
            metrics.BROKEN.inc()
            log.exception("group.failed", waits=waits)
            return 0

    async def _after_crashes(self, slots: Collection[int]) -> None:
        before = self._real_time() - HALF_FORMED_SECONDS
        for one in await self._store.unready(slots, formed_before=before):
            if await self._store.deliveries_of(one.dispatch_id):
                await self._store.ready(one)
            else:
                await self._store.drop(one)
        for one in await self._store.without_channel(slots, tuple(self._channels)):
            await self._store.failed(one, "channel_gone", at=self._clock.now())
        await self._store.unsettled(slots)
        for dispatch_id in await self._store.stranded(slots, attached_before=before, limit=STRANDED_PAGE):
            await self._store.release(dispatch_id)

    # -- what alerts ask for ---------------------------------------------------------------------------------------

    async def _form_all(self, groups: Iterable[str], slots: Collection[int], now: datetime) -> int:
        """Some desks at once, since most of the time is waiting for the disk; of one desk, one after the other."""
        desks: dict[str, list[str]] = {}
        for waits in groups:
            desks.setdefault(place_of(waits), []).append(waits)
        left = iter(desks.values())

        async def form() -> int:
            formed = 0
            for some in left:
                for waits in some:
                    formed += await self._formed(waits, slots, now)
                    self._progress()
            return formed

        formers = [asyncio.create_task(form()) for _ in range(min(FORMERS_MAX, len(desks)))]
        try:
            return sum(await asyncio.gather(*formers))
        finally:
            # One has failed, or all of us are to end: nobody goes on alone.
            for one in formers:
                one.cancel()
            await asyncio.gather(*formers, return_exceptions=True)

    async def _form(self, waits: str, slots: Collection[int], now: datetime) -> int:
        deliveries = await self._store.together(waits, now=now, limit=TOGETHER_MAX)
        if not deliveries or not self._is_quiet(deliveries):
            return 0
        province = deliveries[0].alert.province
        registry, rules = await self._lookup.registry(province), self._lookup.rules(province)
        deliveries = await self._not_moved(deliveries, registry, slots, now)
        if not deliveries:
            return 0
        desk = desk_of(deliveries[0].recipient, registry, province, local_day(now))
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

    async def _not_moved(
        self, deliveries: Sequence[Delivery], registry: Registry, slots: Collection[int], now: datetime
    ) -> list[Delivery]:
        """Those that are still read here. Where somebody else reads for an agency by now, its messages wait there."""
        staying: list[Delivery] = []
        moved: dict[Desk, list[Delivery]] = {}
        for one in deliveries:
            desk = desk_of(one.recipient, registry, one.alert.province, local_day(now))
            waits = waits_with(one.alert, desk, one.channel, one.lane, resent=one.resent)
            slot = slot_of(desk.province, desk.agency, SLOTS)
            if waits == one.waits and slot in slots:
                staying.append(one)
            else:
                moved.setdefault(desk, []).append(replace(one, waits=waits, slot=slot))
        for desk, some in moved.items():
            await self._store.move(some, Step(Stage.ROUTE, f"read by {desk.key}"), not_before=now)
        return staying

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
        for reason, some in inhibited(waiting, known, now=now).items():
            if reason is not Reason.DUE:
                await self._store.suppress(some, Step(Stage.INHIBIT, reason.value))

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
        elif channel.is_optional:
            await self._store.suppress(deliveries, Step(Stage.ROUTE, "no_address"))
            return False
        else:
            cause = "no_contact"
        # Noted first: a crash in between repeats the note, and loses none.
        await self._store.note_unreachable(desk, first.recipient.role.value, first.channel, cause, at=now)
        await self._store.fail(deliveries, Step(Stage.ROUTE, cause))
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
                if day != local_day(now) or timing.office_opens(now, rules) > now:
                    # What an outage kept back for so long comes with the next one: one a working day.
                    step = Step(Stage.MUTE, "office_closed")
                    await self._store.hold(deliveries, step, until=timing.next_digest(now, rules))
                    return None
                digest = replace(base, dispatch_id=dispatches.digest_id(desk, day, channel), kind=DIGEST, day=day)
                if await self._store.open(digest):
                    return digest
                step = Step(Stage.DEDUP, f"digest of {day} has left")
                await self._store.hold(deliveries, step, until=timing.next_digest(now, rules))
                return None
            case Lane.RESEND:
                one = replace(base, kind=alert.kind.value, level=alert.level, passes=True)
                return await self._fresh(one, ids, resent=first.resent)
        passes = alert.kind in rules.policy.passes
        one = replace(base, kind=alert.kind.value, level=alert.level, passes=passes)
        told_lately = await self._store.formed_since(desk, channel, now - HOUR)
        if told_lately >= rules.policy.messages_per_hour:
            metrics.FOLDED.labels(channel).inc(len(deliveries))
            await self._to_digest(deliveries, desk, Step(Stage.GROUP, "too_many_in_an_hour"), rules, now, folded=True)
            return None
        if alert.kind is AlertKind.ASSIGNED:
            for number in range(FRESH_MAX):
                name = dispatches.announcement_id(desk, alert.directive, channel, number=number)
                if await self._store.open(replace(one, dispatch_id=name)):
                    return replace(one, dispatch_id=name)
                if not await self._store.was_empty(name):
                    break
            step = Step(Stage.DEDUP, "directive_announced_already")
            await self._to_digest(deliveries, desk, step, rules, now, folded=False)
            return None
        return await self._fresh(one, ids)

    async def _fresh(self, dispatch: Dispatch, ids: Sequence[str], *, resent: int = 0) -> Dispatch | None:
        """Open it under the name of what it is made of. A message of that name that has ended carried none of it."""
        for number in range(FRESH_MAX):
            name = dispatches.message_id(ids, resent=resent, number=number)
            one = replace(dispatch, dispatch_id=name)
            if await self._store.open(one):
                return one
        return None

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
        last = self._summed_up.get(province)
        if month is None or (last is not None and last[:2] == done and self._real_time() < last[2]):
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
        self._summed_up[province] = (*done, self._real_time() + SUMMED_UP_SECONDS)
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
