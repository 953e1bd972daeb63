"""Waiting for what comes about by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

LOOK_SECONDS = 0.1


async def until(condition: Callable[[], Awaitable[Any]], *, within: float = 30.0, what: str = "it") -> Any:
    """Poll an asynchronous condition until it holds something; return that."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := await condition():
            return found
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(f"not within {within} s: {what}")
