"""The main job from outside: HTTP in; tasks, alerts, e-mail and the month's report out. All services, real parts."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.audit import audit
from deploy.demo import summary
from deploy.local.broker import KafkaKind
from deploy.local.stack import Stack, StackOptions
from shared.contracts.topics import DEADLETTERS
from tests.integration.test_tasks_faults import _produce_raw
from tests.support.waiting import until
from tests.support.workload import read_topic

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

TASK = "H48/TB-1/II.1.h/H48.21"
CONTENT = {"content-type": "application/cloudevents+json"}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    options = StackOptions(
        run_dir=tmp_path_factory.mktemp("e2e"),
        kafka=KafkaKind.APACHE,
        clock="2024-10-14T08:00:00+07:00@1",
        database_prefix="e2e",
        service_env={"notify": {"DONDOC_GROUP_WAIT_SECONDS": "0.3", "DONDOC_SEND_POLL_SECONDS": "0.2"}},
    )
    async with Stack(options, say=lambda _: None) as running:
        yield running


class Caller:
    """Posts events as an agency or as the authority."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._count = 0

    def token(self, agency: str, *scopes: str, ttl_seconds: int = 3600, province: str = "H48") -> str:
        return self._stack.issuer.mint(
            agency, province, list(scopes or ("events:write", "authority:write")), timedelta(seconds=ttl_seconds)
        )

    def event(self, event_type: str, data: dict[str, Any], agency: str, **attributes: Any) -> dict[str, Any]:
        self._count += 1
        return {
            "specversion": "1.0",
            "id": f"e{self._count}",
            "source": f"//test/{agency}",
            "type": f"dondoc.{event_type}.v1",
            "data": data,
            **attributes,
        }

    async def post(self, content: Any, token: str | None, headers: dict[str, str] | None = None) -> httpx.Response:
        sent = {**CONTENT, **(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}
        async with httpx.AsyncClient(base_url=self._stack.service("ingest").url, trust_env=False) as client:
            if isinstance(content, bytes):
                return await client.post("/v1/events", content=content, headers=sent)
            return await client.post("/v1/events", json=content, headers=sent)

    async def say(self, event_type: str, data: dict[str, Any], agency: str) -> httpx.Response:
        return await self.post(self.event(event_type, data, agency), self.token(agency))

    async def get(self, service: str, path: str, reader: str | None = "H48.07") -> httpx.Response:
        token = self.token(reader, "tasks:read") if reader else ""
        # The board takes it from the cookie of its login.
        headers = {"authorization": f"Bearer {token}", "cookie": f"dondoc={token}"} if reader else {}
        async with httpx.AsyncClient(base_url=self._stack.service(service).url, trust_env=False) as client:
            return await client.get(path, headers=headers)


@pytest.fixture(scope="module")
async def caller(stack: Stack) -> Caller:
    one = Caller(stack)
    for code, role, groups in (
        ("H48.01", "chairman_office", []),
        ("H48.07", "standing", ["@all"]),
        ("H48.21", "agency", ["@all"]),
    ):
        data = {
            "code": code,
            "name": f"Cơ quan {code}",
            "role": role,
            "groups": groups,
            "valid_from": "2024-01-01",
            "contact": f"{code.lower()}@x.example",
        }
        assert (await one.say("agency.registered", data, "H48.07")).status_code == 202
    directive = {
        "directive": "TB-1",
        "kind": "TB",
        "issuer": "UBND tỉnh",
        "issued_on": "2024-10-14",
        "title": "Thông báo kết luận",
        "obligations": [
            {
                "clause": "II.1.h",
                "title": "Đề xuất nhiệm vụ ưu tiên",
                "leads": ["@all"],
                "category": "dated",
                "due": {"kind": "fixed", "boundary": "before", "day": "2024-10-20"},
            }
        ],
    }
    assert (await one.say("directive.issued", directive, "H48.01")).status_code == 202
    return one


async def outcome(caller: Caller, location: str) -> dict[str, Any] | None:
    answer = await caller.get("tasks", location)
    content: dict[str, Any] = answer.json()
    return content if answer.status_code == 200 and content["outcome"] in {"applied", "rejected", "dead"} else None


async def test_a_result_goes_from_http_to_the_months_report(stack: Stack, caller: Caller) -> None:
    document = {"number": "1/BC", "issued_on": "2024-10-14"}
    answer = await caller.say("task.result_submitted", {"task_id": TASK, "document": document}, "H48.21")
    assert answer.status_code == 202
    location = answer.headers["location"]
    found = await until(lambda: outcome(caller, location), what="the submission has its outcome")
    assert (found["outcome"], found["task_id"]) == ("applied", TASK)
    assert found["received_at"].rstrip("Z")[:19] == answer.json()["received_at"].replace("+00:00", "")[:19]

    assert (await caller.say("task.result_accepted", {"task_id": TASK}, "H48.07")).status_code == 202

    async def completed() -> bool:
        answer = await caller.get("tasks", f"/v1/tasks/{TASK}")
        return answer.status_code == 200 and answer.json()["schedule"] == "on_time"

    await until(completed, what="the task is completed on time")

    async def reported() -> bool:
        answer = await caller.get("reporting", "/v1/reports/2024-10.json")
        if answer.status_code != 200:
            return False
        totals = answer.json()["scopes"][0]["totals"]
        return (totals["total"], totals["done_on_time"]) == (2, 1)

    await until(reported, what="the month's report counts it")
    board = await caller.get("reporting", "/?period=2024-10")
    assert board.status_code == 200
    assert "Đã hoàn thành" in board.text


async def test_a_directive_is_heard_once_by_an_agency_that_has_not_finished_yet(stack: Stack, caller: Caller) -> None:
    async def mailed() -> bool:
        mails = [mail for mail in stack.mailbox.mails() if "Giao 1 nhiệm vụ" in mail.subject]
        return [mail.recipients[0] for mail in mails].count("h48.07@x.example") == 1

    await until(mailed, what="the agency has its mail")
    assert (await summary.alerts_by_kind(stack.kafka.bootstrap))["assigned"] == 2


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("malformed", 400, "malformed_json"),
        ("no token", 401, "token_missing"),
        ("expired", 401, "token_expired"),
        ("unknown type", 422, "unknown_event_type"),
        ("missing field", 422, "invalid_event"),
        ("unknown field", 422, "invalid_event"),
        ("wrong agency", 403, "not_yours"),
        ("wrong province", 403, "wrong_province"),
        ("no scope", 403, "scope_missing"),
        ("wrong content type", 415, "unsupported_media_type"),
    ],
)
async def test_bad_input_is_refused_with_a_stable_code_and_what_to_do(
    caller: Caller, case: str, status: int, code: str
) -> None:
    good = caller.event("task.acknowledged", {"task_id": TASK}, "H48.21")
    own = caller.token("H48.21")
    cases: dict[str, tuple[Any, str | None, dict[str, str] | None]] = {
        "malformed": (b'{"specversion": "1.0",', own, None),
        "no token": (good, None, None),
        "expired": (good, caller.token("H48.21", ttl_seconds=-3600), None),
        "unknown type": ({**good, "type": "dondoc.task.invented.v1"}, own, None),
        "missing field": ({**good, "type": "dondoc.task.progress_reported.v1"}, own, None),
        "unknown field": ({**good, "data": {"task_id": TASK, "state": "completed"}}, own, None),
        "wrong agency": (good, caller.token("H48.07", "events:write"), None),
        "wrong province": (good, caller.token("H48.21", "events:write", province="H49"), None),
        "no scope": (good, caller.token("H48.21", "tasks:read"), None),
        "wrong content type": (good, own, {"content-type": "application/json"}),
    }
    content, token, headers = cases[case]

    answer = await caller.post(content, token, headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert len(answer.json()["detail"]) > 10


@pytest.mark.parametrize(
    ("reader", "status", "code"),
    [("H48.21", 200, None), ("H48.01", 200, None), ("H48.22", 404, "unknown_task"), (None, 401, "token_missing")],
)
async def test_a_task_is_read_by_whom_it_concerns_and_by_nobody_else(
    caller: Caller, reader: str | None, status: int, code: str | None
) -> None:
    async def known() -> bool:
        return (await caller.get("tasks", f"/v1/tasks/{TASK}")).status_code == 200

    await until(known, what="the task is there")
    answer = await caller.get("tasks", f"/v1/tasks/{TASK}", reader)

    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_an_unknown_task_is_accepted_and_waits(caller: Caller) -> None:
    answer = await caller.say("task.acknowledged", {"task_id": "H48/TB-9/II.1.h/H48.21"}, "H48.21")
    assert answer.status_code == 202

    async def parked() -> bool:
        found = await caller.get("tasks", answer.headers["location"])
        return found.status_code == 200 and found.json()["outcome"] == "parked"

    await until(parked, what="it is parked")


async def test_a_batch_is_taken_whole_or_refused_whole(caller: Caller) -> None:
    token = caller.token("H48.21")
    good = [caller.event("task.progress_reported", {"task_id": TASK, "percent": 5}, "H48.21") for _ in range(3)]
    bad = [*good[:2], {**good[2], "data": {"task_id": TASK, "percent": 500}}]
    batch = {"content-type": "application/cloudevents-batch+json"}

    refused = await caller.post(bad, token, batch)
    taken = await caller.post(good, token, batch)

    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/2/data/percent"]
    assert (taken.status_code, taken.json()["accepted"]) == (202, 3)


async def test_poison_in_a_topic_is_a_dead_letter_and_stops_nothing(stack: Stack, caller: Caller) -> None:
    await _produce_raw(stack.kafka.bootstrap, [b"\xff not json"])
    answer = await caller.say("task.acknowledged", {"task_id": "H48/TB-1/II.1.h/H48.07"}, "H48.07")

    await until(lambda: outcome(caller, answer.headers["location"]), what="the next submission is applied")
    letters = await read_topic(stack.kafka.bootstrap, DEADLETTERS.name)
    assert {dict(one.headers)["dondoc-reason"] for one in letters} == {b"malformed", b"empty"}


@pytest.mark.parametrize("service", ["ingest", "tasks", "notify", "reporting"])
async def test_an_address_that_is_not_there_is_a_problem_too(caller: Caller, service: str) -> None:
    answer = await caller.get(service, "/v2/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_the_accounts_hold(stack: Stack) -> None:
    async def settled() -> bool:
        accounts = await audit(stack.kafka.bootstrap, stack.mongod.uri, "e2e")
        # Only what waits for an unknown task is still in flight.
        return accounts.hold and accounts.in_flight == 1

    await until(settled, what="accepted = applied + rejected + dead + in flight")


async def test_every_service_stops_in_order_when_asked(stack: Stack, tmp_path: Path) -> None:
    """Last in this file: it ends the stack's services."""
    for service in stack.services:
        await service.stop()

    assert {service.name: service.process.exit_code for service in stack.services} == dict.fromkeys(
        ("ingest", "tasks", "notify", "reporting"), 0
    )
    for service in stack.services:
        assert "service.stopped" in (stack.log_dir / f"{service.name}.log").read_text(), service.name
