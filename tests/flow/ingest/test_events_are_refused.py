"""What a sender is told when nothing was taken."""

import asyncio
import base64
import copy
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from services.ingest import api
from shared.runtime import keys
from shared.runtime.errors import TransientError
from shared.runtime.logs import configure_logs
from tests.flow.ingest.harness import BATCH, STRUCTURED, Door, code_of
from tests.unit.ingest.builders import AGENCY, OTHER_AGENCY, TASK, an_event, golden

FOREIGN = f"H48/TB-1/II.1.a/{OTHER_AGENCY}"
ELSEWHERE = f"H49/TB-1/II.1.a/{AGENCY}"


@pytest.fixture(autouse=True)
def nothing_is_published(door: Door) -> Any:
    """INVARIANT: what is refused never reaches the topic. Holds for every test of this file."""
    yield
    assert door.broker.records == []


# -- who ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ([], "token_missing"),
        (["Basic YTpi"], "token_missing"),
        (["Bearer"], "token_malformed"),
        (["Bearer "], "token_malformed"),
        (["Bearer a.b.c"], "token_malformed"),
        (["Bearer a b"], "token_malformed"),
        (["Bearer x", "Bearer y"], "token_malformed"),
    ],
)
async def test_without_a_token_that_can_be_read_the_answer_is_401(
    door: Door, authorization: list[str], code: str
) -> None:
    answer = await door.post(an_event(), token="", headers=[("authorization", one) for one in authorization])

    assert code_of(answer) == (401, code)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="dondoc"')


async def test_a_token_of_another_issuer_is_401_and_says_invalid_token(door: Door, tmp_path: Path) -> None:
    stranger = Door(tmp_path / "stranger")

    answer = await door.post(an_event(), token=stranger.token())

    assert code_of(answer) == (401, "token_unknown_key")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_the_body_of_a_stranger_is_not_even_looked_at(door: Door) -> None:
    assert code_of(await door.post(b"{", token="x", content_type="text/plain")) == (401, "token_malformed")


@pytest.mark.parametrize(
    ("event", "code", "pointer"),
    [
        (an_event(task_id=FOREIGN), "not_yours", "/data/task_id"),
        (an_event(task_id=ELSEWHERE), "wrong_province", "/data/task_id"),
        (an_event({"agency": OTHER_AGENCY}), "not_yours", "/agency"),
        (an_event({"province": "H49"}), "wrong_province", "/province"),
        (golden()["directive.issued.v1.minimal"], "scope_missing", "/type"),
        ({**golden()["task.result_accepted.v1.minimal"]}, "scope_missing", "/type"),
    ],
)
async def test_who_speaks_for_another_is_told_403_and_where(
    door: Door, event: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await door.post(event)

    assert code_of(answer) == (403, code)
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]


async def test_a_fault_inside_a_list_is_not_reported_of_the_list_too(door: Door) -> None:
    """A list whose only item is faulty counts as empty for pydantic; the sender would look for a second fault."""
    event = copy.deepcopy(golden()["directive.issued.v1.minimal"])
    event["data"]["obligations"] = [{**event["data"]["obligations"][0], "clause": "one"}]

    answer = await door.post(event, token=door.token(scopes=["events:write", "authority:write"]))

    assert code_of(answer) == (422, "invalid_event")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/data/obligations/0/clause"]


async def test_a_missing_scope_is_named(door: Door) -> None:
    answer = await door.post(golden()["directive.issued.v1.minimal"])

    assert 'error="insufficient_scope", scope="authority:write"' in answer.headers["www-authenticate"]
    assert "authority:write" in answer.json()["detail"]


async def test_one_foreign_event_refuses_its_whole_batch(door: Door) -> None:
    events = [an_event({"id": str(number)}, task_id=FOREIGN if number == 3 else TASK) for number in range(5)]

    answer = await door.post(events)

    assert code_of(answer) == (403, "not_yours")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/3/data/task_id"]


# -- what --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/json", []),
        ("", []),
        ("text/plain", []),
        ("text/plain", [("ce-id", "1")]),
        ("application/cloudevents+xml", []),
        ("application/cloudevents+json; charset=utf-16", []),
        (STRUCTURED, [("content-encoding", "br")]),
        (STRUCTURED, [("content-type", BATCH)]),
    ],
)
async def test_another_media_type_is_415_and_says_which_are_taken(
    door: Door, content_type: str, headers: list[tuple[str, str]]
) -> None:
    answer = await door.post(json.dumps(an_event()).encode(), content_type=content_type, headers=headers)

    assert code_of(answer) == (415, "unsupported_media_type")
    assert answer.headers["accept-post"] == f"{STRUCTURED}, {BATCH}, application/json"
    assert answer.headers["accept-encoding"] == "gzip"


async def test_a_compressed_body_that_is_none_is_400(door: Door) -> None:
    answer = await door.post(an_event(), headers=[("content-encoding", "gzip")])

    assert code_of(answer) == (400, "malformed_encoding")


async def test_a_compressed_body_may_not_become_larger_than_a_plain_one(door: Door) -> None:
    bomb = gzip.compress(b" " * 1024 * 1024 + json.dumps(an_event()).encode())

    answer = await door.post(bomb, headers=[("content-encoding", "gzip")])

    assert code_of(answer) == (413, "body_too_large")
    assert "dondoc_ingest_in_flight_bytes 0.0" in (await door.client.get("/metrics")).text


async def test_an_agency_that_sends_too_much_is_429_while_others_go_on(tmp_path: Path) -> None:
    door = Door(tmp_path, {"agency_events_burst": 5, "agency_events_per_second": 0.5})
    assert code_of(await door.post([an_event({"id": str(number)}) for number in range(25)])) == (202, "accepted")

    answer = await door.post(an_event())
    assert code_of(answer) == (429, "too_many_requests")
    assert 20 <= int(answer.headers["retry-after"]) <= 42
    other = TASK.replace(AGENCY, OTHER_AGENCY)
    assert code_of(await door.post(an_event(task_id=other), token=door.token(agency=OTHER_AGENCY))) == (202, "accepted")


async def test_what_is_refused_counts_too(tmp_path: Path) -> None:
    door = Door(tmp_path, {"agency_events_burst": 3, "agency_events_per_second": 0.001})

    codes = [code_of(await door.post(b"{"))[1] for _ in range(4)]

    assert codes == ["malformed_json"] * 3 + ["too_many_requests"]


async def test_plain_json_is_told_what_to_do(door: Door) -> None:
    answer = await door.post(an_event(), content_type="application/json")

    assert STRUCTURED in answer.json()["detail"]
    assert BATCH in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", STRUCTURED, 400, "malformed_json"),
        (b'{"a": NaN}', STRUCTURED, 400, "malformed_json"),
        (rb'{"id": "\udc00"}', STRUCTURED, 400, "malformed_json"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, STRUCTURED, 400, "too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, STRUCTURED, 400, "too_deep"),
        (b'{"a":' * 32 + b"1" + b"}" * 32, STRUCTURED, 422, "invalid_event"),
        (b"[" * 1_000_000, STRUCTURED, 400, "too_deep"),
        (b"[]", STRUCTURED, 422, "invalid_event"),
        (b"null", STRUCTURED, 422, "invalid_event"),
        (b'"x"', BATCH, 422, "invalid_event"),
        (b"{}", BATCH, 422, "invalid_event"),
        (b"[null]", BATCH, 422, "invalid_event"),
        (b"[[]]", BATCH, 422, "invalid_event"),
        (b"{}", STRUCTURED, 422, "invalid_event"),
        (b'{"type": "x", "specversion": "1.0", "id": "1", "source": "x"}', STRUCTURED, 422, "unknown_event_type"),
    ],
)
async def test_a_body_that_is_no_event_is_refused_cleanly(
    door: Door, body: bytes, content_type: str, status: int, code: str
) -> None:
    assert code_of(await door.post(body, content_type=content_type)) == (status, code)


async def test_field_errors_come_with_json_pointers(door: Door) -> None:
    answer = await door.post(an_event(percent=101, note=5))

    assert code_of(answer) == (422, "invalid_event")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/data/percent", "/data/note"]


async def test_an_unknown_type_is_answered_with_the_known_ones(door: Door) -> None:
    answer = await door.post(an_event({"type": "dondoc.task.finished.v1"}))

    assert code_of(answer) == (422, "unknown_event_type")
    assert "dondoc.task.progress_reported.v1" in answer.json()["errors"][0]["detail"]


async def test_the_sender_cannot_say_when_its_event_was_received(door: Door) -> None:
    """INVARIANT: only ingest stamps the moment of receipt.

    If this breaks, a sender can be on time whenever it likes.
    """
    answer = await door.post(an_event({"receivedat": "2020-01-01T00:00:00Z"}))

    assert code_of(answer) == (422, "invalid_event")
    assert answer.json()["errors"][0]["pointer"] == "/receivedat"


async def test_a_batch_names_every_invalid_event_by_its_index(door: Door) -> None:
    events = [an_event({"id": str(number)}, percent=101 if number % 2 else 5) for number in range(6)]

    answer = await door.post(events)

    assert code_of(answer) == (422, "invalid_event")
    assert [one["pointer"] for one in answer.json()["errors"]] == [f"/{number}/data/percent" for number in (1, 3, 5)]


async def test_what_an_answer_lists_is_bounded(door: Door) -> None:
    answer = await door.post([an_event({"id": str(number)}, percent=101) for number in range(1000)])

    assert len(answer.json()["errors"]) == 100
    assert answer.json()["errors_left_out"] == 900


async def test_the_same_source_and_id_twice_in_a_batch_is_refused(door: Door) -> None:
    answer = await door.post([an_event(), an_event({"source": "//else"}), an_event()])

    assert code_of(answer) == (422, "duplicate_in_batch")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/2"]


# -- how much ----------------------------------------------------------------------------------------------------------


async def test_more_than_a_mebibyte_is_413_by_its_declared_length(door: Door) -> None:
    assert code_of(await door.post(b" " * (1024 * 1024 + 1))) == (413, "body_too_large")


async def test_more_than_a_mebibyte_is_413_while_it_is_read(door: Door) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 64 * 1024
            yield b" " * 64 * 1024

    headers = {"authorization": f"Bearer {door.token()}", "content-type": STRUCTURED}
    answer = await door.client.post("/v1/events", content=body(), headers=headers)

    assert code_of(answer) == (413, "body_too_large")
    assert sent < 3 * 1024 * 1024


async def test_a_body_of_exactly_a_mebibyte_is_read(door: Door) -> None:
    body = json.dumps(an_event(percent=101)).encode().ljust(1024 * 1024)

    assert code_of(await door.post(body)) == (422, "invalid_event")


async def test_an_event_that_the_broker_would_not_keep_is_413(tmp_path: Path, door: Door) -> None:
    small = Door(tmp_path / "small", {"event_bytes_max": 500})

    answer = await small.post(an_event(note="x" * 500))

    assert code_of(answer) == (413, "event_too_large")
    assert small.broker.records == []
    door.broker.error = MessageSizeTooLargeError()
    assert code_of(await door.post(an_event())) == (413, "event_too_large")
    assert door.crashes == []


async def test_a_sender_that_never_finishes_its_body_is_told_and_gives_its_room_back(tmp_path: Path) -> None:
    slow = Door(tmp_path / "slow", {"body_seconds_max": 0.05, "in_flight_bytes_max": 2_000})

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1_500
        await asyncio.sleep(5)

    headers = {"authorization": f"Bearer {slow.token()}", "content-type": STRUCTURED}
    answer = await slow.client.post("/v1/events", content=body(), headers=headers)

    assert code_of(answer) == (408, "body_too_slow")
    assert code_of(await slow.post(json.dumps(an_event()).encode().ljust(1_500))) == (202, "accepted")


# -- the world ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TransientError("away"), ConnectionError("away"), None])
async def test_a_silent_broker_is_503_with_a_time_to_come_again(door: Door, error: Exception | None) -> None:
    door.broker.is_silent, door.broker.error = True, error

    answer = await door.post(an_event())

    assert code_of(answer) == (503, "not_acknowledged")
    assert int(answer.headers["retry-after"]) >= 1
    assert door.crashes == []


async def test_a_producer_that_failed_for_good_ends_the_process(door: Door) -> None:
    door.broker.error = OutOfOrderSequenceNumber()

    answer = await door.post(an_event())

    assert code_of(answer) == (503, "not_acknowledged")
    assert door.crashes == ["the producer cannot go on"]


async def test_an_error_nobody_foresaw_is_500_and_says_nothing_of_the_inside(door: Door) -> None:
    door.broker.error = RuntimeError("secret inside")

    answer = await door.post(an_event())

    assert code_of(answer) == (500, "internal_error")
    assert "inside" not in answer.text
    assert "Traceback" not in answer.text


async def test_more_events_than_there_is_room_for_are_503_until_there_is_room(tmp_path: Path) -> None:
    narrow = Door(tmp_path / "narrow", {"in_flight_events_max": 10})
    narrow.broker.gate = asyncio.Event()
    first = asyncio.create_task(narrow.post([an_event({"id": str(number)}) for number in range(10)]))
    await asyncio.sleep(0.02)

    answer = await narrow.post(an_event({"id": "late"}))

    assert code_of(answer) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    narrow.broker.gate.set()
    assert (await first).status_code == 202
    assert code_of(await narrow.post(an_event({"id": "late"}))) == (202, "accepted")


@pytest.mark.parametrize("case", ["malformed", "invalid", "foreign", "silent", "failing"])
async def test_room_is_given_back_however_a_request_ends(tmp_path: Path, case: str) -> None:
    narrow = Door(tmp_path / "narrow", {"in_flight_events_max": 1, "in_flight_bytes_max": 1_000})
    narrow.broker.is_silent = case == "silent"
    narrow.broker.error = RuntimeError() if case == "failing" else None
    content = {"malformed": b"{", "invalid": an_event(percent=-1), "foreign": an_event(task_id=FOREIGN)}
    for _ in range(5):
        await narrow.post(content.get(case, an_event()))
    narrow.broker.is_silent, narrow.broker.error = False, None

    assert code_of(await narrow.post(an_event())) == (202, "accepted")


@pytest.fixture
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What a real process would print, in the log format that the test asks for."""
    stream = StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    # Loggers of their own, since a logger keeps the configuration of its first line.
    for module in (api, keys):
        monkeypatch.setattr(module, "log", structlog.get_logger())
    configure_logs("ingest", log_format=request.param, level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize("printed", ["json", "console"], indirect=True)
async def test_a_token_never_shows_in_logs_nor_does_what_was_sent(door: Door, printed: StringIO) -> None:
    token = door.token()
    secret = base64.b64encode(b"canary").decode()
    door.broker.error = RuntimeError("boom")

    await door.post(an_event(note=secret), token=token)
    await door.post(an_event(percent=secret), token=token)
    await door.post(an_event(note=secret), token=token + "x")

    assert printed.getvalue().count("request.answered") == 3
    assert "RuntimeError: boom" in printed.getvalue()
    assert secret not in printed.getvalue()
    assert token not in printed.getvalue()
    assert token.split(".")[2] not in printed.getvalue()
