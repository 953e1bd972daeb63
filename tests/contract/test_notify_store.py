"""What every notify store must do: the one in memory that flow tests use, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.notify.domain.alert import AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach
from services.notify.domain.grouping import Delivery
from services.notify.domain.inhibit import Reason
from services.notify.domain.routing import Recipient, Role, Supervisors
from services.notify.mongo import MongoNotifyStore
from services.notify.ports import AgencyRecord, Contact, Decided, DeliveryState, NotifyStore
from tests.flow.notify.memory import MemoryNotifyStore
from tests.support.builders import at
from tests.support.database import fresh_database
from tests.unit.notify.builders import AGENCY, an_alert

NOW = 1_000.0
HEAD = Recipient("H48.21", Role.HEAD)
ON = date(2024, 10, 20)


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
        mongo = MongoNotifyStore(database)
        await mongo.prepare()
        await mongo.prepare()
        yield mongo


def a_decided(
    number: int = 1,
    *,
    seq: int = 5,
    partition: int = 0,
    reason: Reason = Reason.DUE,
    recipients: tuple[Recipient, ...] = (AGENCY,),
    **changes: Any,
) -> Decided:
    task_id = f"H48/TB-1/II.{number}/H48.21"
    alert = an_alert(alert_id=f"{task_id}:{seq}", task_id=task_id, seq=seq, **changes)
    found = recipients if reason is Reason.DUE else ()
    return Decided(alert, partition, reason, found, at("2024-10-20 08:00") + timedelta(milliseconds=1))


async def record(store: NotifyStore, *decided: Decided, now: float = NOW, due: float = NOW) -> Sequence[Decided]:
    return await store.record(decided, channels=("email",), now=now, due=due)


async def pending(store: NotifyStore, now: float = NOW, limit: int = 100) -> Sequence[Delivery]:
    return await store.pending([0], now=now, limit=limit)


async def states(store: NotifyStore) -> list[DeliveryState]:
    return [one for alert in await store.list_alerts({}, after=None, limit=100) for one in alert.deliveries]


def an_agency(code: str = "H48.21", seq: int = 1, **changes: Any) -> AgencyRecord:
    record = AgencyRecord("H48", code, seq, f"Sở {code}", "agency", None, f"{code}@x.example", None, None)
    return replace(record, **changes)


# -- what is known -------------------------------------------------------------------------------------------------


async def test_only_a_newer_state_of_a_task_replaces(store: NotifyStore) -> None:
    await store.learn_tasks({"a": TaskState(5, "submitted", 2, 0), "b": TaskState(1, "assigned", 0, 0)})
    await store.learn_tasks({"a": TaskState(4, "assigned", 1, 1), "b": TaskState(2, "assigned", 1, 1)})

    assert await store.tasks(["a", "b", "c"]) == {
        "a": TaskState(5, "submitted", 2, 0),
        "b": TaskState(2, "assigned", 1, 1),
    }
    assert await store.tasks([]) == {}


async def test_racing_writers_leave_the_newest_state(store: NotifyStore) -> None:
    names = [f"t{number}" for number in range(100)]
    for name in names:
        await asyncio.gather(*(store.learn_tasks({name: TaskState(seq, "assigned", 1, 0)}) for seq in (3, 1, 4, 2)))

    assert {one.seq for one in (await store.tasks(names)).values()} == {4}


async def test_only_a_newer_record_of_an_agency_replaces(store: NotifyStore) -> None:
    await store.learn_agencies([an_agency(seq=1), an_agency(seq=3, contact="c@x.example", head_contact="h@x.example")])
    await store.learn_agencies([an_agency(seq=2)])
    await store.learn_agencies([])

    assert await store.contacts("H48", ["H48.21", "H48.99"]) == {
        "H48.21": Contact("Sở H48.21", "c@x.example", "h@x.example", None)
    }
    assert await store.contacts("H49", ["H48.21"]) == {}


async def test_supervisors_are_those_in_office_on_the_day(store: NotifyStore) -> None:
    await store.learn_agencies(
        [
            an_agency("H48.01", role="chairman_office", valid_to=ON),
            an_agency("H48.06", role="standing", valid_to=ON - timedelta(days=1)),
            an_agency("H48.07", role="standing"),
            an_agency("H48.21"),
            replace(an_agency("H49.07", role="standing"), province="H49"),
        ]
    )

    assert await store.supervisors("H48", ON) == Supervisors("H48.07", "H48.01")
    assert await store.supervisors("H50", ON) == Supervisors(None, None)


async def test_a_role_is_held_while_the_registry_says_so(store: NotifyStore) -> None:
    await store.learn_agencies(
        [
            an_agency("H48.01", role="chairman_office", valid_to=ON),
            an_agency("H48.06", role="standing", valid_to=ON - timedelta(days=1)),
            an_agency("H48.21"),
        ]
    )

    found = [await store.role(*one, ON) for one in (("H48", "H48.01"), ("H48", "H48.06"), ("H48", "H48.21"))]
    assert found == ["chairman_office", None, "agency"]
    assert await store.role("H49", "H48.01", ON) is None


# -- alerts --------------------------------------------------------------------------------------------------------


async def test_the_first_decision_on_a_fact_stands(store: NotifyStore) -> None:
    first, other = a_decided(1, recipients=(AGENCY, HEAD)), a_decided(2)
    assert await record(store, first) == [first]

    repeated = replace(first, reason=Reason.TASK_SUBMITTED, recipients=())
    assert await record(store, repeated, other) == [other]
    assert not await record(store)

    assert [one.decided for one in await store.list_alerts({}, after=None, limit=10)] == [first, other]
    assert len(await states(store)) == 3


async def test_of_two_who_record_the_same_fact_one_is_first(store: NotifyStore) -> None:
    for number in range(30):
        due = a_decided(number)
        silent = replace(due, reason=Reason.TASK_SUBMITTED, recipients=())
        results = await asyncio.gather(record(store, due), record(store, silent), record(store, due))

        assert sum(len(one) for one in results) == 1
    found = await store.list_alerts({}, after=None, limit=100)
    assert len(found) == 30
    assert all(len(one.deliveries) == int(one.decided.notify) for one in found)


async def test_a_silent_alert_has_no_delivery_and_is_published_all_the_same(store: NotifyStore) -> None:
    silent = a_decided(1, reason=Reason.TASK_SUBMITTED)
    await record(store, silent)

    assert not await pending(store)
    assert list(await store.unpublished([silent.alert.alert_id])) == [silent]


async def test_a_repeated_record_neither_revives_nor_postpones_a_delivery(store: NotifyStore) -> None:
    decided = a_decided()
    await record(store, decided)
    await store.sent(await pending(store), at=at("2024-10-20 09:00"))

    await record(store, decided, now=NOW + 9, due=NOW + 9)

    assert not await pending(store, now=NOW + 99)
    assert [one.state for one in await states(store)] == ["sent"]


async def test_a_reader_finds_the_alerts_about_it_and_those_it_hears(store: NotifyStore) -> None:
    own = a_decided(1)
    heard = a_decided(2, recipients=(AGENCY, Recipient("H48.07", Role.STANDING)))
    silent = a_decided(3, reason=Reason.TASK_SUBMITTED, agency="H48.22")
    elsewhere = a_decided(4, province="H49")
    await record(store, own, heard, silent, elsewhere)

    async def found(reader: str | None, **wanted: str) -> list[Decided]:
        alerts = await store.list_alerts({"province": "H48", **wanted}, after=None, limit=10, reader=reader)
        return [one.decided for one in alerts]

    assert await found("H48.21") == [own, heard]
    assert await found("H48.07") == [heard]
    assert await found("H48.22") == [silent]
    assert await found("H48.22", agency="H48.21") == []
    assert await found("H48.99") == []
    assert await found(None) == [own, heard, silent]


async def test_published_alerts_are_left_over_no_longer(store: NotifyStore) -> None:
    later, earlier, foreign = a_decided(1, seq=7), a_decided(1, seq=6), a_decided(2, partition=3)
    await record(store, later, earlier, foreign)

    assert not await store.leftovers([0], recorded_before=NOW)
    assert not await store.leftovers([], recorded_before=NOW + 1)
    assert list(await store.leftovers([0], recorded_before=NOW + 1)) == [earlier, later]

    await store.published([later.alert.alert_id])
    assert list(await store.leftovers([0, 3], recorded_before=NOW + 1)) == [foreign, earlier]
    assert not await store.unpublished([later.alert.alert_id])


# -- deliveries ----------------------------------------------------------------------------------------------------


async def test_a_delivery_waits_its_time_in_its_partition(store: NotifyStore) -> None:
    await record(store, a_decided(1), a_decided(2, partition=1), due=NOW + 2)

    assert not await pending(store, now=NOW + 1)
    assert not await store.pending([], now=NOW + 9, limit=10)
    [delivery] = await pending(store, now=NOW + 2)
    assert (delivery.recipient, delivery.channel, delivery.recorded_at) == (AGENCY, "email", NOW)
    assert (delivery.attempts, delivery.message_id) == (0, "")
    assert delivery.alert == a_decided(1).alert


async def test_who_is_due_takes_along_what_waits_for_the_same_message(store: NotifyStore) -> None:
    await record(store, a_decided(1), due=NOW)
    await record(store, a_decided(2), due=NOW + 2)
    await record(store, a_decided(3, kind=AlertKind.ENDED), due=NOW + 2)

    assert [one.alert.clause for one in await pending(store)] == ["II.1.h", "II.1.h"]
    assert len(await pending(store, now=NOW + 2)) == 3
    assert len(await pending(store, now=NOW + 2, limit=2)) == 2


async def test_what_was_tried_together_comes_back_together_and_alone(store: NotifyStore) -> None:
    await record(store, a_decided(1), a_decided(2))
    await store.claim(await pending(store), message_id="m1", until=NOW + 120)
    await record(store, a_decided(3))

    [fresh] = await pending(store, now=NOW + 100)
    assert fresh.message_id == ""
    tried = [one for one in await pending(store, now=NOW + 120) if one.message_id == "m1"]
    assert [one.attempts for one in tried] == [1, 1]

    await store.postponed(tried, "smtp_451", until=NOW + 500)
    assert [one.message_id for one in await pending(store, now=NOW + 499)] == [""]
    assert [one.message_id for one in await pending(store, now=NOW + 500)].count("m1") == 2


async def test_of_two_who_claim_a_delivery_one_gets_it(store: NotifyStore) -> None:
    """INVARIANT: while two replicas both believe to own a partition, each delivery goes out through one of them."""
    await record(store, a_decided(1), a_decided(2))
    fewer = await pending(store)
    await record(store, a_decided(3))
    more = await pending(store)

    first, second = await asyncio.gather(
        store.claim(fewer, message_id="m1", until=NOW + 60), store.claim(more, message_id="m2", until=NOW + 60)
    )

    taken = [(one.delivery_id, one.message_id, one.attempts) for one in (*first, *second)]
    assert len({one for one, _, _ in taken}) == len(taken) == 3
    assert {attempts for _, _, attempts in taken} == {1}
    stored = {
        (f"{alert.decided.alert.alert_id}:agency:H48.21:email", delivery.message_id, delivery.attempts)
        for alert in await store.list_alerts({}, after=None, limit=10)
        for delivery in alert.deliveries
    }
    assert set(taken) == stored


async def test_what_became_of_a_delivery_is_final(store: NotifyStore) -> None:
    await record(store, a_decided(1), a_decided(2), a_decided(3))
    one, two, three = await pending(store)
    await store.claim([one], message_id="m1", until=NOW + 120)
    await store.sent([one], at=at("2024-10-20 09:00"))
    await store.failed([two], "no_contact")
    await store.suppressed([three], Reason.TASK_SUBMITTED)

    for late in (
        store.failed([one], "late"),
        store.sent([two, three], at=at("2024-10-20 10:00")),
        store.postponed([one, two, three], "late", until=NOW),
        store.claim([one, two, three], message_id="m2", until=NOW),
    ):
        await late

    assert not await pending(store, now=NOW + 999)
    assert await states(store) == [
        DeliveryState("H48.21", "agency", "email", "sent", "", 1, at("2024-10-20 09:00"), "m1"),
        DeliveryState("H48.21", "agency", "email", "failed", "no_contact", 0, None, None),
        DeliveryState("H48.21", "agency", "email", "suppressed", "task_submitted", 0, None, None),
    ]


async def test_the_story_of_an_overdue_says_whom_it_reached(store: NotifyStore) -> None:
    await record(store, a_decided(1, kind=AlertKind.OVERDUE, seq=5, recipients=(AGENCY, HEAD)))
    await record(store, a_decided(1, kind=AlertKind.DUE_SOON, seq=4), a_decided(2, kind=AlertKind.OVERDUE))
    task_id = a_decided(1).alert.task_id
    overdue = [one for one in await pending(store) if one.alert.kind is AlertKind.OVERDUE]
    mine = {one.recipient: one for one in overdue if one.alert.task_id == task_id}

    async def story() -> dict[Recipient, Reach]:
        found = (await store.overdue_stories([task_id]))[task_id]
        assert {(one.kind, one.seq) for one in found} == {(AlertKind.OVERDUE, 5)}
        return {one.recipient: one.reach for one in found}

    assert await story() == {AGENCY: Reach.PENDING, HEAD: Reach.PENDING}
    await store.claim([mine[AGENCY]], message_id="m", until=NOW + 120)
    await store.suppressed([mine[HEAD]], Reason.RETRACTED)
    assert await story() == {AGENCY: Reach.TOLD, HEAD: Reach.NOT_TOLD}
    await store.suppressed([mine[AGENCY]], Reason.RETRACTED)
    assert (await story())[AGENCY] is Reach.TOLD
    assert await store.overdue_stories([]) == {}
    assert Heard(AlertKind.OVERDUE, 5, AGENCY, Reach.TOLD) in (await store.overdue_stories([task_id]))[task_id]


# -- reading -------------------------------------------------------------------------------------------------------


async def test_alerts_are_read_by_filter_and_page(store: NotifyStore) -> None:
    await record(
        store,
        a_decided(1),
        a_decided(2, kind=AlertKind.OVERDUE),
        a_decided(3, reason=Reason.TASK_ENDED),
        a_decided(4, agency="H48.22"),
    )

    async def found(after: str | None = None, limit: int = 10, **wanted: str) -> list[str]:
        page = await store.list_alerts(wanted, after=after, limit=limit)
        return [one.decided.alert.task_id.split("/")[2] for one in page]

    assert await found() == ["II.1", "II.2", "II.3", "II.4"]
    assert await found(kind="overdue") == ["II.2"]
    assert await found(outcome="silent") == ["II.3"]
    assert await found(agency="H48.22") == ["II.4"]
    assert await found(task_id="H48/TB-1/II.1/H48.21", outcome="notify") == ["II.1"]
    first = await found(limit=2)
    assert await found(after=a_decided(2).alert.alert_id, limit=2) == ["II.3", "II.4"]
    assert first == ["II.1", "II.2"]
