"""A TCP proxy that loses what comes back, when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OnAnswer = Callable[[], Awaitable[bool]]
"""Called with each piece of an answer before it is passed on; False: it is lost, and the connection with it."""


@dataclass
class FaultProxy:
    """Stands between a client and a server on this machine."""

    target: int
    on_answer: OnAnswer
    port: int = 0
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except ConnectionError:
            writer.close()
            return
        pumps = [asyncio.create_task(self._pass_on(reader, back)), asyncio.create_task(self._answer(there, writer))]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        writer.close()
        back.close()

    @staticmethod
    async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                if not await self.on_answer():
                    return
                writer.write(piece)
                await writer.drain()


@asynccontextmanager
async def fault_proxy(target: int, on_answer: OnAnswer) -> AsyncIterator[FaultProxy]:
    """Run one in front of a port."""
    proxy = FaultProxy(target, on_answer)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for pump in proxy._pumps:
            pump.cancel()
