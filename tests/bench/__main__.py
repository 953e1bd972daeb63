"""`python -m tests.bench`: measures, prints a table, writes build/bench.json. A missed target is said, not an error."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx
import pydantic_core
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.broker import KafkaKind
from deploy.local.ports import free_port
from deploy.local.processes import REPOSITORY_ROOT, ManagedProcess
from deploy.local.stack import Service, Stack, StackOptions
from shared.contracts.topics import ALERTS, SUBMISSIONS
from tests.support.workload import OFFICE, PROVINCE, STANDING, START, Submitted, event, produce

BUILD: Final = REPOSITORY_ROOT / "build"
AGENCIES: Final = tuple(f"H48.{number:03d}" for number in range(100, 200))
CLAUSES: Final = tuple(f"II.{part}.{letter}" for part in (1, 2) for letter in "abcdeghikl")
DIRECTIVE: Final = "BENCH"
APPLY_EVENTS: Final = 10_000
SINGLE_REQUESTS: Final = 4_000
BATCH_REQUESTS: Final = 200
BATCH_EVENTS: Final = 100
CONNECTIONS: Final = 32
APPLY_POLLS_MAX: Final = 6_000
END_TO_END_EVENTS: Final = 2_500
END_TO_END_PER_SECOND: Final = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of bench.json."""

    value: float
    unit: str
    baseline: str
    target: str


def task_id(agency: str, clause: str) -> str:
    """A task of the bench's directive."""
    return f"{PROVINCE}/{DIRECTIVE}/{clause}/{agency}"


def registry() -> list[Submitted]:
    """Agencies and one directive: 2,000 tasks."""
    registered = [(OFFICE, "chairman_office"), (STANDING, "standing"), *((one, "agency") for one in AGENCIES)]
    found = [
        Submitted(
            PROVINCE,
            event(
                "agency.registered",
                {
                    "code": code,
                    "name": code,
                    "role": role,
                    "groups": ["@all"] if role == "agency" else [],
                    "valid_from": "2024-01-01",
                    "contact": f"{code.lower()}@x.example",
                },
                agency=STANDING,
                received_at=START,
                event_id=f"agency-{code}",
            ),
        )
        for code, role in registered
    ]
    obligations = [
        {
            "clause": clause,
            "title": f"Nội dung {clause}",
            "leads": ["@all"],
            "category": "dated",
            "due": {"kind": "fixed", "boundary": "before", "day": "2025-06-20"},
        }
        for clause in CLAUSES
    ]
    directive = {
        "directive": DIRECTIVE,
        "kind": "TB",
        "issuer": "UBND",
        "issued_on": "2024-10-14",
        "title": "Đo",
        "obligations": obligations,
    }
    issued = event("directive.issued", directive, agency=OFFICE, received_at=START, event_id="directive")
    return [*found, Submitted(PROVINCE, issued)]


def a_mix(round_number: int, count: int, received_at: datetime) -> list[Submitted]:
    """A realistic mix over 2,000 tasks."""
    chance = random.Random(round_number)
    found = []
    for number in range(count):
        agency, clause = chance.choice(AGENCIES), chance.choice(CLAUSES)
        about = task_id(agency, clause)
        day = received_at.date().isoformat()
        kinds: list[tuple[str, dict[str, Any], str]] = [
            ("task.acknowledged", {"task_id": about}, agency),
            ("task.progress_reported", {"task_id": about, "percent": number % 100, "note": "đang làm"}, agency),
            ("task.progress_reported", {"task_id": about, "percent": number % 100, "note": "đang làm"}, agency),
            (
                "task.result_submitted",
                {"task_id": about, "document": {"number": f"{number}/BC", "issued_on": day}},
                agency,
            ),
            ("task.result_returned", {"task_id": about, "reason": "thiếu"}, STANDING),
            ("task.disbursement_reported", {"task_id": about, "as_of": day, "cumulative_vnd": number}, agency),
        ]
        event_type, data, actor = chance.choice(kinds)
        event_id = f"r{round_number}-{number}"
        content = event(event_type, data, agency=actor, received_at=received_at, event_id=event_id)
        found.append(Submitted(about, content))
    return found


class Bench:
    """The running parts and the figures so far."""

    def __init__(self, stack: Stack, rounds: int, work_dir: Path) -> None:
        self._stack = stack
        self._rounds = rounds
        self._work_dir = work_dir
        self.figures: dict[str, Figure] = {}

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def apply(self) -> None:
        """tasks_apply_ratio: both have the same records in the topic when their clock starts."""
        tasks = self._stack.service("tasks")
        await self._applied(tasks, await self._consumed(tasks) + 0)
        ours: list[float] = []
        bare: list[float] = []
        for number in range(self._rounds + 1):
            records = a_mix(number, APPLY_EVENTS, START + timedelta(hours=1 + number))
            offsets = await self._ends()
            before = await self._consumed(tasks)
            tasks.process.pause()
            await produce(self._stack.kafka.bootstrap, records)
            began = time.perf_counter()
            tasks.process.resume()
            await self._applied(tasks, before + len(records))
            seconds = time.perf_counter() - began
            baseline, applied = await self._run(
                "bare_apply", self._stack.kafka.bootstrap, self._stack.mongod.uri, f"bare-{number}", _text(offsets)
            )
            assert applied == len(records), f"the baseline applied {applied} of {len(records)}"
            if number:  # the first round warms both up
                ours.append(len(records) / seconds)
                bare.append(len(records) / baseline)
        self._ratio("tasks_apply_ratio", ours, bare, "a bare getmany + bulk_write loop")
        self._memory(tasks)

    async def _ends(self) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._stack.kafka.bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(SUBMISSIONS.name, number) for number in range(SUBMISSIONS.partitions)]
            ends = await consumer.end_offsets(partitions)
            return {one.partition: ends[one] for one in partitions}
        finally:
            await consumer.stop()

    @staticmethod
    async def _consumed(service: Service) -> int:
        async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=30) as client:
            lines = (await client.get("/metrics")).text.splitlines()
        return int(sum(float(line.split()[-1]) for line in lines if line.startswith("dondoc_consumed_records_total")))

    async def _applied(self, service: Service, expected: int) -> None:
        for _ in range(APPLY_POLLS_MAX):
            if await self._consumed(service) >= expected:
                return
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{service.name} did not apply {expected} records")

    # -- ingest ----------------------------------------------------------------------------------------------------

    async def ingest(self) -> None:
        """ingest_single_ratio and ingest_batch_ratio: the same load on both endpoints, in turn."""
        port = free_port()
        command = (sys.executable, "-m", "tests.bench.bare_ingest", self._stack.kafka.bootstrap, str(port))
        bare = ManagedProcess("bare_ingest", command, self._work_dir / "bare_ingest.log")
        bare.start()
        try:
            await bare.wait_until(lambda: _answers(port), within=20)
            await self._compare("ingest_single_ratio", port, SINGLE_REQUESTS, 1)
            await self._compare("ingest_batch_ratio", port, BATCH_REQUESTS, BATCH_EVENTS)
        finally:
            bare.kill()
        self._memory(self._stack.service("ingest"))

    async def _compare(self, name: str, bare_port: int, requests: int, events: int) -> None:
        ours: list[float] = []
        bare: list[float] = []
        ingest = self._stack.service("ingest")
        agency = AGENCIES[0]
        token = self._stack.issuer.mint(agency, PROVINCE, ["events:write"])
        content_type = "application/cloudevents+json" if events == 1 else "application/cloudevents-batch+json"
        for number in range(self._rounds + 1):
            bodies = self._work_dir / f"{name}.jsonl"
            bodies.write_bytes(b"\n".join(_body(agency, name, number, one, events) for one in range(requests)))
            for port, found in ((ingest.port, ours), (bare_port, bare)):
                seconds, bad = await self._run(
                    "load", str(port), str(CONNECTIONS), str(requests), str(bodies), token, content_type
                )
                assert bad == 0, f"{bad} of {requests} answers were not 202"
                if number:
                    found.append(requests * events / seconds)
        self._ratio(name, ours, bare, "a bare Starlette + aiokafka endpoint with the same acks")

    # -- end to end ------------------------------------------------------------------------------------------------

    async def end_to_end(self) -> None:
        """From the 202 to the alert on its topic, at a steady rate."""
        seen: dict[str, float] = {}
        answered: dict[str, float] = {}
        consumer = AIOKafkaConsumer(ALERTS.name, bootstrap_servers=self._stack.kafka.bootstrap)
        await consumer.start()

        async def watch() -> None:
            async for record in consumer:
                data = pydantic_core.from_json(record.value)["data"]
                if data["kind"] == "obstacle":
                    seen.setdefault(data["task_id"], time.perf_counter())

        watching = asyncio.create_task(watch())
        tokens = {code: self._stack.issuer.mint(code, PROVINCE, ["events:write"]) for code in AGENCIES}
        pairs = [(agency, clause) for clause in CLAUSES for agency in AGENCIES][:END_TO_END_EVENTS]
        async with httpx.AsyncClient(base_url=self._stack.service("ingest").url, trust_env=False) as client:

            async def post(agency: str, clause: str) -> None:
                about = task_id(agency, clause)
                data = {"task_id": about, "obstacle_id": "bench", "description": "khó"}
                content = {
                    "specversion": "1.0",
                    "id": f"e2e-{about}",
                    "source": f"//bench/{agency}",
                    "type": "dondoc.task.obstacle_raised.v1",
                    "data": data,
                }
                headers = {
                    "authorization": f"Bearer {tokens[agency]}",
                    "content-type": "application/cloudevents+json",
                }
                answer = await client.post("/v1/events", json=content, headers=headers)
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text
                answered[about] = time.perf_counter()

            began = time.perf_counter()
            posts = []
            for number, (agency, clause) in enumerate(pairs):
                await asyncio.sleep(max(0.0, began + number / END_TO_END_PER_SECOND - time.perf_counter()))
                posts.append(asyncio.create_task(post(agency, clause)))
            await asyncio.gather(*posts)
        for _ in range(300):
            if len(seen) >= len(answered):
                break
            await asyncio.sleep(0.1)
        watching.cancel()
        await consumer.stop()
        assert seen.keys() >= answered.keys(), f"{len(answered.keys() - seen.keys())} alerts did not come"
        waits = sorted((seen[about] - at) * 1000 for about, at in answered.items())
        cuts = quantiles(waits, n=100)
        rate = f"{len(waits)} events at {END_TO_END_PER_SECOND}/s, from the 202 to the record on {ALERTS.name}"
        self.figures["end_to_end_p50_ms"] = Figure(round(median(waits), 1), "ms", rate, "none yet")
        self.figures["end_to_end_p99_ms"] = Figure(round(cuts[98], 1), "ms", rate, "none yet")
        for name in ("ingest", "tasks", "notify", "reporting"):
            self._memory(self._stack.service(name))

    # -- noting ----------------------------------------------------------------------------------------------------

    async def _run(self, module: str, *arguments: str) -> tuple[float, int]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.bench.{module}",
            *arguments,
            cwd=REPOSITORY_ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        seconds, count = output.split()
        return float(seconds), int(count)

    def _ratio(self, name: str, ours: Sequence[float], bare: Sequence[float], baseline: str) -> None:
        value = median(one / other for one, other in zip(ours, bare, strict=True))
        said = f"{baseline}: {median(bare):,.0f} events/s (ours {median(ours):,.0f}), {len(ours)} alternating rounds"
        self.figures[name] = Figure(round(value, 3), "ratio", said, ">= 0.4")

    def _memory(self, service: Service) -> None:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        self.figures[f"memory_mb_{service.name}"] = Figure(
            round(peak_kib / 1024, 1), "MB", "peak resident size of the process over its load", "<= 150"
        )


def _body(agency: str, name: str, number: int, request: int, events: int) -> bytes:
    some = [
        {
            "specversion": "1.0",
            "id": f"{name}-{number}-{request}-{one}",
            "source": "//bench/agency",
            "type": "dondoc.task.progress_reported.v1",
            "data": {"task_id": task_id(agency, CLAUSES[one % len(CLAUSES)]), "percent": one % 100, "note": "đang làm"},
        }
        for one in range(events)
    ]
    return pydantic_core.to_json(some if events > 1 else some[0])


def _text(offsets: dict[int, int]) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())


async def _answers(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


PARTS: Final = {"apply": ("tasks",), "ingest": ("ingest",), "end_to_end": ("ingest", "tasks", "notify", "reporting")}


async def measure(rounds: int, only: Sequence[str]) -> dict[str, Figure]:
    """Measure each part on a stack of its own: what one leaves behind must not burden the next."""
    found: dict[str, Figure] = {}
    for part in only:
        with tempfile.TemporaryDirectory(prefix="dondoc-bench-") as work:
            options = StackOptions(
                run_dir=Path(work) / "run",
                kafka=KafkaKind.APACHE,
                services=PARTS[part],
                clock=f"{(START + timedelta(minutes=30)).isoformat()}@1",
                database_prefix="bench",
                env={"DONDOC_KAFKA_SESSION_TIMEOUT_MS": "60000"},
                service_env={"notify": {"DONDOC_SEND_POLL_SECONDS": "5"}} if part == "end_to_end" else {},
            )
            async with Stack(options, say=lambda _: None) as stack:
                await produce(stack.kafka.bootstrap, registry())
                bench = Bench(stack, rounds, Path(work))
                if "tasks" in PARTS[part]:
                    await bench._applied(stack.service("tasks"), len(registry()))
                await getattr(bench, part)()
                found |= bench.figures
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds, options.only))
    BUILD.mkdir(exist_ok=True)
    content = {name: asdict(figure) for name, figure in sorted(figures.items())}
    (BUILD / "bench.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    for name, figure in sorted(figures.items()):
        said = f"{name:24} {figure.value:>10} {figure.unit:6} target {figure.target:9}{_verdict(figure)}"
        sys.stdout.write(f"{said}  {figure.baseline}\n")
    return 0


def _verdict(figure: Figure) -> str:
    sign, _, text = figure.target.partition(" ")
    if sign not in {">=", "<="}:
        return ""
    met = figure.value >= float(text) if sign == ">=" else figure.value <= float(text)
    return "" if met else "  MISSES ITS TARGET"


if __name__ == "__main__":
    sys.exit(main())
