"""Baseline of the ingest ratios: Starlette and aiokafka with the same acknowledgements and the same server settings.

No credential, no validation, no stamps, no log: reads the body, decodes the JSON, sends each event under its key, waits
for all acknowledgements, answers 202. `KAFKA_BOOTSTRAP_SERVERS=… python -m tests.bench.bare_ingest`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pydantic_core
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.contracts.topics import SUBMISSIONS
from shared.runtime.process import serve
from shared.runtime.settings import ProcessSettings


def build(bootstrap: str) -> Starlette:
    """The endpoint."""
    producers: list[AIOKafkaProducer] = []

    async def send(event: dict[str, dict[str, str]], value: bytes) -> "asyncio.Future[object]":
        key = event["data"]["task_id"].encode()
        sent: asyncio.Future[object] = await producers[0].send(SUBMISSIONS.name, key=key, value=value)
        return sent

    async def events(request: Request) -> Response:
        body = await request.body()
        content = pydantic_core.from_json(body)
        if isinstance(content, list):
            await asyncio.gather(*[await send(one, pydantic_core.to_json(one)) for one in content])
        else:
            await (await send(content, body))
        return Response(b"{}", status_code=202, media_type="application/json")

    async def ready(_: Request) -> Response:
        return Response(b"ok")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=256 * 1024
        )
        await producer.start()
        producers.append(producer)
        yield
        await producer.stop()

    return Starlette(routes=[Route("/v1/events", events, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan)


if __name__ == "__main__":
    settings = ProcessSettings()
    serve(build(settings.kafka_bootstrap_servers), settings)
