"""Holds a run against the reference: states, facts, outcomes, and that nothing is left over."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import pydantic_core

from services.tasks import records
from services.tasks.domain.task import Cause
from services.tasks.ports import Outcome, Registry
from shared.contracts.topics import AGENCIES, DEADLETTERS, DIRECTIVES, TASKS
from tests.simulation.reference import Province
from tests.simulation.reference_task import Calendar, Said, Task
from tests.simulation.story import DAYS_OFF, DAYS_WORKED, END, UNDER_THE_PROVINCE
from tests.simulation.world import World

KEPT = {
    "deadlines": ("version", "nominal", "legal", "operational", "due_at", "cause"),
    "results": ("number", "cause", "verdict", "verdict_cause"),
    "extensions": ("requested_last_day", "cause", "outcome", "outcome_cause"),
    "milestones": ("id", "at", "retracted"),
    "obstacles": ("obstacle_id", "cause", "answered", "forwarded", "cleared"),
    "allocations": ("allocation_id", "amount_vnd", "cause"),
    "disbursements": ("as_of", "cumulative_vnd", "cause"),
    "suspensions": ("cause", "resumed"),
    "contributions": ("number", "agency", "cause", "verdict", "verdict_cause"),
}
"""What is compared of a task's lists: everything that a rule decides."""

REGISTRIES = {Registry.AGENCIES: AGENCIES.name, Registry.DIRECTIVES: DIRECTIVES.name}
"""Whose records are compared, and where they are told. The story says nothing of indicators."""


def faults(world: World) -> list[str]:
    """Everything that is wrong with a finished run; empty: all is well."""
    return [*world.bugs, *_Check(world).found()]


class _Check:
    """What the run ended with, in the reference's words."""

    def __init__(self, world: World) -> None:
        self._world = world
        store = world.store
        self._ledger = store._ledger
        self._documents = store._tasks
        # id → the ways it was told.
        self._told: dict[str, set[bytes]] = {}
        self._records_told: dict[Registry, dict[str, set[bytes]]] = {one: {} for one in REGISTRIES}
        by_topic = {TASKS.name: self._told} | {REGISTRIES[one]: told for one, told in self._records_told.items()}
        for one in world.broker.told:
            if one.topic in by_topic:
                by_topic[one.topic].setdefault(pydantic_core.from_json(one.value)["id"], set()).add(one.value)
        self._records = [(record, pydantic_core.from_json(record.value)) for log in world.broker.log for record in log]

    # -- what only the run can know (reference.Observed) -----------------------------------------------------------

    def exists(self, task_id: str) -> bool:
        return task_id in self._documents

    def facts_before(self, task_id: str, key: str) -> list[tuple[str, datetime]] | None:
        """The facts before the first one of an event; None: it left none."""
        history = self._documents[task_id].history if task_id in self._documents else ()
        events = [one.event_id for one in history]
        if key not in events:
            return None
        return [(one.event_id, one.received_at) for one in history[: events.index(key)]]

    def predecessor(self, task_id: str) -> str | None:
        return self._documents[task_id].task.predecessor if task_id in self._documents else None

    def now(self, task_id: str, what: str) -> Any:
        return getattr(self._documents[task_id].task, what) if task_id in self._documents else None

    def was_over(self, task_id: str) -> bool:
        """Whether a task ended or was completed, at any time."""
        return not self._documents[task_id].task.is_open

    def asked(self, task_id: str, key: str) -> bool:
        """Whether a reorganisation asked a human where a task goes."""
        history = self._documents[task_id].history if task_id in self._documents else ()
        return any(one.event_id == key and one.what == "succession_due" for one in history)

    # -- checks ----------------------------------------------------------------------------------------------------

    def found(self) -> Iterator[str]:
        province = Province(self._firsts(), Calendar(DAYS_OFF, DAYS_WORKED), self, END)
        try:
            province.fold()
        except AssertionError as error:
            yield f"the order of the run is impossible: {error}"
            return
        yield from self._nothing_is_left()
        yield from self._tasks_agree(province)
        yield from self._outcomes_agree(province)
        yield from self._rejections_are_told(province)
        yield from self._registry_is_told()
        yield from self._directives_agree(province)

    def _firsts(self) -> list[Said]:
        """The first submission of each id. Of two partitions that carry one id, whoever claimed it."""
        firsts: dict[str, Said] = {}
        for record, content in self._records:
            if content["id"] in self._world.story.poison:
                continue
            kind = content["type"].removeprefix("dondoc.").removesuffix(".v1")
            key = f"{content['source']}#{content['id']}"
            place = (record.partition, record.offset)
            claimed = tuple(self._ledger[key].position) if key in self._ledger else place
            known = firsts.get(key)
            if known is None or known.place[0] != claimed[0] == place[0]:
                data = {"province": content["province"], **content["data"]}
                at = datetime.fromisoformat(content["receivedat"])
                firsts[key] = Said(key, kind, content["agency"], at, place, data, kind in UNDER_THE_PROVINCE)
        return list(firsts.values())

    def _nothing_is_left(self) -> Iterator[str]:
        store = self._world.store
        yield from (f"{one}: still owes {document.owed}" for one, document in self._documents.items() if document.owed)
        for registry, entries in store._registries.items():
            yield from (f"{registry}/{one}: still owes" for one, document in entries.items() if document.entry.untold)
        yield from (f"{one} is still parked" for one in store._parked)
        for key, entry in self._ledger.items():
            if not entry.outcome.final:
                yield f"{key} is still {entry.outcome} at the end"
        for one in self._world.broker.told:
            if one.topic == DEADLETTERS.name and (event := _event_id(one.value)) not in self._world.story.poison:
                yield f"{event} went to the dead letters"

    def _tasks_agree(self, province: Province) -> Iterator[str]:
        expected = province.tasks
        yield from (f"{one}: the task is missing" for one in expected.keys() - self._documents.keys())
        yield from (f"{one}: there should be no such task" for one in self._documents.keys() - expected.keys())
        for task_id in sorted(expected.keys() & self._documents.keys()):
            task, document = expected[task_id], self._documents[task_id]
            facts = [(one.what, one.reason, one.event_id) for one in document.history]
            if facts != task.facts:
                yield f"{task_id}: facts differ\n" + _difference(task.facts, facts)
                continue
            snapshot = pydantic_core.from_json(document.text)
            for name, want, have in _fields(task, snapshot):
                if want != have:
                    yield f"{task_id}: {name} should be {want}, is {have}"
            yield from self._facts_are_told(task)

    def _facts_are_told(self, task: Task) -> Iterator[str]:
        for seq, (kind, reason, cause) in enumerate(task.facts, start=1):
            ways = self._told.pop(f"{task.task_id}:{seq}", set())
            if len(ways) != 1:
                yield f"{task.task_id}:{seq} {kind} was told in {len(ways)} ways"
                continue
            told = pydantic_core.from_json(next(iter(ways)))
            data = told["data"]
            if "change" not in data:
                have = ("rejected", data["reason"], f"{data['submission_source']}#{data['submission_id']}")
            else:
                change = data["change"]
                have = (told["type"].split(".")[2], change["reason"], change["cause"]["event_id"])
            if have != (kind, reason, cause) or data["seq"] != seq or data["task"]["seq"] != seq:
                yield f"{task.task_id}:{seq} was told as {have}, should be {(kind, reason, cause)}"

    def _outcomes_agree(self, province: Province) -> Iterator[str]:
        expected = province.outcomes | {
            f"//sim#{event}": ("dead", reason) for event, reason in self._world.story.poison.items()
        }
        counted = {key: (entry.outcome.value, entry.reason) for key, entry in self._ledger.items()}
        for key in sorted(expected.keys() | counted.keys()):
            if expected.get(key) != counted.get(key):
                yield f"{key}: should be {expected.get(key)}, is {counted.get(key)}"
        by_outcome = {one: sum(entry.outcome is one for entry in self._ledger.values()) for one in Outcome}
        accepted = {f"{content['source']}#{content['id']}" for _, content in self._records}
        if len(accepted) != sum(by_outcome.values()):
            yield f"{len(accepted)} were accepted, the ledger knows {by_outcome}"

    def _rejections_are_told(self, province: Province) -> Iterator[str]:
        """What no task tells: it may be told again at another moment, and says the same."""
        rest = {one: {_timeless(way) for way in ways} for one, ways in self._told.items()}
        yield from (f"{one} was told in {len(ways)} ways" for one, ways in rest.items() if len(ways) != 1)
        named = {one.rsplit(":", 1)[0] for one in rest if one.endswith(":rejected")}
        in_tasks = {key for task in province.tasks.values() for kind, _, key in task.facts if kind == "rejected"}
        silent = {key for key, (outcome, _) in province.outcomes.items() if outcome == "rejected"} - in_tasks
        yield from (f"{key}: its rejection was not told" for key in sorted(silent - named))
        yield from (f"{key}: its rejection should not have been told" for key in sorted(named - silent))
        reused = {one.split(":reused:")[0] for one in rest if ":reused:" in one}
        yield from (
            f"{one} was told and should not exist"
            for one in rest
            if not one.endswith(":rejected") and ":reused:" not in one
        )
        want = set(self._reused_ids())
        yield from (f"{key}: told as reused: {key in reused}, should be {key in want}" for key in sorted(reused ^ want))
        yield from (f"{key}: its reuse was not counted" for key in want if not self._ledger[key].reused)

    def _registry_is_told(self) -> Iterator[str]:
        """Every state of a record once, in one way; the last one is what is kept."""
        for registry, told in self._records_told.items():
            for document in self._world.store._registries[registry].values():
                record = document.entry.data
                last = records.message(registry, record, at=Cause("", "", END, END))
                assert last is not None, "these are told"
                stem = _event_id(last.value).rpartition(":")[0]
                for seq in range(1, record["seq"] + 1):
                    ways = told.pop(f"{stem}:{seq}", set())
                    if len(ways) != 1:
                        yield f"{registry} {stem}:{seq} was told in {len(ways)} ways"
                    elif seq == record["seq"] and pydantic_core.from_json(next(iter(ways)))["data"] != record:
                        yield f"{registry} {stem}:{seq}: what was told last is not what is kept"
            yield from (f"{registry} {one} was told and should not exist" for one in told)

    def _directives_agree(self, province: Province) -> Iterator[str]:
        """Each directive that was issued has a record: changed once by each revision that was applied and by the first
        revocation, it is as the highest of them says."""
        kept = [one.entry.data for one in self._world.store._registries[Registry.DIRECTIVES].values()]
        have = {one["directive"]: (one["seq"], one["revision"], _cause(one["revoked"])) for one in kept}
        revoked = {one: some[0].key for one, some in province._revoked.items()}
        applied = Counter(
            one.data["directive"]
            for one in province.said
            if one.type == "directive.issued" and province.outcomes[one.key][0] == "applied"
        )
        want = {
            one: (applied[one] + (one in revoked), revision, revoked.get(one))
            for one, revision in province._issued.items()
        }
        if want != have:
            yield f"directives (seq, revision, revoked by) should be {want}, are {have}"

    def _reused_ids(self) -> Iterator[str]:
        contents: dict[str, set[str]] = {}
        for _, content in self._records:
            text = str([content["type"], content["agency"], content["data"]])
            contents.setdefault(f"{content['source']}#{content['id']}", set()).add(text)
        yield from (key for key, ways in contents.items() if len(ways) > 1)


def _event_id(value: bytes) -> str:
    return str(pydantic_core.from_json(value)["id"])


def _timeless(value: bytes) -> str:
    content = pydantic_core.from_json(value)
    # A give-up and a resend may be told at another moment; nothing else may differ.
    return str({name: one for name, one in content.items() if name != "time"})


def _fields(task: Task, snapshot: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    cause = _cause
    yield "seq", len(task.facts), snapshot["seq"]
    yield "result", task.result, snapshot["result"]
    yield "agency", task.agency, snapshot["agency"]
    yield "reviewer", task.reviewer, snapshot["reviewer"]
    yield "cooperating", task.cooperating, snapshot["cooperating"]
    yield "predecessor", task.predecessor, snapshot["predecessor"]
    yield "assigned", task.assigned, cause(snapshot["assigned"])
    yield "acknowledged", task.acknowledged and task.acknowledged[0], cause(snapshot["acknowledged"])
    progress = snapshot["progress"]
    yield "progress", task.progress and task.progress[:2], progress and (progress["percent"], cause(progress["cause"]))
    succession = snapshot["succession"]
    yield "succession", task.succession, succession and succession["why"]
    ended = snapshot["ended"]
    end = ended and {"how": ended["how"], "successor": ended["successor"], "cause": cause(ended["cause"])}
    yield "ended", task.ended, end
    for name, kept in KEPT.items():
        want = [{part: _plain(one[part]) for part in kept} for one in getattr(task, name)]
        yield name, want, [{part: _plain(one[part]) for part in kept} for one in snapshot[name]]


def _cause(value: Mapping[str, Any] | None) -> str | None:
    return value["event_id"] if value is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value["event_id"]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _difference(want: list[tuple[str, str, str]], have: list[tuple[str, str, str]]) -> str:
    lines = []
    for number in range(max(len(want), len(have))):
        one, other = (some[number] if number < len(some) else None for some in (want, have))
        lines.append(f"  {number + 1:3} {'  ' if one == other else '! '}{one or '':}  |  {other or ''}")
    return "\n".join(lines)
