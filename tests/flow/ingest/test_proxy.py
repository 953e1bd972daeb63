"""A proxy that is trusted to know who sends, and everybody else who only says so."""

from pathlib import Path

import pytest

from tests.flow.ingest.harness import Door, code_of
from tests.unit.ingest.builders import OTHER_AGENCY, an_event

NAMED = ("Dondoc-Sender", "H48/H48.21")


async def test_behind_a_trusted_proxy_the_sender_is_who_the_proxy_names(tmp_path: Path) -> None:
    # The test's client is at 127.0.0.1.
    door = Door(tmp_path, {"trusted_proxies": "127.0.0.1"})

    assert code_of(await door.post(an_event(), token="", headers=[NAMED])) == (202, "accepted")
    assert door.published()[0][1]["agency"] == "H48.21"
    other = [("Dondoc-Sender", f"H48/{OTHER_AGENCY}")]
    assert code_of(await door.post(an_event(), token="", headers=other)) == (403, "not_yours")
    assert code_of(await door.post(an_event(), token="")) == (401, "token_missing")


@pytest.mark.parametrize("proxies", ["", "10.1.0.7"])
async def test_nobody_else_gets_in_by_naming_a_sender(tmp_path: Path, proxies: str) -> None:
    door = Door(tmp_path, {"trusted_proxies": proxies})
    headers = [NAMED, ("X-Forwarded-For", "10.1.0.7"), ("Forwarded", "for=10.1.0.7")]
    assert code_of(await door.post(an_event(), token="", headers=headers)) == (401, "token_missing")
    assert door.published() == []
