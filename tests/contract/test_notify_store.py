"""What every notify store must do: the one in memory that flow tests use, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from services.notify.domain.alert import AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach, delivery_id
from services.notify.domain.digest import Unreachable
from services.notify.domain.dispatch import DIGEST, SUMMARY, Delivery, Desk, Dispatch, Lane, waits_with
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.routing import Recipient, Role, Supervisors
from services.notify.mongo import MongoNotifyStore
from services.notify.mongo_dispatches import STEPS_KEPT
from services.notify.ports import AlertWithDeliveries, Counts, Decided, DeliveryState, NotifyStore, Wanted
from shared.runtime.mongodb import Database
from tests.flow.notify.memory import MemoryNotifyStore
from tests.support.builders import at
from tests.support.database import fresh_database
from tests.unit.notify.builders import (
    AGENCY,
    DESK,
    HEAD,
    OPEN,
    OVERDUE,
    REMINDED,
    STANDING,
    a_dispatch,
    a_silence,
    an_agency,
    an_alert,
)

K, R = AlertKind, Reason
NOW = 1_000.0
"""Real seconds."""
AT = at("2024-10-21 09:00")
"""Business time, to the millisecond: no store keeps more."""
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
ON = date(2024, 10, 20)
STEP = Step(Stage.GROUP, "digest of 2024-10-21")
OTHER_DESK = Desk("H48", "H48.22")
HEADS_DESK = Desk("H48", "H48.21", is_head=True)


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def store(address: str | None) -> AsyncIterator[NotifyStore]:
    if address is None:
        yield MemoryNotifyStore()
        return
    async with fresh_database(address) as database:
        yield await prepared(database)


@pytest.fixture
async def database(mongo_uri: str) -> AsyncIterator[Database]:
    async with fresh_database(mongo_uri) as found:
        yield found


async def prepared(database: Database) -> MongoNotifyStore:
    mongo = MongoNotifyStore(database)
    await mongo.prepare()
    await mongo.prepare()
    return mongo


def task_id(number: int) -> str:
    return f"H48/TB-1/II.{number}/H48.21"


def a_decided(
    number: int = 1,
    *,
    seq: int = 5,
    partition: int = 0,
    reason: Reason = R.DUE,
    recipients: tuple[Recipient, ...] = (AGENCY,),
    decided_at: datetime = AT,
    **changes: Any,
) -> Decided:
    alert = an_alert(**{"alert_id": f"{task_id(number)}:{seq}", "task_id": task_id(number), "seq": seq, **changes})
    found = recipients if reason is R.DUE else ()
    steps = (Step(Stage.INHIBIT, reason.value), Step(Stage.ROUTE, "agency:H48.21"))
    return Decided(alert, partition, reason, found, decided_at, steps)


def wanted(
    decided: Decided,
    *,
    not_before: datetime = AT,
    lane: Lane = Lane.OWN,
    desk: Desk = DESK,
    channel: str = "email",
    silence_id: str = "",
    **changes: Any,
) -> list[Wanted]:
    """A delivery for each recipient."""
    alert = decided.alert
    found = []
    for recipient in decided.recipients:
        name, waits = delivery_id(alert.alert_id, recipient, channel), waits_with(alert, desk, channel, lane)
        delivery = replace(Delivery(name, alert, recipient, channel, 0, NOW, lane, waits), **changes)
        found.append(Wanted(delivery, decided.decided_at, not_before, silence_id))
    return found


async def record(store: NotifyStore, *decided: Decided, now: float = NOW, **changes: Any) -> Sequence[Decided]:
    return await store.record(decided, [one for some in decided for one in wanted(some, **changes)], now=now)


async def recorded(store: NotifyStore, *decided: Decided, **changes: Any) -> list[Delivery]:
    """The deliveries of what was just recorded."""
    await record(store, *decided, **changes)
    return [one.delivery for some in decided for one in wanted(some, **changes)]


async def formed(store: NotifyStore, dispatch: Dispatch, deliveries: Sequence[Delivery] = ()) -> Dispatch:
    """A message that may go out."""
    assert await store.open(dispatch)
    await store.attach(dispatch, deliveries, STEP, now=NOW)
    assert await store.ready(dispatch)
    return dispatch


async def claimed(store: NotifyStore, dispatch: Dispatch, deliveries: Sequence[Delivery] = ()) -> Dispatch:
    """A message on its way."""
    found = await store.claim(await formed(store, dispatch, deliveries), until=NOW + 60)
    assert found is not None
    await store.tried(found, deliveries)
    return found


async def due(store: NotifyStore, **changes: Any) -> list[str]:
    asked: dict[str, Any] = {"now": NOW, "at": AT, "busy": (), "limit": 10, "slots": [0], "channel": "email", **changes}
    slots, channel = asked.pop("slots"), asked.pop("channel")
    return [one.dispatch_id for one in await store.due(slots, channel, **asked)]


async def together(store: NotifyStore, one: Delivery, *, now: datetime = AT, limit: int = 100) -> list[str]:
    return [found.delivery_id for found in await store.together(one.waits, now=now, limit=limit)]


async def listed(store: NotifyStore, **filters: str) -> Sequence[AlertWithDeliveries]:
    return await store.list_alerts(filters, after=None, limit=100)


async def state_of(store: NotifyStore, one: Delivery) -> DeliveryState:
    found = await store.find_alert(one.alert.alert_id)
    assert found is not None
    return next(state for state in found.deliveries if state.delivery_id == one.delivery_id)


async def states(store: NotifyStore) -> list[tuple[str, str]]:
    """State and cause of every delivery, in order of its id."""
    return [(one.state, one.cause) for alert in await listed(store) for one in alert.deliveries]


def ids(deliveries: Sequence[Delivery]) -> set[str]:
    return {one.delivery_id for one in deliveries}


class KilledError(Exception):
    """The process ends here."""


# -- what is known -------------------------------------------------------------------------------------------------


async def test_only_a_newer_state_of_a_task_replaces(store: NotifyStore) -> None:
    """INVARIANT: what is known of a task never goes back, whatever is replayed or delivered late."""
    newest = replace(OVERDUE, seq=5, given_on=1, reminded_on=1, escalation=2, task_id=task_id(1))
    other = replace(OPEN, task_id=task_id(2), last_day=None)
    await store.learn_tasks({task_id(1): newest, task_id(2): other})
    await store.learn_tasks({task_id(1): replace(newest, seq=4, result="submitted")})
    await store.learn_tasks({})

    assert await store.tasks([task_id(1), task_id(2), task_id(3)]) == {task_id(1): newest, task_id(2): other}
    assert await store.tasks([]) == {}

    await store.learn_tasks({task_id(2): replace(other, seq=6, result="completed")})
    assert (await store.tasks([task_id(2)]))[task_id(2)].result == "completed"


async def test_racing_writers_leave_the_newest_state(store: NotifyStore) -> None:
    names = [task_id(number) for number in range(100)]
    for name in names:
        await asyncio.gather(*(store.learn_tasks({name: replace(OPEN, seq=seq)}) for seq in (3, 1, 4, 2)))

    assert {one.seq for one in (await store.tasks(names)).values()} == {4}


def some_tasks() -> dict[str, TaskState]:
    many = (
        OPEN,
        replace(OPEN, result="in_progress"),
        REMINDED,
        OVERDUE,
        replace(REMINDED, overdue_since=1, result="in_progress"),
        # Reminded of a day that has moved since: not nearly due until reminded anew.
        replace(REMINDED, deadline_version=2),
        replace(OVERDUE, result="submitted"),
        replace(REMINDED, result="completed"),
        replace(OVERDUE, result="suspended"),
        replace(OVERDUE, result="transferred"),
        replace(REMINDED, result="discontinued"),
        replace(OVERDUE, agency="H48.22"),
        replace(OVERDUE, province="H49"),
    )
    return {task_id(number): replace(one, task_id=task_id(number)) for number, one in enumerate(many)}


async def test_what_stands_is_worked_on_and_overdue_or_nearly_due(store: NotifyStore) -> None:
    tasks = some_tasks()
    await store.learn_tasks(tasks)

    found = await store.standing("H48", "H48.21")

    assert sorted(found, key=lambda one: one.task_id) == [tasks[task_id(number)] for number in (2, 3, 4)]
    assert [one.agency for one in await store.standing("H48", "H48.22")] == ["H48.22"]
    assert not await store.standing("H48", "H48.99")


async def test_a_task_that_is_handed_in_stands_no_longer(store: NotifyStore) -> None:
    await store.learn_tasks({task_id(1): replace(OVERDUE, task_id=task_id(1))})
    await store.learn_tasks({task_id(1): replace(OVERDUE, task_id=task_id(1), seq=6, result="submitted")})

    assert not await store.standing("H48", "H48.21")


async def test_an_agencys_tasks_are_counted_without_those_it_has_no_more(store: NotifyStore) -> None:
    await store.learn_tasks(some_tasks())

    assert await store.counts("H48", "H48.21") == Counts(all=9, completed=1, submitted=1, overdue=2, due_soon=1)
    assert await store.counts("H48", "H48.22") == Counts(all=1, completed=0, submitted=0, overdue=1, due_soon=0)
    assert await store.counts("H48", "H48.99") == Counts(0, 0, 0, 0, 0)


async def test_only_a_newer_record_of_an_agency_replaces(store: NotifyStore) -> None:
    newest = an_agency(seq=3, contact="c@x.example", head_contact="h@x.example", head_title="Giám đốc", valid_to=ON)
    await store.learn_agencies([newest, an_agency(seq=1)])
    await store.learn_agencies([an_agency(seq=2)])
    await store.learn_agencies([])

    registry = await store.registry("H48")
    assert registry.get("H48.21") == newest
    assert registry.get("H48.99") is None
    assert (await store.registry("H49")).records == ()


async def test_the_registry_knows_supervisors_and_successors_on_a_day(store: NotifyStore) -> None:
    await store.learn_agencies(
        [
            an_agency("H48.01", role="chairman_office", valid_to=ON),
            an_agency("H48.06", role="standing", valid_to=ON - timedelta(days=1)),
            an_agency("H48.07", role="standing"),
            an_agency("H48.30", valid_to=ON, successors=("H48.21",)),
            an_agency("H48.31", valid_to=ON, successors=("H48.21", "H48.22")),
            an_agency("H48.21"),
            an_agency("H49.07", role="standing", province="H49"),
        ]
    )
    registry, tomorrow = await store.registry("H48"), ON + timedelta(days=1)

    assert registry.supervisors(ON) == Supervisors("H48.07", "H48.01")
    assert registry.role("H48.06", ON) is None
    assert [registry.reader_of("H48.30", day) for day in (ON, tomorrow)] == ["H48.30", "H48.21"]
    assert registry.reader_of("H48.31", tomorrow) == "H48.07"
    assert await store.provinces() == ["H48", "H49"]


# -- the story of an overdue ---------------------------------------------------------------------------------------


async def reach(store: NotifyStore, one: Delivery) -> Reach:
    story = (await store.overdue_stories([one.alert.task_id]))[one.alert.task_id]
    mine = (one.recipient, one.alert.seq)
    [found] = [heard.reach for heard in story if (heard.recipient, heard.seq) == mine]
    return found


async def test_a_story_holds_overdues_escalations_and_retractions_and_nothing_else(store: NotifyStore) -> None:
    kinds = [K.DUE_SOON, K.OVERDUE, K.ESCALATION, K.OVERDUE_RETRACTED, K.CHANGED]
    await record(store, *(a_decided(1, seq=seq, kind=kind) for seq, kind in enumerate(kinds)))
    await record(store, a_decided(2, kind=K.OVERDUE, recipients=(AGENCY, HEAD)), a_decided(3, kind=K.OVERDUE))

    stories = await store.overdue_stories([task_id(1), task_id(2)])

    assert {name: set(story) for name, story in stories.items()} == {
        task_id(1): {Heard(kind, seq, AGENCY, Reach.PENDING) for seq, kind in enumerate(kinds) if 0 < seq < 4},
        task_id(2): {Heard(K.OVERDUE, 5, who, Reach.PENDING) for who in (AGENCY, HEAD)},
    }
    assert await store.overdue_stories([]) == {}


async def test_whoever_may_have_been_told_counts_as_told(store: NotifyStore) -> None:
    """INVARIANT: a message that was handed over and of which nobody knows whether it arrived counts as heard.

    Else an agency could be told that it is overdue and never that it was not.
    """
    [one] = await recorded(store, a_decided(1, kind=K.OVERDUE))
    assert await reach(store, one) is Reach.PENDING
    message = await store.claim(await formed(store, a_dispatch(), [one]), until=NOW + 60)
    assert message is not None
    assert await reach(store, one) is Reach.PENDING
    await store.tried(message, [one])
    assert await reach(store, one) is Reach.TOLD
    await store.postponed(message, "smtp_451", until=NOW)
    assert await reach(store, one) is Reach.TOLD
    await store.failed(message, "smtp_550", at=AT)
    assert await reach(store, one) is Reach.TOLD


async def test_what_was_in_no_try_of_a_message_that_failed_is_not_told(store: NotifyStore) -> None:
    early, late = await recorded(store, *(a_decided(number, kind=K.OVERDUE) for number in (1, 2)))
    message = await store.claim(await formed(store, a_dispatch(), [early, late]), until=NOW + 60)
    assert message is not None
    await store.tried(message, [early])

    await store.failed(message, "smtp_550", at=AT)

    assert [await reach(store, one) for one in (early, late)] == [Reach.TOLD, Reach.NOT_TOLD]


async def test_an_overdue_that_is_read_in_a_list_is_told(store: NotifyStore) -> None:
    """INVARIANT: who read that a task is overdue hears when that is taken back, wherever it was read."""
    await recorded(store, a_decided(1, kind=K.OVERDUE, recipients=(HEAD,)))

    await store.heard({task_id(1): 6, task_id(3): 9}, AGENCY, at=AT)
    await store.heard({task_id(1): 7}, AGENCY, at=AT)
    await store.heard({}, AGENCY, at=AT)

    stories = await store.overdue_stories([task_id(1), task_id(2), task_id(3)])
    assert {name: set(story) for name, story in stories.items()} == {
        task_id(1): {Heard(K.OVERDUE, 5, HEAD, Reach.PENDING), Heard(K.OVERDUE, 7, AGENCY, Reach.TOLD)},
        task_id(3): {Heard(K.OVERDUE, 9, AGENCY, Reach.TOLD)},
    }


@pytest.mark.parametrize(("tries", "expected"), [(1, Reach.NOT_TOLD), (2, Reach.TOLD)])
async def test_what_was_refused_at_once_was_not_heard_and_what_was_tried_before_may_have_been(
    store: NotifyStore, tries: int, expected: Reach
) -> None:
    [one] = await recorded(store, a_decided(1, kind=K.OVERDUE))
    message = await claimed(store, a_dispatch(), [one])
    if tries == 2:
        await store.postponed(message, "timeout", until=NOW)
        again = await store.claim(message, until=NOW + 60)
        assert again is not None
        message = again

    await store.failed(message, "no_mailbox", at=AT, was_refused=True)

    assert await reach(store, one) is expected
    assert (await state_of(store, one)).state == "failed"


async def test_only_who_has_a_message_in_hand_notes_that_it_failed_or_has_to_wait(store: NotifyStore) -> None:
    """INVARIANT: a replica that was taken over by another does not overrule it; what has arrived always counts."""
    [one] = await recorded(store, a_decided(1))
    zombies = await claimed(store, a_dispatch(), [one])
    owners = await store.claim(zombies, until=NOW + 99)
    assert owners is not None

    await store.failed(zombies, "zombie", at=AT)
    await store.empty(zombies)
    await store.postponed(zombies, "zombie", until=NOW)
    assert await states(store) == [("pending", "")]
    assert await due(store) == []
    await store.sent(zombies, at=AT)

    assert await states(store) == [("sent", "")]


async def test_what_was_in_no_try_can_be_put_back(store: NotifyStore) -> None:
    tried, untried, waiting = await recorded(store, *(a_decided(number) for number in (1, 2, 3)))
    message = await formed(store, a_dispatch(), [tried, untried])
    await store.tried(message, [tried])
    step = Step(Stage.SILENCE, "silenced: $s1")

    await store.put_back([tried, untried, waiting], step, until=AT + HOUR, silence_id="$s1")

    assert [one.delivery_id for one in await store.deliveries_of("m1")] == [tried.delivery_id]
    assert untried.delivery_id not in await together(store, untried)
    assert untried.delivery_id in await together(store, untried, now=AT + HOUR)
    assert [step in (await state_of(store, one)).steps for one in (tried, untried, waiting)] == [False, True, False]
    [found] = await store.due([0], "email", now=NOW, at=AT, busy=(), limit=9)
    assert found.is_tried


async def test_a_message_that_is_forming_can_be_dropped_and_no_other(store: NotifyStore) -> None:
    await store.open(a_dispatch("m1"))
    await formed(store, a_dispatch("m2"))
    for name in ("m1", "m2", "m3"):
        await store.drop(a_dispatch(name))

    assert not await store.unready([0], formed_before=NOW + 1)
    assert await due(store) == ["m2"]
    assert not await store.ready(a_dispatch("m1"))


async def test_only_what_ended_with_nothing_to_say_was_empty(store: NotifyStore) -> None:
    await store.empty(await claimed(store, a_dispatch("m1")))
    await store.sent(await claimed(store, a_dispatch("m2")), at=AT)
    await formed(store, a_dispatch("m3"))

    assert [await store.was_empty(name) for name in ("m1", "m2", "m3", "m4")] == [True, False, False, False]


async def test_messages_over_a_channel_that_is_no_more_are_found(store: NotifyStore) -> None:
    await formed(store, a_dispatch("m1", channel="webhook"))
    await formed(store, a_dispatch("m2", channel="webhook", slot=3))
    await formed(store, a_dispatch("m3"))
    await store.sent(await claimed(store, a_dispatch("m4", channel="webhook")), at=AT)

    assert [one.dispatch_id for one in await store.without_channel([0], ["email"])] == ["m1"]
    assert await store.without_channel([0, 3], ["email", "webhook"]) == []


async def test_what_was_sent_is_told_and_what_never_went_out_is_not(store: NotifyStore) -> None:
    sent, failed, silenced = await recorded(store, *(a_decided(number, kind=K.OVERDUE) for number in (1, 2, 3)))
    await store.sent(await claimed(store, a_dispatch(), [sent]), at=AT)
    await store.fail([failed], Step(Stage.ROUTE, "no_contact"))
    await store.suppress([silenced], Step(Stage.INHIBIT, "retracted"))

    assert [await reach(store, one) for one in (sent, failed, silenced)] == [Reach.TOLD, Reach.NOT_TOLD, Reach.NOT_TOLD]


async def test_what_was_silenced_on_its_way_was_heard_where_a_try_may_have_told_it(store: NotifyStore) -> None:
    tried, untried = await recorded(store, *(a_decided(number, kind=K.OVERDUE) for number in (1, 2)))
    message = await formed(store, a_dispatch(), [tried, untried])
    await store.tried(message, [tried])

    await store.suppress([tried, untried], Step(Stage.INHIBIT, "retracted"))

    assert [await reach(store, one) for one in (tried, untried)] == [Reach.TOLD, Reach.NOT_TOLD]


async def test_what_was_told_stays_told_while_it_is_sent_again_and_if_that_is_silenced(store: NotifyStore) -> None:
    """INVARIANT: whoever was told of an overdue hears when it is taken back, also where it was being sent again."""
    [one] = await recorded(store, a_decided(1, kind=K.OVERDUE))
    await store.sent(await claimed(store, a_dispatch(), [one]), at=AT)
    again = replace(one, lane=Lane.RESEND, waits="r", resent=1)
    await store.resend([again], Step(Stage.SEND, "again"), at=AT)
    assert await reach(store, one) is Reach.TOLD

    await store.suppress([again], Step(Stage.INHIBIT, "retracted"))

    assert (await state_of(store, one)).state == "suppressed"
    assert await reach(store, one) is Reach.TOLD


async def test_what_never_went_out_is_not_told_because_somebody_asks_for_it_again(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1, kind=K.OVERDUE))
    await store.fail([one], Step(Stage.ROUTE, "no_contact"))

    await store.resend([replace(one, lane=Lane.RESEND, waits="r", resent=1)], Step(Stage.SEND, "again"), at=AT)

    assert await reach(store, one) is Reach.PENDING


async def test_what_has_failed_after_a_try_stays_told_when_it_is_sent_again(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1, kind=K.OVERDUE))
    await store.failed(await claimed(store, a_dispatch(), [one]), "smtp_550", at=AT)

    await store.resend([replace(one, lane=Lane.RESEND, waits="r", resent=1)], Step(Stage.SEND, "again"), at=AT)

    assert await reach(store, one) is Reach.TOLD


# -- alerts --------------------------------------------------------------------------------------------------------


async def test_the_first_decision_on_a_fact_stands(store: NotifyStore) -> None:
    first, other = a_decided(1, recipients=(AGENCY, HEAD)), a_decided(2)
    assert await record(store, first) == [first]

    repeated = replace(first, reason=R.TASK_SUBMITTED, recipients=())
    assert await record(store, repeated, other) == [other]
    assert not await record(store)

    assert [one.decided for one in await listed(store)] == [first, other]
    assert len(await states(store)) == 3


async def test_of_two_who_record_the_same_fact_one_is_first(store: NotifyStore) -> None:
    for number in range(30):
        results = await asyncio.gather(*(record(store, a_decided(number)) for _ in range(3)))

        assert sum(len(one) for one in results) == 1
    found = await listed(store)
    assert len(found) == 30
    assert all(len(one.deliveries) == 1 for one in found)


async def test_a_silent_alert_has_no_delivery_and_is_published_all_the_same(store: NotifyStore) -> None:
    silent = a_decided(1, reason=R.TASK_SUBMITTED)
    await record(store, silent)

    assert not await store.waiting([0], now=AT)
    assert list(await store.unpublished([silent.alert.alert_id])) == [silent]
    assert [one.state for one in await listed(store)] == ["silent"]


async def test_a_repeated_record_neither_revives_nor_postpones_a_delivery(store: NotifyStore) -> None:
    [one, other] = await recorded(store, a_decided(1), a_decided(2))
    await store.sent(await claimed(store, a_dispatch(), [one]), at=AT)

    await record(store, a_decided(1), a_decided(2), now=NOW + 9, not_before=AT + HOUR)

    assert await states(store) == [("sent", ""), ("pending", "")]
    assert await together(store, other) == [other.delivery_id]


@pytest.mark.connected
async def test_a_crash_between_deliveries_and_alert_loses_neither(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: an alert that is stored has its deliveries. A repeat after a crash makes up for the alert."""
    store = await prepared(database)

    class Dying:
        async def bulk_write(self, *_: Any, **__: Any) -> None:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(store, "_alerts", Dying())
        with pytest.raises(KilledError):
            await record(store, a_decided(1))
    assert await listed(store) == []

    assert await record(store, a_decided(1)) == [a_decided(1)]
    assert await states(store) == [("pending", "")]


async def test_published_alerts_are_left_over_no_longer(store: NotifyStore) -> None:
    later, earlier, foreign = a_decided(1, seq=7), a_decided(1, seq=6), a_decided(2, partition=3)
    await record(store, later, earlier, foreign)
    names = [one.alert.alert_id for one in (later, earlier)]

    assert list(await store.unpublished([*names, "unknown"])) == [earlier, later]
    assert not await store.leftovers([0], recorded_before=NOW)
    assert not await store.leftovers([], recorded_before=NOW + 1)
    assert list(await store.leftovers([0], recorded_before=NOW + 1)) == [earlier, later]

    await store.published([later.alert.alert_id])
    assert list(await store.leftovers([0, 3], recorded_before=NOW + 1)) == [foreign, earlier]
    assert not await store.unpublished([later.alert.alert_id])


# -- deliveries that wait ------------------------------------------------------------------------------------------


async def test_a_delivery_waits_its_time_in_its_slot(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1), not_before=AT + SECOND)
    [other] = await recorded(store, a_decided(2, directive="TB-2"), slot=3)

    assert await store.waiting([0], now=AT) == []
    assert await store.waiting([], now=AT + HOUR) == []
    assert await store.waiting([0], now=AT + SECOND) == [one.waits]
    assert await store.waiting([0, 3, 5], now=AT + SECOND) == sorted([one.waits, other.waits])
    assert await store.together(one.waits, now=AT, limit=10) == []
    assert await store.together(one.waits, now=AT + SECOND, limit=10) == [one]


async def test_what_waits_together_is_named_once_and_comes_oldest_first(store: NotifyStore) -> None:
    deliveries = []
    for number, hours in ((1, 2), (2, 1), (3, 3), (4, 5)):
        deliveries += await recorded(store, a_decided(number), not_before=AT + hours * HOUR)
    await record(store, a_decided(5, kind=K.ENDED), not_before=AT)
    first, second, third, _ = (one.delivery_id for one in deliveries)

    assert len(await store.waiting([0], now=AT + 3 * HOUR)) == 2
    assert await together(store, deliveries[0], now=AT + 3 * HOUR) == [second, first, third]
    assert await together(store, deliveries[0], now=AT + 3 * HOUR, limit=2) == [second, first]


async def test_what_waits_about_a_task_is_found_whenever_its_time_comes(store: NotifyStore) -> None:
    [early] = await recorded(store, a_decided(1))
    [late] = await recorded(store, a_decided(1, seq=6, kind=K.OVERDUE), lane=Lane.DIGEST, not_before=AT + 9 * HOUR)
    [attached, ended] = await recorded(store, a_decided(1, seq=7), a_decided(1, seq=8))
    await record(store, a_decided(2))
    await formed(store, a_dispatch(), [attached])
    await store.suppress([ended], STEP)

    assert ids(await store.waiting_of([task_id(1)])) == ids([early, late])
    assert len(await store.waiting_of([task_id(1), task_id(2)])) == 3
    assert not await store.waiting_of([task_id(3)])


async def test_what_is_held_waits_on_and_says_why(store: NotifyStore) -> None:
    one, other = await recorded(store, a_decided(1), a_decided(2))

    await store.hold([one], Step(Stage.MUTE, "office_closed"), until=AT + HOUR)

    assert await together(store, one) == [other.delivery_id]
    assert await together(store, one, now=AT + HOUR) == [other.delivery_id, one.delivery_id]
    state = await state_of(store, one)
    assert (state.state, state.not_before, state.steps) == (
        "pending",
        AT + HOUR,
        (Step(Stage.MUTE, "office_closed"),),
    )


async def test_only_the_last_words_on_a_delivery_are_kept(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1))

    for number in range(STEPS_KEPT + 5):
        await store.hold([one], Step(Stage.MUTE, f"{number}"), until=AT)

    said = [int(step.reason) for step in (await state_of(store, one)).steps]
    assert said == list(range(5, STEPS_KEPT + 5))


async def test_what_is_in_a_message_or_has_ended_is_neither_held_nor_moved(store: NotifyStore) -> None:
    attached, ended = await recorded(store, a_decided(1), a_decided(2))
    await formed(store, a_dispatch(), [attached])
    await store.fail([ended], Step(Stage.ROUTE, "no_contact"))

    await store.hold([attached, ended], Step(Stage.MUTE, "late"), until=AT + HOUR, silence_id="s1")
    elsewhere = [replace(one, waits="elsewhere") for one in (attached, ended)]
    await store.move(elsewhere, Step(Stage.ROUTE, "late"), not_before=AT)

    assert not await store.waiting([0], now=AT + 9 * HOUR)
    assert [(await state_of(store, one)).not_before for one in (attached, ended)] == [AT, AT]
    assert "late" not in {step.reason for one in (attached, ended) for step in (await state_of(store, one)).steps}


async def test_what_became_of_a_delivery_is_final(store: NotifyStore) -> None:
    """INVARIANT: sent, failed and suppressed are last words; whoever comes late changes nothing."""
    sent, failed, silenced = await recorded(store, *(a_decided(number) for number in (1, 2, 3)))
    message = await claimed(store, a_dispatch(), [sent])
    await store.sent(message, at=AT)
    await store.fail([failed], Step(Stage.ROUTE, "no_contact"))
    await store.suppress([silenced], Step(Stage.INHIBIT, "task_submitted"))

    late = Step(Stage.SEND, "late")
    await store.fail([sent, silenced], late)
    await store.suppress([sent, failed], late)
    await store.attach(await formed(store, a_dispatch("m2")), [sent, failed, silenced], late, now=NOW)
    await store.hold([sent, failed, silenced], late, until=AT)

    assert await states(store) == [("sent", ""), ("failed", "no_contact"), ("suppressed", "task_submitted")]
    assert await store.deliveries_of("m2") == []
    assert [one.message_id for alert in await listed(store) for one in alert.deliveries] == ["m1", None, None]
    assert not await store.waiting([0], now=AT + 9 * HOUR)
    assert (await state_of(store, sent)).sent_at == AT


async def test_what_moves_waits_elsewhere(store: NotifyStore) -> None:
    one, other = await recorded(store, a_decided(1, kind=K.RESULT_RETURNED), a_decided(2, kind=K.RESULT_RETURNED))
    moved = replace(one, lane=Lane.DIGEST, waits="email|H48/H48.22|digest", slot=4, is_folded=True)

    await store.move([moved], Step(Stage.GROUP, "too_many_in_an_hour"), not_before=AT + HOUR)

    assert await together(store, one) == [other.delivery_id]
    assert not await store.waiting([4], now=AT)
    assert await store.waiting([4], now=AT + HOUR) == [moved.waits]
    assert await store.together(moved.waits, now=AT + HOUR, limit=10) == [moved]
    assert (await state_of(store, one)).steps == (Step(Stage.GROUP, "too_many_in_an_hour"),)


async def test_what_moves_together_keeps_what_each_was(store: NotifyStore) -> None:
    """A digest's deliveries move to a successor: those that were folded stay so, and the others do not become so."""
    folded = await recorded(store, a_decided(1), lane=Lane.DIGEST, is_folded=True)
    plain = await recorded(store, a_decided(2), a_decided(3), lane=Lane.DIGEST)
    moved = [replace(one, waits="elsewhere", slot=4) for one in (*folded, *plain)]

    await store.move(moved, Step(Stage.ROUTE, "read by H48/H48.22"), not_before=AT)

    found = await store.together("elsewhere", now=AT, limit=10)
    assert sorted(found, key=lambda one: one.delivery_id) == moved


# -- forming -------------------------------------------------------------------------------------------------------


async def test_a_message_is_begun_once_and_again_only_while_it_is_forming(store: NotifyStore) -> None:
    """INVARIANT: a message is formed once: whoever comes when it is ready finds it gone."""
    assert await store.open(a_dispatch())
    assert await store.open(a_dispatch())
    assert await store.ready(a_dispatch())
    assert not await store.open(a_dispatch())
    # Who was forming it as well may finish: it has not gone yet.
    assert await store.ready(a_dispatch())

    message = await store.claim(a_dispatch(), until=NOW + 60)
    assert message is not None
    assert not await store.open(a_dispatch())
    await store.sent(message, at=AT)

    assert not await store.ready(a_dispatch())
    assert not await store.open(a_dispatch())
    assert await due(store, now=NOW + 99) == []
    assert await store.open(a_dispatch("m2"))


async def test_of_two_who_begin_a_message_both_may_form_the_one(store: NotifyStore) -> None:
    assert await asyncio.gather(*(store.open(a_dispatch()) for _ in range(5))) == [True] * 5
    await store.ready(a_dispatch())
    assert await due(store) == ["m1"]


async def test_only_what_waits_is_put_into_a_message(store: NotifyStore) -> None:
    one, two, other = await recorded(store, *(a_decided(number) for number in (1, 2, 3)))
    await store.open(a_dispatch("m1"))
    await store.attach(a_dispatch("m1"), [one], STEP, now=NOW)

    await store.open(a_dispatch("m2"))
    await store.attach(a_dispatch("m2"), [one, two], STEP, now=NOW)

    assert ids(await store.deliveries_of("m1")) == ids([one])
    assert ids(await store.deliveries_of("m2")) == ids([two])
    assert await store.deliveries_of("m1") == [replace(one, waits="")]
    assert await together(store, other) == [other.delivery_id]
    state = await state_of(store, one)
    assert (state.state, state.message_id, state.steps) == ("pending", "m1", (STEP,))


async def test_a_message_that_is_forming_is_not_sent_and_a_crashs_leftover_is_found(store: NotifyStore) -> None:
    await store.open(a_dispatch("m1", formed_at=NOW))
    await store.open(a_dispatch("m2", formed_at=NOW, slot=3))
    await formed(store, a_dispatch("m3", formed_at=NOW))

    assert await due(store) == ["m3"]
    assert not await store.unready([0], formed_before=NOW)
    assert await store.unready([0], formed_before=NOW + 1) == [a_dispatch("m1", formed_at=NOW)]
    assert not await store.unready([], formed_before=NOW + 1)


async def test_a_message_is_read_as_it_was_begun(store: NotifyStore) -> None:
    digest = a_dispatch("d", kind=DIGEST, day=date(2024, 10, 21), channel="email", desk=HEADS_DESK, role=Role.HEAD)
    summary = a_dispatch("s", kind=SUMMARY, month="2024-10", channel="email", desk=OTHER_DESK)
    alarm = a_dispatch("a", kind="escalation", level=2, passes=True, channel="email")
    for one in (digest, summary, alarm):
        await formed(store, one)

    found = {one.dispatch_id: one for one in await store.due([0], "email", now=NOW, at=AT, busy=(), limit=10)}
    assert found == {"d": digest, "s": summary, "a": alarm}


async def test_messages_of_their_own_are_counted_by_desk_channel_and_hour(store: NotifyStore) -> None:
    messages: dict[str, dict[str, Any]] = {
        "m1": {},
        "m2": {"formed": "2024-10-21 08:30", "kind": "escalation"},
        "m3": {"formed": "2024-10-21 08:00"},
        "m4": {"kind": DIGEST, "day": date(2024, 10, 21)},
        "m5": {"kind": SUMMARY, "month": "2024-10"},
        "m6": {"desk": OTHER_DESK},
        "m7": {"desk": HEADS_DESK},
        "m8": {"channel": "webhook"},
    }
    for name, changes in messages.items():
        await store.open(a_dispatch(name, **changes))

    assert await store.formed_since(DESK, "email", AT - HOUR) == 2
    assert await store.formed_since(DESK, "email", AT - 2 * HOUR) == 3
    assert await store.formed_since(DESK, "webhook", AT - HOUR) == 1
    assert await store.formed_since(HEADS_DESK, "email", AT - HOUR) == 1
    assert await store.formed_since(Desk("H49", "H48.21"), "email", AT - HOUR) == 0


async def test_a_digest_compares_itself_with_the_last_one_that_went_out_before_its_day(store: NotifyStore) -> None:
    async def went_out(name: str, day: int, listed: Mapping[str, str] | None, **changes: Any) -> None:
        digest = {"kind": DIGEST, "day": date(2024, 10, day), "formed": f"2024-10-{day} 08:01", **changes}
        await store.sent(await claimed(store, a_dispatch(name, **digest)), at=AT, listed=listed)

    await went_out("d1", 17, {task_id(1): "due_soon"})
    await went_out("d2", 18, {task_id(1): "overdue", "H48/a.b/$c/H48.21": "due_soon"})
    await went_out("d3", 21, {task_id(3): "overdue"})
    await went_out("d4", 18, {task_id(4): "overdue"}, desk=OTHER_DESK)
    await went_out("d5", 18, {task_id(5): "overdue"}, desk=HEADS_DESK)
    await went_out("d6", 18, {task_id(6): "overdue"}, channel="webhook")
    # Nothing was left to be said, it has failed, or it is no digest: nobody has read them.
    await store.empty(await claimed(store, a_dispatch("d7", kind=DIGEST, day=date(2024, 10, 19))))
    await store.failed(await claimed(store, a_dispatch("d8", kind=DIGEST, day=date(2024, 10, 20))), "x", at=AT)
    await store.sent(await claimed(store, a_dispatch("d9")), at=AT)

    found = await store.listed_before(DESK, "email", date(2024, 10, 21))
    assert found == {task_id(1): "overdue", "H48/a.b/$c/H48.21": "due_soon"}
    assert await store.listed_before(DESK, "email", date(2024, 10, 22)) == {task_id(3): "overdue"}
    assert await store.listed_before(DESK, "email", date(2024, 10, 18)) == {task_id(1): "due_soon"}
    assert await store.listed_before(DESK, "email", date(2024, 10, 17)) == {}
    assert await store.listed_before(OTHER_DESK, "email", date(2024, 10, 21)) == {task_id(4): "overdue"}
    assert await store.listed_before(HEADS_DESK, "email", date(2024, 10, 21)) == {task_id(5): "overdue"}
    assert await store.listed_before(DESK, "webhook", date(2024, 10, 21)) == {task_id(6): "overdue"}


async def test_a_digest_that_listed_nothing_is_what_the_next_one_compares_itself_with(store: NotifyStore) -> None:
    for name, day, listed in (("d1", 17, {task_id(1): "overdue"}), ("d2", 18, {})):
        digest = a_dispatch(name, kind=DIGEST, day=date(2024, 10, day), formed=f"2024-10-{day} 08:01")
        await store.sent(await claimed(store, digest), at=AT, listed=listed)

    assert await store.listed_before(DESK, "email", date(2024, 10, 21)) == {}


# -- what came too late for its message ----------------------------------------------------------------------------


async def test_what_was_in_no_try_waits_again_where_its_message_was_sent(store: NotifyStore) -> None:
    """INVARIANT: what is put into a message by a replica that is late neither counts as sent nor stays behind."""
    told, late = await recorded(store, a_decided(1), a_decided(2))
    message = await store.claim(await formed(store, a_dispatch(), [told, late]), until=NOW + 60)
    assert message is not None
    await store.tried(message, [told])
    assert {one.delivery_id: one.is_tried for one in await store.deliveries_of("m1")} == {
        told.delivery_id: True,
        late.delivery_id: False,
    }

    await store.sent(message, at=AT)

    assert await states(store) == [("sent", ""), ("pending", "")]
    assert await store.together(late.waits, now=AT, limit=10) == [late]
    assert (await state_of(store, late)).message_id is None


async def test_what_was_in_no_try_waits_again_where_nothing_was_left_to_be_said(store: NotifyStore) -> None:
    settled, late = await recorded(store, a_decided(1), a_decided(2))
    message = await claimed(store, a_dispatch(), [settled])
    await store.suppress([settled], Step(Stage.INHIBIT, "task_submitted"))
    await store.attach(message, [late], STEP, now=NOW)

    await store.empty(message)

    assert await states(store) == [("suppressed", "task_submitted"), ("pending", "")]
    assert await store.together(late.waits, now=AT, limit=10) == [late]


async def test_who_finds_the_message_gone_takes_back_what_was_put_in(store: NotifyStore) -> None:
    one, told, settled, other = await recorded(store, *(a_decided(number) for number in (1, 2, 3, 4)))
    message = await claimed(store, a_dispatch(), [told, settled])
    await store.suppress([settled], STEP)
    await store.sent(message, at=AT)
    await formed(store, a_dispatch("m2"), [other])
    await store.attach(a_dispatch(), [one], STEP, now=NOW)
    assert not await store.ready(a_dispatch())

    assert await store.release("m1") == 1
    assert await store.release("m1") == 0

    assert await store.waiting([0], now=AT) == [one.waits]
    assert await store.together(one.waits, now=AT, limit=10) == [one]
    assert ids(await store.deliveries_of("m2")) == ids([other])
    assert [state for state, _ in await states(store)] == ["pending", "sent", "suppressed", "pending"]
    # It can be put into another message, and held, like any other.
    await store.hold([one], Step(Stage.DEDUP, "digest has left"), until=AT + HOUR)
    assert await together(store, one) == []


async def test_what_a_crash_left_in_a_message_that_has_gone_is_found(store: NotifyStore) -> None:
    """INVARIANT: no delivery stays in a message that has ended without having been told in it."""
    told, left, foreign, new = await recorded(store, *(a_decided(number) for number in (1, 2, 3, 4)))
    waits = (await recorded(store, a_decided(5), slot=3))[0]
    for number, late in enumerate((left, foreign, new, waits)):
        await store.sent(await claimed(store, a_dispatch(f"m{number}"), [told] if not number else []), at=AT)
        await store.attach(a_dispatch(f"m{number}"), [late], STEP, now=NOW - 9 + number)
    await formed(store, a_dispatch("open"), await recorded(store, a_decided(6)))

    async def stranded(slots: Sequence[int] = (0, 3), before: float = NOW + 9, limit: int = 10) -> list[str]:
        return sorted(await store.stranded(slots, attached_before=before, limit=limit))

    assert await stranded() == ["m0", "m1", "m2", "m3"]
    assert await stranded([0]) == ["m0", "m1", "m2"]
    assert await stranded([]) == []
    assert await stranded(before=NOW - 9) == []
    assert await stranded(before=NOW - 8) == ["m0"]
    assert await stranded(limit=1) == ["m0"]

    for name in await stranded():
        await store.release(name)
    assert await stranded() == []
    assert await store.waiting([0, 3], now=AT) == sorted({left.waits, waits.waits})
    assert len(await store.together(left.waits, now=AT, limit=10)) == 4


async def test_a_message_that_was_told_leaves_nothing_stranded(store: NotifyStore) -> None:
    for number, outcome in enumerate(("sent", "failed", "empty", "suppressed")):
        [one] = await recorded(store, a_decided(number))
        message = await claimed(store, a_dispatch(outcome), [one])
        match outcome:
            case "sent":
                await store.sent(message, at=AT)
            case "failed":
                await store.failed(message, "smtp_550", at=AT)
            case _:
                await store.suppress([one], STEP)
                await store.empty(message)

    assert await store.stranded([0], attached_before=NOW + 9, limit=10) == []


# -- sending -------------------------------------------------------------------------------------------------------


async def test_messages_are_due_by_channel_slot_and_both_times(store: NotifyStore) -> None:
    await formed(store, a_dispatch("m1", formed_at=NOW + 2))
    await formed(store, a_dispatch("m2", formed_at=NOW, slot=3))
    await formed(store, a_dispatch("m3", formed_at=NOW, channel="webhook"))
    await formed(store, a_dispatch("m4", formed_at=NOW, formed="2024-10-21 10:00"))

    assert await due(store) == []
    assert await due(store, now=NOW + 2) == ["m1"]
    assert await due(store, at=AT + HOUR) == ["m4"]
    assert await due(store, slots=[3]) == ["m2"]
    assert await due(store, channel="webhook") == ["m3"]
    assert await due(store, slots=[]) == []


async def test_the_oldest_message_of_each_desk_that_is_not_busy_comes_oldest_first(store: NotifyStore) -> None:
    """One desk with much to hear takes one sender, and leaves the others to others."""
    for number, desk in enumerate((OTHER_DESK, DESK, HEADS_DESK, DESK)):
        await formed(store, a_dispatch(f"m{number}", desk=desk, formed_at=NOW - number))

    assert await due(store) == ["m3", "m2", "m0"]
    assert await due(store, limit=2) == ["m3", "m2"]
    assert await due(store, busy=[DESK.key]) == ["m2", "m0"]
    assert await due(store, busy=[DESK.key, HEADS_DESK.key, OTHER_DESK.key]) == []


async def test_of_two_who_claim_a_message_one_gets_it(store: NotifyStore) -> None:
    """INVARIANT: while two replicas both believe to own a slot, each message goes out through one of them."""
    for number in range(20):
        message = await formed(store, a_dispatch(f"m{number}"))
        found = await asyncio.gather(*(store.claim(message, until=NOW + 60) for _ in range(3)))

        assert [one for one in found if one is not None] == [replace(message, attempts=1)]


async def test_what_was_claimed_comes_up_again_under_its_name_unless_somebody_notes_an_outcome(
    store: NotifyStore,
) -> None:
    message = await claimed(store, a_dispatch())

    assert await due(store, now=NOW + 59) == []
    [again] = await store.due([0], "email", now=NOW + 60, at=AT, busy=(), limit=10)
    assert again == replace(message, is_tried=True)
    assert again.attempts == 1
    assert (await store.claim(a_dispatch(), until=NOW + 99)) is None
    assert (await store.claim(again, until=NOW + 99)) == replace(again, attempts=2)


async def test_a_message_is_about_what_was_not_silenced_meanwhile(store: NotifyStore) -> None:
    one, two, three = await recorded(store, *(a_decided(number) for number in (3, 1, 2)))
    message = await claimed(store, a_dispatch(), [one, two, three])

    await store.suppress([three], Step(Stage.INHIBIT, "task_submitted"))

    assert [found.delivery_id for found in await store.deliveries_of("m1")] == [two.delivery_id, one.delivery_id]
    await store.sent(message, at=AT)
    assert await store.deliveries_of("m1") == []
    assert await states(store) == [("sent", ""), ("suppressed", "task_submitted"), ("sent", "")]


async def test_what_became_of_a_message_is_final_and_its_deliveries_share_it(store: NotifyStore) -> None:
    one, two = await recorded(store, a_decided(1), a_decided(2))
    sent = await claimed(store, a_dispatch("m1"), [one])
    failed = await claimed(store, a_dispatch("m2"), [two])
    await store.sent(sent, at=AT)
    await store.failed(failed, "smtp_550", at=AT)

    await store.failed(sent, "late", at=AT)
    await store.empty(sent)
    await store.sent(failed, at=AT + HOUR)
    await store.empty(failed)
    for message in (sent, failed):
        await store.postponed(message, "late", until=NOW)
        assert await store.claim(message, until=NOW) is None

    assert await due(store, now=NOW + 999) == []
    assert [one.deliveries[0] for one in await listed(store)] == [
        DeliveryState(
            one.delivery_id, "H48.21", "agency", "email", "sent", "", 1, AT, AT, "m1", (STEP, Step(Stage.SEND, "sent"))
        ),
        DeliveryState(
            two.delivery_id,
            "H48.21",
            "agency",
            "email",
            "failed",
            "smtp_550",
            1,
            AT,
            None,
            "m2",
            (STEP, Step(Stage.SEND, "smtp_550")),
        ),
    ]
    assert [one.state for one in await listed(store)] == ["sent", "failed"]


async def test_an_empty_message_is_over(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1))
    message = await claimed(store, a_dispatch(), [one])
    await store.suppress([one], Step(Stage.INHIBIT, "task_submitted"))

    await store.empty(message)

    assert await due(store, now=NOW + 999) == []
    assert not await store.open(a_dispatch())
    assert await states(store) == [("suppressed", "task_submitted")]
    assert await store.pending_count([0]) == 0


@pytest.mark.parametrize("outcome", ["sent", "failed"])
async def test_what_a_crash_left_half_noted_is_finished(
    store: NotifyStore, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: a message that went out is not sent again for a crash between its note and its deliveries'."""
    one, other = await recorded(store, a_decided(1, kind=K.OVERDUE), a_decided(2))
    message = await claimed(store, a_dispatch(), [one])

    def killed(_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(store, "_settle", killed)
        with pytest.raises(KilledError):
            await (store.sent(message, at=AT) if outcome == "sent" else store.failed(message, "smtp_550", at=AT))

    assert await due(store, now=NOW + 999) == []
    assert (await state_of(store, one)).state == "pending"
    assert await reach(store, one) is Reach.TOLD
    assert await store.unsettled([3]) == 0
    assert await store.unsettled([0, 1]) == 1

    assert (await state_of(store, one)).state == outcome
    assert (await state_of(store, one)).steps[-1] == Step(Stage.SEND, "sent" if outcome == "sent" else "smtp_550")
    assert (await state_of(store, other)).state == "pending"
    assert await store.unsettled([0, 1]) == 0


async def test_a_postponed_message_comes_up_again_and_its_deliveries_say_why(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1))
    message = await claimed(store, a_dispatch(), [one])

    await store.postponed(message, "smtp_451", until=NOW + 30)
    assert await due(store, now=NOW + 29) == []
    assert await due(store, now=NOW + 30) == ["m1"]
    state = await state_of(store, one)
    assert (state.state, state.cause, state.attempts, state.message_id) == ("pending", "smtp_451", 1, "m1")

    await store.postponed(message, "office_closed", until=NOW, not_before=AT + HOUR)
    assert await due(store) == []
    assert await due(store, at=AT + HOUR) == ["m1"]
    assert (await store.claim(message, until=NOW + 60)) == replace(message, attempts=2, is_tried=True)

    await store.sent(replace(message, attempts=2, is_tried=True), at=AT)
    assert (await state_of(store, one)).cause == ""


async def test_messages_that_wait_are_counted_whatever_they_wait_for(store: NotifyStore) -> None:
    await store.open(a_dispatch("forming"))
    await formed(store, a_dispatch("ready"))
    await formed(store, a_dispatch("later", formed="2024-10-25 09:00", channel="webhook"))
    await formed(store, a_dispatch("elsewhere", slot=3))
    await claimed(store, a_dispatch("on its way"))
    await store.sent(await claimed(store, a_dispatch("sent")), at=AT)

    assert await store.pending_count([0]) == 3
    assert await store.pending_count([0, 3]) == 4
    assert await store.pending_count([]) == 0


# -- who cannot be reached -----------------------------------------------------------------------------------------


async def test_an_address_is_disabled_with_its_first_cause_on_one_channel(store: NotifyStore) -> None:
    await store.disable("webhook", "https://a.example", "http_410", at=AT)
    await store.disable("webhook", "https://a.example", "later", at=AT)

    assert await store.disabled("webhook", "https://a.example") == "http_410"
    assert await store.disabled("email", "https://a.example") is None
    assert await store.disabled("webhook", "https://b.example") is None


async def test_who_cannot_be_reached_is_news_until_it_is_told(store: NotifyStore) -> None:
    assert await store.unreachable("H48") == ([], None)
    await store.note_unreachable(DESK, "agency", "email", "no_contact", at=AT)
    await store.note_unreachable(DESK, "agency", "email", "$5.7.1 refused", at=AT + HOUR)
    await store.note_unreachable(HEADS_DESK, "head", "email", "smtp_550", at=AT + 2 * HOUR)
    await store.note_unreachable(Desk("H49", "H49.21"), "agency", "email", "no_contact", at=AT - HOUR)

    rows, news = await store.unreachable("H48")
    assert set(rows) == {
        Unreachable("H48.21", "agency", "email", "$5.7.1 refused", 2),
        Unreachable("H48.21", "head", "email", "smtp_550", 1),
    }
    assert news == AT

    await store.told_unreachable("H48", up_to=AT + HOUR)
    rows, news = await store.unreachable("H48")
    assert (len(rows), news) == (2, AT + 2 * HOUR)
    await store.told_unreachable("H48", up_to=AT + 2 * HOUR)
    assert (await store.unreachable("H48"))[1] is None
    assert (await store.unreachable("H49"))[1] == AT - HOUR

    await store.note_unreachable(DESK, "agency", "email", "smtp_551", at=AT + 3 * HOUR)
    rows, news = await store.unreachable("H48")
    assert Unreachable("H48.21", "agency", "email", "smtp_551", 3) in rows
    assert news == AT + 3 * HOUR


async def test_who_is_reached_again_is_no_longer_named(store: NotifyStore) -> None:
    for desk, role, channel in ((DESK, "agency", "email"), (DESK, "head", "email"), (DESK, "agency", "webhook")):
        await store.note_unreachable(desk, role, channel, "no_contact", at=AT)

    await store.reached(DESK, "email")
    await store.reached(OTHER_DESK, "webhook")

    rows, _ = await store.unreachable("H48")
    assert {(one.role, one.channel) for one in rows} == {("agency", "webhook")}


# -- silences ------------------------------------------------------------------------------------------------------


async def test_a_silence_with_a_known_id_stays_as_it_is(store: NotifyStore) -> None:
    silence = a_silence(directive="TB-1", task_id=task_id(1))
    assert await store.add_silence(silence) == silence
    assert await store.add_silence(replace(silence, reason="khác", agency=None)) == silence
    elsewhere = replace(silence, province="H49", reason="khác")
    assert await store.add_silence(elsewhere) == elsewhere

    assert await store.silences("H48") == [silence]
    assert await store.silences("H49") == [elsewhere]
    assert await store.silences("H50") == []


async def test_silences_come_newest_first_and_those_that_hold_from_start_to_end(store: NotifyStore) -> None:
    past = a_silence("2024-10-10 00:00", silence_id="past")
    present = a_silence("2024-11-01 00:00", starts="2024-10-15 00:00", silence_id="present")
    future = a_silence("2024-12-01 00:00", starts="2024-11-15 00:00", silence_id="future")
    for one in (present, past, future):
        await store.add_silence(one)

    async def holding(instant: str) -> list[str]:
        return [one.silence_id for one in await store.silences("H48", active_at=at(instant))]

    assert await store.silences("H48") == [future, present, past]
    assert await holding("2024-10-20 00:00") == ["present"]
    assert await holding("2024-10-15 00:00") == ["present"]
    assert await holding("2024-11-01 00:00") == []
    assert await holding("2024-10-09 23:59") == ["past"]


async def test_ending_a_silence_releases_what_it_held_back(store: NotifyStore) -> None:
    """What is told on its own goes at once, what belongs into a digest with the next one, and nothing else moves."""
    digest, far = AT + 23 * HOUR, AT + 500 * HOUR
    for silence in (a_silence(), a_silence(silence_id="s2"), a_silence(silence_id="s1", province="H49")):
        await store.add_silence(silence)
    own = await recorded(store, a_decided(1, directive="TB-1"), not_before=far, silence_id="s1")
    listed = await recorded(store, a_decided(2), not_before=far, silence_id="s1", lane=Lane.DIGEST)
    held = await recorded(store, a_decided(3, directive="TB-3"))
    await store.hold(held, Step(Stage.SILENCE, "silenced: s1"), until=far, silence_id="s1")
    others = await recorded(store, a_decided(4, directive="TB-4"), not_before=far, silence_id="s2")
    others += await recorded(store, a_decided(5, province="H49", directive="TB-5"), not_before=far, silence_id="s1")
    others += await recorded(store, a_decided(6, directive="TB-6"), not_before=far)
    soon = await recorded(
        store, a_decided(7, directive="TB-7"), not_before=AT + HOUR, silence_id="s1", lane=Lane.DIGEST, waits="soon"
    )

    ended = await store.end_silence("H48", "s1", at=AT, digest=digest)

    assert ended == replace(a_silence(), ends_at=AT)
    assert await store.silences("H48", active_at=AT) == [a_silence(silence_id="s2")]
    assert await store.waiting([0], now=AT) == sorted({one.waits for one in (*own, *held)})
    assert [(await state_of(store, one)).not_before for one in listed] == [digest]
    assert [(await state_of(store, one)).not_before for one in others] == [far] * 3
    assert [(await state_of(store, one)).not_before for one in soon] == [AT + HOUR]
    assert await store.end_silence("H48", "unknown", at=AT, digest=digest) is None
    assert await store.end_silence("H50", "s1", at=AT, digest=digest) is None


async def test_a_silence_that_is_over_does_not_end_again(store: NotifyStore) -> None:
    await store.add_silence(a_silence())
    await store.end_silence("H48", "s1", at=AT, digest=AT)

    assert await store.end_silence("H48", "s1", at=AT + HOUR, digest=AT + HOUR) == replace(a_silence(), ends_at=AT)
    assert await store.add_silence(a_silence()) == replace(a_silence(), ends_at=AT)


# -- sending again -------------------------------------------------------------------------------------------------


async def test_what_was_sent_or_has_failed_can_be_sent_again(store: NotifyStore) -> None:
    decided = a_decided(1, recipients=(AGENCY, HEAD, STANDING, Recipient("H48.07", Role.REVIEWER)))
    sent, failed, silenced, waiting = await recorded(store, decided)
    await store.sent(await claimed(store, a_dispatch(), [sent]), at=AT)
    await store.fail([failed], Step(Stage.ROUTE, "no_contact"))
    await store.suppress([silenced], STEP)

    found = await store.deliveries_about(decided.alert.alert_id)
    assert [one.delivery_id for one in found] == sorted(ids([sent, failed]))
    assert await store.deliveries_about("unknown") == []

    assert {one.is_tried for one in found if one.delivery_id == sent.delivery_id} == {True}
    again = [replace(one, lane=Lane.RESEND, waits="r|1", slot=2, resent=1) for one in (*found, silenced, waiting)]
    step = Step(Stage.SEND, "again, asked by H48.07")
    assert await store.resend(again, step, at=AT + HOUR) == 2
    assert await store.resend(again, step, at=AT + HOUR) == 0

    assert await store.waiting([2], now=AT + HOUR) == ["r|1"]
    ups = await store.together("r|1", now=AT + HOUR, limit=10)
    assert sorted(ups, key=lambda one: one.delivery_id) == [replace(one, is_tried=False) for one in again[:2]]
    state = await state_of(store, failed)
    assert (state.state, state.cause, state.message_id, state.attempts, state.not_before) == (
        "pending",
        "",
        None,
        0,
        AT + HOUR,
    )
    assert state.steps[-1] == step
    assert await store.deliveries_about(decided.alert.alert_id) == []
    assert (await state_of(store, silenced)).state == "suppressed"


async def test_what_is_sent_again_goes_out_in_a_message_of_its_own(store: NotifyStore) -> None:
    [one] = await recorded(store, a_decided(1))
    await store.sent(await claimed(store, a_dispatch("m1"), [one]), at=AT)
    again = replace(one, lane=Lane.RESEND, waits="r|1", resent=1)
    await store.resend([again], Step(Stage.SEND, "again"), at=AT)

    assert await store.deliveries_of("m1") == []
    await store.failed(await claimed(store, a_dispatch("m2"), [again]), "smtp_550", at=AT + HOUR)

    state = await state_of(store, one)
    # When it did go out is still true.
    assert (state.state, state.cause, state.message_id, state.sent_at) == ("failed", "smtp_550", "m2", AT)


# -- reading -------------------------------------------------------------------------------------------------------


async def test_one_alert_is_found_with_its_deliveries(store: NotifyStore) -> None:
    decided = a_decided(1, recipients=(AGENCY, HEAD))
    await record(store, decided, a_decided(2))

    found = await store.find_alert(decided.alert.alert_id)

    assert found is not None
    assert found.decided == decided
    assert [(one.agency, one.role, one.state) for one in found.deliveries] == [
        ("H48.21", "agency", "pending"),
        ("H48.21", "head", "pending"),
    ]
    assert await store.find_alert("unknown") is None


async def test_alerts_are_read_by_filter_and_page(store: NotifyStore) -> None:
    await record(
        store,
        a_decided(1),
        a_decided(2, kind=K.OVERDUE),
        a_decided(3, reason=R.TASK_ENDED),
        a_decided(4, agency="H48.22", directive="TB-2"),
        a_decided(5, province="H49"),
    )

    async def found(after: str | None = None, limit: int = 10, **filters: str) -> list[str]:
        page = await store.list_alerts(filters, after=after, limit=limit)
        return [one.decided.alert.task_id.split("/")[2] for one in page]

    assert await found() == ["II.1", "II.2", "II.3", "II.4", "II.5"]
    assert await found(kind="overdue") == ["II.2"]
    assert await found(outcome="silent") == ["II.3"]
    assert await found(agency="H48.22") == ["II.4"]
    assert await found(directive="TB-2") == ["II.4"]
    assert await found(directive="TB-2", agency="H48.21") == []
    assert await found(province="H49") == ["II.5"]
    assert await found(task_id=task_id(1), outcome="notify") == ["II.1"]
    assert await found(limit=2) == ["II.1", "II.2"]
    assert await found(after=a_decided(2).alert.alert_id, limit=2) == ["II.3", "II.4"]
    assert await found(after=a_decided(5).alert.alert_id) == []


async def test_a_reader_finds_the_alerts_about_it_and_those_it_hears(store: NotifyStore) -> None:
    """INVARIANT: an agency reads what concerns it and nothing else (ADR 0010)."""
    own = a_decided(1)
    heard = a_decided(2, recipients=(AGENCY, STANDING))
    silent = a_decided(3, reason=R.TASK_SUBMITTED, agency="H48.22")
    elsewhere = a_decided(4, province="H49")
    await record(store, own, heard, silent, elsewhere)

    async def found(reader: str | None, **filters: str) -> list[Decided]:
        alerts = await store.list_alerts({"province": "H48", **filters}, after=None, limit=10, reader=reader)
        return [one.decided for one in alerts]

    assert await found("H48.21") == [own, heard]
    assert await found("H48.07") == [heard]
    assert await found("H48.22") == [silent]
    assert await found("H48.22", agency="H48.21") == []
    assert await found("H48.99") == []
    assert await found(None) == [own, heard, silent]


# -- forgetting ----------------------------------------------------------------------------------------------------


async def test_what_is_old_and_over_is_forgotten_and_what_waits_is_kept(
    store: NotifyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: nothing that is still to be told is forgotten, however old it is."""
    monkeypatch.setattr("services.notify.mongo.PURGE_PAGE", 2)
    old = AT - timedelta(days=500)
    over, waits, on_its_way, fresh = (
        a_decided(1, decided_at=old),
        a_decided(2, decided_at=old),
        a_decided(3, decided_at=old),
        a_decided(4),
    )
    sent, waiting, moving, new = await recorded(store, over, waits, on_its_way, fresh)
    long_ago = "2023-06-01 09:00"
    await store.sent(await claimed(store, a_dispatch("m1", formed=long_ago), [sent]), at=AT)
    await formed(store, a_dispatch("m2", formed=long_ago), [moving])
    await store.open(a_dispatch("m3", formed=long_ago))
    await store.empty(await claimed(store, a_dispatch("m4", formed=long_ago)))
    await store.sent(await claimed(store, a_dispatch("m5"), [new]), at=AT)

    counts = await store.purge(older_than=AT - timedelta(days=400), agencies_ended_before=ON)

    assert counts == {"alerts": 3, "deliveries": 1, "messages": 2, "contacts": 0}
    assert [one.decided for one in await listed(store)] == [fresh]
    assert await together(store, waiting) == [waiting.delivery_id]
    assert ids(await store.deliveries_of("m2")) == ids([moving])
    assert await due(store) == ["m2"]
    assert [await store.open(a_dispatch(name)) for name in ("m1", "m2", "m3", "m4", "m5")] == [
        True,
        False,
        True,
        True,
        False,
    ]
    # Whoever publishes what is left meets none of the forgotten.
    assert [one.alert.alert_id for one in await store.leftovers([0], recorded_before=NOW + 1)] == [fresh.alert.alert_id]


async def test_how_an_agency_was_reached_is_forgotten_when_it_ended_long_ago(store: NotifyStore) -> None:
    """INVARIANT: no mailbox and no head's name is kept of an agency that is long gone."""
    reached: dict[str, Any] = {"head_contact": "head@x.example", "head_title": "Giám đốc"}
    yesterday = ON - timedelta(days=1)
    await store.learn_agencies(
        [
            an_agency("H48.30", valid_to=yesterday, **reached),
            an_agency("H48.31", valid_to=yesterday, contact=None, **reached),
            an_agency("H48.32", valid_to=ON, **reached),
            an_agency("H48.33", **reached),
        ]
    )

    assert (await store.purge(older_than=AT, agencies_ended_before=ON))["contacts"] == 2
    assert (await store.purge(older_than=AT, agencies_ended_before=ON))["contacts"] == 0

    kept = {one.code: (one.contact, one.head_contact, one.head_title) for one in (await store.registry("H48")).records}
    assert kept == {
        "H48.30": (None, None, None),
        "H48.31": (None, None, None),
        "H48.32": ("H48.32@x.example", "head@x.example", "Giám đốc"),
        "H48.33": ("H48.33@x.example", "head@x.example", "Giám đốc"),
    }


# -- MongoDB alone -------------------------------------------------------------------------------------------------


@pytest.mark.connected
async def test_every_question_is_answered_by_an_index(database: Database) -> None:
    """INVARIANT: no question reads a whole collection: they hold years of a province's alerts.

    Asked of mongod itself, which notes how it answered.
    """
    store = await prepared(database)
    await store.learn_tasks(some_tasks())
    await store.learn_agencies([an_agency(), an_agency("H48.30", valid_to=ON)])
    deliveries = await recorded(store, *(a_decided(number, kind=K.OVERDUE) for number in range(5)))
    await claimed(store, a_dispatch("m1"), deliveries[:1])
    await formed(store, a_dispatch("m2", kind=DIGEST, day=ON))
    await store.open(a_dispatch("m3"))
    await store.sent(await claimed(store, a_dispatch("m4"), deliveries[3:4]), at=AT)
    await store.add_silence(a_silence())
    await store.note_unreachable(DESK, "agency", "email", "no_contact", at=AT)
    await store.disable("email", "a@x.example", "gone", at=AT)

    await database.command("profile", 2)
    message = a_dispatch("m1", attempts=1)
    await store.learn_tasks(some_tasks())
    await store.tasks([task_id(1)])
    await store.standing("H48", "H48.21")
    await store.counts("H48", "H48.21")
    await store.learn_agencies([an_agency(seq=2)])
    await store.registry("H48")
    await store.provinces()
    await store.overdue_stories([task_id(0), task_id(1)])
    await record(store, a_decided(9))
    await store.unpublished([a_decided(1).alert.alert_id])
    await store.leftovers([0, 1], recorded_before=NOW)
    await store.published([a_decided(1).alert.alert_id])
    await store.waiting([0, 1], now=AT)
    await store.together(deliveries[1].waits, now=AT, limit=10)
    await store.waiting_of([task_id(1)])
    await store.hold(deliveries, STEP, until=AT, silence_id="s1")
    await store.suppress(deliveries[1:2], STEP)
    await store.fail(deliveries[2:3], STEP)
    await store.move(deliveries, STEP, not_before=AT)
    await store.open(a_dispatch("m1"))
    await store.attach(a_dispatch("m3"), deliveries, STEP, now=NOW)
    await store.ready(a_dispatch("m3"))
    await store.release("m4")
    await store.stranded([0, 1], attached_before=NOW, limit=10)
    await store.tried(message, deliveries)
    await store.put_back(deliveries, STEP, until=AT)
    await store.heard({task_id(1): 5}, AGENCY, at=AT)
    await store.overdue_stories([task_id(1)])
    await store.was_empty("m1")
    await store.without_channel([0, 1], ["email"])
    await store.drop(a_dispatch("m9"))
    await store.unready([0, 1], formed_before=NOW)
    await store.formed_since(DESK, "email", AT)
    await store.listed_before(DESK, "email", ON)
    await store.due([0, 1], "email", now=NOW, at=AT, busy=[OTHER_DESK.key], limit=8)
    await store.claim(a_dispatch("m2"), until=NOW)
    await store.deliveries_of("m1")
    await store.postponed(message, "x", until=NOW)
    await store.sent(message, at=AT)
    await store.unsettled([0, 1])
    await store.pending_count([0, 1])
    await store.disabled("email", "a@x.example")
    await store.note_unreachable(DESK, "agency", "email", "no_contact", at=AT)
    await store.unreachable("H48")
    await store.told_unreachable("H48", up_to=AT)
    await store.reached(DESK, "email")
    await store.add_silence(a_silence())
    await store.silences("H48")
    await store.silences("H48", active_at=AT)
    await store.end_silence("H48", "s1", at=AT, digest=AT)
    await store.deliveries_about(a_decided(1).alert.alert_id)
    await store.resend(deliveries[:1], STEP, at=AT)
    await store.find_alert(a_decided(1).alert.alert_id)
    some = {"agency": "H48.21", "kind": "overdue", "task_id": task_id(1), "directive": "TB-1", "outcome": "notify"}
    for name, value in some.items():
        await store.list_alerts({"province": "H48", name: value}, after=None, limit=10)
    await store.list_alerts({"province": "H48"}, after="H48", limit=10, reader="H48.21")
    await store.list_alerts({"province": "H48"}, after=None, limit=10)
    await store.purge(older_than=AT - timedelta(days=400), agencies_ended_before=ON)
    await database.command("profile", 0)

    asked = [one async for one in database["system.profile"].find({"ns": {"$not": {"$regex": r"system\."}}})]
    whole = {
        (one["ns"].split(".")[1], str(one["command"].get("filter") or one["command"].get("q") or one["command"]))
        for one in asked
        if "COLLSCAN" in one.get("planSummary", "")
    }
    assert len(asked) > 50
    assert whole == set()
