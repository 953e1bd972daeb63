"""`ingest_single_ratio`, `ingest_batch_ratio`: the same requests to ingest and to a bare endpoint, in turn."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pydantic_core

from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess
from deploy.local.stack import Stack
from tests.bench import lives
from tests.bench.figures import Figure, memory, ratio
from tests.bench.probes import CouldNotMeasureError, child
from tests.support.workload import PROVINCE

SERVICES: Final = ("ingest",)
ENV: Final = {"DONDOC_AGENCY_EVENTS_PER_SECOND": "1e9"}
"""One agency sends it all; it is the door that is measured, not its patience."""
METRICS: Final = ("ingest_single_ratio", "ingest_batch_ratio")
BASELINE: Final = "a bare Starlette + aiokafka endpoint with the same server settings and acknowledgements"
LOAD: Final = "all rounds of the ingest ratios"
CONNECTIONS: Final = 32
READY_SECONDS_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of load."""

    name: str
    content_type: str
    requests: int
    warm_up: int
    events: int
    """In one request."""


SLICES: Final = 8
SHAPES: Final = (
    Shape("ingest_single_ratio", "application/cloudevents+json", 8_000, 800, 1),
    Shape("ingest_batch_ratio", "application/cloudevents-batch+json", 640, 64, 100),
)


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """Both shapes, round by round; the first round of each warms both sides up."""
    port = free_port()
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": stack.kafka.bootstrap, "DONDOC_HTTP_PORT": str(port)}
    command = (sys.executable, "-m", "tests.bench.bare_ingest")
    bare = ManagedProcess("bare_ingest", command, work_dir / "bare_ingest.log", env=env)
    bare.start()
    try:
        await bare.wait_until(lambda: _answers(port), within=READY_SECONDS_MAX)
        found = {shape.name: await _compare(stack, shape, port, rounds, work_dir) for shape in SHAPES}
    finally:
        bare.kill()
    return {**found, **memory([stack.service("ingest")], LOAD)}


async def _compare(stack: Stack, shape: Shape, bare_port: int, rounds: int, work_dir: Path) -> Figure:
    ports = f"{stack.service('ingest').port},{bare_port}"
    ours: list[float] = []
    bare: list[float] = []
    # One agency a connection or so: each has its own token and reports on its own tasks.
    tokens = {one: stack.issuer.mint(one, PROVINCE, ["events:write"]) for one in lives.AGENCIES[:CONNECTIONS]}
    requests = work_dir / f"{shape.name}.txt"
    sizes = (str(CONNECTIONS), str(shape.warm_up), str(SLICES))
    for number in range(rounds + 1):
        requests.write_bytes(b"\n".join(_requests(shape, number, tokens)))
        bad, *seconds = await child("load", ports, *sizes, shape.content_type, str(requests))
        if bad:
            raise CouldNotMeasureError(f"{bad:.0f} answers were not 202")
        if number:
            ours.append(shape.requests * shape.events / seconds[0])
            bare.append(shape.requests * shape.events / seconds[1])
    return ratio(ours, bare, f"{BASELINE}, {SLICES} slices in turn a round")


def _requests(shape: Shape, number: int, tokens: dict[str, str]) -> Iterator[bytes]:
    agencies = list(tokens)
    for position in range(shape.warm_up + shape.requests):
        agency = agencies[position % len(agencies)]
        some = [_event(agency, f"{shape.name}-{number}-{position}-{one}", one) for one in range(shape.events)]
        body = pydantic_core.to_json(some if shape.events > 1 else some[0])
        yield tokens[agency].encode() + b" " + body


def _event(agency: str, event_id: str, number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"//bench/{agency}",
        "type": "dondoc.task.progress_reported.v1",
        "data": {
            "task_id": lives.task_id(0, agency, lives.CLAUSES[number % len(lives.CLAUSES)]),
            "percent": number % 100,
            "note": "Đang phối hợp với các đơn vị liên quan",
        },
    }


async def _answers(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
