"""Dead at any call of any step, then delivered again: the same end as if nothing had happened."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Message
from shared.contracts.codec import decode
from shared.contracts.topics import AGENCIES, DIRECTIVES, INDICATORS, TASKS
from tests.flow.tasks.harness import REGISTRY, Service, agency, directive, obligation, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE, STANDING

PAPER = {"number": "3/NQ", "issued_on": "2024-10-14"}
CLAUSE = {"directive": "TB-1", "clause": "II.1.h"}
MONTHLY = {"kind": "recurring", "every": "monthly", "boundary": "by", "day": 25, "starts_on": "2024-10-14"}
CONDITIONAL = {"kind": "conditional", "trigger": "khi phát sinh", "days": 5}
FIXED = {"kind": "fixed", "boundary": "before", "day": "2024-11-20"}
NO_DAY = {"kind": "by_reference", "reference": "Luật"}
TASK = "H48/TB-1/II.1.h/H48.21"
NEWCOMER = agency("H48.40")
REVISED: dict[str, Any] = {"revision": 2, "event_id": "last", "received": "2024-10-17 09:00"}
Event = tuple[str, dict[str, Any]]


def ordered(event_type: str, **data: Any) -> Event:
    return say(event_type, data, by=OFFICE, received="2024-10-17 09:00", event_id="last")


def reorganised(change: str, old: list[str], new: list[str]) -> Event:
    return ordered(
        "agency.reorganised",
        change=change,
        predecessors=old,
        successors=new,
        effective_on="2024-10-18",
        document=PAPER,
    )


SPLIT = say(
    "agency.reorganised",
    {
        "change": "split",
        "predecessors": ["H48.21"],
        "successors": [STANDING, "H48.40"],
        "effective_on": "2024-10-15",
        "document": PAPER,
    },
    by=OFFICE,
    received="2024-10-14 10:00",
)
TARGET = {"code": "DVCTT", "title": "Hồ sơ trực tuyến", "period": "2024-Q4", "document": PAPER}
VALUE = {"code": "DVCTT", "period": "2024-Q4", "numerator": "40", "denominator": "100", "data_source": "Một cửa"}


def reported(agency: str, **how: Any) -> Event:
    return say("indicator.reported", VALUE, by=agency, key=agency, **how)


STORIES: dict[str, tuple[list[Event], str | None, Event]] = {
    "issue": ([], None, directive(obligation(), obligation("II.1.b", due=CONDITIONAL), event_id="last")),
    "revision": (
        [directive(obligation(), obligation("II.1.a"), obligation("II.1.b", due=MONTHLY))],
        None,
        directive(
            obligation(leads=["H48.21"], due=FIXED),
            obligation("II.1.c"),
            obligation("II.1.b", due=MONTHLY, title="Mới"),
            **REVISED,
        ),
    ),
    "trigger": (
        [directive(obligation(due=CONDITIONAL))],
        None,
        ordered("obligation.triggered", **CLAUSE, occurred_on="2024-10-16"),
    ),
    "dated": (
        [directive(obligation(due=NO_DAY))],
        None,
        ordered("obligation.dated", **CLAUSE, due=FIXED, document=PAPER),
    ),
    "pause": (
        [directive(obligation(due=MONTHLY))],
        "2024-11-02 09:00",
        ordered("obligation.suspended", **CLAUSE, reason="chờ", document=PAPER),
    ),
    "revocation": (
        [directive(obligation(), obligation("II.1.b", due=MONTHLY))],
        None,
        ordered("directive.revoked", directive="TB-1", reason="thay thế", document=PAPER),
    ),
    "target": (
        [reported("H48.21"), say("indicator.target_set", {**TARGET, "at_least_percent": "45"}), reported("H48.22")],
        None,
        ordered("indicator.target_set", **TARGET, at_least_percent="50"),
    ),
    "value": (
        [
            say("indicator.target_set", {**TARGET, "at_least_percent": "45"}),
            say("indicator.target_set", {**TARGET, "at_least_percent": "30", "agency": "H48.21"}),
            reported("H48.21"),
        ],
        None,
        reported("H48.21", received="2024-10-17 09:00", event_id="last"),
    ),
    "merger": (
        [directive(obligation(leads=["H48.21", "H48.22"]))],
        None,
        reorganised("merged", ["H48.21"], ["H48.40"]),
    ),
    "split": ([directive(obligation(leads=["H48.21"]))], None, reorganised("split", ["H48.21"], ["H48.40", "H48.22"])),
    "choice": (
        [directive(obligation(leads=["H48.21"])), SPLIT],
        "2024-10-16 09:00",
        ordered("task.reassigned", task_id=TASK, to_agency="H48.40", reason="chọn", document=PAPER),
    ),
    "resumption": (
        [
            directive(obligation(leads=["H48.21"])),
            say("task.suspended", {"task_id": TASK, "reason": "chờ", "document": PAPER}, by=OFFICE),
        ],
        "2024-10-16 09:00",
        ordered("task.resumed", task_id=TASK, document=PAPER),
    ),
}


class Dies:
    """A store, or a publish, that dies at its n-th call from now on: before the call, or just after it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls = 0
        self.at: int | None = None
        self.after = False

    async def run(self, call: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        self.calls += 1
        dying = self.calls == self.at
        if dying and not self.after:
            raise ConnectionError("died before")
        found = await call(*args, **named)
        if dying:
            raise ConnectionError("died after")
        return found

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def may_die(*args: Any, **named: Any) -> Any:
            return await self.run(call, *args, **named)

        return may_die if callable(call) else call


async def _told(story: str, at: int | None, *, after: bool) -> tuple[Any, int]:
    before, time_passes, last = STORIES[story]
    real = iter(range(0, 10**9, 60))
    dying = Dies(MemoryTaskStore(real=lambda: float(next(real))))
    service = Service(cast(MongoTaskStore, dying))
    publish = service.publish
    service.teller._publish = lambda messages: dying.run(publish, messages)
    await service.on(*REGISTRY, NEWCOMER, *before)
    if time_passes:
        await service.time_passes(time_passes)
    records = await service.receive(last)

    async def rest() -> None:
        await service.handlers.on_submissions(records)
        await service.time_passes("2024-10-18 09:00")
        await service.time_passes("2024-11-03 09:00")

    dying.calls, dying.at, dying.after = 0, at, after
    if at is None:
        await rest()
    else:
        with pytest.raises(ConnectionError):
            await rest()
    calls = dying.calls
    dying.at = None
    await rest()
    await rest()
    facts = {}
    for one in service.told:
        data: Any = decode(one.topic, one.value).data
        if one.topic == TASKS.name and getattr(data, "task", None) is not None:
            facts[data.task_id, data.seq] = one.value
    told: dict[Any, set[bytes]] = {}
    for one in service.told:
        told.setdefault(decode(one.topic, one.value).key, set()).add(one.value)
    assert all(len(values) == 1 for values in told.values()), "a fact that is told twice is told in the same words"
    detail = (await service.outcome("last"), await service.tasks(), facts, _records(service.told))
    return detail, calls


def _records(told: Sequence[Message]) -> dict[str, dict[str, bytes]]:
    """What was told of agencies, indicators and directives, topic by topic: id → in which words."""
    found: dict[str, dict[str, bytes]] = {topic.name: {} for topic in (AGENCIES, INDICATORS, DIRECTIVES)}
    for one in told:
        if one.topic in found:
            found[one.topic][decode(one.topic, one.value).envelope.id] = one.value
    return found


@pytest.mark.parametrize("story", STORIES)
async def test_a_death_at_any_call_changes_nothing(story: str) -> None:
    undisturbed, calls = await _told(story, None, after=False)
    assert undisturbed[0][0] == "applied"

    for number in range(1, calls + 1):
        for after in (False, True):
            disturbed, _ = await _told(story, number, after=after)
            assert disturbed == undisturbed, f"call {number}, {'after' if after else 'before'}"


@pytest.mark.parametrize(
    ("story", "seqs"), [("issue", [1]), ("revision", [1, 2]), ("revocation", [1, 2]), ("trigger", [1])]
)
async def test_a_story_tells_each_change_of_its_directive_once(story: str, seqs: list[int]) -> None:
    """So that the deaths above are held against something."""
    (_, _, _, records), _ = await _told(story, None, after=False)

    assert list(records[DIRECTIVES.name]) == [f"H48/H48/TB-1:{seq}" for seq in seqs]
