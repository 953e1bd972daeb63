"""The local stack for real: parts start, survive a power cut, and nothing is left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from motor.motor_asyncio import AsyncIOMotorClient

from deploy.local.broker import Kafka, KafkaKind, start_kafka
from deploy.local.errors import LocalStackError
from deploy.local.kafka_apache import ApacheKafka
from deploy.local.kafka_embedded import EmbeddedKafka
from deploy.local.mailbox import Mailbox
from deploy.local.mongod import Mongod
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import Stack, StackOptions
from deploy.topics import TopicsError, create_topics
from shared.contracts.topics import SUBMISSIONS, TOPICS

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

_FAKE_SERVICE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = {"/readyz": "ready", "/env": json.dumps(dict(os.environ))}
        self.send_response(200 if self.path in wanted else 404)
        self.end_headers()
        self.wfile.write(wanted.get(self.path, "").encode())

HTTPServer(("127.0.0.1", int(os.environ["DONDOC_HTTP_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("MONGODB_URI", raising=False)


def _silent(line: str) -> None:
    """Tests need no progress lines."""


async def test_mongod_keeps_acknowledged_writes_through_a_power_cut(tmp_path: Path) -> None:
    mongod = await Mongod.find_or_start(tmp_path / "data", tmp_path / "logs", say=_silent)
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongod.uri)
    try:
        await client.trial.notes.insert_one({"_id": 1, "text": "kept"})

        mongod.kill()
        await mongod.restart()

        assert await client.trial.notes.find_one({"_id": 1}) == {"_id": 1, "text": "kept"}
    finally:
        client.close()
        await mongod.stop()


async def test_mongod_takes_its_data_to_another_port(tmp_path: Path) -> None:
    for attempt in range(2):
        mongod = await Mongod.find_or_start(tmp_path / "data", tmp_path / "logs", say=_silent)
        client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(mongod.uri)
        try:
            assert await client.trial.notes.count_documents({}) == attempt
            await client.trial.notes.insert_one({"_id": attempt})
        finally:
            client.close()
            await mongod.stop()


async def test_apache_kafka_keeps_acknowledged_records_through_a_power_cut(tmp_path: Path) -> None:
    kafka = await ApacheKafka.start_new(tmp_path / "data", tmp_path / "logs", say=_silent)
    try:
        await create_topics(kafka.bootstrap)
        await _produce(kafka.bootstrap, [b"kept"])
        address = kafka.bootstrap

        kafka.kill()
        await kafka.restart()

        assert kafka.bootstrap == address
        assert await _consume_in_a_group(kafka.bootstrap, 1) == [b"kept"]
        # Sent after the restart, received by a second group.
        await _produce(kafka.bootstrap, [b"new"])
        assert sorted(await _consume_in_a_group(kafka.bootstrap, 2, group="second")) == [b"kept", b"new"]
    finally:
        await kafka.stop()


async def test_apache_kafka_stops_in_order_and_comes_back(tmp_path: Path) -> None:
    kafka = await ApacheKafka.start_new(tmp_path / "data", tmp_path / "logs", say=_silent)
    try:
        await create_topics(kafka.bootstrap)
        await kafka.stop()
        assert not kafka.process.is_running()

        await kafka.start()

        assert await _partition_counts(kafka.bootstrap) == {topic.name: topic.partitions for topic in TOPICS}
    finally:
        await kafka.stop()


async def test_embedded_kafka_serves_a_group(tmp_path: Path) -> None:
    kafka = await EmbeddedKafka.start_new(tmp_path / "logs", say=_silent)
    try:
        await _produce(kafka.bootstrap, [b"one", b"two"])

        assert sorted(await _consume_in_a_group(kafka.bootstrap, 2)) == [b"one", b"two"]
    finally:
        await kafka.stop()


async def test_embedded_kafka_refuses_a_restart_it_cannot_keep(tmp_path: Path) -> None:
    kafka = await EmbeddedKafka.start_new(tmp_path / "logs", say=_silent)
    try:
        with pytest.raises(LocalStackError, match="lives in memory"):
            await kafka.restart()
    finally:
        await kafka.stop()


@pytest.mark.parametrize("kind", list(KafkaKind))
async def test_topics_have_the_partition_counts_of_the_table(kind: KafkaKind, tmp_path: Path) -> None:
    kafka = await start_kafka(kind, tmp_path / "data", tmp_path / "logs", say=_silent)
    try:
        await create_topics(kafka.bootstrap)
        # Twice is once.
        await create_topics(kafka.bootstrap)

        assert await _partition_counts(kafka.bootstrap) == {topic.name: topic.partitions for topic in TOPICS}
    finally:
        await kafka.stop()


async def test_topic_with_another_partition_count_is_refused(tmp_path: Path) -> None:
    kafka = await ApacheKafka.start_new(tmp_path / "data", tmp_path / "logs", say=_silent)
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(SUBMISSIONS.name, 3, 1)])
        await admin.close()

        with pytest.raises(TopicsError, match=rf"{SUBMISSIONS.name} has 3 partitions, the table says 12"):
            await create_topics(kafka.bootstrap)
    finally:
        await kafka.stop()


async def test_addresses_of_the_environment_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("MONGODB_URI", "mongodb://mongo.example/?replicaSet=rs")

    kafka: Kafka = await start_kafka(KafkaKind.APACHE, tmp_path / "data", tmp_path / "logs", say=_silent)
    mongod = await Mongod.find_or_start(tmp_path / "data", tmp_path / "logs", say=_silent)
    await kafka.stop()
    await mongod.stop()

    assert (kafka.bootstrap, kafka.is_ours) == ("kafka.example:9092", False)
    assert (mongod.uri, mongod.is_ours) == ("mongodb://mongo.example/?replicaSet=rs", False)
    with pytest.raises(LocalStackError, match="not ours"):
        kafka.kill()


async def test_mailbox_keeps_messages_with_their_envelope(tmp_path: Path) -> None:
    mailbox = await Mailbox.start_new(tmp_path / "mails", tmp_path / "logs", say=_silent)
    try:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@dondoc.local", "b@dondoc.local", "Nhiệm vụ quá hạn"
        message.set_content("Sở Xây dựng còn 2 nhiệm vụ.\n")
        await aiosmtplib.send(
            message, hostname=mailbox.host, port=mailbox.port, recipients=["b@dondoc.local", "hidden@dondoc.local"]
        )
        # What was acknowledged is on disk.
        mailbox.kill()

        (mail,) = mailbox.mails()

        assert mail.sender == "a@dondoc.local"
        assert mail.recipients == ("b@dondoc.local", "hidden@dondoc.local")
        assert mail.subject == "Nhiệm vụ quá hạn"
        assert "còn 2 nhiệm vụ" in mail.text
    finally:
        await mailbox.stop()


async def test_stack_starts_services_and_can_kill_and_restart_one(tmp_path: Path) -> None:
    lines: list[str] = []
    others = _children()
    options = StackOptions(
        run_dir=tmp_path / "run",
        services=("ingest", "tasks"),
        replicas={"tasks": 2},
        clock="2024-10-11T08:00:00+07:00@3600",
        database_prefix="trial",
        env={"DONDOC_EXTRA": "everybody"},
        service_env={"tasks": {"DONDOC_EXTRA": "tasks only"}},
        service_command=_fake_service(tmp_path),
    )
    async with Stack(options, say=lines.append) as stack:
        assert [service.name for service in stack.services] == ["ingest", "tasks", "tasks-2"]
        assert [line.split(":")[0] for line in lines] == [
            *("MongoDB", "Kafka", "Topics", "Mail"),
            *("ingest", "tasks", "tasks-2"),
        ]
        env = await _env_of(stack, "tasks")
        assert env["KAFKA_BOOTSTRAP_SERVERS"] == stack.kafka.bootstrap
        assert env["MONGODB_URI"] == stack.mongod.uri
        assert env["DONDOC_JWKS_FILE"] == str(stack.issuer.jwks_file)
        assert env["DONDOC_DATABASE_PREFIX"] == "trial"
        assert env["DONDOC_EXTRA"] == "tasks only"
        assert (await _env_of(stack, "ingest"))["DONDOC_EXTRA"] == "everybody"
        # The real epoch is filled in, the same for everybody.
        assert env["DONDOC_CLOCK"].startswith("2024-10-11T08:00:00+07:00@3600@")
        assert env["DONDOC_CLOCK"] == (await _env_of(stack, "tasks-2"))["DONDOC_CLOCK"]

        stack.service("tasks").kill()
        assert not await stack.service("tasks").is_ready()
        assert await stack.service("tasks-2").is_ready()
        await stack.service("tasks").restart()
        assert await stack.service("tasks").is_ready()
        assert (await stack.add_replica("ingest")).name == "ingest-2"

        # A death that nobody asked for is noticed, one that somebody asked for is not.
        watch = asyncio.create_task(stack.first_death())
        stack.service("ingest-2").kill()
        await asyncio.sleep(0.6)
        assert not watch.done()
        os.kill(stack.service("ingest").process.pid, signal.SIGKILL)
        assert (await asyncio.wait_for(watch, 5)).startswith("ingest ended by itself (exit code -9)")
        ours = _children() - others

    assert ours
    assert not [pid for pid in ours if _is_alive(pid)]
    assert not (tmp_path / "run" / "data").exists()


async def test_service_that_dies_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    options = StackOptions(
        run_dir=tmp_path / "run",
        services=("ingest",),
        service_command=lambda service: (sys.executable, "-c", "raise SystemExit('no such setting: X')"),
    )
    others = _children()

    with pytest.raises(LocalStackError, match=r"(?s)ingest ended while starting \(exit code 1\).*no such setting: X"):
        async with Stack(options, say=_silent):
            pass

    assert _children() == others


def test_nothing_survives_the_kill_of_its_parent(tmp_path: Path) -> None:
    """INVARIANT: kill -9 of whoever holds a stack ends every process of it.

    Otherwise each aborted test run would leave a JVM and a mongod behind, until the machine is full.
    """
    (tmp_path / "fake_service.py").write_text(_FAKE_SERVICE)
    holder = tmp_path / "holder.py"
    holder.write_text(
        textwrap.dedent(f"""
            import asyncio, sys
            from pathlib import Path
            from deploy.local.broker import KafkaKind
            from deploy.local.stack import Stack, StackOptions

            async def main():
                options = StackOptions(
                    run_dir=Path({str(tmp_path / "run")!r}),
                    kafka=KafkaKind.APACHE,
                    services=("ingest",),
                    service_command=lambda _: (sys.executable, {str(tmp_path / "fake_service.py")!r}),
                )
                async with Stack(options):
                    print("UP", flush=True)
                    await asyncio.sleep(600)

            asyncio.run(main())
        """)
    )
    with subprocess.Popen(
        (sys.executable, str(holder)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
    ) as parent:
        assert parent.stdout is not None
        assert "UP\n" in iter(parent.stdout.readline, "")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert {"java", "mongod"} <= {child.name() for child in children}
        assert len(children) == 4  # mongod, Kafka, the mailbox, the service

        parent.kill()

    assert not _alive_after(children, seconds=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_ends_in_order_when_asked_to(number: signal.Signals, tmp_path: Path) -> None:
    with _up(tmp_path) as command:
        assert command.stdout is not None
        assert "Ctrl-C stops everything.\n" in iter(command.stdout.readline, "")
        children = psutil.Process(command.pid).children(recursive=True)
        token = subprocess.check_output(
            (
                *(sys.executable, "-m", "deploy.local", "token", "--build-dir", str(tmp_path)),
                *("--agency", "H48.07", "--province", "H48", "--scope", "events:write"),
            ),
            cwd=REPOSITORY_ROOT,
        )

        command.send_signal(number)

        assert command.wait(timeout=30) == 0
    assert len(children) == 3  # mongod, the embedded broker, the mailbox
    assert token.count(b".") == 2
    assert not _alive_after(children, seconds=0)


def test_up_ends_with_the_reason_when_a_part_dies(tmp_path: Path) -> None:
    with _up(tmp_path) as command:
        assert command.stdout is not None
        assert "Ctrl-C stops everything.\n" in iter(command.stdout.readline, "")
        children = psutil.Process(command.pid).children(recursive=True)

        next(child for child in children if child.name() == "mongod").kill()

        assert command.wait(timeout=30) == 1
        assert "mongod ended by itself (exit code -9)" in command.stdout.read()
    assert not _alive_after(children, seconds=0)


def _up(build_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "deploy.local", "up", "--services", "--build-dir", str(build_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY_ROOT,
    )


def _fake_service(folder: Path) -> "_Command":
    script = folder / "fake_service.py"
    script.write_text(_FAKE_SERVICE)
    return _Command((sys.executable, str(script)))


class _Command:
    """The same command for every service."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def __call__(self, service: str) -> Sequence[str]:
        return self._command


async def _env_of(stack: Stack, name: str) -> dict[str, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        env: dict[str, str] = json.loads((await client.get(f"{stack.service(name).url}/env")).text)
    return env


async def _produce(bootstrap: str, values: Sequence[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(SUBMISSIONS.name, value, key=value)


async def _consume_in_a_group(bootstrap: str, count: int, *, group: str = "first") -> list[bytes]:
    async with AIOKafkaConsumer(
        SUBMISSIONS.name,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:
        values: list[bytes] = []
        async with asyncio.timeout(30):
            while len(values) < count:
                batches = await consumer.getmany(timeout_ms=500)
                values += [record.value for records in batches.values() for record in records]
        await consumer.commit()
        committed = [
            await consumer.committed(TopicPartition(SUBMISSIONS.name, partition))
            for partition in range(SUBMISSIONS.partitions)
        ]
    assert sum(offset or 0 for offset in committed) == count
    return values


async def _partition_counts(bootstrap: str) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        topics = await admin.describe_topics()
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if not topic["is_internal"]}


def _children() -> set[int]:
    """Processes below this one; the test run keeps parts of its own for other tests."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


def _is_alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _alive_after(processes: Sequence[psutil.Process], *, seconds: float) -> list[int]:
    """Who is still there, given this long to disappear."""
    deadline = time.monotonic() + seconds
    while True:
        alive = [process.pid for process in processes if process.is_running() and _is_alive(process.pid)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)
