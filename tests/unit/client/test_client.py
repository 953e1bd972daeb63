"""The agencies' client: the same event until it is answered, and nothing else again."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina

from shared.client import Client, Event, NotAnsweredError, RefusedError

SOURCE = "//so.example/qlvb"
PROGRESS = "dondoc.task.progress_reported.v1"
DATA = {"task_id": "H48/TB-1/II.1.a/H48.20", "percent": 40}
REFUSED = {"code": "invalid_event", "detail": "sai", "errors": [{"pointer": "/0/data", "code": "x", "detail": "y"}]}

Answer = Callable[[httpx.Request], httpx.Response] | int


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


class Platform:
    """Answers as told, in order, then accepts."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.bodies: list[list[dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        self.tokens.append(request.headers["authorization"])
        self.paths.append(str(request.url.raw_path, "ascii"))
        answer = self.answers.pop(0) if self.answers else 202
        if not isinstance(answer, int):
            return answer(request)
        if answer != 202:
            return httpx.Response(answer, json=REFUSED, headers={"retry-after": "2"})
        submissions = [{"id": one["id"], "source": one["source"], "location": ""} for one in self.bodies[-1]]
        return httpx.Response(202, json={"received_at": "2024-10-15T01:00:00Z", "submissions": submissions})

    def client(self, token: str | Callable[[], str] = "t") -> Client:
        return Client("http://dondoc.example", token, source=SOURCE, transport=httpx.MockTransport(self))


def _no_answer(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("the line is dead", request=request)


def test_an_event_is_sent_with_an_id_of_its_own_and_the_receipt_says_when_it_was_received() -> None:
    platform = Platform()

    receipt = platform.client().send(PROGRESS, DATA)

    [[event]] = platform.bodies
    assert event == {"specversion": "1.0", "id": receipt.id, "source": SOURCE, "type": PROGRESS, "data": DATA}
    assert receipt.received_at == datetime(2024, 10, 15, 1, tzinfo=UTC)
    assert platform.client().send(PROGRESS, DATA).id != receipt.id
    assert platform.client().send(PROGRESS, DATA, id="mine").id == "mine"


@pytest.mark.parametrize("answer", [_no_answer, 408, 429, 500, 502, 503, 504])
def test_without_an_answer_the_very_same_is_sent_again(answer: Answer) -> None:
    """INVARIANT: an event has one id, however often it is sent."""
    platform = Platform(answer, answer, answer)

    receipt = platform.client().send(PROGRESS, DATA)

    assert len(platform.bodies) == 4
    assert all(body == platform.bodies[0] for body in platform.bodies)
    assert receipt.id == platform.bodies[0][0]["id"]


@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422])
def test_what_is_refused_is_not_sent_again_and_says_where_it_is_wrong(status: int) -> None:
    platform = Platform(status)

    with pytest.raises(RefusedError) as refused:
        platform.client().send(PROGRESS, DATA)

    assert len(platform.bodies) == 1
    assert (refused.value.status, refused.value.code) == (status, "invalid_event")
    assert refused.value.errors[0]["pointer"] == "/0/data"


def test_at_the_end_of_its_patience_it_says_that_the_event_may_have_arrived() -> None:
    platform = Platform(*[_no_answer] * 10)

    with pytest.raises(NotAnsweredError):
        platform.client().send(PROGRESS, DATA)

    assert len(platform.bodies) == 5


def test_an_expired_token_is_renewed_once_and_the_same_sent_again() -> None:
    platform = Platform(401)
    tokens = iter(("old", "new", "never"))

    platform.client(lambda: next(tokens)).send(PROGRESS, DATA)

    assert platform.tokens == ["Bearer old", "Bearer new"]
    assert platform.bodies[0] == platform.bodies[1]


@pytest.mark.parametrize("renews", [True, False])
def test_a_token_that_stays_refused_is_not_tried_for_ever(renews: bool) -> None:
    platform = Platform(*[401] * 9)

    with pytest.raises(RefusedError):
        platform.client((lambda: "t") if renews else "t").send(PROGRESS, DATA)

    assert len(platform.bodies) == 1 + renews


def test_many_go_as_one_batch_and_none_is_no_request() -> None:
    platform = Platform()
    events = [Event(PROGRESS, DATA, str(number), datetime(2024, 10, 15, 8, tzinfo=UTC)) for number in range(3)]

    assert [one.id for one in platform.client().send_all(events)] == ["0", "1", "2"]
    assert platform.client().send_all([]) == []
    assert len(platform.bodies) == 1
    assert platform.bodies[0][0]["time"] == "2024-10-15T08:00:00+00:00"


def test_a_check_asks_for_a_dry_run() -> None:
    platform = Platform(lambda _: httpx.Response(200, json={"dry_run": True, "valid": 1}))

    platform.client().check([Event(PROGRESS, DATA)])

    assert platform.paths == ["/v1/events?dry_run=true"]


def test_a_time_without_an_offset_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="offset"):
        Event(PROGRESS, DATA, time=datetime(2024, 10, 15)).content(SOURCE)  # noqa: DTZ001


def test_an_answer_of_something_in_between_is_told_as_it_is() -> None:
    platform = Platform(lambda _: httpx.Response(403, text="<html>proxy"))

    with pytest.raises(RefusedError, match="proxy"):
        platform.client().send(PROGRESS, DATA)


def test_it_waits_as_long_as_the_answer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.client import _again, _AgainError, _retry_after

    answer = httpx.Response(503, headers={"retry-after": "7"})
    assert _again(_AgainError(503, _retry_after(answer))) == timedelta(seconds=7)
    assert _again(_AgainError(503, _retry_after(httpx.Response(503)))) is True
    assert _again(ValueError()) is False


def test_the_file_stands_alone() -> None:
    """An agency takes this one file."""
    path = Path(__file__).parents[3] / "shared" / "client.py"
    code = (
        f"import runpy, sys; runpy.run_path({str(path)!r}); "
        "assert not [name for name in sys.modules if name.startswith(('shared', 'services'))]"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd="/")
