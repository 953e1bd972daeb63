"""Indicators and their targets come through different partitions; one record tells all that was said of a value."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import EntryWrite, Registry
from shared.contracts.codec import decode
from shared.contracts.registry_facts import IndicatorValue
from shared.contracts.topics import INDICATORS
from tests.flow.tasks.harness import PARTITIONS, Service, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE

PAPER = {"number": "38/KH-UBND", "issued_on": "2024-02-20"}
VALUE = "H48/H48.21/DVCTT/2024-Q4"
Event = tuple[str, dict[str, Any]]


@pytest.fixture
def service() -> Service:
    return Service(cast(MongoTaskStore, MemoryTaskStore()))


def target(percent: str, received: str, *, agency: str | None = None, event_id: str | None = None) -> Event:
    data = {"code": "DVCTT", "title": "Trực tuyến", "period": "2024-Q4", "at_least_percent": percent, "document": PAPER}
    whose = {"agency": agency} if agency else {}
    return say("indicator.target_set", data | whose, by=OFFICE, received=received, event_id=event_id)


def value(numerator: str, received: str, *, by: str = "H48.21", event_id: str | None = None) -> Event:
    data = {"code": "DVCTT", "period": "2024-Q4", "numerator": numerator, "denominator": "100", "data_source": "x"}
    return say("indicator.reported", data, by=by, key=by, received=received, event_id=event_id)


def told(service: Service, key: str = VALUE) -> list[IndicatorValue]:
    """What was told of a value, each change once."""
    found: dict[int, IndicatorValue] = {}
    for one in service.told:
        if one.topic == INDICATORS.name and one.key == key:
            data = decode(one.topic, one.value).data
            assert isinstance(data, IndicatorValue)
            assert found.setdefault(data.seq, data) == data
    return [found[seq] for seq in sorted(found)]


def history(one: IndicatorValue) -> tuple[list[str], list[str]]:
    return [str(report.numerator) for report in one.reports], [str(one.at_least_percent) for one in one.targets]


async def test_one_record_tells_all_that_was_reported_and_aimed_at(service: Service) -> None:
    await service.on(target("40", "2024-10-01 09:00"))
    await service.on(value("30", "2024-10-10 09:00"))
    await service.on(target("45", "2024-11-01 09:00"), target("20", "2024-11-02 09:00", agency="H48.21"))
    await service.on(target("50", "2024-11-03 09:00"), value("35", "2024-11-04 09:00"))

    first, *_, last = told(service)
    assert (first.seq, history(first)) == (1, (["30"], ["40"]))
    assert history(last) == (["30", "35"], ["40", "45", "20", "50"])
    assert [one.general for one in last.targets] == [True, True, False, True]
    assert (str(last.numerator), str(last.at_least_percent)) == ("35", "20")
    assert [one.seq for one in told(service)] == [1, 2, 3, 4, 5]
    assert last.reported_at == last.reports[-1].cause.received_at
    assert {one.cause.actor for one in last.reports} == {"H48.21"}


async def test_a_target_of_one_agency_is_no_others(service: Service) -> None:
    await service.on(value("30", "2024-10-10 09:00"), value("31", "2024-10-10 09:00", by="H48.22"))

    await service.on(target("20", "2024-11-02 09:00", agency="H48.21"))

    assert [history(one)[1] for one in told(service)] == [[], ["20"]]
    assert [history(one)[1] for one in told(service, "H48/H48.22/DVCTT/2024-Q4")] == [[]]


async def test_what_arrives_late_is_history_and_not_in_force(service: Service) -> None:
    await service.on(value("30", "2024-10-10 09:00"), value("20", "2024-10-09 09:00"))
    await service.on(target("45", "2024-11-01 09:00"), target("40", "2024-10-01 09:00"))

    last = told(service)[-1]
    assert history(last) == (["20", "30"], ["40", "45"])
    assert (str(last.numerator), str(last.at_least_percent)) == ("30", "45")


async def test_what_comes_again_is_told_no_second_time(service: Service) -> None:
    """Once more under the same offset, after a rebalance, and sent anew under the same id."""
    events = (target("40", "2024-10-01 09:00", event_id="t"), value("30", "2024-10-10 09:00", event_id="v"))
    records = await service.on(*events)
    before = told(service)

    await service.handlers.on_submissions(records)
    await service.on(*events)

    assert told(service) == before
    assert await service.outcome("t") == await service.outcome("v") == ("applied", "applied")


async def test_an_agency_that_never_reported_has_no_record(service: Service) -> None:
    await service.on(target("40", "2024-10-01 09:00"), target("20", "2024-10-01 09:00", agency="H48.21"))

    assert told(service) == []


async def interrupted(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, meanwhile: Callable[[], Awaitable[Any]]
) -> None:
    """Let something happen just before the next document of a kind is written."""
    save = MemoryTaskStore.save_entry

    async def sleeps(store: MemoryTaskStore, where: Registry, write: EntryWrite) -> bool:
        if where is registry:
            monkeypatch.undo()
            await meanwhile()
        return await save(store, where, write)

    monkeypatch.setattr(MemoryTaskStore, "save_entry", sleeps)


async def test_a_target_that_is_set_while_a_first_value_is_on_its_way_is_not_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: a value and its target meet, though one looked before the other was there.

    Else an agency would be measured against nothing until somebody reports or aims again.
    """
    await interrupted(monkeypatch, Registry.INDICATORS, lambda: service.on(target("45", "2024-10-09 09:00")))

    await service.on(value("30", "2024-10-10 09:00"))

    last = told(service)[-1]
    assert (history(last), str(last.at_least_percent)) == ((["30"], ["45"]), "45")


async def test_a_first_value_that_is_reported_while_a_target_is_on_its_way_is_measured(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: and the other way round."""
    await interrupted(monkeypatch, Registry.TARGETS, lambda: service.on(value("30", "2024-10-10 09:00")))

    await service.on(target("45", "2024-10-09 09:00"))

    last = told(service)[-1]
    assert (history(last), str(last.at_least_percent)) == ((["30"], ["45"]), "45")


async def test_a_value_that_is_reported_while_it_is_measured_keeps_both(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.on(value("30", "2024-10-10 09:00"))
    await interrupted(monkeypatch, Registry.INDICATORS, lambda: service.on(value("35", "2024-10-11 09:00")))

    await service.on(target("45", "2024-10-09 09:00"))

    assert history(told(service)[-1]) == (["30", "35"], ["45"])


async def test_a_value_whose_record_is_full_is_refused_with_a_reason(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tasks.records.VALUE_BYTES_MAX", 100)
    await service.on(value("30", "2024-10-10 09:00"))

    await service.on(value("31", "2024-10-11 09:00", event_id="full"))

    assert await service.outcome("full") == ("rejected", "too_many_entries")
    assert await service.detail("full") == "DVCTT of 2024-Q4 was reported 1 times, and its record is full"
    assert [history(one)[0] for one in told(service)] == [["30"]]


async def test_a_target_whose_record_is_full_is_refused_with_a_reason(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tasks.records.TARGETS_BYTES_MAX", 100)
    await service.on(target("40", "2024-10-01 09:00"))

    await service.on(target("45", "2024-10-02 09:00", event_id="full"))

    assert await service.outcome("full") == ("rejected", "too_many_entries")


async def test_a_value_that_a_crash_left_untold_is_told_by_the_sweep(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tasks.sweep.UNTOLD_AFTER_SECONDS", -1.0)
    records = await service.receive(value("30", "2024-10-10 09:00", event_id="v"))
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)

    await service.sweep.tell_leftovers(list(range(PARTITIONS)))

    assert [history(one)[0] for one in told(service)] == [["30"]]
    assert (await service.outcome("v"))[0] == "in_flight", "what follows the first write is still to be done"
    await service.handlers.on_submissions(records)
    assert await service.outcome("v") == ("applied", "applied")
