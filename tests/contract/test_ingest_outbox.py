"""What every outbox must do: the one in memory that flow tests use, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.ingest.mongo import MongoOutbox
from services.ingest.ports import Backlog, Message, Outbox, OutboxDownError, Trace
from shared.runtime.mongodb import connect
from tests.flow.ingest.memory import MemoryOutbox, SharedOutbox
from tests.support.database import fresh_database

TOPIC = "dondoc.submissions.v1"
Replica = Callable[[], Outbox]


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the outbox is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def replica(address: str | None) -> AsyncIterator[Replica]:
    """Makes replicas that share one outbox."""
    if address is None:
        shared, names = SharedOutbox(), iter("abcdef")
        yield lambda: MemoryOutbox(shared, next(names))
        return
    async with fresh_database(address) as database:
        yield lambda: MongoOutbox(database, timeout_seconds=5)


def some(*values: str, trace: Trace | None = None) -> list[Message]:
    return [Message(TOPIC, "H48", value.encode(), trace) for value in values]


async def waiting(outbox: Outbox, events_max: int = 100, bytes_max: int = 1_000_000) -> list[bytes]:
    return [one.message.value for one in await outbox.oldest(events_max=events_max, bytes_max=bytes_max)]


async def test_an_empty_one_has_nothing(replica: Replica) -> None:
    outbox = replica()
    await outbox.prepare()
    await outbox.prepare()
    assert await waiting(outbox) == []
    assert not await outbox.has_own()
    assert await outbox.backlog() == Backlog(0, 0.0)


async def test_what_is_kept_comes_out_whole_and_in_order(replica: Replica) -> None:
    outbox = replica()
    trace = Trace("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x=1")
    await outbox.keep(some("1", "2", trace=trace))
    await outbox.keep(some("3"))

    found = await outbox.oldest(events_max=100, bytes_max=1_000_000)

    assert [one.message for one in found] == [*some("1", "2", trace=trace), *some("3")]
    backlog = await outbox.backlog()
    assert backlog.events == 3
    assert 0 <= backlog.oldest_seconds < 60


async def test_the_order_of_each_replica_holds_among_many(replica: Replica) -> None:
    """INVARIANT: what an agency said first is forwarded first, by whomever."""
    one, other = replica(), replica()
    for number in range(50):
        await asyncio.gather(one.keep(some(f"one {number:02}")), other.keep(some(f"other {number:02}")))

    found = await waiting(replica())

    assert [value for value in found if value.startswith(b"one")] == [b"one %02d" % n for n in range(50)]
    assert [value for value in found if value.startswith(b"other")] == [b"other %02d" % n for n in range(50)]


async def test_a_page_is_bounded_by_events_and_by_bytes(replica: Replica) -> None:
    outbox = replica()
    await outbox.keep(some(*("x" * 100 for _ in range(10))))
    assert len(await waiting(outbox, events_max=4)) == 4
    assert len(await waiting(outbox, bytes_max=250)) == 3
    assert len(await waiting(outbox, bytes_max=1)) == 1


async def test_what_was_forwarded_is_forgotten_by_whomever(replica: Replica) -> None:
    one, other = replica(), replica()
    await one.keep(some("1", "2"))
    assert await one.has_own()
    assert not await other.has_own()
    await other.forget([kept.key for kept in await other.oldest(events_max=1, bytes_max=1_000_000)])
    assert await waiting(one) == [b"2"]
    assert await one.has_own()
    await other.forget([kept.key for kept in await other.oldest(events_max=1, bytes_max=1_000_000)])
    assert not await one.has_own()


async def test_what_is_set_aside_holds_nothing_up_and_is_not_lost(replica: Replica) -> None:
    outbox = replica()
    await outbox.keep(some("bad", "good"))
    bad, good = await outbox.oldest(events_max=2, bytes_max=1_000_000)
    await outbox.set_aside(bad.key, "too_large")
    assert await waiting(outbox) == [b"good"]
    await outbox.forget([good.key])
    assert not await outbox.has_own()
    assert (await outbox.backlog()).events == 1


async def test_one_replica_forwards_at_a_time(replica: Replica) -> None:
    one, other = replica(), replica()
    assert await one.lead()
    assert not await other.lead()
    assert await one.lead()


async def test_whoever_steps_back_leaves_the_lead_to_others_and_takes_it_from_nobody(replica: Replica) -> None:
    one, other = replica(), replica()
    assert await one.lead()
    await other.step_back()
    assert not await other.lead()
    await one.step_back()
    assert await other.lead()
    assert not await one.lead()


async def test_when_it_may_lead_is_settled_for_many_at_once(replica: Replica) -> None:
    many = [replica() for _ in range(5)]
    assert sum(await asyncio.gather(*(one.lead() for one in many))) == 1


@pytest.mark.connected
async def test_whoever_is_silent_for_long_leads_no_more(mongo_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.mongo.LEASE_SECONDS", 1)
    async with fresh_database(mongo_uri) as database:
        one, other = (MongoOutbox(database, timeout_seconds=5) for _ in range(2))
        assert await one.lead()
        await asyncio.sleep(1.2)
        assert await other.lead()
        assert not await one.lead()


@pytest.mark.parametrize(
    "step", ["prepare", "keep", "has_own", "lead", "step_back", "oldest", "forget", "set_aside", "backlog"]
)
async def test_a_database_that_does_not_answer_is_said_so_in_time(step: str) -> None:
    client = connect("mongodb://127.0.0.1:1", app_name="tests")
    outbox = MongoOutbox(client["nowhere"], timeout_seconds=0.1)
    calls = {
        "keep": lambda: outbox.keep(some("1")),
        "oldest": lambda: outbox.oldest(events_max=1, bytes_max=1),
        "forget": lambda: outbox.forget(["1"]),
        "set_aside": lambda: outbox.set_aside("1", "x"),
    }
    with pytest.raises(OutboxDownError):
        await calls.get(step, getattr(outbox, step))()
    client.close()
