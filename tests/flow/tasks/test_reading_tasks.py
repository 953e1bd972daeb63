"""What `/v1/tasks` and `/v1/submissions` answer, on a real mongod, against their own description."""

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.applications import Starlette

from services.tasks import openapi
from services.tasks.api import TaskApi
from shared.runtime.clock import ScaledClock
from tests.flow.tasks.harness import REGISTRY, RESULT, TASK, Service, directive, obligation, say
from tests.support.builders import RULEBOOK, at
from tests.support.workload import OFFICE, STANDING

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]


@pytest.fixture
async def client(service: Service) -> httpx.AsyncClient:
    await service.on(*REGISTRY, directive(obligation()))
    await service.on(say("task.acknowledged", {"task_id": TASK}, event_id="a1"))
    await service.on(say("task.result_submitted", RESULT, event_id="r1", received="2024-10-15 09:00"))
    app = Starlette(
        routes=TaskApi(service.store, ScaledClock(at("2024-10-16 08:00"), 0, 0), RULEBOOK, verify=None).routes()
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tasks")


def as_described(content: Any, schema: str) -> None:
    """The answer is what the service's own OpenAPI says."""
    document = openapi.document()
    described = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    Draft202012Validator(described).validate(content)


async def test_a_history_says_who_when_what_and_why(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/tasks/{TASK}/history")

    assert answer.status_code == 200
    as_described(answer.json(), "History")
    changes = answer.json()["changes"]
    assert [(one["seq"], one["what"], one["reason"], one["actor"]) for one in changes] == [
        (1, "assigned", "applied", "H48.01"),
        (2, "acknowledged", "applied", "H48.21"),
        (3, "due_soon", "milestone_reached", "clock"),
        (4, "result_received", "applied", "H48.21"),
    ]
    assert changes[3]["event_id"] == "//test/H48.21#r1"
    assert changes[3]["received_at"] == "2024-10-15T02:00:00Z"
    assert (changes[3]["previous"], changes[3]["new"]) == ("assigned", "submitted")
    assert [one["deadline"] and one["deadline"]["policy"] for one in changes] == [
        "before-named-day",
        None,
        "before-named-day",
        None,
    ]
    assert changes[0]["deadline"]["nominal"] == "2024-10-19"
    assert "D − 1" in changes[0]["deadline"]["citation"]


async def test_an_extension_and_what_fired_before_it_each_name_their_own_deadline(
    service: Service,
    client: httpx.AsyncClient,
) -> None:
    granted = {
        "task_id": TASK,
        "last_day": "2024-11-30",
        "reason": "chờ số liệu",
        "document": {"number": "9/CV", "issued_on": "2024-10-17"},
    }
    await service.on(
        say("task.result_returned", {"task_id": TASK, "reason": "thiếu"}, by=STANDING, received="2024-10-16 09:00")
    )
    await service.on(say("task.extension_granted", granted, by=OFFICE, event_id="x1", received="2024-10-22 08:00"))

    changes = (await client.get(f"/v1/tasks/{TASK}/history")).json()["changes"]

    versions = {one["what"]: one["deadline"] and one["deadline"]["version"] for one in changes}
    assert versions["overdue"] == 1
    assert versions["extended"] == 2
    [extended] = [one for one in changes if one["what"] == "extended"]
    assert extended["deadline"]["nominal"] == "2024-11-30"
    assert extended["deadline"]["document"]["number"] == "9/CV"


async def test_tasks_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    first = (await client.get("/v1/tasks", params={"limit": 2})).json()
    rest = (await client.get("/v1/tasks", params={"limit": 2, "cursor": first["next"]})).json()

    as_described(first, "TaskPage")
    as_described(rest, "TaskPage")
    ids = [one["task_id"] for one in (*first["tasks"], *rest["tasks"])]
    assert ids == sorted(set(ids))
    assert TASK in ids


async def test_one_task_is_told_whole(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/tasks/{TASK}")

    as_described(answer.json(), "Task")
    assert (answer.json()["result"], answer.json()["seq"]) == ("submitted", 4)


async def test_a_submission_says_what_became_of_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/submissions/r1")

    as_described(answer.json(), "Submission")
    assert (answer.json()["outcome"], answer.json()["task_id"]) == ("applied", TASK)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/tasks/H48/TB-1/I.1/H48.99", 404, "unknown_task"),
        ("/v1/tasks/H48/TB-1/I.1/H48.99/history", 404, "unknown_task"),
        ("/v1/submissions/nothing", 404, "unknown_submission"),
        ("/v1/tasks?colour=red", 400, "unknown_filter"),
        ("/v1/tasks?result=lost", 400, "malformed_filter"),
        ("/v1/tasks?due_before=2024-10-20T00:00:00", 400, "malformed_filter"),
        ("/v1/tasks?cursor=%25", 400, "malformed_filter"),
    ],
)
async def test_what_is_not_there_or_not_readable_is_a_problem_with_a_code(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    as_described(answer.json(), "Problem")


async def test_the_queue_of_tasks_that_await_a_choice_can_be_asked_for(
    service: Service, client: httpx.AsyncClient
) -> None:
    split = {
        "change": "split",
        "predecessors": ["H48.21"],
        "successors": ["H48.22", STANDING],
        "effective_on": "2024-10-16",
        "document": {"issued_on": "2024-10-15"},
    }
    await service.on(say("agency.reorganised", split, by=OFFICE, received="2024-10-15 10:00"))
    await service.time_passes("2024-10-16 00:00")

    answer = await client.get("/v1/tasks", params={"awaiting": "succession"})
    wrong = await client.get("/v1/tasks", params={"awaiting": "godot"})

    assert [one["task_id"] for one in answer.json()["tasks"]] == [TASK]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "malformed_filter")


async def test_a_history_names_the_task_it_goes_on_in(service: Service, client: httpx.AsyncClient) -> None:
    data = {"task_id": TASK, "to_agency": OFFICE, "reason": "chuyển", "document": {"issued_on": "2024-10-15"}}
    await service.on(say("task.reassigned", data, by=OFFICE, received="2024-10-15 10:00"))

    old = (await client.get(f"/v1/tasks/{TASK}/history")).json()
    new = (await client.get(f"/v1/tasks/{old['successor']}/history")).json()

    assert (old["predecessor"], old["successor"]) == (None, f"H48/TB-1/II.1.h/{OFFICE}")
    assert (new["predecessor"], new["successor"]) == (TASK, None)
