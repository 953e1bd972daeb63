"""Indexes are waited for longer than any answer, as long as the server is there."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import IndexModel
from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from shared.runtime.mongodb import make_indexes

INDEXES = [IndexModel("agency", name="by_agency")]


class Server:
    """Builds for some tries of whoever asks, silently; then the index is there. Or it is gone meanwhile."""

    def __init__(self, *, silent_tries: int, is_gone: bool = False) -> None:
        self._silent_tries = silent_tries
        self._is_gone = is_gone
        self.asked: list[Sequence[IndexModel]] = []

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> None:
        self.asked.append(indexes)
        if len(self.asked) <= self._silent_tries:
            raise NetworkTimeout("timed out")

    async def command(self, name: str) -> dict[str, Any]:
        assert name == "ping"
        if self._is_gone:
            raise ServerSelectionTimeoutError("connection refused")
        return {"ok": 1.0}

    @property
    def database(self) -> Any:
        return SimpleNamespace(client=SimpleNamespace(admin=self))


async def test_the_indexes_of_a_large_collection_take_longer_than_an_answer() -> None:
    server = Server(silent_tries=3)
    await make_indexes(server, INDEXES)
    assert server.asked == [INDEXES] * 4


async def test_a_server_that_is_gone_is_not_waited_for() -> None:
    server = Server(silent_tries=3, is_gone=True)
    with pytest.raises(ServerSelectionTimeoutError):
        await make_indexes(server, INDEXES)
    assert server.asked == [INDEXES]
