"""POST /v1/edxml: orders become drafts, reports become results, and nobody speaks for another here either."""

import httpx
import pytest

from tests.flow.ingest.harness import Door, code_of
from tests.unit.ingest.test_edxml import ORDER, REPORT

AUTHORITY = ("events:write", "authority:write")
TASK = "H48/TB-441-2024/I/H48.21"


async def post(
    door: Door, text: str, *, agency: str = "H48.21", scopes: tuple[str, ...] = ("events:write",), query: str = ""
) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {door.token(agency=agency, scopes=scopes)}",
        "content-type": "application/xml; charset=utf-8",
    }
    return await door.client.post(f"/v1/edxml{query}", content=text.encode(), headers=headers)


async def test_a_report_is_accepted_as_the_result_of_its_task(door: Door) -> None:
    answer = await post(door, REPORT)

    assert code_of(answer) == (202, "accepted")
    [(key, event)] = door.published()
    assert (key, event["type"], event["agency"]) == (TASK, "dondoc.task.result_submitted.v1", "H48.21")
    assert answer.json()["id"] == event["id"]
    assert answer.headers["location"].startswith("/v1/submissions/edxml-")


async def test_where_the_task_is_not_told_by_the_envelope_the_address_tells_it(door: Door) -> None:
    answer = await post(door, REPORT, query="?clause=II.1.h&period=2024-10&directive=TB-UBND-2024-10-11")
    assert code_of(answer) == (202, "accepted")
    assert door.published()[0][0] == "H48/TB-UBND-2024-10-11/II.1.h/H48.21/2024-10"


async def test_an_order_becomes_a_draft_and_nothing_is_kept(door: Door) -> None:
    answer = await post(door, ORDER, agency="H48.01", scopes=AUTHORITY)

    assert answer.status_code == 200
    content = answer.json()
    assert content["draft"]["data"]["directive"] == "TB-441-2024"
    assert content["to_do"]
    assert door.published() == []
    # What was drafted is taken as it is, once a human has looked at it.
    token = door.token(agency="H48.01", scopes=AUTHORITY)
    assert code_of(await door.post(content["draft"], token=token)) == (202, "accepted")


async def test_nobody_reports_for_another_nor_orders_without_authority(door: Door) -> None:
    """INVARIANT: who speaks is told by the token, not by the envelope."""
    assert code_of(await post(door, REPORT, agency="H48.22")) == (403, "not_yours")
    assert code_of(await post(door, ORDER)) == (403, "scope_missing")
    assert door.published() == []


async def test_a_dry_run_keeps_nothing(door: Door) -> None:
    answer = await post(door, REPORT, query="?dry_run=true")
    assert (answer.status_code, answer.json()) == (200, {"dry_run": True, "valid": 1})
    assert door.published() == []


@pytest.mark.parametrize(
    ("text", "query", "status", "code"),
    [
        ("{}", "", 400, "malformed_xml"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "", 400, "malformed_xml"),
        ("<a/>", "", 422, "invalid_envelope"),
        (REPORT.replace(">3<", ">1<"), "", 422, "not_steering"),
        (REPORT.replace("DocType>0<", "DocType>1<"), "", 422, "not_steering"),
        (REPORT.replace("441/TB-UBND</ed:Code>", "</ed:Code>"), "", 422, "invalid_envelope"),
        (REPORT, "?clause=9", 422, "invalid_event"),
        (REPORT, "?clause=I&clause=II", 400, "unknown_parameter"),
        (REPORT, "?klause=I", 400, "unknown_parameter"),
        (REPORT, "?dry_run=maybe", 400, "unknown_parameter"),
    ],
)
async def test_what_cannot_be_taken_is_said(door: Door, text: str, query: str, status: int, code: str) -> None:
    assert code_of(await post(door, text, query=query)) == (status, code)
    assert door.published() == []


async def test_other_media_types_are_refused(door: Door) -> None:
    headers = {"authorization": f"Bearer {door.token()}", "content-type": "application/json"}
    answer = await door.client.post("/v1/edxml", content=REPORT.encode(), headers=headers)
    assert code_of(answer) == (415, "unsupported_media_type")
