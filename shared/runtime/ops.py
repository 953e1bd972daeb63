"""Probes and metrics. Never Kafka or MongoDB in `/livez`: a restart would not bring them back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import prometheus_client
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.runtime.watchdog import Watchdog

Check = Callable[[], Awaitable[bool]]


def ops_routes(watchdog: Watchdog, ready: Mapping[str, Check]) -> list[Route]:
    """`/livez`: this process's loops make progress. `/readyz`: it can serve. `/metrics`: Prometheus text."""

    async def livez(_: Request) -> Response:
        stuck = watchdog.stuck()
        return PlainTextResponse(f"stuck: {stuck}" if stuck else "ok", status_code=503 if stuck else 200)

    async def readyz(_: Request) -> Response:
        states = {name: await _passes(check) for name, check in ready.items()}
        return JSONResponse(states, status_code=200 if all(states.values()) else 503)

    async def metrics(_: Request) -> Response:
        return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return [
        Route("/livez", livez, include_in_schema=False),
        Route("/readyz", readyz, include_in_schema=False),
        Route("/metrics", metrics, include_in_schema=False),
    ]


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(2):
            return await check()
    # A probe answers no rather than failing, whatever the reason.
    except Exception:
        return False
