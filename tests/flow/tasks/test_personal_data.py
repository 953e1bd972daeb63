"""The one name of a person that the registry keeps goes to its topic, and nowhere else."""

from typing import Any, cast

import prometheus_client
import pytest
from structlog.testing import capture_logs

from services.tasks.mongo import MongoTaskStore
from shared.contracts.topics import AGENCIES
from tests.flow.tasks.harness import REGISTRY, Service, directive, obligation, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE, STANDING

NAME = "Nguyễn Văn Kín"
PAPER = {"number": "41/NQ", "issued_on": "2024-10-14"}
Event = tuple[str, dict[str, Any]]


def head_of(code: str, name: str | None, **said: Any) -> Event:
    data = {"code": code, "name": "Sở", "valid_from": "2024-01-01", "head_title": "Giám đốc"}
    data |= {"head_name": name} if name else {}
    return say("agency.registered", data, by=STANDING, received="2024-10-14 08:00", **said)


MERGER = say(
    "agency.reorganised",
    {
        "change": "merged",
        "predecessors": ["H48.21"],
        "successors": ["H48.22"],
        "effective_on": "2024-10-16",
        "document": PAPER,
    },
    by=OFFICE,
)


@pytest.fixture
def service() -> Service:
    return Service(cast(MongoTaskStore, MemoryTaskStore()))


async def test_the_head_of_an_agency_is_named_in_no_log_and_no_metric(service: Service) -> None:
    """INVARIANT: whoever reads logs, figures or tasks learns nobody's name."""
    with capture_logs() as logs:
        await service.on(*REGISTRY, head_of("H48.21", NAME, event_id="head"), head_of("H48.99", NAME))
        # Under a used id with other content; and again as it was.
        await service.on(head_of("H48.21", f"{NAME} B", event_id="head"), head_of("H48.21", NAME, event_id="head"))
        await service.on(directive(obligation()), MERGER)
        await service.time_passes("2024-10-17 09:00")

    named = [one for one in service.told if NAME.encode() in one.value]
    assert {one.topic for one in named} == {AGENCIES.name}
    assert {one.key for one in named} == {"H48.21", "H48.99"}
    assert {one["event"] for one in logs} >= {"submission.id_reused", "province.shaped"}
    assert NAME not in repr(logs)
    assert NAME not in prometheus_client.generate_latest().decode()


async def test_a_head_is_forgotten_by_registering_the_agency_without_the_name(service: Service) -> None:
    await service.on(*REGISTRY, head_of("H48.21", NAME))

    await service.on(head_of("H48.21", None))

    assert b'"seq":3' in service.told[-1].value
    assert NAME.encode() not in service.told[-1].value
