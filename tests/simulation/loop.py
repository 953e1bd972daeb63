"""An event loop in virtual time: nothing waits, and a run with the same draws is the same run."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeAlias, cast

Work: TypeAlias = "Coroutine[Any, Any, Any] | Generator[Any, None, Any]"

STEPS_MAX = 2_000_000
"""A seed takes some ten thousand; more means that it goes in circles."""


class Owner:
    """Whoever tasks belong to, so that they end together."""

    def __init__(self) -> None:
        self.alive = True
        self.tasks: list[asyncio.Task[Any]] = []

    def end(self) -> None:
        """Cancel all of them; nothing they do from now on may have an effect."""
        self.alive = False
        for task in self.tasks:
            task.cancel()


OWNER: ContextVar[Owner] = ContextVar("owner")


class Soon:
    """A callback of the next step: a Handle without what a virtual loop does not need."""

    __slots__ = ("args", "callback", "context", "gone")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None) -> None:
        self.callback, self.args, self.context = callback, args, context or copy_context()
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone


class StuckError(Exception):
    """Everybody waits for somebody, or goes in circles."""


class VirtualLoop:
    """What asyncio's tasks, locks, queues and timeouts need, and no more."""

    def __init__(self) -> None:
        # It is one by what it does: the forty methods that nobody calls here are not written out.
        self._loop = cast(asyncio.AbstractEventLoop, self)
        self._ready: deque[Soon] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle | asyncio.Future[None]]] = []
        self._now = 0.0
        self._count = 0
        self.steps = 0
        self.failures: list[str] = []

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Any:
        soon = Soon(callback, args, context)
        self._ready.append(soon)
        return soon

    def sleep(self, seconds: float) -> "asyncio.Future[None]":
        """To be awaited; what `asyncio.sleep` does, in half its time."""
        future: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        self._count += 1
        heapq.heappush(self._timers, (self._now + seconds, self._count, future))
        return future

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._loop, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Left in the heap; it is skipped when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self._loop)

    def create_task(
        self, coro: Work, *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._loop, name=name, context=context)
        owner = context.get(OWNER) if context is not None else OWNER.get(None)
        if owner is not None:
            owner.tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run(self, work: Work) -> Any:
        """Run until `work` is done."""
        asyncio._set_running_loop(self._loop)
        try:
            task = self.create_task(work)
            while not task.done():
                self._step()
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise StuckError("goes in circles")
        if self._ready:
            soon = self._ready.popleft()
            if not soon.gone:
                soon.context.run(soon.callback, *soon.args)
            return
        if not self._timers:
            raise StuckError("everybody waits")
        when, _, waiting = heapq.heappop(self._timers)
        if waiting.cancelled():
            return
        self._now = max(self._now, when)
        if isinstance(waiting, asyncio.Future):
            waiting.set_result(None)
        else:
            waiting._run()
