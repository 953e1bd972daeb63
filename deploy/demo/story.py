"""The demo's story: compact entries become complete CloudEvents, in the order in which they are sent."""

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.demo.notice import NOTICE_FILE, Notice, StoryError, checked, load_notice, tasks_of
from shared.contracts.authority_events import AgencyRole, DirectiveIssued, TaskReassigned
from shared.contracts.codec import event_key
from shared.contracts.events import BY_TOPIC, EventType, Sender
from shared.contracts.identifiers import TaskName, parse_task_id
from shared.contracts.model import Part
from shared.contracts.topics import SUBMISSIONS

STORY_FILE: Final = Path(__file__).with_name("story.yaml")
LOCAL: Final = ZoneInfo("Asia/Ho_Chi_Minh")
APPLIED: Final = "applied"
UNKNOWN_TASK: Final = "rejected: unknown_task"

_OPENS, _CLOSES = time(8), time(17)
_SETUP_LEAD: Final = timedelta(hours=1)
_KINDS: Final[Mapping[str, EventType]] = {
    name.removeprefix("dondoc.").removesuffix(".v1"): kind
    for name, kind in BY_TOPIC[SUBMISSIONS.name].items()
    if kind.sender is not Sender.PLATFORM
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One event as a client sends it, and what the platform should make of it."""

    at: datetime
    sender: str
    authority: bool
    """Whether the sender needs `authority:write`."""
    event: dict[str, Any]
    """A complete CloudEvent, without what ingest sets (province, agency, receivedat)."""
    expected: str = APPLIED
    """`applied`, `duplicate` (one effect, same answer) or `rejected: <reason>`."""
    label: str | None = None

    @property
    def key(self) -> str:
        """The idempotency key."""
        return event_key(self.event["source"], self.event["id"])


class _Entry(BaseModel):
    """One entry of story.yaml; the file's head explains the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    until: str | None = None
    label: str | None = None
    sender: str | None = Field(default=None, alias="as")
    who: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    without: tuple[str, ...] = Field(default=(), alias="except")
    type: str = ""
    directive: str | None = None
    task: str | None = None
    period: str | None = None
    data: dict[str, Any] = {}
    vary: dict[str, dict[str, Any]] = {}
    series: tuple[dict[str, Any], ...] = ()
    id_of: str | None = None
    same_as: str | None = None
    expect: str = APPLIED


class _StoryFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    days_off: tuple[date, ...]
    symbols: dict[str, str]
    entries: tuple[_Entry, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """An event before its documents are numbered."""

    at: datetime
    sender: str
    kind: EventType
    data: dict[str, Any]
    where: str
    entry: _Entry


def load_story(notice: Notice, path: Path = STORY_FILE) -> tuple[Submission, ...]:
    """Everything that is sent, by time: the set-up from the notice, then the story. The same files, the same story."""
    try:
        file = _StoryFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise StoryError(f"{path.name}: {error}") from error
    told = [draft for number, entry in enumerate(file.entries, 1) for draft in _expand(notice, file, number, entry)]
    # The sort is stable: what is sent in the same minute keeps the file's order.
    told.sort(key=lambda draft: draft.at)
    sent = [*_setup(notice), *_with_ids(_numbered(notice, file.symbols, told))]
    sent += [_repetition(entry, number, sent) for number, entry in enumerate(file.entries, 1) if entry.same_as]
    sent.sort(key=lambda submission: submission.at)
    _check_ids(sent)
    _check_tasks(notice, sent)
    return tuple(sent)


def _setup(notice: Notice) -> Iterator[Submission]:
    """Agencies, then the directive at 08:00 of its day, then targets. All share one record key and so keep this order."""
    issued_at = datetime.combine(notice.directive.issued_on, _OPENS, LOCAL)
    sender = notice.standing_agency()
    steps: list[tuple[datetime, str, Part]] = [
        (issued_at - _SETUP_LEAD + timedelta(minutes=i), "agency.registered", agency)
        for i, agency in enumerate(notice.agencies)
    ]
    steps.append((issued_at, "directive.issued", notice.directive))
    steps += [
        (issued_at + timedelta(minutes=1 + i), "indicator.target_set", target)
        for i, target in enumerate(notice.targets)
    ]
    for at, name, part in steps:
        yield _submission(at, sender, _KINDS[name], part)


def _expand(notice: Notice, file: _StoryFile, number: int, entry: _Entry) -> Iterator[_Draft]:
    """One entry as single drafts: per repetition, per agency."""
    if entry.same_as:
        return
    where = f"entry {number} ({entry.label or entry.type} at {entry.at})"
    kind = _KINDS.get(entry.type)
    if kind is None:
        raise StoryError(f"{where}: {entry.type!r} is no event type that a client may send")
    try:
        about = notice.members(entry.who or entry.of or (entry.sender or "",), without=entry.without)
        for repetition, overlay in enumerate(entry.series or ({},)):
            at, until = (_local(where, text, repetition) for text in (entry.at, entry.until or entry.at))
            alone = at == until and len(about) == 1 and not entry.series
            # One sender at one stated time may well work on a Saturday; everybody else keeps office hours.
            moments = [at] if alone else list(_moments(where, at, until, len(about), file.days_off))
            for agency, moment in zip(_shuffled(about, where), moments, strict=True):
                varied = {field: _pick(values, agency, repetition) for field, values in entry.vary.items()}
                if entry.vary and all(value is None for value in varied.values()):
                    continue
                data = {**_task_id(notice, entry, agency), **entry.data, **overlay, **varied}
                yield _Draft(moment, entry.sender or agency, kind, data, where, entry)
    except StoryError as error:
        raise StoryError(f"{where}: {error}") from error


def _pick(values: Mapping[str, Any], agency: str, repetition: int) -> Any:
    """An agency's value; of a list, the repetition's one. None: this agency sends nothing this time."""
    if agency not in values:
        raise StoryError(f"`vary` says nothing of {agency}")
    value = values[agency]
    return value[repetition] if isinstance(value, list) else value


def _task_id(notice: Notice, entry: _Entry, agency: str) -> dict[str, str]:
    if entry.task is None:
        return {}
    directive = entry.directive or notice.directive.directive
    return {"task_id": str(TaskName(notice.province, directive, entry.task, agency, entry.period))}


def _local(where: str, text: str, months: int) -> datetime:
    """Local date and time, so many months later, on the same day of the month."""
    try:
        stated = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=LOCAL)
        month = stated.month - 1 + months
        return stated.replace(year=stated.year + month // 12, month=month % 12 + 1)
    except ValueError as error:
        raise StoryError(f"{where}: {text!r} plus {months} months is no local time like '2024-10-18 09:00'") from error


def _moments(where: str, at: datetime, until: datetime, count: int, off: Sequence[date]) -> Iterator[datetime]:
    """`count` moments spread evenly over the office hours from `at` to `until`."""
    windows: list[tuple[datetime, timedelta]] = []
    day = at.date()
    # Months later a stated day may be a day off; a span that holds no working day then reaches for the next one.
    while day <= until.date() or not windows:
        opens = max(at, datetime.combine(day, _OPENS, LOCAL))
        closes = datetime.combine(day, _CLOSES, LOCAL)
        closes = min(until, closes) if day <= until.date() and until > opens else closes
        if day.weekday() < 5 and day not in off and closes > opens:
            windows.append((opens, closes - opens))
        day += timedelta(days=1)
    total = sum((length for _, length in windows), timedelta())
    for i in range(count):
        left = total * (2 * i + 1) / (2 * count)
        for opens, length in windows:
            if left <= length:
                yield (opens + left).replace(second=0, microsecond=0)
                break
            left -= length
        else:
            raise StoryError(f"{where}: no office hours between {at} and {until}")


def _shuffled(codes: Sequence[str], where: str) -> list[str]:
    """An order that looks like chance and is the same every time."""
    return sorted(codes, key=lambda code: hashlib.sha256(f"{where}|{code}".encode()).digest())


def _numbered(notice: Notice, symbols: Mapping[str, str], drafts: Sequence[_Draft]) -> Iterator[_Draft]:
    """Fill in {n} (each office counts its own documents), {symbol}, {name}, {day} and {period}."""
    counters: Counter[str] = Counter()
    for draft in drafts:
        if "{n}" in json.dumps(draft.data, default=str):
            counters[draft.sender] += 1
        if draft.sender not in symbols:
            raise StoryError(f"{draft.where}: `symbols` says nothing of {draft.sender}")
        words = {
            "n": f"{counters[draft.sender]:02d}",
            "symbol": symbols[draft.sender],
            "name": notice.agency(draft.sender).name,
            "day": draft.at.date().isoformat(),
            "period": draft.entry.period or "",
        }
        yield replace(draft, data=_filled(draft.data, words, draft.where))


def _filled(value: Any, words: Mapping[str, str], where: str) -> Any:
    match value:
        case str():
            try:
                return value.format_map(words)
            except (KeyError, ValueError, IndexError) as error:
                raise StoryError(f"{where}: {value!r} names a word that is not one of {sorted(words)}") from error
        case dict():
            return {key: _filled(item, words, where) for key, item in value.items()}
        case list():
            return [_filled(item, words, where) for item in value]
        case _:
            return value


def _with_ids(drafts: Iterator[_Draft]) -> list[Submission]:
    sent: list[Submission] = []
    for draft in drafts:
        part = checked(draft.kind.model, draft.data, draft.where)
        submission = _submission(draft.at, draft.sender, draft.kind, part)
        if draft.entry.id_of:
            earlier = _labelled(draft.entry.id_of, sent, draft.where)
            submission.event["id"] = earlier.event["id"]
        sent.append(replace(submission, expected=draft.entry.expect, label=draft.entry.label))
    return sent


def _submission(at: datetime, sender: str, kind: EventType, part: Part) -> Submission:
    source = f"//demo.quangngai.example/{sender}"
    data = part.model_dump(mode="json", exclude_unset=True)
    name = json.dumps([kind.name, at.astimezone(UTC).isoformat(), data], sort_keys=True, ensure_ascii=False)
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{source}|{name}")),
        "source": source,
        "type": kind.name,
        "time": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Submission(at.astimezone(UTC), sender, kind.sender is Sender.AUTHORITY, event)


def _labelled(label: str, sent: Sequence[Submission], where: str) -> Submission:
    found = [submission for submission in sent if submission.label == label]
    if len(found) != 1:
        raise StoryError(f"{where}: {len(found)} earlier submissions are labelled {label!r}, one is needed")
    return found[0]


def _repetition(entry: _Entry, number: int, sent: Sequence[Submission]) -> Submission:
    where = f"entry {number} (same_as {entry.same_as} at {entry.at})"
    assert entry.same_as is not None
    again = _labelled(entry.same_as, sent, where)
    at = _local(where, entry.at, 0).astimezone(UTC)
    if at <= again.at:
        raise StoryError(f"{where}: a repetition comes after what it repeats")
    return replace(again, at=at, expected=entry.expect, label=entry.label)


def _check_ids(sent: Sequence[Submission]) -> None:
    """An id is used twice only where the story says so."""
    seen: set[str] = set()
    for submission in sent:
        if submission.key in seen and submission.expected not in ("duplicate", "rejected: id_reused"):
            raise StoryError(f"{submission.event['type']} of {submission.sender} at {submission.at} is sent twice")
        seen.add(submission.key)


def _check_tasks(notice: Notice, sent: Sequence[Submission]) -> None:
    """Nobody speaks of a task that is not there yet, or of another's, or for an authority that they are not."""
    until = sent[-1].at.astimezone(LOCAL).date()
    opens: dict[str, date] = {}
    for submission in sent:
        where = f"{submission.event['type']} of {submission.sender} at {submission.at.astimezone(LOCAL):%Y-%m-%d %H:%M}"
        if submission.authority and notice.agency(submission.sender).role is AgencyRole.AGENCY:
            raise StoryError(f"{where}: only the standing agency and the chairman's office decide")
        data = submission.event["data"]
        if submission.event["type"] == _KINDS["directive.issued"].name:
            opens |= tasks_of(notice, DirectiveIssued.model_validate(data), until=until)
        task_id = data.get("task_id")
        if task_id is None:
            continue
        if not submission.authority and parse_task_id(task_id).agency != submission.sender:
            raise StoryError(f"{where}: {task_id} is another agency's task")
        known = task_id in opens and opens[task_id] <= submission.at.astimezone(LOCAL).date()
        if known == (submission.expected == UNKNOWN_TASK):
            raise StoryError(f"{where}: {task_id} is {'' if known else 'not '}open, but {submission.expected} is expected")
        if submission.event["type"] == _KINDS["task.reassigned"].name:
            moved = replace(parse_task_id(task_id), agency=TaskReassigned.model_validate(data).to_agency)
            opens[str(moved)] = submission.at.astimezone(LOCAL).date()


__all__ = [
    "APPLIED",
    "LOCAL",
    "NOTICE_FILE",
    "STORY_FILE",
    "UNKNOWN_TASK",
    "Notice",
    "StoryError",
    "Submission",
    "load_notice",
    "load_story",
]
