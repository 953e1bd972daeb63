"""Baseline of the ingest ratios: Starlette and aiokafka with the same acknowledgements, and nothing else.

No credential, no validation, no stamps: reads the body, decodes the JSON, sends each event under its key, waits for all
acknowledgements, answers 202. `python -m tests.bench.bare_ingest BOOTSTRAP PORT`.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pydantic_core
import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.contracts.topics import SUBMISSIONS


def build(bootstrap: str) -> Starlette:
    """The endpoint."""
    producers: list[AIOKafkaProducer] = []

    async def events(request: Request) -> Response:
        content = pydantic_core.from_json(await request.body())
        some = content if isinstance(content, list) else [content]
        acks = [
            await producers[0].send(
                SUBMISSIONS.name, key=one["data"]["task_id"].encode(), value=pydantic_core.to_json(one)
            )
            for one in some
        ]
        await asyncio.gather(*acks)
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
    uvicorn.run(
        build(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )
