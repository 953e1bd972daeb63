"""`?dry_run=true`: the same judgement, nothing kept, nothing promised."""

from typing import Any

import pytest

from tests.flow.ingest.harness import Door, code_of
from tests.unit.ingest.builders import an_event


@pytest.mark.parametrize("content", [an_event(), [an_event({"id": "1"}), an_event({"id": "2"})]])
async def test_what_would_be_taken_is_checked_and_not_kept(door: Door, content: Any) -> None:
    answer = await door.post(content, query="dry_run=true")

    number = len(content) if isinstance(content, list) else 1
    assert (answer.status_code, answer.json()) == (200, {"dry_run": True, "valid": number})
    assert door.published() == []


async def test_what_would_be_refused_is_refused_alike(door: Door) -> None:
    for content in (an_event(percent=101), an_event({"type": "dondoc.task.forgotten.v1"}), b"{", [an_event()] * 2):
        asked, sent = await door.post(content, query="dry_run=true"), await door.post(content)
        assert asked.status_code >= 400
        assert (asked.status_code, asked.json()) == (sent.status_code, sent.json())


async def test_it_asks_for_the_same_token(door: Door) -> None:
    assert code_of(await door.post(an_event(), token="", query="dry_run=true")) == (401, "token_missing")


async def test_it_works_while_the_broker_is_away(door: Door) -> None:
    door.broker.is_silent = True

    assert (await door.post(an_event(), query="dry_run=true")).status_code == 200


async def test_false_sends(door: Door) -> None:
    assert code_of(await door.post(an_event(), query="dry_run=false")) == (202, "accepted")
    assert len(door.published()) == 1


@pytest.mark.parametrize(
    "query",
    ["dryrun=true", "dry_run", "dry_run=", "dry_run=1", "dry_run=TRUE", "dry_run=true&dry_run=true", "x", "%ff"],
)
async def test_a_parameter_that_is_not_known_is_refused_before_anything_is_kept(door: Door, query: str) -> None:
    """INVARIANT: a misspelt dry run sends nothing."""
    assert code_of(await door.post(an_event(), query=query)) == (400, "unknown_parameter")
    assert door.published() == []
