"""A connection to Kafka that the event loop has closed is a broken connection, on every loop."""

import asyncio

import pytest
import uvloop
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from shared.runtime.connections import mend_connections


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_sending_over_a_closed_transport_is_an_error_that_passes(loop: type[asyncio.AbstractEventLoop]) -> None:
    """INVARIANT: what a broker's death breaks is a Kafka error. With uvloop it was a RuntimeError that ended aiokafka's
    metadata task for good: the consumer never found its coordinator again and stood still until restarted
    (aiokafka issue 1038).
    """
    mend_connections()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_send_over_a_closed_transport())


async def _send_over_a_closed_transport() -> None:
    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    closed: list[object] = []
    connection = conn.AIOKafkaConnection(host, port, on_close=lambda _, reason: closed.append(reason))
    # The broker says nothing of its versions: they are given here.
    connection._do_version_lookup = _nothing
    await connection.connect()
    connection._versions = {MetadataRequest([]).API_KEY: (0, 1)}
    connection._writer.transport.abort()
    # The transport has gone by now; the task that reads from it has not heard of it.
    await asyncio.sleep(0)
    with pytest.raises(KafkaConnectionError):
        await connection.send(MetadataRequest([]))
    assert not connection.connected()
    assert closed == [conn.CloseReason.CONNECTION_BROKEN]
    server.close()


async def _nothing() -> None:
    return None
