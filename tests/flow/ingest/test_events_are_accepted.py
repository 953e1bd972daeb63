"""What a sender gets for a good event, and what stands on the topic then."""

import asyncio
import gzip
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest

from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS
from tests.flow.ingest.harness import BATCH, NOW, STRUCTURED, Door, code_of
from tests.unit.ingest.builders import AGENCY, OFFICE, TASK, an_event, golden


async def test_an_accepted_event_stands_on_the_submissions_topic_stamped_and_keyed(door: Door) -> None:
    event = an_event(note="Đã họp với các đơn vị")

    answer = await door.post(event)

    assert code_of(answer) == (202, "accepted")
    (record,) = door.broker.records
    assert (record.topic, record.key) == (SUBMISSIONS.name, TASK.encode())
    assert record.headers == (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
    ((_, content),) = door.published()
    stamps = {"province": "H48", "agency": AGENCY, "receivedat": "2024-10-15T01:00:00Z", "partitionkey": TASK}
    assert content == {**event, **stamps, "datacontenttype": "application/json"}


async def test_the_receipt_says_when_the_event_was_received_and_where_to_ask_what_became_of_it(door: Door) -> None:
    event = an_event({"id": "a/b ?#ấ", "source": "//x.example/y?z=1"})

    answer = await door.post(event)

    assert answer.json() == {"id": event["id"], "source": event["source"], "received_at": "2024-10-15T01:00:00Z"}
    path, _, query = answer.headers["location"].partition("?source=")
    assert path == "/v1/submissions/a%2Fb%20%3F%23%E1%BA%A5"
    assert unquote(query) == event["source"]


@pytest.mark.parametrize("name", golden())
async def test_every_golden_message_is_accepted_from_who_may_send_it(door: Door, name: str) -> None:
    event = golden()[name]
    task = event["data"].get("task_id")
    agency = task.split("/")[3] if task else OFFICE
    token = door.token(agency=agency, scopes=["events:write", "authority:write"])

    answer = await door.post(event, token=token)

    assert code_of(answer) == (202, "accepted"), answer.text
    (record,) = door.broker.records
    assert decode(SUBMISSIONS.name, record.value).envelope.agency == agency


async def test_binary_mode_is_accepted_like_structured_mode(door: Door) -> None:
    event = an_event({"source": "//x.example/quản-lý"})
    await door.post(event)
    headers = [
        (f"ce-{name}", "".join(f"%{byte:02X}" for byte in value.encode()))
        for name, value in event.items()
        if name != "data"
    ]

    answer = await door.post(event["data"], content_type="application/json; charset=utf-8", headers=headers)

    assert code_of(answer) == (202, "accepted"), answer.text
    structured, binary = door.published()
    assert structured == binary


async def test_a_compressed_body_is_accepted_like_a_plain_one(door: Door) -> None:
    events = [an_event({"id": f"e{number}"}) for number in range(100)]
    body = gzip.compress(json.dumps(events).encode())

    answer = await door.post(body, content_type=BATCH, headers=[("content-encoding", "gzip")])

    assert code_of(answer) == (202, "accepted")
    assert [content["id"] for _, content in door.published()] == [one["id"] for one in events]


async def test_a_batch_is_acknowledged_whole_with_one_moment_of_receipt(door: Door) -> None:
    events = [an_event({"id": f"e{number}"}, percent=number) for number in range(100)]

    answer = await door.post(events)

    content = answer.json()
    assert (answer.status_code, content["accepted"]) == (202, 100)
    assert [one["id"] for one in content["submissions"]] == [event["id"] for event in events]
    assert content["submissions"][7]["location"] == "/v1/submissions/e7?source=%2F%2Fsoytt.example%2Fqlvb"
    assert [event["data"]["percent"] for _, event in door.published()] == list(range(100))
    assert {event["receivedat"] for _, event in door.published()} == {content["received_at"]}


async def test_a_batch_of_a_thousand_is_accepted_and_one_more_is_not(door: Door) -> None:
    events = [an_event({"id": f"e{number}"}) for number in range(1001)]

    assert code_of(await door.post(events[:1000])) == (202, "accepted")
    assert code_of(await door.post(events)) == (413, "too_many_events")
    assert len(door.broker.records) == 1000


async def test_an_empty_batch_is_a_batch(door: Door) -> None:
    answer = await door.post([])

    assert answer.json() == {"received_at": "2024-10-15T01:00:00Z", "accepted": 0, "submissions": []}


async def test_the_moment_of_receipt_is_when_the_body_was_complete(door: Door) -> None:
    """INVARIANT: on time is judged by the end of the body, in business time: not by its beginning, nor by the ack.

    If this breaks, a slow line or a slow broker makes a result late.
    """

    async def body() -> Any:
        content = json.dumps(an_event()).encode()
        yield content[:10]
        door.clock.instant = NOW + timedelta(hours=1)
        yield content[10:]

    door.broker.gate = asyncio.Event()
    headers = {"authorization": f"Bearer {door.token()}", "content-type": STRUCTURED}
    request = asyncio.create_task(door.client.post("/v1/events", content=body(), headers=headers))
    await asyncio.sleep(0.01)
    door.clock.instant = NOW + timedelta(hours=2)
    door.broker.gate.set()

    answer = await request

    assert datetime.fromisoformat(answer.json()["received_at"]) == NOW + timedelta(hours=1)


async def test_no_answer_is_given_before_the_broker_has_acknowledged(door: Door) -> None:
    """INVARIANT: a 2xx is a promise (design §3.1).

    If this breaks, a broker that dies after the answer loses what was promised.
    """
    door.broker.gate = asyncio.Event()
    request = asyncio.create_task(door.post([an_event(), an_event({"id": "other"})]))

    done, _ = await asyncio.wait([request], timeout=0.1)
    assert not done

    door.broker.gate.set()
    assert (await request).status_code == 202


async def test_the_same_event_sent_again_is_accepted_again(door: Door) -> None:
    for _ in range(2):
        assert code_of(await door.post(an_event())) == (202, "accepted")

    assert len(door.broker.records) == 2


async def test_the_trace_of_the_request_goes_along(door: Door) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"

    await door.post(an_event(), headers=[("traceparent", trace)])

    assert door.published()[0][1]["traceparent"] == trace


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-aaf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.mark.parametrize(
    ("own", "headers", "kept"),
    [
        (None, [], {}),
        (None, [("traceparent", TRACE)], {"traceparent": TRACE}),
        (None, [("traceparent", TRACE), ("tracestate", "a=1"), ("tracestate", "b=2")],
         {"traceparent": TRACE, "tracestate": "a=1,b=2"}),
        (OTHER, [], {"traceparent": OTHER}),
        (OTHER, [("traceparent", TRACE)], {"traceparent": TRACE}),
        (None, [("traceparent", "00-x"), ("tracestate", "a=1")], {}),
        (None, [("traceparent", TRACE), ("tracestate", "a" * 513)], {"traceparent": TRACE}),
    ],
)  # fmt: skip
async def test_the_trace_of_the_request_goes_on_in_the_records_headers(
    door: Door, own: str | None, headers: list[tuple[str, str]], kept: dict[str, str]
) -> None:
    """W3C Trace Context; the event's own attribute stays what the sender wrote (CloudEvents distributed tracing)."""
    await door.post(an_event({"traceparent": own} if own else {}), headers=headers)

    (record,) = door.broker.records
    found = {name: value.decode() for name, value in record.headers if value is not None and name != "content-type"}
    assert found == kept
    if own:
        assert door.published()[0][1]["traceparent"] == own


async def test_unknown_attributes_are_kept(door: Door) -> None:
    await door.post(an_event({"vanban": "186/TTr", "lan": 2, "gap": True}))

    ((_, content),) = door.published()
    assert (content["vanban"], content["lan"], content["gap"]) == ("186/TTr", 2, True)


@pytest.mark.parametrize(
    "media_type", [STRUCTURED.upper(), f"{STRUCTURED}; charset=UTF-8", f'{STRUCTURED};charset="utf-8"']
)
async def test_media_types_are_compared_as_http_says(door: Door, media_type: str) -> None:
    assert code_of(await door.post(an_event(), content_type=media_type)) == (202, "accepted")


async def test_a_batch_goes_to_each_events_own_key(door: Door) -> None:
    indicator = golden()["indicator.reported.v1"]

    await door.post([an_event(), indicator], content_type=BATCH)

    assert [key for key, _ in door.published()] == [TASK, AGENCY]
