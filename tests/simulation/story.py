"""What a seed submits: directives, what agencies and the authority say about their tasks, repeats, mistakes, poison.

A new event on a task is one line in `AGENCY` or `AUTHORITY` here, and one rule in `reference.py`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, TypeAlias

import pydantic_core

from services.tasks.domain.decision import Rulebook, Rules
from services.tasks.domain.milestones import MilestonePolicy
from shared.workdays.calendar import WorkingCalendar

START = datetime(2024, 10, 14, 1, 0, tzinfo=UTC)
LAST = START + timedelta(days=60)
"""Nothing is submitted after it."""
END = datetime(2024, 12, 16, 3, 30, tzinfo=UTC)
"""Half past ten, local: far from every milestone, and more than a day after what was submitted last."""
DAYS_OFF = frozenset({date(2024, 10, 23), date(2024, 11, 11), date(2024, 11, 12), date(2024, 12, 2)})
DAYS_WORKED = frozenset({date(2024, 11, 16)})
RULES = Rules(WorkingCalendar(DAYS_OFF, DAYS_WORKED), MilestonePolicy())
RULEBOOK = Rulebook(RULES)

PROVINCE, OFFICE, STANDING = "H48", "H48.01", "H48.07"
AGENCIES = ("H48.20", "H48.21", "H48.22", "H48.23")
SPARE = ("H48.30", "H48.31", "H48.32", "H48.33", "H48.34", "H48.35")
"""Registered, and in no group: who a task is reassigned to."""
NEW = ("H48.40", "H48.41", "H48.08")
"""What agencies become; the last one follows the standing one."""
UNREGISTERED = "H48.99"
LOCAL_TIMES = (time(0), time(8), time(17))
"""When milestones fall."""
HOUR = timedelta(hours=1)

Data: TypeAlias = dict[str, Any]


class Submitted(NamedTuple):
    """One record, and when (virtual seconds) it gets into the log."""

    at: float
    key: str
    value: bytes
    what: str


class Drawn(NamedTuple):
    """What an event may refer to."""

    chance: random.Random
    day: date
    """Of receipt."""
    number: int

    @property
    def document(self) -> Data:
        return {"number": f"{self.number}/VB", "issued_on": self.day.isoformat()}

    def later(self, days: int = 30) -> str:
        return (self.day + timedelta(days=self.chance.randint(-3, days))).isoformat()

    def perhaps(self, **data: Any) -> Data:
        return data if self.chance.random() < 0.4 else {}

    def obstacle(self) -> str:
        return f"o{self.chance.randint(1, 3)}"


Draw: TypeAlias = Callable[[Drawn], Data]

AGENCY: tuple[tuple[int, str, Draw], ...] = (
    (2, "task.acknowledged", lambda _: {}),
    (3, "task.progress_reported", lambda d: {"percent": d.chance.randint(0, 100)}),
    (8, "task.result_submitted", lambda d: {"document": d.document}),
    (3, "task.disbursement_reported", lambda d: {"as_of": d.later(1), "cumulative_vnd": d.number}),
    (2, "task.obstacle_raised", lambda d: {"obstacle_id": d.obstacle(), "description": "khó"}),
    (2, "task.obstacle_cleared", lambda d: {"obstacle_id": d.obstacle()}),
    (
        2,
        "task.contribution_judged",
        lambda d: {"agency": d.chance.choice(AGENCIES), "verdict": d.chance.choice(("accepted", "returned"))},
    ),
    (3, "task.extension_requested", lambda d: {"requested_last_day": d.later(), "reason": "chờ"}),
)
"""Weight, type, data beside the task's id: what a task's own agency says."""

AUTHORITY: tuple[tuple[int, str, Draw], ...] = (
    (3, "task.contribution_submitted", lambda _: {"summary": "góp ý"}),
    (3, "task.result_accepted", lambda _: {}),
    (4, "task.result_returned", lambda _: {"reason": "thiếu"}),
    (4, "task.extension_granted", lambda d: {"last_day": d.later(), "document": d.document}),
    (1, "task.extension_refused", lambda _: {"reason": "không"}),
    (1, "task.cancelled", lambda d: {"reason": "thôi", "document": d.document}),
    (3, "task.suspended", lambda d: {"reason": "tạm dừng", "document": d.document}),
    (1, "task.resumed", lambda d: {"document": d.document, **d.perhaps(last_day=d.later())}),
    (2, "task.reassigned", lambda d: {"to_agency": "", "reason": "chuyển", "document": d.document}),
    (1, "task.obstacle_answered", lambda d: {"obstacle_id": d.obstacle(), "answer": "đã rõ"}),
    (1, "task.obstacle_forwarded", lambda d: {"obstacle_id": d.obstacle(), "to": "chairman"}),
    (
        3,
        "budget.allocated",
        lambda d: {
            "allocation_id": f"a{d.chance.randint(1, 3)}",
            "fiscal_year": 2024,
            "amount_vnd": d.number,
            "document": d.document,
        },
    ),
)

UNDER_THE_PROVINCE = frozenset(
    {
        *("agency.registered", "agency.reorganised", "directive.issued", "directive.revoked", "budget.allocated"),
        *("obligation.triggered", "obligation.dated", "obligation.suspended", "obligation.resumed"),
    }
)


def due_rule(chance: random.Random, day: date) -> Data:
    """How a clause words its deadline."""
    soon = day + timedelta(days=chance.randint(1, 35))
    hour = {"hour": "17:00"} if chance.random() < 0.2 else {}
    recurring = {"kind": "recurring", "starts_on": day.isoformat()}
    ends = {"ends_on": (day + timedelta(days=chance.randint(5, 60))).isoformat()} if chance.random() < 0.4 else {}
    return chance.choice(
        (
            {"kind": "fixed", "boundary": "before", "day": soon.isoformat(), **hour},
            {"kind": "fixed", "boundary": "by", "day": soon.isoformat(), **hour},
            {"kind": "fixed", "boundary": "within", "period": f"{soon:%Y-%m}"},
            {"kind": "relative", "days": chance.randint(1, 20), "unit": chance.choice(("calendar", "working"))},
            {"kind": "relative", "days": chance.randint(1, 20), "after": "assigned"},
            {"kind": "open_ended"},
            {"kind": "by_reference", "reference": "theo quy định"},
            {"kind": "conditional", "trigger": "khi phát sinh"},
            {"kind": "conditional", "trigger": "khi phát sinh", "days": chance.randint(1, 9)},
            {"kind": "conditional", "trigger": "khi phát sinh", "days": chance.randint(1, 9), "unit": "working"},
            {**recurring, "every": "weekly", "boundary": "by", "day": chance.randint(1, 7), **hour, **ends},
            {**recurring, "every": "monthly", "boundary": "before", "day": chance.randint(1, 31), **ends},
            {**recurring, "every": "monthly", **ends},
        )
    )


def leads_of(obligation: Data) -> list[str]:
    """The agencies that a clause names, one by one."""
    return list(AGENCIES) if obligation["leads"] == ["@all"] else obligation["leads"]


def task_ids(directive: str, obligation: Data) -> list[str]:
    """The tasks that a clause makes by itself, sooner or later; of a recurring one also some that it never makes."""
    if obligation["due"]["kind"] == "conditional":
        return []
    stem = f"{PROVINCE}/{directive}/{obligation['clause']}"
    match obligation["due"].get("every"):
        case None:
            tails = [""]
        case "weekly":
            tails = [f"/2024-W{week}" for week in range(42, 52)]
        case _:
            tails = [f"/2024-{month}" for month in (10, 11, 12)]
    return [f"{stem}/{agency}{tail}" for agency in leads_of(obligation) for tail in tails]


def due_about(due: Data, task_id: str, issued: datetime) -> datetime:
    """Roughly when a task is due."""
    if "every" in due:
        period = task_id.rsplit("/", 1)[1]
        if due["every"] == "weekly":
            day = date.fromisocalendar(2024, int(period[6:]), due["day"])
        else:
            month = date.fromisoformat(f"{period}-01")
            last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            day = min(last, month + timedelta(days=due.get("day", 32) - 2))
        return datetime.combine(day, time(5), UTC)
    if "days" in due:
        return issued + timedelta(days=due["days"])
    return datetime.combine(date.fromisoformat(due["day"]), time(5), UTC) if "day" in due else issued


@dataclass
class Story:
    """Everything that is submitted, in the order it gets into the log."""

    chance: random.Random
    submissions: list[Submitted] = field(default_factory=list)
    poison: dict[str, str] = field(default_factory=dict)
    """Event id → why it goes to the dead letters."""

    def __post_init__(self) -> None:
        # Exact: all clocks agree and ingest never hesitates, so that even the instant of a deadline is decided.
        # Otherwise clocks differ and ingest is slow, and nothing is submitted close to a milestone.
        self.exact = self.chance.random() < 0.5
        self._ingest_skews = [self._skew(self.chance) for _ in range(2)]
        self._said: list[tuple[datetime, str, str, Data, str, str]] = []
        self._heirs: dict[str, int] = {}
        self._due: dict[str, datetime] = {}
        self._changes = self._reorganisations()
        tasks = self._directives()
        self._lives(tasks)
        self._repeats()
        self._poison()
        self._write()

    def skew(self, chance: random.Random) -> timedelta:
        """How wrong a replica's clock is."""
        return timedelta() if self.exact else self._skew(chance)

    def _skew(self, chance: random.Random) -> timedelta:
        return timedelta() if self.exact else timedelta(seconds=chance.uniform(-300, 300))

    def _say(self, at: datetime, event_type: str, data: Data, actor: str, event_id: str | None = None) -> None:
        key = PROVINCE if event_type in UNDER_THE_PROVINCE else data["task_id"]
        self._said.append((self._moment(at), key, event_type, data, actor, event_id or f"e{len(self._said)}"))

    def _moment(self, at: datetime) -> datetime:
        if self.exact:
            return at
        local = at + timedelta(hours=7)
        close = any(
            abs((local - datetime.combine(local.date() + timedelta(days=day), one, UTC)).total_seconds()) < 1_500
            for one in LOCAL_TIMES
            for day in (0, 1)
        )
        return at + timedelta(minutes=52) if close else at

    def _directives(self) -> list[tuple[datetime, str]]:
        """The registry and the directives; returns the tasks that will be spoken of, from when on."""
        chance = self.chance
        registered = [(OFFICE, "chairman_office"), (STANDING, "standing"), *((one, "agency") for one in (*SPARE, *NEW))]
        for code, role, groups in [
            *((*one, []) for one in registered),
            *((one, "agency", ["@all"]) for one in AGENCIES),
        ]:
            agency: Data = {"code": code, "name": code, "role": role, "groups": groups, "valid_from": "2024-01-01"}
            self._say(START + timedelta(seconds=1), "agency.registered", agency, STANDING)
        for told, change in self._changes:
            self._say(told, "agency.reorganised", change, OFFICE)
        tasks: list[tuple[datetime, str]] = []
        for number in range(chance.randint(1, 3)):
            issued = START + timedelta(hours=3 + chance.uniform(0, 24 * 25) * (number > 0))
            directive = f"TB-{number}"
            obligations = [self._obligation(f"II.{clause}", issued) for clause in range(1, chance.randint(2, 4))]
            data: Data = {
                "directive": directive,
                "kind": "TB",
                "issuer": "UBND",
                "issued_on": issued.date().isoformat(),
                "title": "Thông báo",
                "obligations": obligations,
            }
            self._say(issued, "directive.issued", data, OFFICE)
            found = [one for obligation in obligations for one in task_ids(directive, obligation)]
            for one in obligations:
                self._due |= {task_id: due_about(one["due"], task_id, issued) for task_id in task_ids(directive, one)}
            tasks += [(issued, one) for one in chance.sample(found, min(len(found), 4))]
            for one in obligations:
                tasks += self._occasions(directive, one, issued)
            # Not drawn: a later revision, or a revocation, of a directive whose tasks are just being moved.
            if not self._changes and chance.random() < 0.2:
                again = {**data, "title": "Thông báo (sửa)", "revision": chance.randint(1, 2)}
                self._say(issued + chance.uniform(0, 99) * HOUR, "directive.issued", again, OFFICE)
            if not self._changes and chance.random() < 0.4:
                tasks += self._corrections(data, issued)
            if not self._changes and chance.random() < 0.25:
                withdrawn = {"directive": directive, "reason": "thay thế", "document": data["obligations"][0]["_doc"]}
                self._say(issued + chance.uniform(1, 800) * HOUR, "directive.revoked", withdrawn, OFFICE)
            for _, _, event_type, said, _, _ in self._said:
                for one in said["obligations"] if event_type == "directive.issued" else ():
                    one.pop("_doc", None)
        if chance.random() < 0.5:
            tasks.append((START, f"{PROVINCE}/TB-9/II.1/{chance.choice(AGENCIES)}"))
        return tasks

    def _corrections(self, data: Data, issued: datetime) -> list[tuple[datetime, str]]:
        """Later revisions that change something: clauses are added, corrected and left out (for good). Returns some of
        the tasks that they name."""
        chance, made = self.chance, []
        for revision in range(2, chance.randint(3, 4)):
            at = min(issued + chance.triangular(1, 24 * 40, 24 * 6) * HOUR, LAST)
            kept = [one for one in data["obligations"] if chance.random() < 0.8]
            obligations = [self._corrected(one, issued) for one in kept]
            if not obligations or chance.random() < 0.3:
                obligations.append(self._obligation(f"II.{2 + revision}", issued))
            data = {**data, "revision": revision, "obligations": obligations}
            self._say(at, "directive.issued", data, OFFICE)
            named = [(one["due"], task_id) for one in obligations for task_id in task_ids(data["directive"], one)]
            self._due |= {task_id: due_about(due, task_id, issued) for due, task_id in named}
            made += [(at, task_id) for _, task_id in chance.sample(named, min(len(named), 3))]
        return made

    def _corrected(self, obligation: Data, issued: datetime) -> Data:
        """What a revision says of a clause that stood before; of one that makes its tasks later, only the same."""
        chance, due, changes = self.chance, obligation["due"], {}
        if due["kind"] in {"recurring", "conditional"}:
            return obligation
        if chance.random() < 0.5:
            drawn = [due_rule(chance, issued.date()) for _ in range(40)]
            changes["due"] = next((one for one in drawn if one["kind"] == due["kind"]), due)
        if chance.random() < 0.3:
            changes["leads"] = chance.sample(AGENCIES, chance.randint(1, 3))
        if chance.random() < 0.3:
            changes["cooperating"] = chance.sample(AGENCIES, chance.randint(0, 2))
        if chance.random() < 0.2:
            changes["acceptance"] = chance.choice(("automatic", "reviewer"))
        return {**obligation, **changes}

    def _occasions(self, directive: str, obligation: Data, issued: datetime) -> list[tuple[datetime, str]]:
        """What is said of one clause after it was issued; returns the tasks that it makes."""
        chance, made = self.chance, []
        clause = {"directive": directive, "clause": obligation["clause"]}

        def moment(hours: float) -> datetime:
            return min(issued + chance.uniform(-1, hours) * HOUR, LAST)

        if obligation["due"]["kind"] == "conditional" or chance.random() < 0.05:
            for _ in range(chance.randint(1, 3)):
                at = moment(24 * 20)
                day = (at + timedelta(hours=7)).date() + timedelta(days=chance.choice((-2, -1, 0, 0, 0, 1)))
                leads = leads_of(obligation)
                named = chance.sample((*AGENCIES, NEW[0]), chance.choice((0, 0, 0, 1, 2)))
                triggered = {**clause, "occurred_on": day.isoformat(), "agencies": named}
                self._say(at, "obligation.triggered", triggered, OFFICE)
                stem = f"{PROVINCE}/{directive}/{obligation['clause']}"
                made += [(at, f"{stem}/{agency}/{day}") for agency in chance.sample(leads, min(len(leads), 2))]
        if obligation["due"]["kind"] in {"by_reference", "open_ended", "conditional"} and chance.random() < 0.7:
            for _ in range(chance.randint(1, 2)):
                at = moment(24 * 30)
                drawn = Drawn(chance, (at + timedelta(hours=7)).date(), 7)
                due = {"kind": "fixed", "boundary": chance.choice(("by", "before")), "day": drawn.later()}
                self._say(at, "obligation.dated", {**clause, "due": due, "document": drawn.document}, OFFICE)
        if obligation["due"]["kind"] == "recurring" and chance.random() < 0.4:
            document = {"number": "3/TB", "issued_on": issued.date().isoformat()}
            at = moment(24 * 30)
            self._say(at, "obligation.suspended", {**clause, "reason": "tạm dừng", "document": document}, OFFICE)
            if chance.random() < 0.7:
                back = min(at + chance.uniform(1, 24 * 20) * HOUR, LAST)
                self._say(back, "obligation.resumed", {**clause, "document": document}, OFFICE)
        return made

    def _reorganisations(self) -> list[tuple[datetime, Data]]:
        """Agencies that end, told before the day or after it; one may end twice, or what it became may end too."""
        chance = self.chance
        if chance.random() < 0.5:
            return []
        one, other, third = chance.sample(AGENCIES, 3)
        first: tuple[tuple[str, list[str], list[str]], ...] = (
            ("renamed", [one], [NEW[0]]),
            ("merged", [one, other], [NEW[0]]),
            ("merged", [one], [other]),
            ("split", [one], [NEW[0], NEW[1]]),
            ("abolished", [one], []),
        )
        then: tuple[tuple[str, list[str], list[str]], ...] = (
            ("renamed", [NEW[0]], [NEW[1]]),
            ("merged", [NEW[0]], [third]),
            ("renamed", [STANDING], [NEW[2]]),
            ("renamed", [one], [NEW[1]]),
            ("merged", [third, UNREGISTERED], [NEW[0]]),
        )
        found = []
        for kind, predecessors, successors in [chance.choice(first), *chance.sample(then, chance.randint(0, 2))]:
            told = self._moment(START + chance.uniform(2, 24 * 40) * HOUR)
            effective = (told + timedelta(hours=7, days=chance.randint(-5, 12))).date()
            change = {"change": kind, "predecessors": predecessors, "successors": successors}
            document = {"number": "18/NQ", "issued_on": told.date().isoformat()}
            found.append((told, {**change, "effective_on": effective.isoformat(), "document": document}))
        return found

    def _ended(self) -> set[str]:
        return {code for _, change in self._changes for code in change["predecessors"]}

    def _obligation(self, clause: str, issued: datetime) -> Data:
        chance = self.chance
        leads = ["@all"] if chance.random() < 0.3 else chance.sample(AGENCIES, chance.randint(1, 2))
        if chance.random() < 0.03:
            leads = [UNREGISTERED]
        helpers = ["@all"] if chance.random() < 0.2 else chance.sample(AGENCIES, chance.randint(0, 3))
        return {
            "clause": clause,
            "title": f"Nội dung {clause}",
            "leads": leads,
            "cooperating": helpers,
            "due": due_rule(chance, issued.date()),
            "category": "dated",
            "acceptance": "automatic" if chance.random() < 0.2 else "reviewer",
            "_doc": {"number": "9/TB", "issued_on": issued.date().isoformat()},
        }

    def _lives(self, tasks: list[tuple[datetime, str]]) -> None:
        chance = self.chance
        for _, change in self._changes:
            day = datetime.combine(date.fromisoformat(change["effective_on"]), time(0), UTC)
            for _, task_id in list(tasks):
                parts = task_id.split("/")
                if parts[3] in change["predecessors"]:
                    tasks += [(day, "/".join([*parts[:3], code, *parts[4:]])) for code in change["successors"]]
        previous: tuple[datetime, str, datetime] | None = None
        for number in range(chance.randint(15, 60)):
            issued, task_id = chance.choice(tasks)
            # Some speak of a task before its directive is there.
            at = issued + chance.triangular(-12, 24 * 45, 24 * 4) * HOUR
            if chance.random() < 0.3:
                at = self._close_to_a_milestone(self._due.get(task_id, at))
            if previous and chance.random() < 0.2:
                # In the same minutes as the one before: whichever ingest is slower decides which is read first.
                issued, task_id, at = previous
                at += timedelta(seconds=chance.uniform(-90, 90))
            at = min(max(at, START + timedelta(minutes=1)), LAST)
            previous = (issued, task_id, at)
            drawn = Drawn(chance, (at + timedelta(hours=7)).date(), number)
            own = chance.random() < 0.6
            [(_, event_type, draw)] = chance.choices(
                AGENCY if own else AUTHORITY, [one[0] for one in (AGENCY if own else AUTHORITY)]
            )
            data = {"task_id": task_id, **draw(drawn)}
            agency = task_id.split("/")[3]
            judge = chance.choice((STANDING, STANDING, NEW[2])) if STANDING in self._ended() else STANDING
            others = {"task.result_accepted": judge, "task.result_returned": judge}
            # Not drawn: agencies that contribute in the place of those they took in.
            taking_in = {code for _, change in self._changes for code in change["successors"]}
            others["task.contribution_submitted"] = chance.choice([one for one in AGENCIES if one not in taking_in])
            actor = (agency if own else others.get(event_type, OFFICE)) if chance.random() < 0.96 else "H48.23"
            if event_type == "task.reassigned":
                data["to_agency"] = self._heir(task_id)
                tasks.append(
                    (at - HOUR, "/".join([*task_id.split("/")[:3], data["to_agency"], *task_id.split("/")[4:]]))
                )
            self._say(at, event_type, data, actor)
            if event_type == "task.suspended" and chance.random() < 0.7:
                back = min(at + chance.choice((0.2, 5, 40, 300)) * chance.uniform(0.5, 1.5) * HOUR, LAST)
                drawn = Drawn(chance, (back + timedelta(hours=7)).date(), number)
                again = {"task_id": task_id, "document": drawn.document, **drawn.perhaps(last_day=drawn.later())}
                self._say(back, "task.resumed", again, OFFICE)

    def _close_to_a_milestone(self, at: datetime) -> datetime:
        local = (at + timedelta(hours=7)).date() + timedelta(days=self.chance.choice((-1, 0, 0, 1, 1, 2)))
        return datetime.combine(local, self.chance.choice(LOCAL_TIMES), UTC) - timedelta(
            hours=7, seconds=self.chance.choice((0, 0, 0.001, 1, -0.001, -1, 60, -3_600))
        )

    def _heir(self, task_id: str) -> str:
        """Nobody inherits the same share from two."""
        if self.chance.random() < 0.2:
            return self.chance.choice((UNREGISTERED, task_id.split("/")[3]))
        share = "/".join([*task_id.split("/")[:3], *task_id.split("/")[4:]])
        taken = self._heirs[share] = self._heirs.get(share, -1) + 1
        return SPARE[min(taken, len(SPARE) - 1)] if taken < len(SPARE) else UNREGISTERED

    def _repeats(self) -> None:
        """Clients that send again, and clients that use an id twice."""
        chance = self.chance
        for at, key, event_type, data, actor, event_id in list(self._said):
            draw = chance.random()
            again = self._moment(min(at + timedelta(seconds=chance.choice((0, 30, 3_600, 400_000))), LAST))
            if draw < 0.06:
                self._said.append((again, key, event_type, data, actor, event_id))
            elif draw < 0.09 and event_type.startswith("task.") and "reason" in data:
                self._said.append((again, key, event_type, {**data, "reason": "khác"}, actor, event_id))
            elif draw < 0.11 and event_type.startswith("task."):
                other = "/".join([*data["task_id"].split("/")[:3], chance.choice(AGENCIES)])
                # Not drawn: two shares that one agency inherits.
                if other != key and event_type != "task.reassigned":
                    self._said.append((again, other, event_type, {**data, "task_id": other}, actor, event_id))

    def _poison(self) -> None:
        """Records that nobody can process."""
        chance = self.chance
        for number in range(chance.choice((0, 0, 0, 1, 2))):
            at = START + chance.uniform(1, 1_000) * HOUR
            key, event_id = f"{PROVINCE}/TB-0/II.1/{chance.choice(AGENCIES)}", f"poison{number}"
            kind, reason = chance.choice(
                (
                    ("task.acknowledged", "not_received"),
                    ("task.forgotten", "unknown_type"),
                    ("task.progress_reported", "invalid_data"),
                )
            )
            self.poison[event_id] = reason
            self._said.append((self._moment(at), key, kind, {"task_id": key}, AGENCIES[0], event_id))

    def _write(self) -> None:
        chance = self.chance
        if self.exact:
            self._said.sort(key=lambda one: one[0])
        for at, key, event_type, data, actor, event_id in self._said:
            skew = chance.choice(self._ingest_skews)
            content: Data = {
                "specversion": "1.0",
                "id": event_id,
                "source": "//sim",
                "type": f"dondoc.{event_type}.v1",
                "province": PROVINCE,
                "agency": actor,
                "receivedat": at,
                "data": data,
            }
            if self.poison.get(event_id) == "not_received":
                del content["receivedat"]
            delay = 0.0 if self.exact else chance.uniform(0, 180)
            moment = (at - START - skew).total_seconds() + delay
            what = f"{event_id} {event_type} {data.get('task_id', '')} received {at:%d/%m %H:%M:%S.%f}Z"
            self.submissions.append(Submitted(max(0.0, moment), key, pydantic_core.to_json(content), what))
        self.submissions.sort(key=lambda one: one.at)
