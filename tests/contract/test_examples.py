"""Every event has examples that this code reads and writes, and the published contract says what the code says."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from deploy import contracts
from deploy.contracts import ASYNCAPI, ROOT, SCHEMAS, Example
from shared.contracts.codec import decode, encode
from shared.contracts.events import EVENTS, EventType, Sender
from shared.contracts.topics import TOPICS

EXAMPLES, ORPHANS = contracts.examples()
ASYNC_DOCUMENT: dict[str, Any] = json.loads((ROOT / ASYNCAPI).read_text())

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
each_row = pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.topic.name}/{event.slug}")


def content(example: Example) -> Any:
    return json.loads(example.path.read_text())


def committed_schema(event: EventType) -> Any:
    return json.loads((ROOT / contracts.schema_path(event)).read_text())


@each_row
def test_a_row_has_an_example(event: EventType) -> None:
    assert [example.name for example in EXAMPLES if example.event is event]


@pytest.mark.parametrize("name", ["directive.issued.v1", "task.result_submitted.v1", "task.completed.v1"])
def test_an_important_event_has_a_minimal_example_too(name: str) -> None:
    assert [example.name for example in EXAMPLES if example.path.name == f"{name}.minimal.json"]


def test_an_example_belongs_to_a_row() -> None:
    assert ORPHANS == []


@pytest.mark.parametrize(
    "stray",
    [
        "submissions/task.applauded.v1.json",
        "tasks/agency.registered.v1.json",
        "submissions/task.acknowledged.v2.json",
        "reports/report.published.v1.json",
        "reports/report.published.v1.daily.json",
        "unsorted/task.acknowledged.v1.json",
        "submissions/old/task.acknowledged.v1.json",
    ],
)
def test_a_file_that_no_row_asks_for_is_found(tmp_path: Path, stray: str) -> None:
    path = tmp_path / contracts.EXAMPLES / stray
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    assert contracts.examples(tmp_path) == ([], [path])


@each_example
def test_an_example_is_decoded_as_its_row(example: Example) -> None:
    event = decode(example.event.topic.name, example.path.read_bytes())

    assert event.kind is example.event


@each_example
def test_an_example_fits_its_committed_schema(example: Example) -> None:
    validator = Draft202012Validator(
        committed_schema(example.event), format_checker=Draft202012Validator.FORMAT_CHECKER
    )

    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content(example))] == []


def test_formats_are_checked() -> None:
    """Without its extra packages, jsonschema takes every text for a date-time."""
    validator = Draft202012Validator({"format": "date-time"}, format_checker=Draft202012Validator.FORMAT_CHECKER)

    assert validator.is_valid("2024-10-19T17:00:00Z")
    assert not validator.is_valid("2024-10-19 17:00")


@each_row
def test_a_committed_schema_is_a_schema(event: EventType) -> None:
    Draft202012Validator.check_schema(committed_schema(event))


@each_example
def test_an_example_is_written_as_it_was_read(example: Example) -> None:
    event = decode(example.event.topic.name, example.path.read_bytes())

    attributes = event.envelope.model_dump(mode="json", exclude={"data"}, exclude_unset=True)
    data = event.data.model_dump(mode="json", exclude_unset=True)

    assert {**attributes, "data": data} == content(example)


@pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if example.event.sender is Sender.PLATFORM],
    ids=lambda example: example.name,
)
def test_the_codec_writes_the_platforms_events_the_same_way(example: Example) -> None:
    event = decode(example.event.topic.name, example.path.read_bytes())
    assert event.envelope.time is not None
    assert event.envelope.province is not None

    written = encode(
        event_type=event.envelope.type,
        event_id=event.envelope.id,
        source=event.envelope.source,
        time=event.envelope.time,
        province=event.envelope.province,
        subject=event.envelope.subject,
        traceparent=event.envelope.traceparent,
        data=event.data,
    )

    assert json.loads(written) == content(example)


@each_example
def test_an_example_tells_of_one_place_and_one_task(example: Example) -> None:
    """Envelope, data and snapshot repeat some names; an example in which they differ would teach a mistake."""
    event = content(example)
    data = event["data"]
    provinces = {event["province"], *([data["province"]] if "province" in data else [])}
    task_ids = {part["task_id"] for part in (data, data.get("task") or {}) if part.get("task_id")}
    numbers = {part["seq"] for part in (data, data.get("task") or {}) if part.get("seq") is not None}

    assert provinces == {"H48"}
    assert len(task_ids) <= 1
    assert len(numbers) <= 1
    if example.event.sender is Sender.PLATFORM and task_ids:
        assert event["subject"] in task_ids


def test_no_two_examples_share_source_and_id() -> None:
    """Of submissions: they are sent to running systems, where a second use of an id is refused."""
    keys = Counter(
        (event["source"], event["id"])
        for event in (content(example) for example in EXAMPLES if example.event.sender is not Sender.PLATFORM)
    )

    assert [key for key, count in keys.items() if count > 1] == []


def test_the_committed_schemas_and_asyncapi_are_current() -> None:
    problems = contracts.stale(contracts.contract_files(), [SCHEMAS])

    assert problems == [], "run `python -m deploy.contracts write` and commit what it wrote"


def test_asyncapi_has_every_topic_with_who_sends_and_who_receives() -> None:
    channels = {channel["address"]: name for name, channel in ASYNC_DOCUMENT["channels"].items()}
    operations = ASYNC_DOCUMENT["operations"]

    assert channels.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        name = channels[topic.name]
        kafka = ASYNC_DOCUMENT["channels"][name]["bindings"]["kafka"]
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["cleanup.policy"] == [topic.config()["cleanup.policy"]]
        assert {key for key, one in operations.items() if one["channel"]["$ref"] == f"#/channels/{name}"} == {
            *(f"{service}.send.{name}" for service in topic.producers),
            *(f"{service}.receive.{name}" for service in topic.consumers),
        }


def test_asyncapi_has_every_event_with_its_examples() -> None:
    messages = ASYNC_DOCUMENT["components"]["messages"]
    told = {
        (channel["address"], messages[name]["name"])
        for channel in ASYNC_DOCUMENT["channels"].values()
        for name in channel["messages"]
        if "name" in messages[name]
    }

    assert told == {(event.topic.name, event.name) for event in EVENTS}
    assert {one["name"] for message in messages.values() for one in message.get("examples", [])} == {
        example.name for example in EXAMPLES
    }


def test_asyncapi_points_at_nothing_that_is_not_there() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    def resolves(reference: str) -> bool:
        node: Any = ASYNC_DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node.get(part) if isinstance(node, dict) else None
        return node is not None

    found = references(ASYNC_DOCUMENT)

    assert found
    assert [reference for reference in found if not resolves(reference)] == []
