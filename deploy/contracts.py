"""The published forms of the contract, generated from its models: JSON Schemas, AsyncAPI, OpenAPI.

`python -m deploy.contracts write` writes them, `check` says which committed file is stale, and `diff <git-ref>` says
what changed since then in a way that needs a new version.
"""

import argparse
import importlib
import inspect
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, Final, Literal

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from deploy.compatibility import PLACE, additive, removed
from shared.contracts.envelope import CONTENT_TYPE, Envelope
from shared.contracts.events import EVENTS, EventType, KeyedBy, Sender
from shared.contracts.topics import TOPICS, Topic

ROOT: Final = Path(__file__).resolve().parents[1]
EXAMPLES: Final = PurePosixPath("shared/contracts/examples")
SCHEMAS: Final = PurePosixPath("shared/contracts/schemas")
ASYNCAPI: Final = PurePosixPath("shared/contracts/asyncapi.json")
OPENAPI: Final = PurePosixPath("docs/openapi")
SERVICES: Final = ("ingest", "tasks", "notify", "reporting")

Files = Mapping[PurePosixPath, str]
"""Path below the root → content."""


class ContractsError(Exception):
    """Something outside the contract is in the way; the text says what to do."""


# -- names ---------------------------------------------------------------------------------------------------------


def channel_name(topic: Topic) -> str:
    """`dondoc.reports.monthly.v1` → `reports.monthly`."""
    return topic.name.removeprefix("dondoc.").rpartition(".")[0]


def topic_short(topic: Topic) -> str:
    """The folder of a topic's files: `submissions`, `tasks`, …, and `reports` for the four report topics."""
    return channel_name(topic).partition(".")[0]


def schema_path(event: EventType) -> PurePosixPath:
    """Where the schema of a row is committed."""
    return SCHEMAS / topic_short(event.topic) / f"{event.slug}.json"


def _rows() -> dict[PurePosixPath, list[EventType]]:
    """The rows that share a schema: one each, but one for all report topics."""
    rows: dict[PurePosixPath, list[EventType]] = {}
    for event in EVENTS:
        rows.setdefault(schema_path(event), []).append(event)
    return rows


@dataclass(frozen=True, slots=True)
class Example:
    """A golden message and the row it is an example of."""

    path: Path
    event: EventType

    @property
    def name(self) -> str:
        """`submissions/task.acknowledged.v1.minimal`."""
        return f"{self.path.parent.name}/{self.path.stem}"


def examples(root: Path = ROOT) -> tuple[list[Example], list[Path]]:
    """The example files by row, and those that belong to none.

    A file is `<slug>.json` or `<slug>.<variant>.json`. The variant of a report says its topic: `quarterly`.
    """
    found: list[Example] = []
    orphans: list[Path] = []
    for path in sorted((root / EXAMPLES).rglob("*.json")):
        rows = [
            event
            for event in EVENTS
            if topic_short(event.topic) == path.parent.relative_to(root / EXAMPLES).as_posix()
            and (path.stem == event.slug or path.stem.startswith(f"{event.slug}."))
        ]
        variant = path.stem.removeprefix(rows[0].slug).strip(".").split(".") if rows else []
        of_topic = [event for event in rows if channel_name(event.topic).rpartition(".")[2] in variant]
        match of_topic if len(rows) > 1 else rows:
            case [event]:
                found.append(Example(path, event))
            case _:
                orphans.append(path)
    return found, orphans


# -- JSON Schema ---------------------------------------------------------------------------------------------------

_ATTRIBUTES: Final = {
    "id": "With `source` the idempotency key, for ever.",
    "source": "Who sent it, as a URI reference.",
    "time": "When it happened, as its sender says.",
    "subject": "What it is about; for the platform's events, the record key.",
    "province": "Set by ingest from the credential.",
    "agency": "Who acted. Set by ingest from the credential.",
    "receivedat": "When ingest received it, UTC: the moment that counts.",
    "traceparent": "W3C trace context.",
}
_ALWAYS: Final = ("specversion", "id", "source", "type", "data")
_ALWAYS_BY_SENDER: Final = {
    Sender.AGENCY: (*_ALWAYS, "province", "agency", "receivedat"),
    Sender.AUTHORITY: (*_ALWAYS, "province", "agency", "receivedat"),
    Sender.PLATFORM: (*_ALWAYS, "time", "province", "datacontenttype"),
}


class _Plain(GenerateJsonSchema):
    """Without the titles that repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _plain(node: Any) -> Any:
    """Without `discriminator`: its mapping is OpenAPI's, and the constants inside the branches say as much."""
    if isinstance(node, dict):
        return {word: _plain(value) for word, value in node.items() if word != "discriminator" or "oneOf" not in node}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def _mode(event: EventType) -> Literal["validation", "serialization"]:
    # What others send is described as we read it, what we publish as we write it: decimals as text.
    return "serialization" if event.sender is Sender.PLATFORM else "validation"


def _data_schemas(rows: Sequence[EventType], ref_template: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The reference to each row's data schema, and all definitions."""
    pairs = [(event.model, _mode(event)) for event in rows]
    references, whole = models_json_schema(
        list(dict.fromkeys(pairs)), ref_template=ref_template, schema_generator=_Plain
    )
    return [dict(references[pair]) for pair in pairs], _plain(whole["$defs"])


def _envelope(event: EventType, data: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the whole event, its data by reference."""
    always = _ALWAYS_BY_SENDER[event.sender]
    attributes = Envelope.model_json_schema(schema_generator=_Plain)["properties"]
    properties: dict[str, Any] = {}
    for name, schema in attributes.items():
        constraint = {word: value for word, value in schema.items() if word != "default"}
        if name in always and "anyOf" in constraint:
            (constraint,) = (one for one in constraint["anyOf"] if one != {"type": "null"})
        note = {"description": _ATTRIBUTES[name]} if name in _ATTRIBUTES else {}
        properties[name] = {**constraint, **note}
    properties |= {"type": {"const": event.name, "type": "string"}, "data": dict(data)}
    return {
        "title": event.name,
        "description": _summary(event),
        "type": "object",
        "properties": properties,
        "required": sorted(always),
    }


def _summary(event: EventType) -> str:
    return (inspect.getdoc(event.model) or event.name).partition("\n")[0]


def schema_of(rows: Sequence[EventType]) -> dict[str, Any]:
    """The schema of an event as it stands on its topics."""
    event = rows[0]
    (reference,), definitions = _data_schemas([event], "#/$defs/{model}")
    place: dict[str, Any] = {"topics": sorted(row.topic.name for row in rows), "sender": event.sender.value}
    if event.sender is not Sender.PLATFORM:
        place["keyed_by"] = event.keyed_by.value
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:dondoc:schema:{topic_short(event.topic)}:{event.slug}",
        **_envelope(event, reference),
        PLACE: place,
        "$defs": definitions,
    }


# -- AsyncAPI ------------------------------------------------------------------------------------------------------

_KEYS: Final = {KeyedBy.TASK: "The task id.", KeyedBy.PROVINCE: "The province code.", KeyedBy.AGENCY: "Agency code."}
_KAFKA: Final = {"bindingVersion": "0.5.0"}
_DEAD_LETTER: Final = "deadletters.record"


def asyncapi(root: Path = ROOT) -> dict[str, Any]:
    """The AsyncAPI 3.0 document: topics, events, who sends and who receives."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    rows = list(_rows().values())
    references, schemas = _data_schemas([same[0] for same in rows], "#/components/schemas/{model}")
    golden, _ = examples(root)
    messages = {
        _message_name(same[0]): _message(same, reference, golden)
        for same, reference in zip(rows, references, strict=True)
    }
    messages[_DEAD_LETTER] = {
        "title": "A record nobody can process",
        "summary": "The value as it came; headers say why, whence and when.",
        "contentType": "application/octet-stream",
        "bindings": {"kafka": {"key": {"type": "string", "description": "The original key."}, **_KAFKA}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Đôn đốc",
            "version": project["version"],
            "description": f"{project['description']} Every event is a CloudEvent 1.0 in structured mode.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {channel_name(topic): _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {"messages": messages, "schemas": schemas},
    }


def _message_name(event: EventType) -> str:
    return f"{topic_short(event.topic)}.{event.slug}"


def _message(same: Sequence[EventType], data: Mapping[str, Any], golden: Sequence[Example]) -> dict[str, Any]:
    event = same[0]
    key = _KEYS[event.keyed_by] if event.sender is not Sender.PLATFORM else event.topic.key
    return {
        "name": event.name,
        "title": event.name,
        "summary": _summary(event),
        "contentType": CONTENT_TYPE,
        "tags": [{"name": event.sender.value, "description": "who sends it"}],
        "payload": _envelope(event, data),
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, **_KAFKA}},
        "examples": [
            {"name": example.name, "payload": json.loads(example.path.read_text())}
            for example in golden
            if example.event in same
        ],
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [_message_name(event) for event in EVENTS if event.topic is topic] or [_DEAD_LETTER]
    words = dict(topic.config())
    policy = words.pop("cleanup.policy")
    return {
        "address": topic.name,
        "title": topic.name,
        "description": topic.describes,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [policy],
                    **{word: int(number) for word, number in words.items()},
                },
                **_KAFKA,
            }
        },
        "x-key": topic.key,
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in TOPICS:
        for action, names in (("send", topic.producers), ("receive", topic.consumers)):
            for name in names:
                yield (
                    f"{name}.{action}.{channel_name(topic)}",
                    {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{channel_name(topic)}"},
                        "title": f"{name} {action}s {topic.name}",
                        "tags": [{"name": name}],
                    },
                )


# -- files ---------------------------------------------------------------------------------------------------------


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def contract_files(root: Path = ROOT) -> Files:
    """Schemas and AsyncAPI as the models say they are."""
    files = {path: _text(schema_of(rows)) for path, rows in _rows().items()}
    return files | {ASYNCAPI: _text(asyncapi(root))}


def openapi_files(services: Sequence[str] = SERVICES) -> Files:
    """The OpenAPI document of each service that has one; those without are named on stderr."""
    files: dict[PurePosixPath, str] = {}
    for service in services:
        module = _openapi_module(service)
        if module is None:
            print(f"contracts: services.{service}.openapi does not exist, no OpenAPI for {service}", file=sys.stderr)
        else:
            files[OPENAPI / f"{service}.json"] = _text(module.document())
    return files


def _openapi_module(service: str) -> ModuleType | None:
    name = f"services.{service}.openapi"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise


def stale(files: Files, folders: Sequence[PurePosixPath], root: Path = ROOT) -> list[str]:
    """What differs between `files` and the disk: a line for each file, also for one in `folders` that is not needed."""
    problems = []
    for path, text in files.items():
        if not (root / path).exists():
            problems.append(f"{path}: missing")
        elif (root / path).read_text() != text:
            problems.append(f"{path}: not what the code says")
    return problems + [f"{path}: nothing in the code needs it" for path in _leftovers(files, folders, root)]


def _leftovers(files: Files, folders: Sequence[PurePosixPath], root: Path) -> list[PurePosixPath]:
    there = [PurePosixPath(path.relative_to(root)) for folder in folders for path in (root / folder).rglob("*.json")]
    return sorted(path for path in there if path not in files)


def write(files: Files, folders: Sequence[PurePosixPath], root: Path = ROOT) -> int:
    """Bring the disk up to date; returns how many files changed."""
    changed = 0
    for path, text in files.items():
        target = root / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            changed += 1
    for path in _leftovers(files, folders, root):
        (root / path).unlink()
        changed += 1
    return changed


# -- changes since a commit ----------------------------------------------------------------------------------------


def changes(ref: str, root: Path = ROOT) -> list[str] | None:
    """What is not additive since `ref`; None when the contract was not published there yet."""
    _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", otherwise=f"{ref} is no commit here")
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", "--full-name", ref, "--", str(SCHEMAS), str(ASYNCAPI))
    names = {PurePosixPath(name) for name in listed.split("\0") if name.endswith(".json")}
    if not names:
        return None
    now = contract_files(root)
    problems = removed((str(path) for path in names), (str(path) for path in now))
    for path in sorted(names & now.keys()):
        old, new = json.loads(_git(root, "show", f"{ref}:{path}")), json.loads(now[path])
        compared = channel_changes(old, new) if path == ASYNCAPI else additive(old, new)
        problems += [f"{path}: {problem}" for problem in compared]
    return problems


def channel_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Topics that vanished, and what a topic may never change: partitions, key, clean-up."""
    was, now = (
        {channel["address"]: channel for channel in document.get("channels", {}).values()} for document in (old, new)
    )
    problems = removed(was, now)
    for address in sorted(was.keys() & now.keys()):
        before, after = (_fixed_for_life(side[address]) for side in (was, now))
        problems += [
            f"{address}: {word} changed from {before[word]!r} to {after[word]!r}"
            for word in before
            if before[word] != after[word]
        ]
    return problems


def _fixed_for_life(channel: Mapping[str, Any]) -> dict[str, Any]:
    kafka = channel["bindings"]["kafka"]
    return {
        "partitions": kafka["partitions"],
        "clean-up": kafka["topicConfiguration"]["cleanup.policy"],
        "key": channel["x-key"],
    }


def _git(root: Path, *arguments: str, otherwise: str | None = None) -> str:
    git = shutil.which("git")
    if git is None:
        raise ContractsError("git is not installed, and the old contract is read from it")
    done = subprocess.run([git, *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise ContractsError(otherwise or f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


# -- command line --------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 well, 1 stale or not additive, 2 could not tell."""
    parser = argparse.ArgumentParser(prog="python -m deploy.contracts", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("write", help="write schemas, AsyncAPI and OpenAPI")
    verbs.add_parser("check", help="say which committed file is stale")
    verbs.add_parser("diff", help="say what changed since a commit in a way that needs a new version").add_argument(
        "ref"
    )
    chosen = parser.parse_args(arguments)
    try:
        match chosen.verb:
            case "write":
                return _write()
            case "check":
                return _check()
        return _diff(chosen.ref)
    except ContractsError as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 2


def _write() -> int:
    # The contract first: a service that does not import yet must not keep it from being written.
    changed = write(contract_files(), [SCHEMAS])
    changed += write(openapi_files(), [])
    print(f"contracts: {changed} files changed")
    return 0


def _check() -> int:
    problems = stale(contract_files(), [SCHEMAS]) + stale(openapi_files(), [])
    for problem in problems:
        print(f"contracts: {problem}", file=sys.stderr)
    if problems:
        print("contracts: run `python -m deploy.contracts write` and commit what it wrote", file=sys.stderr)
        return 1
    print("contracts: all files are current")
    return 0


def _diff(ref: str) -> int:
    problems = changes(ref)
    if problems is None:
        print(f"contracts: {ref} has no {SCHEMAS}, so there is nothing to compare")
        return 0
    for problem in problems:
        print(f"contracts: {problem}", file=sys.stderr)
    if problems:
        print(
            f"contracts: not additive since {ref}: keep the version as it was and add a V2 beside it "
            "(shared/contracts/README.md)",
            file=sys.stderr,
        )
        return 1
    print(f"contracts: nothing since {ref} breaks a sender or a reader")
    return 0


if __name__ == "__main__":
    sys.exit(main())
