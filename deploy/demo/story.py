"""Reads the notice and the story, expands them into submissions, and refuses what the contract would refuse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from shared.contracts.events import BY_TOPIC, EventType, Sender
from shared.contracts.topics import SUBMISSIONS

ICT: Final = timezone(timedelta(hours=7))
ISSUED_AT: Final = datetime(2024, 10, 14, 8, 0, tzinfo=ICT)
REGISTERED_AT: Final = ISSUED_AT - timedelta(minutes=20)
_TASK_EVENTS_WITH_DOCUMENT: Final = "task.result_submitted"


class StoryError(ValueError):
    """An entry that cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The notice as data."""

    province: str
    agencies: tuple[Mapping[str, Any], ...]
    """Data of `agency.registered`, one each."""
    directive: Mapping[str, Any]
    """Data of `directive.issued`."""

    def members(self, names: Sequence[str], without: Sequence[str] = ()) -> list[str]:
        """Agency codes of codes and groups, in the order of the registry within a group."""
        found: list[str] = []
        for name in names:
            codes = [str(one["code"]) for one in self.agencies if name in one["groups"]] if name[0] == "@" else [name]
            found.extend(code for code in codes if code not in without and code not in found)
        return found

    def code_of(self, role: str) -> str:
        """The agency with this role."""
        return next(str(one["code"]) for one in self.agencies if one.get("role") == role)


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission of the story: a CloudEvent without what ingest adds."""

    at: datetime
    sender: str
    authority: bool
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outage:
    """A service is killed and comes back later, in business time."""

    service: str
    begins: datetime
    ends: datetime


def load_notice(path: Path) -> Notice:
    """Read the notice file."""
    content = yaml.safe_load(path.read_text())
    domain = content["mailbox_domain"]
    agencies = tuple(
        {
            **one,
            "valid_from": "2024-10-01",
            "contact": f"{_mailbox(one['code'])}@{domain}",
            "head_contact": f"{_mailbox(one['code'])}.lanhdao@{domain}",
        }
        for one in content["agencies"]
    )
    return Notice(content["province"], agencies, content["directive"])


def _mailbox(code: str) -> str:
    return "c" + code.lower().replace(".", "-")


def load_story(notice: Notice, path: Path) -> tuple[Submission, ...]:
    """Read the story file; set-up first, then everything in order of time. Raises StoryError."""
    known: dict[str, Submission] = {}
    found = list(_set_up(notice))
    for number, entry in enumerate(yaml.safe_load(path.read_text())["entries"], start=1):
        for submission in _expand(notice, number, entry, known):
            known.setdefault(str(submission.event["id"]), submission)
            found.append(submission)
    return tuple(sorted(found, key=lambda one: one.at))


def load_outage(path: Path) -> Outage:
    """Read which service is down when."""
    entry = yaml.safe_load(path.read_text())["outage"]
    return Outage(entry["service"], _local(entry["begins"]).astimezone(UTC), _local(entry["ends"]).astimezone(UTC))


def _set_up(notice: Notice) -> Iterator[Submission]:
    standing, office = notice.code_of("standing"), notice.code_of("chairman_office")
    for agency in notice.agencies:
        yield _submission("agency.registered", dict(agency), standing, REGISTERED_AT, f"dang-ky-{agency['code']}")
    yield _submission("directive.issued", dict(notice.directive), office, ISSUED_AT, "ban-hanh-thong-bao")


def _expand(
    notice: Notice, number: int, entry: Mapping[str, Any], known: Mapping[str, Submission]
) -> Iterator[Submission]:
    at = _local(entry["at"])
    if "same_as" in entry:
        yield replace(known[entry["same_as"]], at=at.astimezone(UTC))
        return
    for position, agency in enumerate(notice.members(entry["who"], entry.get("except", ()))):
        moment = at + timedelta(minutes=position)
        event_id = entry.get("reuse") or entry.get("id") or f"e{number:03d}-{agency}"
        data = _filled(entry.get("data", {}), agency=agency, n=position + 1)
        if "clause" in entry:
            data = {"task_id": _task_id(notice, entry, agency), **data}
        if entry["say"] == _TASK_EVENTS_WITH_DOCUMENT and "document" not in data:
            data["document"] = {"number": f"{number}/BC-{position + 1:02d}", "issued_on": moment.date().isoformat()}
        try:
            yield _submission(entry["say"], data, entry.get("by", agency), moment, event_id)
        except StoryError as error:
            raise StoryError(f"entry {number} ({entry['say']} at {entry['at']}): {error}") from error


def _task_id(notice: Notice, entry: Mapping[str, Any], agency: str) -> str:
    directive = entry.get("directive", notice.directive["directive"])
    tail = f"/{entry['period']}" if "period" in entry else ""
    return f"{notice.province}/{directive}/{entry['clause']}/{agency}{tail}"


def _filled(value: Any, *, agency: str, n: int) -> Any:
    if isinstance(value, str) and "{" in value:
        return value.format(agency=agency, n=n)
    if isinstance(value, dict):
        return {name: _filled(item, agency=agency, n=n) for name, item in value.items()}
    return value


def _submission(say: str, data: dict[str, Any], sender: str, at: datetime, event_id: str) -> Submission:
    kind = _kind(say)
    try:
        checked = kind.model.model_validate(data, extra="forbid")
    except ValidationError as error:
        raise StoryError(str(error)) from error
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"//demo.quangngai.example/{sender}",
        "type": kind.name,
        "data": checked.model_dump(mode="json", exclude_unset=True),
    }
    return Submission(at.astimezone(UTC), sender, kind.sender is Sender.AUTHORITY, event)


def _kind(say: str) -> EventType:
    kind = BY_TOPIC[SUBMISSIONS.name].get(f"dondoc.{say}.v1")
    if kind is None:
        raise StoryError(f"there is no event {say!r}")
    return kind


def _local(text: object) -> datetime:
    return datetime.fromisoformat(str(text)).replace(tzinfo=ICT)
