"""Ingest beside a bare endpoint and a bare producer, with the same requests in turn; how late its answers are at a
steady rate; and what finding out who asks costs of a request."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx
import pydantic_core

from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess
from deploy.local.stack import Stack
from services.ingest.credentials import Identify
from services.ingest.metrics import TOKENS
from shared.runtime.settings import CredentialSettings
from shared.runtime.tokens import TokenVerifier
from tests.bench import figures, lives
from tests.bench.figures import Figure, memory, ratio
from tests.bench.probes import CouldNotMeasureError, child, cpu_seconds
from tests.support.workload import PROVINCE

SERVICES: Final = ("ingest",)
ENV: Final = {"DONDOC_AGENCY_EVENTS_PER_SECOND": "1e9"}
"""One agency sends it all; it is the door that is measured, not its patience."""
METRICS: Final = (
    "ingest_single_ratio",
    "ingest_batch_ratio",
    "ingest_batch_vs_producer",
    "ingest_p99_ms_at_70pct",
    "ingest_auth_share",
)
BASELINE: Final = "a bare Starlette + aiokafka endpoint with the same server settings and acknowledgements"
PRODUCER: Final = "a bare aiokafka producer that sends the same events, as many callers at a time and no HTTP"
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
    target: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of a shape gave, in events a second."""

    ours: float
    bare: float
    producer: float
    cpu_seconds: float
    """Of our process, for one request."""


SLICES: Final = 8
SINGLE: Final = Shape("ingest_single_ratio", "application/cloudevents+json", 8_000, 800, 1, figures.SINGLE_TARGET)
BATCH: Final = Shape("ingest_batch_ratio", "application/cloudevents-batch+json", 640, 64, 100, figures.BATCH_TARGET)
STEADY_SHARE: Final = 0.7
STEADY_SECONDS: Final = 12
STEADY_WARM_UP_SECONDS: Final = 2
IDENTIFIED: Final = 20_000


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """Both shapes, round by round; the first round of each warms both sides up."""
    port = free_port()
    env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": stack.kafka.bootstrap, "DONDOC_HTTP_PORT": str(port)}
    command = (sys.executable, "-m", "tests.bench.bare_ingest")
    bare = ManagedProcess("bare_ingest", command, work_dir / "bare_ingest.log", env=env)
    bare.start()
    try:
        await bare.wait_until(lambda: _answers(port), within=READY_SECONDS_MAX)
        found = {}
        all_rounds = {shape: await _rounds(stack, shape, port, rounds, work_dir) for shape in (SINGLE, BATCH)}
        for shape, some in all_rounds.items():
            said = f"{BASELINE}, {SLICES} slices in turn a round"
            found[shape.name] = ratio([one.ours for one in some], [one.bare for one in some], said, target=shape.target)
        found |= _beside_producer(all_rounds[BATCH]) | _auth_share(stack, all_rounds[SINGLE])
        peak = memory([stack.service("ingest")], LOAD)
        found |= await _steady(stack, median(one.ours for one in all_rounds[SINGLE]), work_dir)
    finally:
        bare.kill()
    return {**found, **peak}


async def _rounds(stack: Stack, shape: Shape, bare_port: int, rounds: int, work_dir: Path) -> Sequence[Round]:
    """All rounds but the first, which warms everybody up."""
    ingest = stack.service("ingest")
    requests = work_dir / f"{shape.name}.txt"
    sizes = (str(CONNECTIONS), str(shape.warm_up), str(SLICES))
    found = []
    for number in range(rounds + 1):
        requests.write_bytes(b"\n".join(_requests(shape, number, tokens(stack))))
        before = cpu_seconds(ingest)
        ports = f"{ingest.port},{bare_port}"
        bad, *seconds = await child("load", ports, *sizes, shape.content_type, str(requests))
        if bad:
            raise CouldNotMeasureError(f"{bad:.0f} answers were not 202")
        cpu = (cpu_seconds(ingest) - before) / (shape.requests + shape.warm_up)
        sent, sending = 0.0, 1.0
        if shape is BATCH:
            arguments = (stack.kafka.bootstrap, str(CONNECTIONS), str(shape.warm_up), str(requests))
            sent, sending = await child("bare_producer", *arguments)
        events = shape.requests * shape.events
        found.append(Round(events / seconds[0], events / seconds[1], sent / sending, cpu))
    return found[1:]


def _beside_producer(some: Sequence[Round]) -> dict[str, Figure]:
    ours, bare = [one.ours for one in some], [one.producer for one in some]
    return {METRICS[2]: ratio(ours, bare, PRODUCER, target=figures.PRODUCER_TARGET)}


def _auth_share(stack: Stack, some: Sequence[Round]) -> dict[str, Figure]:
    """The same code on the same tokens, known as they are to a process that has seen each once."""
    credentials = CredentialSettings(jwks_file=stack.issuer.jwks_file, jwt_issuer=stack.issuer.issuer)
    identify = Identify(TokenVerifier.of(credentials, TOKENS, tokens_cached_max=10_000, real_time=time.time))
    headers = [[f"Bearer {one}".encode()] for one in tokens(stack).values()]
    for header in headers:
        identify(header, [], "127.0.0.1")
    began = time.process_time()
    for number in range(IDENTIFIED):
        identify(headers[number % len(headers)], [], "127.0.0.1")
    each = (time.process_time() - began) / IDENTIFIED
    request = median(one.cpu_seconds for one in some)
    said = (
        f"no baseline: {each * 1e6:.1f} us of processor time for a token seen before, of {request * 1e6:.0f} us that "
        f"ingest takes for a request of {SINGLE.name}"
    )
    return {METRICS[4]: Figure(round(each / request, 4), "share", said, figures.AUTH_TARGET)}


async def _steady(stack: Stack, capacity: float, work_dir: Path) -> dict[str, Figure]:
    """Requests at their moments, whether or not those before were answered."""
    per_second = int(capacity * STEADY_SHARE)
    shape = replace(SINGLE, name="steady", requests=per_second * STEADY_SECONDS, warm_up=0)
    requests = work_dir / "steady.txt"
    requests.write_bytes(b"\n".join(_requests(shape, 0, tokens(stack))))
    port = str(stack.service("ingest").port)
    bad, *waits = await child("open_load", port, str(per_second), shape.content_type, str(requests))
    if bad:
        raise CouldNotMeasureError(f"{bad:.0f} answers were not 202")
    timed = waits[per_second * STEADY_WARM_UP_SECONDS :]
    said = (
        f"no baseline: {len(timed):,} requests at {per_second}/s, {STEADY_SHARE:.0%} of the {capacity:,.0f}/s measured "
        f"before, from the moment each was due; median {median(timed) * 1000:.1f}, longest {max(timed) * 1000:.0f}"
    )
    return {METRICS[3]: Figure(round(quantiles(timed, n=100)[98] * 1000, 1), "ms", said, figures.STEADY_P99_TARGET)}


def tokens(stack: Stack) -> dict[str, str]:
    """One agency a connection or so: each has its own token and reports on its own tasks."""
    return {one: stack.issuer.mint(one, PROVINCE, ["events:write"]) for one in lives.AGENCIES[:CONNECTIONS]}


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
