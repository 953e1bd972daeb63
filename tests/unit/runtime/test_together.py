"""Work that goes on side by side ends together."""

import asyncio

import pytest

from shared.runtime.together import together


async def test_what_came_of_each_is_in_the_order_of_the_work() -> None:
    async def after(steps: int) -> int:
        for _ in range(steps):
            await asyncio.sleep(0)
        return steps

    assert await together(after(steps) for steps in (3, 1, 2)) == [3, 1, 2]


async def test_an_error_is_raised_only_when_nothing_goes_on_any_more() -> None:
    """INVARIANT: whoever sees the error may repeat everything.

    If this broke, a repeated batch would race with the rest of the first.
    """
    ended = asyncio.Event()

    async def failing() -> None:
        raise LookupError

    async def slow() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        ended.set()

    with pytest.raises(LookupError):
        await together([failing(), slow()])
    assert ended.is_set()
