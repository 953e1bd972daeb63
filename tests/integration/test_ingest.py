"""Ingest as a real process in front of a real Apache Kafka: what was promised is there, whatever happened."""

import asyncio
import functools
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.issuer import Issuer
from deploy.local.kafka_apache import ApacheKafka
from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess
from shared.client import Client, Receipt
from shared.contracts.codec import decode
from shared.contracts.topics import SUBMISSIONS
from tests.support.proxy import fault_proxy
from tests.support.waiting import until
from tests.support.workload import read_topic
from tests.unit.ingest.builders import AGENCY, OFFICE, PROGRESS, TASK, an_event, golden

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
READY_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Running:
    """One ingest process and a client for it."""

    process: ManagedProcess
    client: httpx.AsyncClient
    issuer: Issuer
    port: int

    async def post(self, content: Any, agency: str = AGENCY) -> httpx.Response:
        token = self.issuer.mint(agency, "H48", ["events:write", "authority:write"])
        media_type = BATCH if isinstance(content, list) else STRUCTURED
        headers = {"authorization": f"Bearer {token}", "content-type": media_type}
        return await self.client.post("/v1/events", content=json.dumps(content).encode(), headers=headers)

    async def is_ready(self) -> bool:
        try:
            return (await self.client.get("/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@asynccontextmanager
async def ingest(kafka: ApacheKafka, folder: Path, **env: str) -> AsyncIterator[Running]:
    """Start `python -m services.ingest`, wait until it is ready, end it."""
    issuer, port = Issuer.open(folder / "issuer"), free_port()
    ours = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "DONDOC_HTTP_PORT": str(port),
        "DONDOC_JWKS_FILE": str(issuer.jwks_file),
        "DONDOC_JWT_ISSUER": issuer.issuer,
        "DONDOC_ACK_TIMEOUT_SECONDS": "1",
        "DONDOC_OUTBOX": "false",
    }
    command = (sys.executable, "-m", "services.ingest")
    process = ManagedProcess("ingest", command, folder / "ingest.log", env={**os.environ, **ours, **env})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        running = Running(process, client, issuer, port)
        process.start()
        try:
            await process.wait_until(running.is_ready, within=READY_SECONDS_MAX)
            yield running
        finally:
            process.kill()


async def kept(kafka: ApacheKafka, source: str) -> dict[str, tuple[str, bytes]]:
    """Event id → key and value, of one source."""
    found: dict[str, tuple[str, bytes]] = {}
    for record in await read_topic(kafka.bootstrap, SUBMISSIONS.name):
        assert record.value is not None
        assert record.key is not None
        event = decode(SUBMISSIONS.name, record.value)
        if event.envelope.source == source:
            found[event.envelope.id] = (record.key.decode(), record.value)
    return found


async def test_every_kind_of_event_reaches_the_topic_under_its_key(kafka: ApacheKafka, tmp_path: Path) -> None:
    source = "//test/every-kind"
    async with ingest(kafka, tmp_path) as running:
        for name, event in golden().items():
            task = event["data"].get("task_id")
            answer = await running.post(
                {**event, "source": source, "id": name}, agency=task.split("/")[3] if task else OFFICE
            )
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    records = await kept(kafka, source)
    assert records.keys() == golden().keys()
    for name, (key, value) in records.items():
        assert json.loads(value)["data"] == golden()[name]["data"]
        assert json.loads(value)["partitionkey"] == key


async def test_the_largest_event_and_the_largest_batch_are_kept(kafka: ApacheKafka, tmp_path: Path) -> None:
    source = "//test/largest"
    directive = golden()["directive.issued.v1.minimal"]
    obligation = {**directive["data"]["obligations"][0], "bases": ["x" * 290] * 26}
    # 125 obligations of about 7.9 kB: just below event_bytes_max.
    clauses = [f"{roman}.{number}" for roman in ("I", "II") for number in range(1, 64)][:125]
    data = {**directive["data"], "obligations": [{**obligation, "clause": clause} for clause in clauses]}
    batch = [an_event({"source": source, "id": f"b{number}"}, note="đ" * 370) for number in range(1000)]

    async with ingest(kafka, tmp_path, DONDOC_ACK_TIMEOUT_SECONDS="10") as running:
        large = await running.post({**directive, "source": source, "id": "large", "data": data}, agency=OFFICE)
        # Escapes would make it larger than it is.
        headers = {"authorization": f"Bearer {running.issuer.mint(AGENCY, 'H48', ['events:write'])}"}
        body = json.dumps(batch, ensure_ascii=False).encode()
        many = await running.client.post("/v1/events", content=body, headers={**headers, "content-type": BATCH})

    assert 950_000 < len(body) < 1024 * 1024
    assert (large.status_code, many.status_code) == (202, 202), large.text[:300] + many.text[:300]
    records = await kept(kafka, source)
    assert len(records) == 1001
    assert 950_000 < len(records["large"][1]) < 1_000_000


async def test_a_silent_broker_is_503_and_the_service_stays_alive_and_recovers(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    async with ingest(kafka, tmp_path) as running:
        assert (await running.post(an_event({"id": "before"}))).status_code == httpx.codes.ACCEPTED
        kafka.process.pause()
        try:
            began = time.monotonic()
            answer = await running.post(an_event({"id": "during"}))
            waited = time.monotonic() - began
            livez = await running.client.get("/livez")
        finally:
            kafka.process.resume()

        assert (answer.status_code, answer.json()["code"]) == (503, "not_acknowledged")
        assert answer.headers["retry-after"]
        assert 0.9 < waited < 3
        assert livez.status_code == httpx.codes.OK
        await until(lambda: accepted(running, an_event({"id": "during"})))
        assert running.process.is_running()


async def test_a_restarted_broker_is_found_again_without_a_restart_of_the_service(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    async with ingest(kafka, tmp_path) as running:
        assert (await running.post(an_event({"id": "1"}))).status_code == httpx.codes.ACCEPTED
        kafka.kill()
        assert (await running.post(an_event({"id": "2"}))).status_code == httpx.codes.SERVICE_UNAVAILABLE

        await kafka.restart()

        await until(lambda: accepted(running, an_event({"id": "2"})))
        assert running.process.is_running()


@pytest.mark.faults
async def test_what_a_killed_process_kept_while_the_broker_was_away_is_forwarded_by_the_next(
    kafka: ApacheKafka, mongo_uri: str, tmp_path: Path
) -> None:
    """INVARIANT: without a broker it starts, takes and keeps events; no kill loses what it took."""
    source = "//test/outbox"
    env = {"DONDOC_OUTBOX": "true", "MONGODB_URI": mongo_uri, "DONDOC_DATABASE_PREFIX": "test_outbox"}
    kafka.kill()
    try:
        async with ingest(kafka, tmp_path, **env) as running:
            taken = [await running.post(an_event({"id": str(number), "source": source})) for number in range(20)]
            running.process.kill()
            running.process.start()
            await running.process.wait_until(running.is_ready, within=READY_SECONDS_MAX)
            taken += [await running.post(an_event({"id": str(number), "source": source})) for number in range(20, 40)]
            assert {answer.status_code for answer in taken} == {202}
            await kafka.restart()

            async def all_there() -> bool:
                return len(await kept(kafka, source)) == len(taken)

            await until(all_there)
    finally:
        await kafka.restart()

    said = {answer.json()["id"]: answer.json()["received_at"] for answer in taken}
    assert {key: json.loads(value)["receivedat"] for key, (_, value) in (await kept(kafka, source)).items()} == said


@pytest.mark.faults
async def test_whatever_was_promised_is_there_after_kill_9(kafka: ApacheKafka, tmp_path: Path) -> None:
    """INVARIANT: an event that was answered with 202 is on the topic, wherever the process was killed.

    If this breaks, agencies believe they have reported, and nobody knows.
    """
    source = "//test/killed"
    promised: set[str] = set()
    for round_number in range(3):
        async with ingest(kafka, tmp_path) as running:

            async def sender(number: int, running: Running = running, prefix: str = f"{round_number}") -> None:
                for count in range(10_000):
                    event_id = f"{prefix}-{number}-{count}"
                    try:
                        answer = await running.post(an_event({"id": event_id, "source": source}))
                    except httpx.TransportError:
                        return
                    if answer.status_code == httpx.codes.ACCEPTED:
                        promised.add(event_id)

            senders = [asyncio.create_task(sender(number)) for number in range(16)]
            before = len(promised)
            await asyncio.sleep(0.7 + round_number / 10)
            running.process.kill()
            await asyncio.gather(*senders)
            assert len(promised) > before

    assert promised <= (await kept(kafka, source)).keys()


@pytest.mark.faults
async def test_what_the_agencies_client_was_told_to_send_is_there_although_the_process_is_killed(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    """INVARIANT: the client comes back from `send` only with a promise; a restart in between costs nobody an event."""
    source = "//test/client"
    async with ingest(kafka, tmp_path) as running:

        def send() -> list[Receipt]:
            token = running.issuer.mint(AGENCY, "H48", ["events:write"])
            with Client(f"http://127.0.0.1:{running.port}", token, source=source) as client:
                return [client.send(PROGRESS, {"task_id": TASK, "percent": one % 100}) for one in range(300)]

        sending = asyncio.create_task(asyncio.to_thread(send))
        for _ in range(2):
            await asyncio.sleep(0.3)
            running.process.kill()
            assert not sending.done()
            running.process.start()
            await running.process.wait_until(running.is_ready, within=READY_SECONDS_MAX)
        receipts = await sending

    assert {one.id for one in receipts} == (await kept(kafka, source)).keys()


@pytest.mark.faults
async def test_an_answer_that_is_lost_with_the_process_costs_a_repeat_and_no_event(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    """INVARIANT: killed between Kafka's acknowledgement and the answer, the sender repeats and copies agree."""
    source, kills = "//test/lost-answer", 3
    async with ingest(kafka, tmp_path) as running:
        lost = 0

        async def lose_some() -> bool:
            nonlocal lost
            if lost == kills:
                return True
            lost += 1
            # The broker has acknowledged: this is the answer.
            running.process.kill()
            running.process.start()
            return False

        async with fault_proxy(running.port, lose_some) as proxy:
            token = running.issuer.mint(AGENCY, "H48", ["events:write"])

            def send() -> list[Receipt]:
                with Client(f"http://127.0.0.1:{proxy.port}", token, source=source) as client:
                    return [client.send(PROGRESS, {"task_id": TASK, "percent": one}) for one in range(5)]

            receipts = await asyncio.to_thread(send)

    copies: dict[str, list[dict[str, Any]]] = {}
    for record in await read_topic(kafka.bootstrap, SUBMISSIONS.name):
        if record.value is not None and (content := json.loads(record.value))["source"] == source:
            copies.setdefault(content["id"], []).append({**content, "receivedat": None})
    assert lost == kills
    assert {one.id for one in receipts} == copies.keys()
    assert sum(map(len, copies.values())) == len(receipts) + kills
    assert all(one == some[0] for some in copies.values() for one in some)


async def test_keys_from_an_address_outlive_the_issuer_and_a_restart(kafka: ApacheKafka, tmp_path: Path) -> None:
    """INVARIANT: an issuer that is down turns nobody away whose key is known."""
    published = tmp_path / "issuer"
    Issuer.open(published)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(published))
    address = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=address.serve_forever, daemon=True).start()
    kept_in = tmp_path / "kept.json"
    url = f"http://127.0.0.1:{address.server_port}/jwks.json"

    async with ingest(kafka, tmp_path, DONDOC_JWKS_URL=url, DONDOC_JWKS_FILE=str(kept_in)) as running:
        assert (await running.post(an_event())).status_code == httpx.codes.ACCEPTED
    address.shutdown()
    address.server_close()

    async with ingest(kafka, tmp_path, DONDOC_JWKS_URL=url, DONDOC_JWKS_FILE=str(kept_in)) as running:
        assert (await running.post(an_event())).status_code == httpx.codes.ACCEPTED


async def test_asked_to_stop_it_answers_what_is_open_and_exits_in_good_order(
    kafka: ApacheKafka, tmp_path: Path
) -> None:
    async with ingest(kafka, tmp_path, DONDOC_ACK_TIMEOUT_SECONDS="10") as running:
        kafka.process.pause()
        try:
            request = asyncio.create_task(running.post(an_event({"id": "open"})))
            await asyncio.sleep(0.3)
            stopping = asyncio.create_task(running.process.stop(20))
            await asyncio.sleep(0.5)
            assert not request.done()
        finally:
            kafka.process.resume()

        assert (await request).status_code == httpx.codes.ACCEPTED
        await stopping
        assert running.process.exit_code == 0


@pytest.mark.parametrize(
    ("size", "token", "code"), [(8 * 1024 * 1024, True, "body_too_large"), (8 * 1024 * 1024, False, "token_malformed")]
)
async def test_a_sender_reads_the_refusal_of_a_body_that_it_is_still_sending(
    kafka: ApacheKafka, tmp_path: Path, size: int, token: bool, code: str
) -> None:
    async with ingest(kafka, tmp_path) as running:
        held = running.issuer.mint(AGENCY, "H48", ["events:write"]) if token else "x"
        headers = {"authorization": f"Bearer {held}", "content-type": STRUCTURED}

        answer = await running.client.post("/v1/events", content=b" " * size, headers=headers)

        assert answer.json()["code"] == code
        assert (await running.post(an_event({"id": f"after-{code}"}))).status_code == httpx.codes.ACCEPTED


async def test_nothing_of_a_token_is_printed(kafka: ApacheKafka, tmp_path: Path) -> None:
    async with ingest(kafka, tmp_path) as running:
        token = running.issuer.mint(AGENCY, "H48", ["events:write"])
        for held in (token, token + "x", token[:-3]):
            headers = {"authorization": f"Bearer {held}", "content-type": STRUCTURED}
            await running.client.post("/v1/events", content=json.dumps(an_event()).encode(), headers=headers)
        # In good order: lines are written together, after a moment.
        await running.process.stop(20)

    printed = (tmp_path / "ingest.log").read_text()
    lines = [json.loads(line) for line in printed.splitlines() if "request.answered" in line]
    assert [line["code"] for line in lines] == ["accepted", "token_bad_signature", "token_bad_signature"]
    assert all(part not in printed for part in token.split(".")[1:])
    assert TASK not in printed


async def accepted(running: Running, event: dict[str, Any]) -> bool:
    return (await running.post(event)).status_code == httpx.codes.ACCEPTED
