"""`python -m services.reporting rebuild`: what an operator starts, sees and is told at the end (docs/runbook.md)."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TextIO

import structlog

from services.reporting.kafka_topics import KafkaSource, has_applied
from services.reporting.loading import Loaded, Some, What
from services.reporting.mongo import MongoReportStore
from services.reporting.mongo_generations import MongoGenerations, begin_if_new, is_begun
from services.reporting.rebuild_workers import WorkerEndedError, Workers
from services.reporting.rebuilding import (
    Filler,
    MissingError,
    NotKeptError,
    Phase,
    Progress,
    Rebuild,
    RebuildRunsError,
    Rebuilt,
    TakenOverError,
    drop_unfinished,
    is_followed,
    old_generations,
)
from services.reporting.settings import Settings
from shared.contracts.topics import TASKS
from shared.runtime.errors import is_transient
from shared.runtime.logs import configure_logs
from shared.runtime.mongodb import Database, connect

log = structlog.get_logger()

GROUP: Final = "reporting"
FAILED, RUNS, MISSING, UNREACHABLE, INTERRUPTED = 1, 3, 4, 5, 130
TELL_SECONDS: Final = 1.0
BEHIND: Final = "an older version served, or none"
_PHASES: Final = {
    Phase.BEGINNING: "beginning",
    Phase.READING: "reading",
    Phase.INDEXING: "making indexes",
    Phase.CHECKING: "checking what is kept against what was read",
    Phase.SWITCHING: "switching",
    Phase.FOLLOWING: "waiting for the replicas to follow",
    Phase.DROPPING: "dropping the generation before",
    Phase.DONE: "done",
}


def main(arguments: Sequence[str]) -> int:
    """Rebuild or abort. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="dondoc rebuild reporting", description="Read all that reporting derives from the topics anew, and switch."
    )
    parser.add_argument("--abort", action="store_true", help="end a rebuild, and drop what one left half done")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="switch even if something serves now that is in no topic; it is then gone",
    )
    given = parser.parse_args(arguments)
    settings = Settings()
    # Results go to stdout, all else to stderr.
    level = "warning" if sys.stderr.isatty() else settings.log_level
    configure_logs("reporting-rebuild", log_format=settings.log_format, level=level, stream=sys.stderr)
    try:
        return asyncio.run(_run(given, settings))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted; what serves was not touched")
    except RebuildRunsError as error:
        return _fail(RUNS, f"another rebuild runs: {error}", "wait for it, or end it with --abort")
    except TakenOverError:
        return _fail(FAILED, "somebody aborted this rebuild, or took it for dead and began another")
    except MissingError as error:
        told = [f"{_called(what)}: {_some(some)}" for what, some in error.missing.items()]
        return _fail(
            MISSING,
            "the generation that serves knows what is in no topic; nothing was switched",
            *told,
            "find out why (was a topic emptied or restored?); to go on without them: --allow-missing",
        )
    except (NotKeptError, WorkerEndedError) as error:
        return _fail(FAILED, f"{error}; nothing was switched", "is the server out of memory? Else report it")
    except Exception as error:
        if not is_transient(error):
            raise
        return _fail(
            UNREACHABLE,
            f"Kafka or MongoDB cannot be reached: {type(error).__name__}: {error}",
            "what serves was not touched; see that both run, and start the rebuild again",
        )


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    assert here is not None, "inside a task"
    loop.add_signal_handler(signal.SIGTERM, here.cancel)
    client = connect(settings.mongodb_uri, app_name="dondoc-reporting-rebuild")
    try:
        database = client[f"{settings.database_prefix}_reporting"]
        if given.abort:
            return await abort(settings, database)
        return await rebuild(settings, database, allow_missing=given.allow_missing)
    except asyncio.CancelledError:
        return _fail(INTERRUPTED, "interrupted; what serves was not touched")
    finally:
        client.close()


async def rebuild(settings: Settings, database: Database, *, allow_missing: bool) -> int:
    """Rebuild, telling how far it is."""
    await begin_if_new(database, partial(has_applied, settings.kafka_bootstrap_servers, GROUP))
    terminal = Terminal(sys.stderr)
    filler = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
    work = Rebuild(
        MongoGenerations(database),
        MongoReportStore(database),
        Workers(settings, database),
        filler,
        say=terminal.say,
        allow_missing=allow_missing,
    )
    telling = asyncio.create_task(terminal.run())
    try:
        rebuilt = await work.run()
    except asyncio.CancelledError:
        if not work.switched:
            raise
        return _fail(INTERRUPTED, "interrupted after the switch: the new generation serves, --abort drops the old one")
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    print("\n".join(summary(rebuilt)))  # noqa: T201 the result, for whoever asked for it
    return 0


async def abort(settings: Settings, database: Database) -> int:
    """End whatever rebuild there is, and drop what nobody reads."""
    leasing, store = MongoGenerations(database), MongoReportStore(database)
    if not await is_begun(database):
        print("there is no database yet, so there is nothing to abort")  # noqa: T201
        return 0
    running: Filler | None = await leasing.filler()
    await leasing.abandon(None)
    dropped = await drop_unfinished(leasing)
    old = await old_generations(leasing)
    partitions = sum(1 for _ in await KafkaSource(settings.kafka_bootstrap_servers).ends([TASKS.name])) if old else 0
    if old and await is_followed(leasing, store, partitions):
        for one in old:
            await leasing.drop(one)
        dropped, old = dropped + old, []
    if running is not None:
        print(f"the rebuild of {running.id} is ended, at {running.filled:.0%}; it stops within seconds")  # noqa: T201
    print(f"dropped: {', '.join(f'generation {one}' for one in dropped) or 'nothing'}")  # noqa: T201
    if old:
        print(f"still there, since no replica counts from what serves: {', '.join(map(str, old))}")  # noqa: T201
    return 0


def _fail(code: int, *lines: str) -> int:
    for number, line in enumerate(lines):
        sys.stderr.write(f"{'dondoc: ' if number == 0 else '  '}{line}\n")
    return code


# -- what is told ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Terminal:
    """Tells how far it is: one line that is written over on a terminal, log lines elsewhere."""

    out: TextIO
    progress: Progress = field(default_factory=Progress)
    _reading_since: float | None = None
    _told: Phase | None = None

    def say(self, progress: Progress) -> None:
        """See Rebuild."""
        if progress.phase is Phase.READING and self._reading_since is None:
            self._reading_since = time.monotonic()
        self.progress = progress
        if progress.phase is not self._told:
            self._told = progress.phase
            self._tell(end="\n" if progress.phase is not Phase.READING else "")

    async def run(self) -> None:
        """Tell every second."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self._tell()

    def _tell(self, end: str = "") -> None:
        taken = time.monotonic() - self._reading_since if self._reading_since is not None else 0.0
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{line(self.progress, taken)}{end}")
            self.out.flush()
        else:
            speed = _speed(self.progress, taken)
            log.info(
                "rebuild.goes_on",
                phase=self.progress.phase.value,
                percent=round(100 * self.progress.filled, 1),
                records=self.progress.records,
                records_per_second=round(speed) if speed is not None else None,
                seconds_left=_seconds_left(self.progress, taken),
            )


def line(progress: Progress, taken: float) -> str:
    """One line for a terminal. `taken`: seconds since reading began."""
    phase = _PHASES[progress.phase]
    if progress.phase is not Phase.READING:
        return phase
    left = _seconds_left(progress, taken)
    eta = f"{left // 60}:{left % 60:02d} left" if left is not None else "…"
    speed = _speed(progress, taken)
    return f"{phase} {progress.filled:6.1%}  {progress.records:,} records  {speed or 0:,.0f}/s  {eta}"


def _speed(progress: Progress, taken: float) -> float | None:
    if progress.phase is not Phase.READING or taken < TELL_SECONDS:
        return None
    return progress.records / taken


def _seconds_left(progress: Progress, taken: float) -> int | None:
    if progress.phase is not Phase.READING or not progress.filled or taken < TELL_SECONDS:
        return None
    return round(taken / progress.filled * (1 - progress.filled))


def summary(rebuilt: Rebuilt) -> list[str]:
    """What it came to, in lines."""
    loaded: Loaded = rebuilt.loaded
    lines = [f"generation {rebuilt.generation} serves: {loaded.records:,} records in {rebuilt.seconds:.0f} s"]
    for what in sorted(loaded.compared, key=_called):
        one = loaded.compared[what]
        count = sum(tally.tasks for (of, _, _), tally in loaded.tallies.items() if of == what)
        lines.append(f"  {_called(what)}: {count:,}, of which {one.same:,} are as they were")
        for told, some in (("differed", one.differ), (BEHIND, one.behind), ("IN NO TOPIC, now gone", one.missing)):
            if some.count:
                lines.append(f"    {told}: {_some(some)}")
    if loaded.dead.count:
        lines.append(f"  passed over as the service does, see the dead letters: {_some(loaded.dead)}")
    if loaded.restored:
        lines.append(f"  reports that the database lacked, restored from their topics: {loaded.restored:,}")
    if rebuilt.kept:
        lines.append(
            f"  still there, since no replica counts from what serves: generation {', '.join(map(str, rebuilt.kept))}; "
            "start reporting, then run this with --abort, or leave it to the next rebuild"
        )
    return lines


def _called(what: What) -> str:
    return what.value if what is not None else "tasks"


def _some(some: Some) -> str:
    more = f" and {some.count - len(some.first):,} more" if some.count > len(some.first) else ""
    return f"{some.count:,} ({', '.join(some.first)}{more})"
