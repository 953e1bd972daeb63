"""Reading and writing events: what is taken is what consumers can read, and what is wrong is said with its place."""

import json
from datetime import UTC, datetime
from typing import Any

import pydantic_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import wire
from services.ingest.domain.refusal import Code, RefusedError
from services.ingest.ports import Trace
from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS
from tests.unit.ingest.builders import AGENCY, TASK, a_credential, an_event, golden

RECEIVED = datetime(2024, 10, 15, 1, 0, 0, 250_000, tzinfo=UTC)


def faults(event: Any) -> list[tuple[str, str]]:
    """Pointer and code of everything that is wrong; empty when the event is taken."""
    try:
        wire.read(event)
    except wire.FaultyError as error:
        return [(fault.pointer, fault.code.value) for fault in error.faults]
    return []


def invalid(*pointers: str) -> list[tuple[str, str]]:
    return [(pointer, "invalid_event") for pointer in pointers]


def published(event: Any, **options: Any) -> dict[str, Any]:
    """The record's value, read again."""
    message = wire.message(wire.read(event), a_credential(), received_at=RECEIVED, **{"trace": None, **options})
    content: dict[str, Any] = json.loads(message.value)
    return content


@pytest.mark.parametrize("name", golden())
def test_every_golden_message_is_taken_and_reaches_the_topic_as_it_was_sent(name: str) -> None:
    event = golden()[name]

    content = published(event)

    assert {key: value for key, value in content.items() if key in event} == event
    decoded = decode(SUBMISSIONS.name, pydantic_core.to_json(content))
    assert decoded.envelope.receivedat == RECEIVED
    assert (decoded.envelope.province, decoded.envelope.agency) == ("H48", AGENCY)


@pytest.mark.parametrize("name", golden())
def test_an_unknown_field_is_refused_at_every_depth(name: str) -> None:
    """INVARIANT: the sender is told of a field that nobody will read.

    If this breaks, a misspelt field is silently lost behind a 202.
    """
    for place in _objects(golden()[name]["data"]):
        event = json.loads(json.dumps(golden()[name]))
        node = event["data"]
        for part in place:
            node = node[part]
        node["không có"] = 1

        pointers = {pointer for pointer, _ in faults(event)}

        assert "/".join(["/data", *map(str, place), "không có"]) in pointers


def _objects(node: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the objects inside are."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    deeper = [found for key, child in children for found in _objects(child, (*place, key))]
    return [place, *deeper] if isinstance(node, dict) else deeper


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (an_event({"specversion": "0.3"}), invalid("/specversion")),
        (an_event({"specversion": None}), invalid("/specversion")),
        (an_event({"specversion": 1.0}), invalid("/specversion")),
        (an_event({"id": None}), invalid("/id")),
        (an_event({"id": ""}), invalid("/id")),
        (an_event({"id": 7}), invalid("/id")),
        (an_event({"id": "x" * 301}), invalid("/id")),
        (an_event({"id": "a\x00b"}), invalid("/id")),
        (an_event({"source": "a\nb"}), invalid("/source")),
        (an_event({"source": ["a"]}), invalid("/source")),
        (an_event({"type": None}), invalid("/type")),
        (an_event({"type": 5}), invalid("/type")),
        (an_event({"type": "dondoc.task.done.v1"}), [("/type", "unknown_event_type")]),
        (an_event({"type": "dondoc.task.overdue.v1"}), [("/type", "unknown_event_type")]),
        (an_event({"type": "DONDOC.task.progress_reported.v1"}), [("/type", "unknown_event_type")]),
        (an_event({"time": "2024-10-15T08:00:00"}), invalid("/time")),
        (an_event({"time": "2024-10-15"}), invalid("/time")),
        (an_event({"time": "1728954000"}), invalid("/time")),
        (an_event({"time": 1728954000}), invalid("/time")),
        (an_event({"time": "2024-13-15T08:00:00Z"}), invalid("/time")),
        (an_event({"time": "2024-10-15T08:00:00.123456789Z"}), []),
        (an_event({"time": "2024-10-15t08:00:00z"}), []),
        (an_event({"time": None}), []),
        (an_event({"receivedat": "2024-10-15T08:00:00Z"}), invalid("/receivedat")),
        (an_event({"datacontenttype": "application/xml"}), invalid("/datacontenttype")),
        (an_event({"datacontenttype": "application/json; charset=UTF-8"}), []),
        (an_event({"data_base64": "e30="}), invalid("/data_base64")),
        (an_event({"dữliệu": "x"}), invalid("/dữliệu")),
        (an_event({"Extra": "x"}), invalid("/Extra")),
        (an_event({"a/b~c": "x"}), invalid("/a~1b~0c")),
        (an_event({"": "x"}), invalid("/")),
        (an_event({"extra": {"a": 1}}), invalid("/extra")),
        (an_event({"extra": [1]}), invalid("/extra")),
        (an_event({"extra": 1.5}), invalid("/extra")),
        (an_event({"extra": 2**31}), invalid("/extra")),
        (an_event({"extra": 10**400}), invalid("/extra")),
        (an_event({"extra": "x" * 1001}), invalid("/extra")),
        (an_event({"extra": "văn bản", "number": 7, "flag": True}), []),
        (an_event({f"x{number}": "" for number in range(40)}), invalid("")),
        (an_event({"subject": TASK}), []),
        (an_event({"subject": "H48/TB-1/II.1.b/H48.21"}), invalid("/subject")),
        (an_event({"data": None}), invalid("/data")),
        (an_event({"data": "{}"}), invalid("/data")),
        (an_event({"data": []}), invalid("/data")),
        (an_event({"data": {}}), invalid("/data/task_id", "/data/percent")),
        (an_event({"specversion": None, "data": {"percent": 1}}), invalid("/specversion", "/data/task_id")),
        (an_event(percent=101), invalid("/data/percent")),
        (an_event(percent="40"), invalid("/data/percent")),
        (an_event(percent=True), invalid("/data/percent")),
        (an_event(percent=40.5), invalid("/data/percent")),
        (an_event(percent=10**400), invalid("/data/percent")),
        (an_event(percent=float("inf")), invalid("/data/percent")),
        (an_event(task_id=TASK + "\n"), invalid("/data/task_id")),
        (an_event(task_id="H48/TB-1/II.1.a"), invalid("/data/task_id")),
        (an_event(evidence=[{"title": "a", "url": "b", "sha256": "c"}]), invalid("/data/evidence/0/sha256")),
        ([], invalid("")),
        ("text", invalid("")),
        (None, invalid("")),
    ],
)
def test_what_is_wrong_with_an_event_is_said_with_its_place(event: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(event) == expected


@pytest.mark.parametrize("day", [20241015, "20241015", "2024-10-15T00:00:00Z", 1728954000, "15/10/2024"])
def test_a_day_is_a_day_and_never_a_number_of_seconds(day: Any) -> None:
    event = an_event({"type": "dondoc.task.disbursement_reported.v1"})
    event["data"] = {"task_id": TASK, "as_of": day, "cumulative_vnd": 5}

    assert faults(event) == invalid("/data/as_of")


def test_places_inside_a_due_rule_do_not_name_the_branch_of_the_union() -> None:
    event = golden()["directive.issued.v1.every-due-rule"]
    positions = {one["due"]["kind"]: number for number, one in enumerate(event["data"]["obligations"])}
    event["data"]["obligations"][positions["fixed"]]["due"]["fixed"] = 1
    event["data"]["obligations"][positions["recurring"]]["due"].pop("every")

    assert sorted(faults(event)) == sorted(
        invalid(
            f"/data/obligations/{positions['fixed']}/due/fixed", f"/data/obligations/{positions['recurring']}/due/every"
        )
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.MALFORMED_JSON),
        (b"{", Code.MALFORMED_JSON),
        (b"{} x", Code.MALFORMED_JSON),
        (b"\xff\xfe{\x00}\x00", Code.MALFORMED_JSON),
        (b"\xef\xbb\xbf{}", Code.MALFORMED_JSON),
        (b'{"a": NaN}', Code.MALFORMED_JSON),
        (b'{"a": -Infinity}', Code.MALFORMED_JSON),
        (rb'{"a": "\ud800"}', Code.MALFORMED_JSON),
        (b'{"a": "\xed\xa0\x80"}', Code.MALFORMED_JSON),
        (b'{"a": "\x00"}', Code.MALFORMED_JSON),
        (b"{'a': 1}", Code.MALFORMED_JSON),
        (b'{"a": 01}', Code.MALFORMED_JSON),
        (b'{"a": 1' + b"0" * 5000 + b"}", Code.MALFORMED_JSON),
        (b"[" * 500_000 + b"]" * 500_000, Code.TOO_DEEP),
        (b"[" * 500_000, Code.TOO_DEEP),
    ],
)
def test_a_body_that_is_no_json_is_refused_cleanly(body: bytes, code: Code) -> None:
    with pytest.raises(RefusedError) as refused:
        wire.parse(body)

    assert refused.value.code is code


@pytest.mark.parametrize(
    ("body", "is_too_deep"),
    [
        (b"[" * 32 + b"]" * 32, False),
        (b"[" + b"{}," * 100 + b"{}]", False),
        (b'{"a": "[[[["}', False),
        (b"1", False),
        (b"[" * 33 + b"]" * 33, True),
        (b'{"a":' * 33 + b"1" + b"}" * 33, True),
    ],
)
def test_depth_is_told_whatever_is_nested(body: bytes, is_too_deep: bool) -> None:
    assert wire.exceeds_depth(wire.parse(body)) is is_too_deep


def test_malformed_json_is_told_with_its_position() -> None:
    with pytest.raises(RefusedError, match="malformed_json") as refused:
        wire.parse(b'{"a": 1,\n "b": }')

    assert "line 2 column 7" in refused.value.detail


def test_numbers_and_texts_are_kept_as_the_sender_wrote_them() -> None:
    event = an_event({"type": "dondoc.indicator.reported.v1"})
    event["data"] = {
        "code": "dvc",
        "period": "2024-11",
        "numerator": "12.50",
        "denominator": 20,
        "data_source": "  Cổng DVC  ",
    }

    assert published(event)["data"] == event["data"]


def test_what_the_platform_sets_wins_over_the_sender() -> None:
    content = published(an_event({"partitionkey": "mine", "province": "H48", "agency": AGENCY}))

    assert content["partitionkey"] == TASK
    assert content["receivedat"] == "2024-10-15T01:00:00.250000Z"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("task.progress_reported.v1", None),
        ("task.result_accepted.v1", None),
        ("indicator.reported.v1", AGENCY),
        ("budget.allocated.v1", "H48"),
        ("directive.issued.v1", "H48"),
        ("agency.registered.v1", "H48"),
    ],
)
def test_the_record_key_keeps_in_order_what_belongs_together(name: str, key: str | None) -> None:
    event = golden()[name]

    message = wire.message(wire.read(event), a_credential(), received_at=RECEIVED, trace=None)

    assert message.key == (event["data"]["task_id"] if key is None else key)
    assert json.loads(message.value)["partitionkey"] == message.key


def test_the_trace_of_the_request_is_kept_unless_the_event_has_its_own() -> None:
    header, own = f"00-{'a' * 32}-{'b' * 16}-01", f"00-{'c' * 32}-{'d' * 16}-01"

    assert published(an_event(), trace=Trace(header))["traceparent"] == header
    assert published(an_event({"traceparent": own}), trace=Trace(header))["traceparent"] == own
    assert wire.trace_of("00-zz-1-01", "a=1") is None


def test_binary_mode_is_the_same_event() -> None:
    event = an_event({"source": "//soytt.example/quản lý", "extra": "a%b"})
    headers = [
        (name.encode(), "".join(f"%{byte:02X}" for byte in value.encode()).encode())
        for name, value in event.items()
        if name != "data"
    ]

    assert wire.from_binary(headers, json.dumps(event["data"]).encode()) == {**event, "datacontenttype": wire.JSON}


@pytest.mark.parametrize(
    ("headers", "pointer"),
    [
        ([(b"id", b"1"), (b"id", b"2")], "/id"),
        ([(b"data", b"1")], "/data"),
        ([(b"datacontenttype", b"application/json")], "/datacontenttype"),
        ([(b"id", b"%FF")], "/id"),
    ],
)
def test_attributes_that_cannot_be_headers_are_refused(headers: list[tuple[bytes, bytes]], pointer: str) -> None:
    with pytest.raises(wire.FaultyError) as refused:
        wire.from_binary(headers, b"{}")

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1.0", TASK, "2024-10-15", "2024-10-15T08:00:00Z", "1e999", "H48", "cmt"])
)
JSON_VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_is_taken_can_be_read_by_those_who_come_after(data: st.DataObject) -> None:
    """INVARIANT: a 202 is never followed by a dead letter for a record that cannot be decoded.

    A golden message with some values exchanged for anything at all: either it is refused with a place, or the
    consumers' decoder reads what ingest writes.
    """
    event = json.loads(json.dumps(data.draw(st.sampled_from(list(golden().values())))))
    for _ in range(data.draw(st.integers(0, 3))):
        node: Any = event
        while isinstance(node, dict | list) and node:
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[key], dict | list) or data.draw(st.booleans()):
                node[key] = data.draw(JSON_VALUES)
                break
            node = node[key]
    if data.draw(st.booleans()):
        event[data.draw(st.text())] = data.draw(JSON_VALUES)
    try:
        # Through bytes, as over the network: what is no JSON never gets this far.
        body = json.dumps(event).encode()
        submission = wire.read(wire.parse(body))
    except (wire.FaultyError, RefusedError):
        return

    message = wire.message(submission, a_credential(), received_at=RECEIVED, trace=None)

    decoded = decode(SUBMISSIONS.name, message.value)
    assert decoded.envelope.receivedat == RECEIVED
    assert decoded.envelope.id == event["id"]
    assert message.key
