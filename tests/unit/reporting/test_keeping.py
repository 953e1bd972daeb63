"""Pages that are kept: drawn once for all, never older than promised, and nobody's fault is everybody's."""

import asyncio

import pytest

from services.reporting.board.drawing import Drawn
from services.reporting.board.keeping import PAGES_MAX, STRETCH, Keeping


class Desk:
    """Draws numbered pages, when it is let; a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.drawn = 0
        self.may_draw = asyncio.Event()
        self.may_draw.set()
        self.fails = False
        self.keeping = Keeping(2.0, clock=lambda: self.now)

    async def draw(self) -> Drawn:
        self.drawn += 1
        number = self.drawn
        await self.may_draw.wait()
        if self.fails:
            raise ConnectionError("the database is away")
        return Drawn(str(number).encode(), 200)

    async def page(self, key: str = "/") -> str:
        return (await self.keeping.page(key, self.draw)).content.decode()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_page_is_drawn_once_for_all_who_ask_at_once_and_soon_after() -> None:
    desk = Desk()
    assert await asyncio.gather(*(desk.page() for _ in range(20))) == ["1"] * 20
    desk.now += 1.9
    assert await desk.page() == "1"
    assert await desk.page("/another") == "2"


async def test_an_older_page_is_shown_while_the_next_is_drawn_and_no_longer_than_that() -> None:
    desk = Desk()
    await desk.page()
    desk.may_draw.clear()
    desk.now += 2.0
    assert [await desk.page() for _ in range(3)] == ["1", "1", "1"]
    desk.now += 2.0 * STRETCH - 2.0
    late = asyncio.ensure_future(desk.page())
    await settle()
    assert not late.done()
    desk.may_draw.set()
    assert (await late, desk.drawn) == ("2", 2)


async def test_one_who_goes_away_does_not_take_the_page_from_the_others() -> None:
    desk = Desk()
    desk.may_draw.clear()
    first, second = (asyncio.ensure_future(desk.page()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    desk.may_draw.set()
    assert (await second, desk.drawn) == ("1", 1)


async def test_what_could_not_be_drawn_is_not_kept() -> None:
    desk = Desk()
    desk.fails = True
    with pytest.raises(ConnectionError):
        await desk.page()
    desk.fails = False
    assert await desk.page() == "2"
    # Drawn anew for nobody, and failing: what is there is shown as long as it may be, then the fault.
    desk.fails = True
    desk.now += 3.0
    assert await desk.page() == "2"
    await settle()
    desk.now += 2.0
    with pytest.raises(ConnectionError):
        await desk.page()


async def test_only_so_many_are_kept_and_none_where_nothing_is_to_be() -> None:
    desk = Desk()
    for number in range(PAGES_MAX + 1):
        await desk.page(f"/{number}")
    before = desk.drawn
    await desk.page(f"/{PAGES_MAX}")
    assert desk.drawn == before
    await desk.page("/0")
    assert desk.drawn == before + 1

    plain = Keeping(0)
    assert [(await plain.page("/", desk.draw)).content for _ in range(2)] == [b"67", b"68"]
