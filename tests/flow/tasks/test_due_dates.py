"""The preview of a due rule over HTTP: no store, no broker, the province's own calendar."""

import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from services.tasks import openapi
from services.tasks.api import BODY_MAX_BYTES, TaskApi
from services.tasks.rules import read_rulebook
from services.tasks.settings import Settings
from shared.runtime.clock import ScaledClock
from tests.support.builders import at

MONTHLY = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}


@pytest.fixture
def client() -> httpx.AsyncClient:
    fields = Settings.model_fields
    rules = read_rulebook(fields["calendar_file"].default, fields["policy_file"].default)
    app = Starlette(routes=TaskApi(None, ScaledClock(at("2024-10-14 08:00"), 0, 0), rules, verify=None).routes())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tasks")


async def ask(client: httpx.AsyncClient, due: Any, **more: Any) -> httpx.Response:
    return await client.post("/v1/due-dates", content=json.dumps({"due": due, **more}))


async def test_a_rule_gives_its_days_with_the_reading_of_each(client: httpx.AsyncClient) -> None:
    answer = await ask(client, MONTHLY, count=2)

    assert answer.status_code == 200
    body = answer.json()
    assert body["issued_on"] == "2024-10-14"
    assert body["calendar"]
    assert body["dates"][0] == {
        "period": "2024-10",
        "opens_on": "2024-10-01",
        "nominal": "2024-10-19",
        "legal": "2024-10-19",
        "operational": "2024-10-18",
        "due_at": "2024-10-19T17:00:00Z",
        "policy": "before-named-day",
        "citation": "“trước ngày D”: ngày cuối là D − 1, không lùi sang ngày làm việc sau vì sẽ vượt ngày đã nêu",
        "decided": True,
    }
    assert [one["nominal"] for one in body["dates"]] == ["2024-10-19", "2024-11-19"]


async def test_days_are_counted_from_the_day_the_directive_would_be_issued(client: httpx.AsyncClient) -> None:
    due = {"kind": "relative", "days": 5, "unit": "working"}

    answer = await ask(client, due, issued_on="2025-04-24")

    assert [one["nominal"] for one in answer.json()["dates"]] == ["2025-05-05"]


async def test_a_day_that_a_later_decision_may_move_is_marked(client: httpx.AsyncClient) -> None:
    due = {"kind": "recurring", "every": "yearly", "boundary": "by", "day": 31, "starts_on": "2024-10-14"}

    answer = await ask(client, due, count=3)

    assert [(one["nominal"], one["decided"]) for one in answer.json()["dates"]] == [
        ("2024-12-31", True),
        ("2025-12-31", True),
        ("2026-12-31", False),
    ]


async def test_a_rule_without_a_day_gives_none(client: httpx.AsyncClient) -> None:
    assert (await ask(client, {"kind": "open_ended"})).json()["dates"] == []


@pytest.mark.parametrize(
    ("due", "more", "where"),
    [
        ({"kind": "fixed", "boundary": "by", "day": "2024-02-30"}, {}, "/due/fixed/day"),
        ({"kind": "fixed", "boundary": "within", "day": "2024-02-20"}, {}, "'within' takes a period"),
        ({**MONTHLY, "ends_on": "2024-01-01"}, {}, "ends_on is before starts_on"),
        ({**MONTHLY, "every": "daily"}, {}, "a daily rule names no day"),
        ({**MONTHLY, "every": "weekly"}, {}, "ISO weekday"),
        ({**MONTHLY, "evry": "weekly"}, {}, "/due/recurring/evry"),
        ({"kind": "lunar"}, {}, "/due"),
        (MONTHLY, {"count": 101}, "/count"),
        (MONTHLY, {"issued_on": "14/10/2024"}, "/issued_on"),
    ],
)
async def test_an_impossible_rule_is_refused_with_what_and_where(
    client: httpx.AsyncClient, due: dict[str, Any], more: dict[str, Any], where: str
) -> None:
    answer = await ask(client, due, **more)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_rule")
    assert where in answer.json()["detail"]


async def test_a_body_without_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/due-dates", content=b"[" * (BODY_MAX_BYTES + 1))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_the_example_in_the_description_works(client: httpx.AsyncClient) -> None:
    operation = openapi.document()["paths"]["/v1/due-dates"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    answer = await client.post("/v1/due-dates", content=json.dumps(example))

    assert answer.status_code == 200
    assert len(answer.json()["dates"]) == example["count"]
