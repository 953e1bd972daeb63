"""A real Apache Kafka, one KRaft node started straight from its jars; data and port survive a kill."""

import asyncio
import hashlib
import re
import shutil
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from deploy.local.broker import has_broker
from deploy.local.cache import cached, check_files, fill, read_checksums
from deploy.local.errors import LocalStackError
from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess

_RECIPE: Final = Path(__file__).with_name("kafka")
_POM: Final = _RECIPE / "pom.xml"
_CHECKSUMS: Final = _RECIPE / "jars.sha256"
_LOG4J: Final = _RECIPE / "log4j2.properties"

_JAVA_VERSION_MIN: Final = 17
_HEAP_MIB_MAX: Final = 512
_DOWNLOAD_SECONDS_MAX: Final = 600.0
_FORMAT_SECONDS_MAX: Final = 60.0
_READY_SECONDS_MAX: Final = 90.0
_STOP_SECONDS_MAX: Final = 20.0


async def find_jars(log_dir: Path) -> tuple[Path, str]:
    """The folder of Kafka's jars and where it comes from: the cache, which Maven fills where it is empty."""
    # The list names the folder, so that another version never meets old jars.
    name = f"kafka-jars-{hashlib.sha256(_CHECKSUMS.read_bytes()).hexdigest()[:12]}"
    folder = cached(name)
    if folder is not None:
        return folder, "the cache"
    return await fill(name, lambda partial: _download(partial, log_dir)), "Maven"


async def _download(folder: Path, log_dir: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalStackError(
            "Maven is needed once, to fetch Apache Kafka: install it (Debian: `apt-get install maven`), "
            "set KAFKA_BOOTSTRAP_SERVERS, or use the embedded broker (`--kafka embedded`)"
        )
    copy = ManagedProcess(
        "mvn dependency:copy-dependencies",
        (
            *(maven, "-q", "-B", "-Dstyle.color=never", "-f", str(_POM)),
            *("dependency:copy-dependencies", f"-DoutputDirectory={folder}"),
        ),
        log_dir / "maven.log",
    )
    copy.start()
    await copy.finish(within=_DOWNLOAD_SECONDS_MAX)
    check_files(folder, read_checksums(_CHECKSUMS))


async def find_java() -> str:
    """The java on PATH; an error that says what to install where it is missing or too old."""
    advice = f"install a Java {_JAVA_VERSION_MIN} runtime (Debian: `apt-get install openjdk-17-jre-headless`), "
    other_ways = "set KAFKA_BOOTSTRAP_SERVERS, or use the embedded broker (`--kafka embedded`)"
    java = shutil.which("java")
    if java is None:
        raise LocalStackError(f"Apache Kafka needs java: {advice}{other_ways}")
    process = await asyncio.create_subprocess_exec(
        java, "-version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    version = re.search(rb'version "(\d+)', output)
    if version is None or int(version[1]) < _JAVA_VERSION_MIN:
        found = output.decode(errors="replace").strip() or "nothing readable"
        raise LocalStackError(f"`java -version` says {found!r}: {advice}{other_ways}")
    return java


@dataclass(slots=True)
class ApacheKafka:
    """One broker and controller in one JVM, with a data folder of its own."""

    bootstrap: str
    origin: str
    _process: ManagedProcess
    _port: int

    @classmethod
    async def start_new(
        cls, data_dir: Path, log_dir: Path, *, port: int | None = None, say: Callable[[str], None] = print
    ) -> Self:
        """Format `data_dir` unless it is, start the broker on it and wait until it takes records."""
        began = time.monotonic()
        java = await find_java()
        jars, origin = await find_jars(log_dir)
        port = port or free_port()
        properties = _write_properties(data_dir, port, free_port())
        command = _java_command(java, jars)
        await _format(command, properties, log_dir)
        process = ManagedProcess("kafka", (*command, "kafka.Kafka", str(properties)), log_dir / "kafka.log")
        kafka = cls(f"127.0.0.1:{port}", origin, process, port)
        await kafka.start()
        say(f"Kafka: Apache Kafka, jars from {origin}, on {kafka.bootstrap}, {time.monotonic() - began:.1f} s")
        return kafka

    @property
    def is_ours(self) -> bool:
        """Always."""
        return True

    @property
    def process(self) -> ManagedProcess:
        """The JVM."""
        return self._process

    async def start(self) -> None:
        """Start it on its port and data, and wait until it takes records."""
        self._process.start()
        try:
            await self._process.wait_until(lambda: has_broker(self._port), within=_READY_SECONDS_MAX)
        except BaseException:
            self._process.kill()
            raise

    async def stop(self) -> None:
        """Shut it down in order."""
        await self._process.stop(_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it like a power cut (SIGKILL); what it has acknowledged stays."""
        self._process.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and data."""
        await self.stop()
        await self.start()


def _java_command(java: str, jars: Path) -> tuple[str, ...]:
    return (
        java,
        # The serial collector and class sharing: a small heap on few cores starts sooner so. One compiler only: the
        # second would take a quarter of a core for minutes, for code that is faster after we have ended.
        *(f"-Xmx{_HEAP_MIB_MAX}m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}",
        *("-cp", f"{jars}/*"),
    )


async def _format(java_command: tuple[str, ...], properties: Path, log_dir: Path) -> None:
    if (properties.parent / "log" / "meta.properties").exists():
        return
    # Kafka writes a UUID as 22 characters of base64.
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    storage_tool = ManagedProcess(
        "kafka.tools.StorageTool format",
        # `=`: an id may begin with a dash.
        (
            *java_command,
            *("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--standalone"),
            *("--config", str(properties)),
        ),
        log_dir / "kafka-format.log",
    )
    storage_tool.start()
    await storage_tool.finish(within=_FORMAT_SECONDS_MAX)


def _write_properties(data_dir: Path, port: int, controller_port: int) -> Path:
    data_dir = data_dir.absolute()
    settings: Mapping[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data_dir / "log",
        # Topics come from shared/contracts/topics.py; a misspelt name must fail, not appear.
        "auto.create.topics.enable": "false",
        # One node: everything has one copy.
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # The defaults of 50 cost files and start time that one machine does not need.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        # Tests start and kill members all the time: no waiting for others, short sessions allowed.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A killed broker may register again only after the controller has given its former self up: 9 s by default.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        # Index files are mapped at their full size; ten mebibytes times every partition is a lot of address space.
        "log.index.size.max.bytes": 1_048_576,
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "server.properties"
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
    return path
