"""The processes that load for a rebuild: each takes one part after the other. Decoding is what costs, and it adds up.

A worker that hears no more of who started it ends itself; a part that a worker did not finish fails the rebuild.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, TypeAlias

from services.reporting.kafka_topics import KafkaSource
from services.reporting.loading import Ends, Loaded, Loading, Tell
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_content import MongoContentStore
from services.reporting.mongo_generations import MongoMarks, Serving
from services.reporting.mongo_lists import MongoLists
from services.reporting.restoring import restore
from services.reporting.rules import read_rulebook
from services.reporting.settings import Settings
from services.reporting.wire import CONSUMED
from shared.contracts.topics import TASKS
from shared.runtime.errors import is_transient
from shared.runtime.mongodb import Database, connect

WORKERS: Final = 2
"""As many as the server has processors that the database leaves: each takes some 120 MB."""

_Order: TypeAlias = tuple[Ends, int, int]
_Answer: TypeAlias = tuple[int, int] | Loaded | Exception


class WorkerEndedError(Exception):
    """A worker ended without finishing its part."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Implements rebuilding.Work with processes of their own for the loading."""

    settings: Settings
    database: Database
    count: int = WORKERS

    async def ends(self, topics: Collection[str]) -> Ends:
        """See rebuilding.Work."""
        return await KafkaSource(self.settings.kafka_bootstrap_servers).ends(topics)

    async def index(self, generation: int) -> None:
        """See rebuilding.Work."""
        # All at once: the database makes several indexes of a collection side by side.
        await asyncio.gather(
            MongoReportStore(self.database, Serving(generation), pinned=True).prepare(),
            MongoLists(self.database, Serving(generation)).prepare(),
            MongoContentStore(self.database, Serving(generation)).prepare(),
        )

    async def load(self, parts: Sequence[Ends], filling: int, serving: int, tell: Tell) -> list[Loaded]:
        """See rebuilding.Work."""
        waiting = list(reversed(parts))
        done: list[Loaded] = []

        async def work() -> None:
            with _Worker(self.settings) as worker:
                while waiting:
                    done.append(await worker.load((waiting.pop(), filling, serving), tell))

        working = [asyncio.create_task(work()) for _ in range(min(self.count, len(parts)))]
        try:
            await asyncio.gather(*working)
        finally:
            for one in working:
                one.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        return done


class _Worker:
    """One process, seen from who started it."""

    def __init__(self, settings: Settings) -> None:
        # Not a copy of this process, which has connections and threads.
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(there, settings), daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._here.close()

    async def load(self, order: _Order, tell: Tell) -> Loaded:
        try:
            self._here.send(order)
            while True:
                answer: _Answer = await asyncio.to_thread(self._here.recv)
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, Loaded):
                    return answer
                tell(*answer)
        except (EOFError, BrokenPipeError) as error:
            self._process.join(1)
            raise WorkerEndedError(f"a worker ended with exit code {self._process.exitcode}") from error


def _serve(there: Connection, settings: Settings) -> None:
    """A worker's whole life."""
    # Ctrl-C reaches the whole group of processes; who started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while True:
            order: _Order = there.recv()
            try:
                answer: Loaded | Exception = asyncio.run(load_part(settings, order, lambda *told: there.send(told)))
            except BrokenPipeError:
                raise
            except Exception as error:
                answer = _told(error)
            there.send(answer)


def _told(error: Exception) -> Exception:
    """Not every error of a library can be sent as it is."""
    kind = ConnectionError if is_transient(error) else RuntimeError
    return kind(f"{type(error).__name__}: {error}")


async def load_part(settings: Settings, order: _Order, tell: Tell) -> Loaded:
    """Load one part."""
    ends, filling, serving = order
    topics = {topic for topic, _ in ends}
    source = KafkaSource(settings.kafka_bootstrap_servers)
    client = connect(settings.mongodb_uri, app_name="dondoc-reporting-rebuild")
    try:
        database = client[f"{settings.database_prefix}_reporting"]
        store = MongoReportStore(database, Serving(filling), pinned=True)
        if not topics & {topic.name for topic in CONSUMED}:
            return await restore(source, store, MongoContentStore(database), ends, tell)
        rules = read_rulebook(settings.calendar_file, settings.reporting_policy_file, settings.provinces_dir)
        loading = Loading(source, store, MongoMarks(database, filling), MongoMarks(database, serving), rules, tell)
        return await (loading.tasks(ends) if topics == {TASKS.name} else loading.registries(ends))
    finally:
        client.close()
