"""A Kafka protocol port without Java: librdkafka's in-memory cluster, in a process of its own.

It keeps about 5 MB a partition and forgets everything when it ends. It serves one member a consumer group, does not
know CreateTopics, and gives a topic nobody created 4 partitions; so the topics of the table are made inside it, with
their own counts, before it says where it listens.
"""

import argparse
import ctypes
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from deploy.local.broker import has_broker
from deploy.local.errors import LocalStackError
from deploy.local.processes import ManagedProcess
from shared.contracts.topics import TOPICS

_READY_SECONDS_MAX: Final = 20.0
_STOP_SECONDS_MAX: Final = 5.0

_RD_KAFKA_PRODUCER: Final = 0
_ERROR_TEXT_BYTES: Final = 512


@dataclass(slots=True)
class EmbeddedKafka:
    """The in-memory broker: same interface as Apache Kafka, but nothing survives its end."""

    _process: ManagedProcess
    _address_file: Path
    bootstrap: str = ""

    @classmethod
    async def start_new(cls, log_dir: Path, *, say: Callable[[str], None] = print) -> Self:
        """Start one and wait until it takes records; its topics exist then."""
        if importlib.util.find_spec("confluent_kafka") is None:
            raise LocalStackError(
                "the embedded broker is part of the confluent-kafka package: install requirements/dev.lock "
                "(`make setup`), or set KAFKA_BOOTSTRAP_SERVERS"
            )
        began = time.monotonic()
        kafka = cls._prepare(log_dir)
        await kafka.start()
        say(
            f"Kafka: in-memory cluster of librdkafka (confluent-kafka package) on {kafka.bootstrap}, "
            f"{time.monotonic() - began:.1f} s"
        )
        return kafka

    @classmethod
    def _prepare(cls, log_dir: Path) -> Self:
        address_file = log_dir.absolute() / "kafka-embedded.address"
        command = (sys.executable, "-m", "deploy.local.kafka_embedded", "--address-file", str(address_file))
        return cls(ManagedProcess("embedded kafka", command, log_dir / "kafka.log"), address_file)

    @property
    def is_ours(self) -> bool:
        """Always."""
        return True

    @property
    def process(self) -> ManagedProcess:
        """The process that holds the cluster in its memory."""
        return self._process

    async def start(self) -> None:
        """Start an empty one; it chooses its port anew, so `bootstrap` changes."""
        self._address_file.unlink(missing_ok=True)
        self._process.start()
        try:
            await self._process.wait_until(self._is_ready, within=_READY_SECONDS_MAX)
        except BaseException:
            self._process.kill()
            raise

    async def stop(self) -> None:
        """End it; its records are gone."""
        await self._process.stop(_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it like a power cut (SIGKILL); its records are gone."""
        self._process.kill()

    async def restart(self) -> None:
        """Refused: there is no port and no data to come back to."""
        raise LocalStackError(
            "the embedded broker lives in memory and cannot be restarted on the same port and data: "
            "use Apache Kafka (`--kafka apache`), or start() for an empty one at another address"
        )

    async def _is_ready(self) -> bool:
        if not self._address_file.exists():
            return False
        self.bootstrap = self._address_file.read_text(encoding="utf-8")
        return await has_broker(int(self.bootstrap.rpartition(":")[2]))


def _start_cluster() -> str:
    """Start the cluster in this process, create the topics in it, return its address.

    By ctypes, because `rd_kafka_mock_topic_create` is the only way to choose a partition count and the Python binding
    does not reach it. The extension module is the handle: the loader also looks into the library it is linked with.
    """
    from confluent_kafka import cimpl

    library = ctypes.CDLL(cimpl.__file__)
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    library.rd_kafka_conf_new.restype = handle
    library.rd_kafka_new.restype = handle
    library.rd_kafka_new.argtypes = [number, handle, text, ctypes.c_size_t]
    library.rd_kafka_mock_cluster_new.restype = handle
    library.rd_kafka_mock_cluster_new.argtypes = [handle, number]
    library.rd_kafka_mock_cluster_bootstraps.restype = text
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [handle]
    library.rd_kafka_mock_topic_create.argtypes = [handle, text, number, number]
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [handle, ctypes.c_int32]

    error = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
    client = library.rd_kafka_new(_RD_KAFKA_PRODUCER, library.rd_kafka_conf_new(), error, _ERROR_TEXT_BYTES)
    if not client:
        raise LocalStackError(f"librdkafka did not start: {error.value.decode(errors='replace')}")
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    if not cluster:
        raise LocalStackError("librdkafka did not start its in-memory cluster: is the loopback address usable?")
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    for topic in TOPICS:
        code = library.rd_kafka_mock_topic_create(cluster, topic.name.encode(), topic.partitions, 1)
        if code != 0:
            raise LocalStackError(f"librdkafka refused topic {topic.name} (error code {code})")
    address: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
    return address.decode()


def main() -> None:
    """Hold the cluster until we are asked to end."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.kafka_embedded", description=__doc__)
    parser.add_argument("--address-file", type=Path, required=True, help="where to write host:port once it listens")
    arguments = parser.parse_args()
    # Blocked before the cluster's threads start, so that no thread but sigwait below ever takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    address = _start_cluster()
    # Renamed into place: a reader sees the whole address or no file.
    unfinished = arguments.address_file.with_suffix(".unfinished")
    unfinished.write_text(address, encoding="utf-8")
    unfinished.replace(arguments.address_file)
    print(f"in-memory Kafka cluster at {address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # Nothing to save, so no orderly end of the cluster's threads is needed.
    os._exit(0)


if __name__ == "__main__":
    main()
