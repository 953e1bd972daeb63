"""Pages as they were drawn: many who look at the same page have it drawn once, and none of them waits for the next."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from services.reporting.board.drawing import Drawn

PAGES_MAX: Final = 64
"""A large one has 200 kB."""
STRETCH: Final = 2.5
"""So many times as long a page is shown while the next one is drawn. Whoever asks later waits for it."""


@dataclass(slots=True)
class _Page:
    drawing: "asyncio.Task[Drawn] | None" = None
    drawn: Drawn | None = None
    drawn_at: float = 0.0


class Keeping:
    """Keeps pages for some seconds, the last asked for PAGES_MAX of them."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """0 seconds: nothing is kept."""
        self._seconds = seconds
        self._clock = clock
        self._pages: OrderedDict[Hashable, _Page] = OrderedDict()

    async def page(self, key: Hashable, draw: Callable[[], Awaitable[Drawn]]) -> Drawn:
        """The page of a key. `key`: all that decides what is on it, beside time. What draw raises, whoever waits gets.

        A page is as old as `seconds` at most when nobody looks, and as STRETCH times that while it is drawn anew.
        """
        if not self._seconds:
            return await draw()
        page = self._pages.setdefault(key, _Page())
        self._pages.move_to_end(key)
        while len(self._pages) > PAGES_MAX:
            self._pages.popitem(last=False)
        age = self._clock() - page.drawn_at
        if (page.drawn is None or age >= self._seconds) and page.drawing is None:
            page.drawing = asyncio.ensure_future(self._draw(page, draw))
            # Nobody may wait for it; whoever does is told.
            page.drawing.add_done_callback(lambda done: done.cancelled() or done.exception())
        if page.drawn is not None and age < STRETCH * self._seconds:
            return page.drawn
        assert page.drawing is not None, "begun above or before"
        # Shielded: one who goes away does not take it from the others.
        return await asyncio.shield(page.drawing)

    async def _draw(self, page: _Page, draw: Callable[[], Awaitable[Drawn]]) -> Drawn:
        began = self._clock()
        try:
            page.drawn = await draw()
            page.drawn_at = began
            return page.drawn
        finally:
            page.drawing = None
