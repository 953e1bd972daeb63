"""What the rules make of one task, told a second time and plainly: facts, deadlines, time (design §4).

No code of the service is used. A new command is one function under `@command`.
"""

from bisect import insort
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple, Protocol, TypeAlias

ICT = timezone(timedelta(hours=7))
Entry: TypeAlias = dict[str, Any]
Fact: TypeAlias = tuple[str, str, str]
"""Kind, reason, the event (or milestone) that caused it."""


class Said(NamedTuple):
    """A submission: the first of its id. `foreign`: its record lies under another key than its task's."""

    key: str
    type: str
    actor: str
    at: datetime
    place: tuple[int, int]
    data: Mapping[str, Any]
    foreign: bool


class Registry(Protocol):
    """What a reassignment asks of the province."""

    def cannot_go_to(self, task: "Task", agency: str) -> str: ...


@dataclass(frozen=True)
class Calendar:
    off: frozenset[date]
    worked: frozenset[date]

    def works(self, day: date) -> bool:
        return day in self.worked or (day.weekday() < 5 and day not in self.off)

    def walk(self, day: date, days: int) -> date:
        """`days` working days on; 0: the day itself or the last one worked before it; None is never needed."""
        step = timedelta(days=1 if days > 0 else -1)
        for _ in range(abs(days)):
            day += step
            while not self.works(day):
                day += step
        while not self.works(day):
            day += step
        return day

    def forward(self, day: date) -> date:
        return day if self.works(day) else self.walk(day, 1)


def local(day: date, hour: time = time(0)) -> datetime:
    return datetime.combine(day, hour, ICT).astimezone(UTC)


def day_of(instant: datetime) -> date:
    return instant.astimezone(ICT).date()


class Words(NamedTuple):
    """What makes a deadline of the directive the same as another."""

    nominal: date
    boundary: str
    hour: str | None = None


@dataclass(frozen=True)
class Revised:
    """What a revision says of a clause."""

    leads: list[str]
    helpers: list[str]
    automatic: bool
    due: Callable[[datetime], Words | None]
    """Its deadline, for a task assigned at an instant."""


@dataclass
class Task:
    """A task's facts. Field names and order of entries as on the wire; a cause is the id of its event."""

    task_id: str
    agency: str
    reviewer: str
    automatic: bool
    assigned: str
    assigned_at: datetime
    calendar: Calendar
    predecessor: str | None = None
    acknowledged: tuple[str, datetime] | None = None
    progress: tuple[int, str, datetime] | None = None
    deadlines: list[Entry] = field(default_factory=list)
    results: list[Entry] = field(default_factory=list)
    extensions: list[Entry] = field(default_factory=list)
    milestones: list[Entry] = field(default_factory=list)
    obstacles: list[Entry] = field(default_factory=list)
    allocations: list[Entry] = field(default_factory=list)
    disbursements: list[Entry] = field(default_factory=list)
    suspensions: list[Entry] = field(default_factory=list)
    cooperating: list[str] = field(default_factory=list)
    contributions: list[Entry] = field(default_factory=list)
    occasions: list[Said] = field(default_factory=list)
    """What was said of its clause: a day that was named, a pause that began before it, a revision."""
    revised_by: tuple[int, int] | None = None
    """Where the latest revision stands that it follows; an earlier one is not taken back."""
    led: tuple[str, ...] = ()
    """Who had it before its agency, the first one first."""
    succession: str | None = None
    """Why a human must say who takes over from an agency that is no more."""
    ended: Entry | None = None
    facts: list[Fact] = field(default_factory=list)
    heirs: "list[Task]" = field(default_factory=list)

    def tell(self, kind: str, reason: str, key: str) -> str:
        self.facts.append((kind, reason, key))
        return reason

    @property
    def result(self) -> str:
        if self.ended:
            return str(self.ended["how"])
        if any(one["verdict"] == "accepted" for one in self.results):
            return "completed"
        if self.suspended:
            return "suspended"
        if self.results and self.results[-1]["verdict"] is None:
            return "submitted"
        return "in_progress" if self.progress or self.results else "assigned"

    @property
    def open(self) -> bool:
        return self.result in {"assigned", "in_progress", "submitted", "suspended"}

    @property
    def suspended(self) -> bool:
        return bool(self.suspensions) and self.suspensions[-1]["resumed"] is None

    def clock(self, instant: datetime) -> datetime:
        """What the deadline's clock shows: while the task is suspended it stands still."""
        for one in self.suspensions:
            if one["at"] <= instant and (one["resumed"] is None or instant < one["resumed_at"]):
                stopped: datetime = one["at"]
                return stopped
        return instant

    # -- time ------------------------------------------------------------------------------------------------------

    def give_deadline(
        self, nominal: date, *, rolls: bool, key: str, at: datetime, hour: str | None = None, words: Words | None = None
    ) -> None:
        """`words`: of the directive, which a later revision may correct."""
        legal = self.calendar.forward(nominal) if rolls else nominal
        due_at = local(legal, time.fromisoformat(hour)) if hour else local(legal + timedelta(days=1))
        operational = self.calendar.walk(nominal, 0)
        dates = {"nominal": nominal, "legal": legal, "operational": operational, "due_at": due_at}
        self.deadlines.append({"version": len(self.deadlines) + 1, **dates, "cause": key, "since": at, "words": words})

    def _plan(self) -> list[tuple[datetime, str, str]]:
        """What time would do, in order: when, kind, id."""
        version = self.deadlines[-1]["version"] if self.deadlines else 0
        if self.result == "submitted" and not self.automatic:
            last = self.results[-1]
            reminders = [
                (
                    local(self.calendar.walk(day_of(last["at"]), days), time(8)),
                    "review_due",
                    f"review-{last['number']}-{days}",
                )
                for days in (3, 10)
            ]
            return [(at, kind, f"{self.task_id}:{name}:{version}") for at, kind, name in reminders if at > last["at"]]
        if self.result not in {"assigned", "in_progress"} or not self.deadlines:
            return []
        due = self.deadlines[-1]
        plan = [
            (at, "due_soon", f"due_soon-{days}")
            for days in (7, 3, 1, 0)
            if (at := local(self.calendar.walk(due["operational"], -days), time(8)))
            > max(due["since"], self.assigned_at)
        ]
        back = self.results[-1]["judged_at"] if self.results and self.results[-1]["verdict"] == "returned" else None
        overdue_at = max(due["due_at"], back or due["due_at"])
        grace_from = max(due["legal"], day_of(back)) if back else due["legal"]
        plan.append((overdue_at, "overdue", "overdue"))
        for level, days in enumerate((1, 5, 10), 1):
            at = max(overdue_at, local(self.calendar.walk(grace_from, days), time(8)))
            plan.append((at, "escalated", f"escalation-{level}"))
        return [
            (at, kind, f"{self.task_id}:{name}:{version}") for at, kind, name in sorted(plan, key=lambda one: one[0])
        ]

    def pass_to(self, now: datetime, among: Collection[str] | None = None) -> None:
        """Each milestone due by now (of those named) fires once, unless it was taken back since."""
        lasting = [one["id"] for one in self.milestones if one["retracted"] is None]
        # An overdue and its levels stand whatever becomes of the deadline; reminders belong to one version of it.
        standing = {name.split(":")[1] for name in lasting if ":due_soon" not in name and ":review" not in name}
        for at, kind, name in self._plan():
            if (
                at <= now
                and name not in lasting
                and name.split(":")[1] not in standing
                and (among is None or name in among)
            ):
                self.milestones.append({"id": name, "kind": kind, "at": at, "retracted": None})
                self.tell(kind, "milestone_reached", name)

    def retract(self, reason: str, key: str) -> None:
        wrong = [one for one in self.milestones if one["kind"] in {"overdue", "escalated"} and one["retracted"] is None]
        for one in wrong:
            one["retracted"] = key
        if wrong:
            self.tell("overdue_retracted", reason, key)

    def retract_in_time(self, at: datetime, reason: str, key: str) -> None:
        """What was received in time takes back an overdue that was told before it came."""
        if self.deadlines and self.clock(at) < self.deadlines[-1]["due_at"]:
            self.retract(reason, key)

    # -- submissions -----------------------------------------------------------------------------------------------

    def take(self, said: Said, province: Registry) -> str:
        """Apply a submission; returns why it came out as it did. Rejections are facts too."""
        if not said.foreign:
            # What comes through another partition says nothing about how far this one has come.
            self.pass_to(said.at)
        reason = self._rule(said, province)
        return reason if reason in TAKEN else self.tell("rejected", reason, said.key)

    def _rule(self, said: Said, province: Registry) -> str:
        own, rule = COMMANDS[said.type]
        if said.type == "task.reassigned" and (no := province.cannot_go_to(self, said.data["to_agency"])):
            return no
        if own and said.actor != self.agency:
            return "not_yours"
        return "task_ended" if self.ended else rule(self, said)


TAKEN = frozenset({"applied", "already_so", "extension_granted", "suspended_time_not_counted", "last_day_named"})
Rule: TypeAlias = Callable[[Task, Said], str]
COMMANDS: dict[str, tuple[bool, Rule]] = {}
"""Type → whether only the task's own agency may say it, and the rule."""


def command(name: str, *, own: bool = False, while_open: bool = True) -> Callable[[Rule], Rule]:
    """A rule for a type of submission."""

    def register(rule: Rule) -> Rule:
        COMMANDS[name] = (own, lambda task, said: rule(task, said) if task.open or not while_open else "task_completed")
        return rule

    return register


@command("task.acknowledged", own=True, while_open=False)
def _acknowledged(task: Task, said: Said) -> str:
    if task.acknowledged and task.acknowledged[1] <= said.at:
        return "already_so"
    task.acknowledged = (said.key, said.at)
    return task.tell("acknowledged", "applied", said.key)


@command("task.progress_reported", own=True)
def _progressed(task: Task, said: Said) -> str:
    if task.progress and task.progress[2] > said.at:
        return "already_so"
    task.progress = (said.data["percent"], said.key, said.at)
    return task.tell("progressed", "applied", said.key)


@command("task.result_submitted", own=True)
def _submitted(task: Task, said: Said) -> str:
    entry = {"number": len(task.results) + 1, "cause": said.key, "verdict": None, "verdict_cause": None, "at": said.at}
    task.results.append(entry)
    task.tell("result_received", "applied", said.key)
    task.retract_in_time(said.at, "result_was_in_time", said.key)
    if task.automatic:
        entry |= {"verdict": "accepted", "verdict_cause": said.key}
        task.tell("completed", "accepted_automatically", said.key)
    return "applied"


@command("task.contribution_submitted")
def _contributed(task: Task, said: Said) -> str:
    if said.actor not in task.cooperating:
        return "not_cooperating"
    verdict = {"verdict": None, "verdict_cause": None}
    entry = {"number": len(task.contributions) + 1, "agency": said.actor, "cause": said.key, "at": said.at, **verdict}
    task.contributions.append(entry)
    return task.tell("contribution_received", "applied", said.key)


@command("task.contribution_judged", own=True, while_open=False)
def _judged(task: Task, said: Said) -> str:
    """The lead speaks of the latest one that waits, even after its own result was accepted."""
    waiting = [one for one in task.contributions if one["agency"] == said.data["agency"] and not one["verdict"]]
    if not waiting or waiting[-1]["at"] > said.at:
        return "no_contribution"
    waiting[-1] |= {"verdict": said.data["verdict"], "verdict_cause": said.key}
    return task.tell("contribution_judged", "applied", said.key)


@command("task.disbursement_reported", own=True, while_open=False)
def _disbursed(task: Task, said: Said) -> str:
    as_of = date.fromisoformat(said.data["as_of"])
    if as_of > day_of(said.at):
        return "as_of_in_future"
    entry = {"as_of": as_of, "cumulative_vnd": said.data["cumulative_vnd"], "cause": said.key, "at": said.at}
    insort(task.disbursements, entry, key=lambda one: (one["as_of"], one["at"]))
    return task.tell("disbursed", "applied", said.key)


@command("task.obstacle_raised", own=True)
def _raised(task: Task, said: Said) -> str:
    if any(one["obstacle_id"] == said.data["obstacle_id"] for one in task.obstacles):
        return "obstacle_exists"
    stages = {"answered": None, "forwarded": None, "cleared": None}
    task.obstacles.append({"obstacle_id": said.data["obstacle_id"], "cause": said.key, **stages})
    return task.tell("obstacle_raised", "applied", said.key)


def _stage(stage: str) -> Rule:
    def rule(task: Task, said: Said) -> str:
        for one in task.obstacles:
            if one["obstacle_id"] == said.data["obstacle_id"]:
                one[stage] = said.key
                return task.tell(f"obstacle_{stage}", "applied", said.key)
        return "unknown_obstacle"

    return rule


command("task.obstacle_cleared", own=True, while_open=False)(_stage("cleared"))
command("task.obstacle_answered", while_open=False)(_stage("answered"))
command("task.obstacle_forwarded", while_open=False)(_stage("forwarded"))


@command("task.extension_requested", own=True)
def _requested(task: Task, said: Said) -> str:
    wanted = date.fromisoformat(said.data["requested_last_day"])
    if not task.deadlines:
        return "no_deadline_to_extend"
    if wanted <= task.deadlines[-1]["nominal"]:
        return "extension_not_later"
    task.extensions.append({"requested_last_day": wanted, "cause": said.key, "outcome": None, "outcome_cause": None})
    return task.tell("extension_requested", "applied", said.key)


def _answer_requests(task: Task, outcome: str, key: str) -> None:
    for one in task.extensions:
        if one["outcome"] is None:
            one |= {"outcome": outcome, "outcome_cause": key}


@command("task.extension_granted", while_open=False)
def _granted(task: Task, said: Said) -> str:
    last_day = date.fromisoformat(said.data["last_day"])
    if not task.deadlines:
        return "no_deadline_to_extend"
    if last_day <= task.deadlines[-1]["nominal"]:
        return "extension_not_later"
    task.give_deadline(last_day, rolls=True, key=said.key, at=said.at)
    _answer_requests(task, "granted", said.key)
    task.tell("extended", "extension_granted", said.key)
    task.retract("extension_granted", said.key)
    return "extension_granted"


@command("task.extension_refused", while_open=False)
def _refused(task: Task, said: Said) -> str:
    if all(one["outcome"] for one in task.extensions):
        return "no_extension_requested"
    _answer_requests(task, "refused", said.key)
    return task.tell("extension_refused", "applied", said.key)


def _verdict(verdict: str, kind: str) -> Rule:
    def rule(task: Task, said: Said) -> str:
        if said.actor != task.reviewer:
            return "not_the_reviewer"
        if not task.open:
            return "task_completed"
        last = task.results[-1] if task.results else None
        if last is None or last["verdict"] or last["at"] > said.at:
            return "nothing_to_judge"
        last |= {"verdict": verdict, "verdict_cause": said.key, "judged_at": said.at}
        return task.tell(kind, "applied", said.key)

    return rule


command("task.result_accepted", while_open=False)(_verdict("accepted", "completed"))
command("task.result_returned", while_open=False)(_verdict("returned", "returned"))


@command("task.cancelled")
def cancel(task: Task, said: Said) -> str:
    task.ended = {"how": "discontinued", "successor": None, "cause": said.key}
    return task.tell("cancelled", "applied", said.key)


def name_day(task: Task, said: Said) -> None:
    """An open task without a day gets one; whoever has one keeps it."""
    if not task.open or task.deadlines:
        return
    due = said.data["due"]
    before = due["boundary"] == "before"
    nominal = date.fromisoformat(due["day"]) - timedelta(days=before)
    task.give_deadline(nominal, rolls=not before, key=said.key, at=said.at)
    task.tell("dated", "last_day_named", said.key)


def leave_out(task: Task, said: Said) -> None:
    """A period that opened before it was known that none should."""
    if task.open:
        task.ended = {"how": "discontinued", "successor": None, "cause": said.key}
        task.tell("cancelled", "period_suspended", said.key)


def revise(task: Task, said: Said) -> None:
    """An open task follows the words of its clause; one that the clause knows no more ends."""
    if not task.open or (task.revised_by and said.place <= task.revised_by):
        return
    task.revised_by = said.place
    words: Revised | None = said.data["revised"]
    first = (*task.led, task.agency)[0]
    if words is None or not {first, task.agency} & set(words.leads):
        task.ended = {"how": "discontinued", "successor": None, "cause": said.key}
        task.tell("cancelled", "no_longer_named" if words else "clause_withdrawn", said.key)
        return
    cooperating = [one for one in words.helpers if one not in (*task.led, task.agency)]
    differs = (cooperating, words.automatic) != (task.cooperating, task.automatic)
    task.cooperating, task.automatic = cooperating, words.automatic
    old = task.deadlines[-1] if task.deadlines else None
    due = words.due(task.deadlines[0]["since"] if old else task.assigned_at)
    if due is not None and (old is None or (old["words"] is not None and old["words"] != due)):
        rolls = due.boundary != "before"
        task.give_deadline(due.nominal, rolls=rolls, key=said.key, at=said.at, hour=due.hour, words=due)
        task.tell("corrected", "deadline_corrected", said.key)
        waiting = task.results[-1]["at"] if task.results and not task.results[-1]["verdict"] else said.at
        task.retract_in_time(waiting, "deadline_corrected", said.key)
    elif differs:
        task.tell("corrected", "directive_corrected", said.key)


@command("task.suspended")
def _suspended(task: Task, said: Said) -> str:
    if task.suspended:
        return "already_suspended"
    task.suspensions.append({"cause": said.key, "at": said.at, "resumed": None, "resumed_at": None})
    task.tell("suspended", "applied", said.key)
    task.retract_in_time(said.at, "was_suspended", said.key)
    return "applied"


@command("task.resumed", while_open=False)
def _resumed(task: Task, said: Said) -> str:
    """Due on the day that is named, else as many days later as the clock stood still.

    What was overdue when it was suspended stays overdue, by as many days as it was, unless another day is named.
    """
    named = date.fromisoformat(said.data["last_day"]) if said.data.get("last_day") else None
    if not task.suspended or task.suspensions[-1]["at"] > said.at:
        return "not_suspended"
    if named and not task.deadlines:
        return "no_deadline_to_move"
    if named and named < day_of(said.at):
        return "last_day_in_past"
    since = task.suspensions[-1]["at"]
    task.suspensions[-1] |= {"resumed": said.key, "resumed_at": said.at}
    if named:
        task.give_deadline(named, rolls=True, key=said.key, at=said.at)
        task.tell("resumed", "last_day_named", said.key)
        task.retract_in_time(said.at, "last_day_named", said.key)
        return "last_day_named"
    old = task.deadlines[-1] if task.deadlines else None
    # Who named a day while it stood still knew that it did. Before the task had any, nothing stood still.
    stood = day_of(said.at) - day_of(max(since, old["since"], task.deadlines[0]["since"])) if old else timedelta()
    if old and since < old["due_at"] and old["due_at"] + stood <= said.at:
        # The hour had not come when the clock stopped, and is over today: the next day's is meant.
        stood += timedelta(days=1)
    if old is None or stood <= timedelta():
        return task.tell("resumed", "applied", said.key)
    hour = (
        old["due_at"].astimezone(ICT).time().isoformat()
        if old["due_at"] != local(old["legal"] + timedelta(days=1))
        else None
    )
    task.give_deadline(old["nominal"] + stood, rolls=True, key=said.key, at=said.at, hour=hour)
    if since >= old["due_at"]:
        due_at = min(old["due_at"] + stood, said.at)
        task.deadlines[-1] |= {"legal": old["legal"] + stood, "due_at": due_at}
    return task.tell("resumed", "suspended_time_not_counted", said.key)


@command("task.reassigned")
def _reassigned(task: Task, said: Said) -> str:
    if said.data["to_agency"] == task.agency:
        return "same_agency"
    hand_over(task, said.data["to_agency"], said.key, said.at, with_work=task.succession is not None)
    return task.tell("transferred", "applied", said.key)


def hand_over(task: Task, agency: str, key: str, at: datetime, *, with_work: bool, joins: bool = False) -> None:
    """The task ends here and goes on there, unless what is there already is to be enough."""
    task.ended = {"how": "transferred", "successor": successor(task, agency), "cause": key}
    if joins:
        return

    def copied(entries: list[Entry], comes_along: bool = True) -> list[Entry]:
        return [dict(one) for one in entries if comes_along]

    stands = [one for one in task.milestones if one["kind"] in {"overdue", "escalated"} and one["retracted"] is None]
    task.heirs.append(
        Task(
            successor(task, agency), agency, task.reviewer, task.automatic, key, at, task.calendar,
            predecessor=task.task_id, led=(*task.led, task.agency),
            deadlines=copied(task.deadlines), milestones=copied(stands), allocations=copied(task.allocations),
            disbursements=copied(task.disbursements), suspensions=copied(task.suspensions),
            cooperating=[one for one in task.cooperating if one != agency],
            occasions=task.occasions, revised_by=task.revised_by,
            progress=task.progress if with_work else None,
            results=copied(task.results, with_work), extensions=copied(task.extensions, with_work),
            obstacles=copied(task.obstacles, with_work), contributions=copied(task.contributions, with_work),
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Edge:
    """What became of an agency, and from when on."""

    agency: str
    successors: tuple[str, ...]
    effective_at: datetime
    key: str
    told_at: datetime
    place: tuple[int, int]

    def moves_at(self, task: Task) -> datetime:
        return max(self.effective_at, self.told_at, task.assigned_at)


def reorganise(task: Task, edge: Edge, *, shared: bool, over: bool) -> None:
    """An open task of an agency that is no more goes to the one that follows it, or waits for a human to say to whom.

    `shared`: the successor has a share of its own; the two become one, unless a result waits here, money is counted, or
    that share is `over`.
    """
    if not task.open:
        return
    if task.agency == edge.agency and not task.succession:
        task.pass_to(edge.moves_at(task))
        at_stake = task.allocations or task.disbursements or (task.results and not task.results[-1]["verdict"])
        if len(edge.successors) != 1:
            task.succession = "several_successors" if edge.successors else "no_successor"
        elif shared and (at_stake or over):
            task.succession = "successor_has_its_own"
        else:
            hand_over(task, edge.successors[0], edge.key, edge.moves_at(task), with_work=True, joins=shared)
        task.tell("succession_due" if task.succession else "transferred", "agency_reorganised", edge.key)
    elif task.reviewer == edge.agency:
        # Only ever followed by one, here.
        task.reviewer = edge.successors[0]
        task.tell("corrected", "reviewer_reorganised", edge.key)


@command("budget.allocated", while_open=False)
def _allocated(task: Task, said: Said) -> str:
    known = [one for one in task.allocations if one["allocation_id"] == said.data["allocation_id"]]
    if known and known[0]["at"] > said.at:
        return "already_so"
    task.allocations = [one for one in task.allocations if one not in known]
    amount = {"allocation_id": said.data["allocation_id"], "amount_vnd": said.data["amount_vnd"]}
    task.allocations.append({**amount, "cause": said.key, "at": said.at})
    return task.tell("allocated", "applied", said.key)


def successor(task: Task, agency: str) -> str:
    parts = task.task_id.split("/")
    return "/".join([*parts[:3], agency, *parts[4:]])
