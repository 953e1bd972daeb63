"""What must come out, told a second time and plainly, from the rules in words (design §3, §4; the domain's docstrings).

No code of the service is used. A task is folded over its submissions in the order of the topic, time passing before
each up to its receipt. What lies in another partition (money, a revocation) has no fixed place among them: there the
run says where it came (`Observed`), and everything else must follow from that.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Protocol, cast

from tests.simulation.reference_task import (
    TAKEN,
    Calendar,
    Edge,
    Entry,
    Revised,
    Said,
    Task,
    Words,
    cancel,
    day_of,
    leave_out,
    local,
    name_day,
    reorganise,
    revise,
    successor,
)

PARKED_MAX = timedelta(hours=24)
CLOSE = timedelta(minutes=25)
"""What is received this close to a reorganisation that was told after its day may be read in either order."""
STANDING = "H48.07"
MADE_LATER = frozenset({"recurring", "conditional"})


class Observed(Protocol):
    """What the run decided where nothing else does."""

    def exists(self, task_id: str) -> bool: ...
    def facts_before(self, task_id: str, key: str) -> list[tuple[str, datetime]] | None: ...
    def predecessor(self, task_id: str) -> str | None: ...
    def now(self, task_id: str, what: str) -> Any: ...
    def was_over(self, task_id: str) -> bool: ...
    def asked(self, task_id: str, key: str) -> bool: ...


@dataclass(frozen=True)
class Clause:
    """An obligation as it was issued, with its agencies one by one, and when it paused."""

    said: Said
    obligation: Mapping[str, Any]
    reviewer: str
    leads: list[str]
    helpers: list[str]
    pauses: list[list[Said]] = field(default_factory=list)
    """Each: what began it, and what ended it if anything did."""
    withdrawn: list[Said] = field(default_factory=list)
    """The revision that left it out, if one did."""

    @property
    def stem(self) -> str:
        return f"{self.said.data['province']}/{self.said.data['directive']}/{self.obligation['clause']}"

    @property
    def automatic(self) -> bool:
        return bool(self.obligation.get("acceptance") == "automatic")

    def pause_at(self, instant: datetime) -> Said | None:
        """What began the pause in which nothing opens at an instant."""
        covers = (one[0] for one in self.pauses if one[0].at <= instant and (len(one) == 1 or instant < one[1].at))
        return next(covers, None)


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
    _edges: dict[str, Edge] = field(default_factory=dict)
    _clauses: dict[tuple[str, str], Clause] = field(default_factory=dict)
    _later: list[Callable[[], None]] = field(default_factory=list)

    def cannot_go_to(self, task: Task, agency: str) -> str:
        """Why a task cannot be reassigned to an agency, if the registry or its other tasks say so."""
        if agency not in self._registry:
            return "unknown_agency"
        taken = successor(task, agency) in self.tasks and not task.ended and not task.succession
        return "same_agency" if taken else ""

    def fold(self) -> None:
        shaping = [one for one in self.said if "task_id" not in one.data]
        about: dict[str, list[Said]] = {}
        for one in self.said:
            if "task_id" in one.data:
                about.setdefault(one.data["task_id"], []).append(one)
        for said in sorted(shaping, key=lambda one: one.place):
            reason = self._shape(said)
            self.outcomes[said.key] = ("applied" if reason == "applied" else "rejected", reason)
        for opens in self._later:
            opens()
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
                    return self._revised(said, data)
                clauses = self._read(said, data)
                if isinstance(clauses, str):
                    return clauses
                self._issued[data["directive"]] = data.get("revision", 1)
                for clause in clauses:
                    self._clauses[data["directive"], clause.obligation["clause"]] = clause
                    self._oblige(clause, clause.leads)
            case (("obligation.triggered" | "obligation.dated" | "obligation.suspended" | "obligation.resumed"), data):
                if data["directive"] not in self._issued:
                    return "unknown_directive"
                if data["directive"] in self._revoked:
                    return "directive_revoked"
                known = self._clauses.get((data["directive"], data["clause"]))
                return self._said_of(known, said) if known and not known.withdrawn else "unknown_clause"
            case "agency.reorganised", data:
                return self._reorganised(said, data)
            case _:
                raise AssertionError(said.type)
        return "applied"

    def _read(self, said: Said, data: Mapping[str, Any]) -> list[Clause] | str:
        """The clauses of a directive; or what is wrong with a name in it."""
        found = []
        for one in data["obligations"]:
            named = [self._named(names, said.at) for names in ([STANDING], one["leads"], one["cooperating"])]
            for some in named:
                if isinstance(some, str):
                    return some
            [reviewer], leads, helpers = cast(list[list[str]], named)
            found.append(Clause(said, one, reviewer, leads, helpers))
        return found

    def _revised(self, said: Said, data: Mapping[str, Any]) -> str:
        """Tasks keep what matches; what a revision adds is assigned by it, what it leaves out ends."""
        clauses = self._read(said, data)
        if isinstance(clauses, str):
            return clauses
        self._issued[data["directive"]] = data["revision"]
        now = {one.obligation["clause"]: one for one in clauses}
        for (directive, name), before in list(self._clauses.items()):
            if directive == data["directive"]:
                self._follow(before, now.get(name), said)
        for name, clause in now.items():
            known = self._clauses.get((data["directive"], name))
            if known is None or known.obligation["due"]["kind"] not in MADE_LATER:
                self._oblige(clause, [one for one in clause.leads if f"{clause.stem}/{one}" not in self.tasks])
                self._clauses[data["directive"], name] = clause
        return "applied"

    def _follow(self, before: Clause, now: Clause | None, said: Said) -> None:
        if before.withdrawn or (now is not None and before.obligation["due"]["kind"] in MADE_LATER):
            # The story's revisions change nothing of what makes its tasks later, and bring nothing back.
            return
        if now is None:
            before.withdrawn.append(said)
        revised = now and Revised(now.leads, now.helpers, now.automatic, partial(self._due, now))
        occasion = said._replace(data={"revised": revised, "leads": now.leads if now else []})
        for task in self.tasks.values():
            if task.task_id.startswith(f"{before.stem}/"):
                task.occasions.append(occasion)

    def _reorganised(self, said: Said, data: Mapping[str, Any]) -> str:
        """Only noted; the tasks move when their time has come."""
        if any(code not in self._registry for code in (*data["predecessors"], *data["successors"])):
            return "unknown_agency"
        if any(code in self._edges for code in data["predecessors"]):
            return "already_reorganised"
        day = local(date.fromisoformat(data["effective_on"]))
        for code in data["predecessors"]:
            self._edges[code] = Edge(code, tuple(data["successors"]), day, said.key, said.at, said.place)
        return "applied"

    def _names(self, agency: str, at: datetime, known: int | None = None) -> list[str]:
        """What an agency is called at a time, and was before. Empty where there is no plain answer.

        `known`: for who knows only so many of the changes yet.
        """
        names, edges = [agency], dict(list(self._edges.items())[:known])
        while (edge := edges.get(names[-1])) and edge.effective_at <= at:
            if len(edge.successors) != 1 or edge.successors[0] in names:
                return []
            names += edge.successors
        return names

    def _named(self, names: Iterable[str], at: datetime) -> list[str] | str:
        """Agencies one by one, each once; or what is wrong with a name."""
        found: list[str] = []
        for name in names:
            if name.startswith("@"):
                codes = [code for code, one in sorted(self._registry.items()) if name in one["groups"]]
                some = [now[-1] for code in codes if (now := self._names(code, at))]
                if not some:
                    return "empty_group"
                found += some
            elif name not in self._registry:
                return "unknown_agency"
            elif not self._names(name, at):
                return "agency_is_no_more"
            else:
                found.append(self._names(name, at)[-1])
        return list(dict.fromkeys(found))

    def _opened(self, stem: str, agencies: list[str], period: str, at: datetime) -> list[str]:
        """Whose tasks a period opened: by the names known where it did, for the registry is another partition's."""
        found: list[str] = []
        for agency in agencies:
            names = self._names(agency, at) or [agency]
            found += [one for one in names if self._opened_by_clock(f"{stem}/{one}/{period}")] or names[-1:]
        return list(dict.fromkeys(found))

    def _said_of(self, clause: Clause, said: Said) -> str:
        kind, running = clause.obligation["due"]["kind"], bool(clause.pauses) and len(clause.pauses[-1]) == 1
        match said.type:
            case "obligation.triggered":
                return self._triggered(clause, said) if kind == "conditional" else "not_conditional"
            case "obligation.dated":
                for task in self.tasks.values():
                    if task.task_id.startswith(f"{clause.stem}/"):
                        task.occasions.append(said)
            case _ if kind != "recurring":
                return "not_recurring"
            case "obligation.suspended":
                if running:
                    return "already_suspended"
                clause.pauses.append([said])
            case "obligation.resumed":
                if not running:
                    return "not_suspended"
                clause.pauses[-1].append(said)
        return "applied"

    def _triggered(self, clause: Clause, said: Said) -> str:
        """One task an agency and day; whoever took an agency over has no second one."""
        day, due = date.fromisoformat(said.data["occurred_on"]), clause.obligation["due"]
        if day > day_of(said.at):
            return "occurred_in_future"
        named = self._named(said.data["agencies"] or clause.leads, said.at)
        if isinstance(named, str):
            return named
        allowed = list(clause.leads)
        for code in allowed:
            allowed += [
                one for one in (self._edges[code].successors if code in self._edges else ()) if one not in allowed
            ]
        if any(code not in allowed for code in named):
            return "unknown_agency"
        made = 0
        for agency in named:
            former = [code for code in self._edges if self._names(code, said.at)[-1:] == [agency]]
            if any(f"{clause.stem}/{code}/{day}" in self.tasks for code in (agency, *former)):
                continue
            reviewer = (self._names(clause.reviewer, said.at) or [clause.reviewer])[-1]
            task_id = f"{clause.stem}/{agency}/{day}"
            task = Task(task_id, agency, reviewer, clause.automatic, said.key, said.at, self.calendar)
            helpers = dict.fromkeys((self._names(one, said.at) or [one])[-1] for one in clause.helpers)
            task.cooperating = [one for one in helpers if one != agency]
            if due.get("days"):
                working = due.get("unit") == "working"
                nominal = self.calendar.walk(day, due["days"]) if working else day + timedelta(days=due["days"])
                task.give_deadline(nominal, rolls=True, key=said.key, at=said.at)
            self.tasks[task_id] = task
            made += 1
        return "applied" if made else "already_triggered"

    def _oblige(self, clause: Clause, leads: list[str]) -> None:
        said, obligation, stem, helpers = clause.said, clause.obligation, clause.stem, clause.helpers
        directive, due = said.data["directive"], obligation["due"]

        def make(agency: str, tail: str, key: str, at: datetime) -> Task:
            task = Task(f"{stem}/{agency}{tail}", agency, clause.reviewer, clause.automatic, key, at, self.calendar)
            task.cooperating = [one for one in helpers if one != agency]
            if at > said.at:
                self._by_names_of(task, helpers)
            return task

        def open_period(period: str, nominal: date, key: str, at: datetime, leads: list[str]) -> None:
            # What was running when the directive came was assigned by it.
            pause = clause.pause_at(at) if key != said.key else None
            for agency in leads:
                task = make(agency, f"/{period}", key, at)
                task.give_deadline(nominal, rolls=due.get("boundary") != "before", key=key, at=at, hour=due.get("hour"))
                # A revocation or a pause comes through another partition than the opening of a period.
                ended = clause.withdrawn or directive in self._said_revoked()
                late = key != said.key and (pause is not None or ended)
                if not late or self._opened_by_clock(task.task_id):
                    self.tasks[task.task_id] = task
                    task.occasions += [pause] if pause is not None else []
                    task.occasions += [one._replace(data={"revised": None, "leads": []}) for one in clause.withdrawn]

        def open_later(period: str, nominal: date, at: datetime) -> None:
            open_period(period, nominal, f"{stem}:opens:{period}", at, self._opened(stem, clause.leads, period, at))

        if due["kind"] == "conditional":
            return
        if due["kind"] == "recurring":
            for period, starts_on, nominal in periods(due, day_of(self.until)):
                opens_at = local(starts_on)
                if opens_at > said.at:
                    self._later.append(partial(open_later, period, nominal, opens_at))
                else:
                    open_period(period, nominal, said.key, said.at, clause.leads)
            return
        for agency in leads:
            task = self.tasks[f"{stem}/{agency}"] = make(agency, "", said.key, said.at)
            if (words := self._due(clause, said.at)) is not None:
                rolls = words.boundary != "before"
                task.give_deadline(words.nominal, rolls=rolls, key=said.key, at=said.at, hour=words.hour, words=words)

    def _due(self, clause: Clause, at: datetime) -> Words | None:
        """The deadline of a single task that was assigned at an instant."""
        due = clause.obligation["due"]
        match due["kind"]:
            case "open_ended" | "by_reference":
                return None
            case "relative":
                issued_on = date.fromisoformat(clause.said.data["issued_on"])
                start = day_of(at) if due.get("after") == "assigned" else issued_on
                working = due.get("unit") == "working"
                nominal = self.calendar.walk(start, due["days"]) if working else start + timedelta(days=due["days"])
                return Words(nominal, "by")
            case _ if due["boundary"] == "within":
                return Words(end_of_month(date.fromisoformat(f"{due['period']}-01")), "within")
        nominal = date.fromisoformat(due["day"]) - timedelta(days=due["boundary"] == "before")
        return Words(nominal, due["boundary"], due.get("hour"))

    def _opened_by_clock(self, task_id: str) -> bool:
        return self.observed.exists(task_id) and not self.observed.predecessor(task_id)

    def _by_names_of(self, task: Task, helpers: list[str]) -> None:
        """Who reviews and who cooperates, by the names that were known where a period opened."""
        edge = self._edges.get(task.reviewer)
        if edge and edge.effective_at <= task.assigned_at and self.observed.exists(task.task_id):
            corrected = self.observed.facts_before(task.task_id, edge.key) is not None
            if not corrected and self.observed.now(task.task_id, "reviewer") != task.reviewer:
                task.reviewer = edge.successors[0]
        for known in range(len(self._edges) + 1):
            now = [(self._names(one, task.assigned_at, known) or [one])[-1] for one in helpers]
            task.cooperating = [one for one in dict.fromkeys(now) if one != task.agency]
            if tuple(task.cooperating) == self.observed.now(task.task_id, "cooperating"):
                return

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
            if said.type == "agency.reorganised":
                self._reorganise(task, said.data["edge"])
                continue
            if said.type == "obligation.dated":
                name_day(task, said)
                continue
            if said.type == "obligation.suspended":
                leave_out(task, said)
                continue
            if said.type == "directive.issued":
                revise(task, said)
                continue
            if task.assigned_at >= said.at + PARKED_MAX:
                self.outcomes[said.key] = ("rejected", "unknown_task")
                continue
            self._let_a_return_count(task, said)
            reason = task.take(said, self)
            self.outcomes[said.key] = ("applied" if reason in TAKEN else "rejected", reason)
        task.pass_to(self.until)

    def _let_a_return_count(self, task: Task, said: Said) -> None:
        """An overdue begins at the receipt of a return. What was received before that and is read after it finds the
        overdue told where some other record had brought time that far."""
        returned = task.results[-1]["judged_at"] if task.results and task.results[-1]["verdict"] == "returned" else None
        if returned is None or said.foreign or said.at >= returned:
            return
        before = self.observed.facts_before(task.task_id, said.key) or []
        task.pass_to(returned, [key for key, _ in before])

    def _reorganise(self, task: Task, edge: Edge) -> None:
        if edge.moves_at(task) > self.until:
            return
        heir = successor(task, edge.successors[0]) if edge.successors else ""
        shared = self.observed.exists(heir) and self.observed.predecessor(heir) != task.task_id
        # Whether the other share was over by then: no order between the two partitions says so.
        over = shared and self.observed.was_over(heir) and self.observed.asked(task.task_id, edge.key)
        reorganise(task, edge, shared=shared, over=over)

    def _ends_of(self, task: Task) -> list[Said]:
        """The reorganisations that may concern a task. One that made it does not end it as well."""
        return [
            Said(one.key, "agency.reorganised", "", one.moves_at(task), one.place, {"edge": one}, True)
            for one in self._edges.values()
            if one.agency in {task.agency, task.reviewer} and one.key != task.assigned
        ]

    def _in_order(self, task: Task, about: list[Said]) -> Iterator[Said]:
        own = sorted((one for one in about if not one.foreign), key=lambda one: one.place)
        foreign = [one for one in about if one.foreign] + self._revoked.get(task.task_id.split("/")[1], [])
        foreign += [*self._ends_of(task), *task.occasions]
        places: dict[str, tuple[list[str], datetime | None]] = {}
        for one in foreign:
            facts = self.observed.facts_before(task.task_id, one.key)
            if facts is not None:
                clock = [at for key, at in facts if key.startswith(f"{task.task_id}:")]
                places[one.key] = ([key for key, _ in facts], max(clock, default=None))
        seen = sorted((one for one in foreign if one.key in places), key=lambda one: len(places[one.key][0]))
        money = [one for one in foreign if one.key not in places and one.type == "budget.allocated"]
        money.sort(key=lambda one: one.place)
        # A revision that left none found nothing to correct; a later one comes after it.
        silent = [one for one in foreign if one.key not in places and one.type == "directive.issued"]
        for one in seen:
            before, reached = places[one.key]
            # What left no fact was already so; it lies in one partition with what it came before.
            while money and money[0].place < one.place:
                yield money.pop(0)
            moves = one.type == "agency.reorganised" and one.data["edge"].agency == task.agency
            asks = moves and self.observed.asked(task.task_id, one.key)
            # After an end everything leaves a fact, a rejection; what left none came before it. Who waits for a human
            # goes on: what left none there came before it if it was received before.
            ends = one.type in {"directive.revoked", "obligation.suspended"} or (moves and not asks)
            ends = ends or (one.type == "directive.issued" and not {task.agency, *task.led} & set(one.data["leads"]))
            while any(said.key in before for said in own) or (
                own and not self._left_a_fact(task, own[0]) and (ends or (asks and own[0].at < one.at))
            ):
                yield own.pop(0)
            if reached is not None:
                ahead = [said.key for said in own if said.at < reached and self._left_a_fact(task, said)]
                assert not ahead, f"time ran ahead of {ahead}, said of {task.task_id}"
                # A history keeps whole milliseconds; an overdue after a return begins at the very instant of it.
                task.pass_to(reached + timedelta(milliseconds=1), before)
            if moves:
                late = [said.key for said in own if said.at < one.at - CLOSE]
                assert not late, f"moved before {late}, said of {task.task_id} before it was to move"
            while one.type == "directive.issued" and silent and silent[0].place < one.place:
                yield silent.pop(0)
            yield one
            # Of two words on one allocation the later one stands; an earlier one that comes after it leaves no fact.
            overtaken = [said for said in money if _is_overtaken(said, one)]
            money = [said for said in money if said not in overtaken]
            yield from overtaken
        yield from own
        yield from money
        yield from silent
        alike = {"budget.allocated", "directive.issued"}
        yield from (one for one in foreign if one.key not in places and one.type not in alike)

    def _left_a_fact(self, task: Task, said: Said) -> bool:
        return self.observed.facts_before(task.task_id, said.key) is not None


def _is_overtaken(money: Said, by: Said) -> bool:
    same = by.type == money.type and by.data["allocation_id"] == money.data["allocation_id"]
    return same and money.at < by.at


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
