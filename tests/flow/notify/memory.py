"""In-memory parts of notify; tests/contract/test_notify_store.py vouches for the store."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from services.notify.domain.alert import AlertKind, TaskState
from services.notify.domain.dedup import OVERDUE_STORY, Heard, Reach
from services.notify.domain.digest import Unreachable
from services.notify.domain.dispatch import DIGEST, SUMMARY, Delivery, Desk, Dispatch, Lane
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.registry import AgencyRecord, Registry
from services.notify.domain.routing import Recipient, Role
from services.notify.domain.silences import Silence
from services.notify.mongo_dispatches import STEPS_KEPT
from services.notify.ports import AlertWithDeliveries, Counts, Decided, DeliveryState, Wanted
from shared.contracts.alert_facts import AlertDecided
from shared.contracts.codec import decode
from shared.contracts.topics import ALERTS


@dataclass(slots=True)
class _Row:
    delivery: Delivery
    decided_at: datetime
    not_before: datetime
    silence_id: str
    state: str = "pending"
    cause: str = ""
    heard: bool = False
    message_id: str | None = None
    waited: str = ""
    attached_at: float | None = None
    sent_at: datetime | None = None
    steps: list[Step] = field(default_factory=list)

    def say(self, step: Step) -> None:
        self.steps = [*self.steps, step][-STEPS_KEPT:]


@dataclass(slots=True)
class _Sent:
    dispatch: Dispatch
    not_before: datetime
    next_try: float
    state: str = "forming"
    cause: str = ""
    listed: Mapping[str, str] | None = None
    is_settling: bool = False
    never_told: bool = False
    sent_at: datetime | None = None


@dataclass(slots=True)
class _Out:
    row: Unreachable
    province: str
    news: datetime | None


class MemoryNotifyStore:
    """Implements ports.NotifyStore."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskState] = {}
        self._agencies: dict[tuple[str, str], AgencyRecord] = {}
        self._alerts: dict[str, tuple[Decided, float]] = {}
        self._unpublished: set[str] = set()
        self._rows: dict[str, _Row] = {}
        self._messages: dict[str, _Sent] = {}
        self._disabled: dict[tuple[str, str], str] = {}
        self._out: dict[tuple[str, str, str], _Out] = {}
        self._silences: dict[tuple[str, str], Silence] = {}
        self._lists: dict[tuple[str, Recipient], tuple[int, datetime]] = {}

    # -- what is known ---------------------------------------------------------------------------------------------

    async def learn_tasks(self, states: Mapping[str, TaskState]) -> None:
        for task_id, one in states.items():
            if task_id not in self._tasks or self._tasks[task_id].seq < one.seq:
                self._tasks[task_id] = replace(one, task_id=task_id)

    async def tasks(self, ids: Collection[str]) -> Mapping[str, TaskState]:
        return {one: self._tasks[one] for one in ids if one in self._tasks}

    def _of_agency(self, province: str, agency: str) -> list[TaskState]:
        return [one for one in self._tasks.values() if (one.province, one.agency) == (province, agency)]

    async def standing(self, province: str, agency: str) -> Sequence[TaskState]:
        return [one for one in self._of_agency(province, agency) if one.standing is not None]

    async def counts(self, province: str, agency: str) -> Counts:
        mine = [one for one in self._of_agency(province, agency) if one.result not in {"transferred", "discontinued"}]
        results = [one.result for one in mine]
        standing = [one.standing.value for one in mine if one.standing is not None]
        return Counts(
            len(mine),
            results.count("completed"),
            results.count("submitted"),
            standing.count("overdue"),
            standing.count("due_soon"),
        )

    async def learn_agencies(self, records: Sequence[AgencyRecord]) -> None:
        for one in records:
            known = self._agencies.get((one.province, one.code))
            if known is None or known.seq < one.seq:
                self._agencies[one.province, one.code] = one

    async def registry(self, province: str) -> Registry:
        return Registry(one for one in self._agencies.values() if one.province == province)

    async def provinces(self) -> Sequence[str]:
        return sorted({province for province, _ in self._agencies})

    async def overdue_stories(self, task_ids: Collection[str]) -> Mapping[str, Sequence[Heard]]:
        stories: dict[str, list[Heard]] = {}
        for row in self._rows.values():
            alert = row.delivery.alert
            if alert.task_id in task_ids and alert.kind in OVERDUE_STORY:
                heard = Heard(alert.kind, alert.seq, row.delivery.recipient, self._reach(row))
                stories.setdefault(alert.task_id, []).append(heard)
        for (task_id, recipient), (seq, _) in self._lists.items():
            if task_id in task_ids:
                stories.setdefault(task_id, []).append(Heard(AlertKind.OVERDUE, seq, recipient, Reach.TOLD))
        return stories

    @staticmethod
    def _reach(row: _Row) -> Reach:
        if row.heard or row.delivery.is_tried or row.state == "sent":
            return Reach.TOLD
        return Reach.PENDING if row.state == "pending" else Reach.NOT_TOLD

    # -- alerts ----------------------------------------------------------------------------------------------------

    async def record(self, decided: Sequence[Decided], wanted: Sequence[Wanted], *, now: float) -> Sequence[Decided]:
        for one in wanted:
            row = _Row(one.delivery, one.decided_at, one.not_before, one.silence_id)
            self._rows.setdefault(one.delivery.delivery_id, row)
        new = [one for one in decided if one.alert.alert_id not in self._alerts]
        for alert in new:
            self._alerts[alert.alert.alert_id] = (alert, now)
            self._unpublished.add(alert.alert.alert_id)
        return new

    async def unpublished(self, alert_ids: Collection[str]) -> Sequence[Decided]:
        return self._ordered(self._unpublished & set(alert_ids))

    async def leftovers(self, partitions: Collection[int], *, recorded_before: float) -> Sequence[Decided]:
        return self._ordered(
            one
            for one in self._unpublished
            if self._alerts[one][0].partition in partitions and self._alerts[one][1] < recorded_before
        )

    def _ordered(self, ids: Iterable[str]) -> list[Decided]:
        return sorted((self._alerts[one][0] for one in ids), key=lambda one: one.alert.seq)

    async def published(self, alert_ids: Collection[str]) -> None:
        self._unpublished -= set(alert_ids)

    # -- deliveries that wait --------------------------------------------------------------------------------------

    def _waiting(self) -> list[_Row]:
        return [row for row in self._rows.values() if row.delivery.waits]

    async def waiting(self, slots: Collection[int], *, now: datetime) -> Sequence[str]:
        due = (row for row in self._waiting() if row.delivery.slot in slots and row.not_before <= now)
        return sorted({row.delivery.waits for row in due})

    async def together(self, waits: str, *, now: datetime, limit: int) -> Sequence[Delivery]:
        due = [row for row in self._waiting() if row.delivery.waits == waits and row.not_before <= now]
        return [row.delivery for row in sorted(due, key=lambda row: row.not_before)[:limit]]

    async def waiting_of(self, task_ids: Collection[str]) -> Sequence[Delivery]:
        return [row.delivery for row in self._waiting() if row.delivery.alert.task_id in task_ids]

    async def hold(self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = "") -> None:
        for row in self._waiting_rows(deliveries):
            row.not_before = until
            row.silence_id = silence_id or row.silence_id
            row.say(step)

    async def suppress(self, deliveries: Sequence[Delivery], step: Step) -> None:
        for row in self._pending_rows(deliveries):
            self._end_row(row, "suppressed", step)

    async def fail(self, deliveries: Sequence[Delivery], step: Step) -> None:
        for row in self._pending_rows(deliveries):
            self._end_row(row, "failed", step)

    async def move(self, deliveries: Sequence[Delivery], step: Step, *, not_before: datetime) -> None:
        for one in deliveries:
            row = self._rows[one.delivery_id]
            if row.delivery.waits:
                row.delivery = one
                row.not_before = not_before
                row.say(step)

    def _pending_rows(self, deliveries: Sequence[Delivery]) -> list[_Row]:
        return [row for one in deliveries if (row := self._rows[one.delivery_id]).state == "pending"]

    def _waiting_rows(self, deliveries: Sequence[Delivery]) -> list[_Row]:
        return [row for one in deliveries if (row := self._rows[one.delivery_id]).delivery.waits]

    def _end_row(self, row: _Row, state: str, step: Step) -> None:
        row.state, row.cause = state, step.reason
        row.delivery = replace(row.delivery, waits="")
        row.attached_at = None
        row.say(step)

    # -- dispatches ------------------------------------------------------------------------------------------------

    async def open(self, dispatch: Dispatch) -> bool:
        known = self._messages.get(dispatch.dispatch_id)
        if known is not None:
            return known.state == "forming"
        assert dispatch.formed_on is not None
        self._messages[dispatch.dispatch_id] = _Sent(dispatch, dispatch.formed_on, dispatch.formed_at)
        return True

    async def was_empty(self, dispatch_id: str) -> bool:
        return dispatch_id in self._messages and self._messages[dispatch_id].state == "empty"

    async def attach(self, dispatch: Dispatch, deliveries: Sequence[Delivery], step: Step, *, now: float) -> None:
        for row in self._waiting_rows(deliveries):
            row.message_id, row.attached_at, row.waited = dispatch.dispatch_id, now, row.delivery.waits
            row.delivery = replace(row.delivery, waits="")
            row.say(step)

    async def ready(self, dispatch: Dispatch) -> bool:
        message = self._messages.get(dispatch.dispatch_id)
        if message is not None and message.state == "forming":
            message.state = "open"
        return message is not None and message.state == "open"

    async def release(self, dispatch_id: str) -> int:
        rows = [
            row
            for row in self._rows.values()
            if row.message_id == dispatch_id and row.state == "pending" and not row.delivery.is_tried
        ]
        for row in rows:
            row.delivery = replace(row.delivery, waits=row.waited)
            row.message_id, row.attached_at = None, None
        return len(rows)

    async def stranded(self, slots: Collection[int], *, attached_before: float, limit: int) -> Sequence[str]:
        rows = [
            row
            for row in self._rows.values()
            if row.delivery.slot in slots and row.attached_at is not None and row.attached_at < attached_before
        ]
        found = {row.message_id for row in sorted(rows, key=lambda row: row.attached_at or 0.0)[:limit]}
        ended = {"sent", "failed", "empty"}
        return sorted(one for one in found if one is not None and self._messages[one].state in ended)

    async def tried(self, dispatch: Dispatch, deliveries: Sequence[Delivery]) -> None:
        message = self._messages[dispatch.dispatch_id]
        message.dispatch = replace(message.dispatch, is_tried=True)
        for one in deliveries:
            row = self._rows[one.delivery_id]
            row.delivery = replace(row.delivery, is_tried=True)
            row.attached_at = None

    async def put_back(
        self, deliveries: Sequence[Delivery], step: Step, *, until: datetime, silence_id: str = ""
    ) -> None:
        for row in self._pending_rows(deliveries):
            if row.message_id is not None and not row.delivery.is_tried:
                row.delivery = replace(row.delivery, waits=row.waited)
                row.message_id, row.attached_at, row.not_before = None, None, until
                row.silence_id = silence_id or row.silence_id
                row.say(step)

    async def heard(self, tasks: Mapping[str, int], recipient: Recipient, *, at: datetime) -> None:
        for task_id, seq in tasks.items():
            self._lists[task_id, recipient] = (seq, at)

    async def drop(self, dispatch: Dispatch) -> None:
        if dispatch.dispatch_id in self._messages and self._messages[dispatch.dispatch_id].state == "forming":
            del self._messages[dispatch.dispatch_id]

    async def without_channel(self, slots: Collection[int], channels: Collection[str]) -> Sequence[Dispatch]:
        found = [one for one in self._messages.values() if one.state == "open" and one.dispatch.slot in slots]
        return [one.dispatch for one in found if one.dispatch.channel not in channels]

    async def unready(self, slots: Collection[int], *, formed_before: float) -> Sequence[Dispatch]:
        return [
            one.dispatch
            for one in self._messages.values()
            if one.state == "forming" and one.dispatch.slot in slots and one.dispatch.formed_at < formed_before
        ]

    async def formed_since(self, desk: Desk, channel: str, since: datetime) -> int:
        return sum(
            one.desk == desk
            and one.channel == channel
            and one.kind not in {DIGEST, SUMMARY}
            and one.formed_on is not None
            and one.formed_on > since
            for one in (message.dispatch for message in self._messages.values())
        )

    async def listed_before(self, desk: Desk, channel: str, day: date) -> Mapping[str, str]:
        found = [
            one
            for one in self._messages.values()
            if one.dispatch.desk == desk
            and one.dispatch.channel == channel
            and one.dispatch.day is not None
            and one.dispatch.day < day
            and one.listed is not None
        ]
        newest = max(found, key=lambda one: one.dispatch.day or date.min, default=None)
        return newest.listed or {} if newest is not None else {}

    async def due(
        self, slots: Collection[int], channel: str, *, now: float, at: datetime, busy: Collection[str], limit: int
    ) -> Sequence[Dispatch]:
        found = [
            one
            for one in self._messages.values()
            if one.state == "open"
            and one.dispatch.channel == channel
            and one.dispatch.slot in slots
            and one.next_try <= now
            and one.not_before <= at
            and one.dispatch.desk.key not in busy
        ]
        of_each_desk: dict[str, Dispatch] = {}
        for one in sorted(found, key=lambda one: (one.next_try, one.dispatch.dispatch_id)):
            of_each_desk.setdefault(one.dispatch.desk.key, one.dispatch)
        return list(of_each_desk.values())[:limit]

    async def claim(self, dispatch: Dispatch, *, until: float) -> Dispatch | None:
        message = self._messages[dispatch.dispatch_id]
        if message.state != "open" or message.dispatch.attempts != dispatch.attempts:
            return None
        message.dispatch = replace(message.dispatch, attempts=dispatch.attempts + 1)
        message.next_try = until
        return message.dispatch

    async def deliveries_of(self, dispatch_id: str) -> Sequence[Delivery]:
        found = [
            row.delivery for row in self._rows.values() if row.message_id == dispatch_id and row.state == "pending"
        ]
        return sorted(found, key=lambda one: one.delivery_id)

    async def sent(self, dispatch: Dispatch, *, at: datetime, listed: Mapping[str, str] | None = None) -> None:
        message = self._messages[dispatch.dispatch_id]
        if message.state == "open":
            message.listed, message.sent_at = listed, at
            self._end(message, "sent", "")

    async def failed(self, dispatch: Dispatch, cause: str, *, at: datetime, was_refused: bool = False) -> None:
        message = self._messages[dispatch.dispatch_id]
        if message.state == "open" and message.dispatch.attempts == dispatch.attempts:
            message.never_told = was_refused and dispatch.attempts == 1
            self._end(message, "failed", cause)

    async def empty(self, dispatch: Dispatch) -> None:
        message = self._messages[dispatch.dispatch_id]
        if message.state == "open" and message.dispatch.attempts == dispatch.attempts:
            self._end(message, "empty", "")

    def _end(self, message: _Sent, state: str, cause: str) -> None:
        message.state, message.cause, message.is_settling = state, cause, True
        self._settle(message)

    def _settle(self, message: _Sent) -> None:
        mine = [row for row in self._rows.values() if row.message_id == message.dispatch.dispatch_id]
        for row in mine:
            if row.state != "pending" or message.state == "empty":
                continue
            if row.delivery.is_tried or message.state == "failed":
                row.state, row.cause, row.sent_at = message.state, message.cause, message.sent_at or row.sent_at
                row.attached_at = None
                row.delivery = replace(row.delivery, is_tried=row.delivery.is_tried and not message.never_told)
                row.say(Step(Stage.SEND, message.cause or "sent"))
        for row in mine:
            if row.state == "pending" and not row.delivery.is_tried:
                row.delivery = replace(row.delivery, waits=row.waited)
                row.message_id, row.attached_at = None, None
        message.is_settling = False

    async def unsettled(self, slots: Collection[int]) -> int:
        found = [one for one in self._messages.values() if one.is_settling and one.dispatch.slot in slots]
        for one in found:
            self._settle(one)
        return len(found)

    async def postponed(
        self, dispatch: Dispatch, cause: str, *, until: float, not_before: datetime | None = None
    ) -> None:
        message = self._messages[dispatch.dispatch_id]
        if message.state == "open" and message.dispatch.attempts == dispatch.attempts:
            message.cause, message.next_try = cause, until
            message.not_before = not_before or message.not_before

    async def pending_count(self, slots: Collection[int]) -> int:
        return sum(one.state == "open" and one.dispatch.slot in slots for one in self._messages.values())

    # -- who cannot be reached ---------------------------------------------------------------------------------------

    async def disable(self, channel: str, address: str, cause: str, *, at: datetime) -> None:
        self._disabled.setdefault((channel, address), cause)

    async def disabled(self, channel: str, address: str) -> str | None:
        return self._disabled.get((channel, address))

    async def note_unreachable(self, desk: Desk, role: str, channel: str, cause: str, *, at: datetime) -> None:
        known = self._out.get((desk.key, role, channel))
        messages = known.row.messages + 1 if known is not None else 1
        row = Unreachable(desk.agency, role, channel, cause, messages)
        news = known.news if known is not None and known.news is not None else at
        self._out[desk.key, role, channel] = _Out(row, desk.province, news)

    async def reached(self, desk: Desk, channel: str) -> None:
        for role in Role:
            self._out.pop((desk.key, role.value, channel), None)

    async def unreachable(self, province: str) -> tuple[Sequence[Unreachable], datetime | None]:
        found = [one for _, one in sorted(self._out.items()) if one.province == province]
        return [one.row for one in found], min((one.news for one in found if one.news is not None), default=None)

    async def told_unreachable(self, province: str, *, up_to: datetime) -> None:
        for one in self._out.values():
            if one.province == province and one.news is not None and one.news <= up_to:
                one.news = None

    # -- what officers ask for -----------------------------------------------------------------------------------------

    async def add_silence(self, silence: Silence) -> Silence:
        return self._silences.setdefault((silence.province, silence.silence_id), silence)

    async def silences(self, province: str, *, active_at: datetime | None = None) -> Sequence[Silence]:
        found = [
            one
            for one in self._silences.values()
            if one.province == province and (active_at is None or one.is_active(active_at))
        ]
        return sorted(found, key=lambda one: (-one.starts_at.timestamp(), one.silence_id))

    async def end_silence(self, province: str, silence_id: str, *, at: datetime, digest: datetime) -> Silence | None:
        silence = self._silences.get((province, silence_id))
        if silence is None:
            return None
        if silence.ends_at > at:
            silence = replace(silence, ends_at=at)
            self._silences[province, silence_id] = silence
        for row in self._waiting():
            until = digest if row.delivery.lane is Lane.DIGEST else at
            if (row.delivery.alert.province, row.silence_id) == (province, silence_id) and row.not_before > until:
                row.not_before, row.silence_id = until, ""
        return silence

    async def deliveries_about(self, alert_id: str) -> Sequence[Delivery]:
        return [
            row.delivery
            for _, row in sorted(self._rows.items())
            if row.delivery.alert.alert_id == alert_id and row.state in {"sent", "failed"}
        ]

    async def resend(self, deliveries: Sequence[Delivery], step: Step, *, at: datetime) -> int:
        rows = [row for one in deliveries if (row := self._rows[one.delivery_id]).state in {"sent", "failed"}]
        by_id = {one.delivery_id: one for one in deliveries}
        for row in rows:
            row.heard = self._reach(row) is Reach.TOLD
            row.delivery = replace(by_id[row.delivery.delivery_id], is_tried=False)
            row.state, row.cause, row.not_before, row.message_id = "pending", "", at, None
            row.say(step)
        return len(rows)

    async def find_alert(self, alert_id: str) -> AlertWithDeliveries | None:
        found = self._alerts.get(alert_id)
        return AlertWithDeliveries(found[0], self._states(alert_id)) if found is not None else None

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None = None
    ) -> Sequence[AlertWithDeliveries]:
        found = [
            one
            for key, (one, _) in sorted(self._alerts.items())
            if (after is None or key > after)
            and (reader is None or reader in one.readers)
            and all(_value(one, name) == value for name, value in wanted.items())
        ]
        return [AlertWithDeliveries(one, self._states(one.alert.alert_id)) for one in found[:limit]]

    def _states(self, alert_id: str) -> tuple[DeliveryState, ...]:
        return tuple(
            self._state(row) for _, row in sorted(self._rows.items()) if row.delivery.alert.alert_id == alert_id
        )

    def _state(self, row: _Row) -> DeliveryState:
        message = self._messages.get(row.message_id or "")
        return DeliveryState(
            row.delivery.delivery_id,
            row.delivery.recipient.agency,
            row.delivery.recipient.role.value,
            row.delivery.channel,
            row.state,
            row.cause or (message.cause if message is not None else ""),
            message.dispatch.attempts if message is not None else 0,
            row.not_before,
            row.sent_at,
            row.message_id,
            tuple(row.steps),
        )

    async def purge(self, *, older_than: datetime, agencies_ended_before: date) -> Mapping[str, int]:
        alerts = [key for key, (one, _) in self._alerts.items() if one.decided_at < older_than]
        rows = [key for key, row in self._rows.items() if row.decided_at < older_than and row.state != "pending"]
        messages = [
            key
            for key, one in self._messages.items()
            if one.state in {"sent", "failed", "empty"}
            and one.dispatch.formed_on is not None
            and one.dispatch.formed_on < older_than
        ]
        contacts = [
            key
            for key, one in self._agencies.items()
            if one.valid_to is not None
            and one.valid_to < agencies_ended_before
            and any(name is not None for name in (one.contact, one.head_contact, one.head_title))
        ]
        self._unpublished -= set(alerts)
        self._silences = {key: one for key, one in self._silences.items() if one.ends_at >= older_than}
        self._lists = {key: one for key, one in self._lists.items() if one[1] >= older_than}
        for key in alerts:
            del self._alerts[key]
        for key in rows:
            del self._rows[key]
        for key in messages:
            del self._messages[key]
        for agency in contacts:
            one = self._agencies[agency]
            self._agencies[agency] = replace(one, contact=None, head_contact=None, head_title=None)
        counts = (len(alerts), len(rows), len(messages), len(contacts))
        return dict(zip(("alerts", "deliveries", "messages", "contacts"), counts, strict=True))


def _value(one: Decided, name: str) -> str:
    if name == "outcome":
        return "notify" if one.notify else "silent"
    return str(getattr(one.alert, name))


@dataclass(slots=True)
class MemoryTopic:
    """The alerts topic, as the broker acknowledged it. `lose_next`: the process dies before telling."""

    values: list[bytes] = field(default_factory=list)
    lose_next: bool = False

    async def __call__(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        if self.lose_next:
            self.lose_next = False
            raise ConnectionError("died before telling")
        assert all(topic == ALERTS.name for topic, _, _ in messages)
        self.values.extend(value for _, _, value in messages)

    def alerts(self) -> list[AlertDecided]:
        return [one for value in self.values if isinstance(one := decode(ALERTS.name, value).data, AlertDecided)]
