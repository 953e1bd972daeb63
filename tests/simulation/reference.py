"""What must come out, told a second time and plainly, from the rules in words (design §3, §4; the domain's docstrings).

No code of the service is used. A task is folded over its submissions in the order of the topic, time passing before
each up to its receipt. What lies in another partition (money, a revocation) has no fixed place among them: there the
run says where it came (`Observed`), and everything else must follow from that.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from tests.simulation.reference_task import TAKEN, Calendar, Entry, Said, Task, cancel, day_of, local, successor

PARKED_MAX = timedelta(hours=24)


class Observed(Protocol):
    """What the run decided where nothing else does."""

    def exists(self, task_id: str) -> bool: ...
    def facts_before(self, task_id: str, key: str) -> list[tuple[str, datetime]] | None: ...


@dataclass
class Province:
    """Everything that was submitted, and what must become of it."""

    said: list[Said]
    """The first of each id, in the order of its partition."""
    calendar: Calendar
    observed: Observed
    until: datetime
    tasks: dict[str, Task] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    _registry: dict[str, Entry] = field(default_factory=dict)
    _issued: dict[str, int] = field(default_factory=dict)
    _revoked: dict[str, list[Said]] = field(default_factory=dict)

    def cannot_go_to(self, task: Task, agency: str) -> str:
        """Why a task cannot be reassigned to an agency, if the registry or its other tasks say so."""
        if agency not in self._registry:
            return "unknown_agency"
        return "same_agency" if successor(task, agency) in self.tasks and not task.ended else ""

    def fold(self) -> None:
        shaping = [one for one in self.said if "task_id" not in one.data]
        about: dict[str, list[Said]] = {}
        for one in self.said:
            if "task_id" in one.data:
                about.setdefault(one.data["task_id"], []).append(one)
        for said in sorted(shaping, key=lambda one: one.place):
            reason = self._shape(said)
            self.outcomes[said.key] = ("applied" if reason == "applied" else "rejected", reason)
        waiting = list(self.tasks.values())
        while waiting:
            task = waiting.pop()
            self._live(task, about.pop(task.task_id, []))
            # An heir is created with its task; nobody inherits the same share from two.
            self.tasks |= {one.task_id: one for one in task.heirs}
            waiting += task.heirs
        for some in about.values():
            self.outcomes |= {one.key: ("rejected", "unknown_task") for one in some}

    def _shape(self, said: Said) -> str:
        match said.type, said.data:
            case "agency.registered", data:
                self._registry[data["code"]] = dict(data)
            case "directive.revoked", data:
                if data["directive"] not in self._issued:
                    return "unknown_directive"
                self._revoked.setdefault(data["directive"], []).append(said)
            case "directive.issued", data:
                if data["directive"] in self._revoked:
                    return "directive_revoked"
                if data["directive"] in self._issued:
                    if data.get("revision", 1) <= self._issued[data["directive"]]:
                        return "directive_exists"
                    # The story's revisions change nothing that a task shows.
                    self._issued[data["directive"]] = data["revision"]
                    return "applied"
                leads = [self._named(one["leads"]) for one in data["obligations"]]
                if not all(leads):
                    return "unknown_agency"
                self._issued[data["directive"]] = data.get("revision", 1)
                for one, agencies in zip(data["obligations"], leads, strict=True):
                    self._oblige(said, one, agencies)
            case _:
                raise AssertionError(said.type)
        return "applied"

    def _named(self, names: Iterable[str]) -> list[str]:
        """Agencies one by one, each once; empty where one is not known."""
        found: list[str] = []
        for name in names:
            some = [code for code, one in sorted(self._registry.items()) if name in {code, *one["groups"]}]
            if not some:
                return []
            found += some
        return list(dict.fromkeys(found))

    def _oblige(self, said: Said, obligation: Mapping[str, Any], agencies: list[str]) -> None:
        reviewer = next(code for code, one in self._registry.items() if one["role"] == "standing")
        directive, due = said.data["directive"], obligation["due"]
        stem = f"{said.data['province']}/{directive}/{obligation['clause']}"
        automatic = obligation.get("acceptance") == "automatic"

        helpers = self._named(obligation["cooperating"])

        def make(agency: str, tail: str, key: str, at: datetime) -> Task:
            task = Task(f"{stem}/{agency}{tail}", agency, reviewer, automatic, key, at, self.calendar)
            task.cooperating = [one for one in helpers if one != agency]
            return task

        if due["kind"] == "recurring":
            for period, starts_on, nominal in periods(due, day_of(self.until)):
                opens_at = local(starts_on)
                late = opens_at > said.at
                key, at = (f"{stem}:opens:{period}", opens_at) if late else (said.key, said.at)
                for agency in agencies:
                    task = make(agency, f"/{period}", key, at)
                    task.give_deadline(
                        nominal, rolls=due.get("boundary") != "before", key=key, at=at, hour=due.get("hour")
                    )
                    # A revocation comes through another partition than the opening of a period.
                    if not late or directive not in self._said_revoked() or self.observed.exists(task.task_id):
                        self.tasks[task.task_id] = task
            return
        for agency in agencies:
            task = self.tasks[f"{stem}/{agency}"] = make(agency, "", said.key, said.at)
            if due["kind"] == "open_ended":
                continue
            if due["kind"] == "relative":
                start = (
                    day_of(said.at) if due.get("after") == "assigned" else date.fromisoformat(said.data["issued_on"])
                )
                working = due.get("unit") == "working"
                nominal = self.calendar.walk(start, due["days"]) if working else start + timedelta(days=due["days"])
            elif due["boundary"] == "within":
                nominal = end_of_month(date.fromisoformat(f"{due['period']}-01"))
            else:
                nominal = date.fromisoformat(due["day"]) - timedelta(days=due["boundary"] == "before")
            task.give_deadline(
                nominal, rolls=due.get("boundary") != "before", key=said.key, at=said.at, hour=due.get("hour")
            )

    def _said_revoked(self) -> set[str]:
        return {one.data["directive"] for one in self.said if one.type == "directive.revoked"}

    def _live(self, task: Task, about: list[Said]) -> None:
        """Everything that was said about a task, then the end of time."""
        task.facts.insert(0, ("assigned", "applied", task.assigned))
        for said in self._in_order(task, about):
            if said.type == "directive.revoked":
                if task.open:
                    cancel(task, said)
                continue
            if task.assigned_at >= said.at + PARKED_MAX:
                self.outcomes[said.key] = ("rejected", "unknown_task")
                continue
            reason = task.take(said, self)
            self.outcomes[said.key] = ("applied" if reason in TAKEN else "rejected", reason)
        task.pass_to(self.until)

    def _in_order(self, task: Task, about: list[Said]) -> Iterator[Said]:
        own = sorted((one for one in about if not one.foreign), key=lambda one: one.place)
        foreign = [one for one in about if one.foreign] + self._revoked.get(task.task_id.split("/")[1], [])
        places: dict[str, tuple[list[str], datetime | None]] = {}
        for one in foreign:
            facts = self.observed.facts_before(task.task_id, one.key)
            if facts is not None:
                clock = [at for key, at in facts if key.startswith(f"{task.task_id}:")]
                places[one.key] = ([key for key, _ in facts], max(clock, default=None))
        seen = sorted((one for one in foreign if one.key in places), key=lambda one: len(places[one.key][0]))
        money = [one for one in foreign if one.key not in places and one.type != "directive.revoked"]
        money.sort(key=lambda one: one.place)
        for one in seen:
            before, reached = places[one.key]
            # What left no fact was already so; it lies in one partition with what it came before.
            while money and money[0].place < one.place:
                yield money.pop(0)
            # After an end everything leaves a fact, a rejection; what left none came before it.
            ends = one.type == "directive.revoked"
            while any(said.key in before for said in own) or (ends and own and not self._left_a_fact(task, own[0])):
                yield own.pop(0)
            if reached is not None:
                ahead = [said.key for said in own if said.at < reached and self._left_a_fact(task, said)]
                assert not ahead, f"time ran ahead of {ahead}, said of {task.task_id}"
                task.pass_to(reached, before)
            yield one
        yield from own
        yield from money
        yield from (one for one in foreign if one.key not in places and one.type == "directive.revoked")

    def _left_a_fact(self, task: Task, said: Said) -> bool:
        return self.observed.facts_before(task.task_id, said.key) is not None


def end_of_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1) - timedelta(days=1)


def periods(due: Mapping[str, Any], until: date) -> Iterator[tuple[str, date, date]]:
    """Id, first day and nominal last day of each period begun by a day, from the first whose last day counts."""
    starts, ends = date.fromisoformat(due["starts_on"]), date.fromisoformat(due.get("ends_on") or "2100-01-01")
    weekly = due["every"] == "weekly"
    first = starts - timedelta(days=starts.weekday()) if weekly else starts.replace(day=1)
    while first <= min(until, ends):
        year, week, _ = first.isocalendar()
        last = first + timedelta(days=6) if weekly else end_of_month(first)
        if due.get("day") is None:
            named = last
        else:
            named = (
                first + timedelta(days=due["day"] - 1) if weekly else min(first + timedelta(days=due["day"] - 1), last)
            )
        nominal = named - timedelta(days=due.get("boundary") == "before")
        if nominal >= starts:
            yield (f"{year}-W{week:02d}" if weekly else f"{first:%Y-%m}"), first, nominal
        first = last + timedelta(days=1)
