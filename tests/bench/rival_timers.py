"""Baseline of `timers_lateness_p99_vs_peer`: APScheduler with a MongoDB job store. Prints the lateness of each timer.

The easier job: only its own timers are in its store, which need not wait for the disk; its effect is one small write,
as safe as ours, and nobody is told.
`python -m tests.bench.rival_timers MONGODB_URI COUNT PER_SECOND`.
"""

import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.mongodb import MongoDBJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

DATABASE: Final = "bench_rival"
THREADS: Final = 10
"""As many as APScheduler takes unless told otherwise."""
ADD_SECONDS_MAX: Final = 0.003
"""Of one timer, while they are put into the store."""
LATE_SECONDS_MAX: Final = 30.0

fired: dict[int, float] = {}
effects: "list[Collection[dict[str, Any]]]" = []


def fire(number: int, at: float) -> None:
    """The effect of a timer; its lateness counts once it is written."""
    effects[0].update_one({"_id": number}, {"$set": {"at": at}}, upsert=True)
    fired[number] = time.time() - at


def run(mongo_uri: str, count: int, per_second: int) -> list[float]:
    """Fire so many timers, spread evenly. Returns how late each was, in the order of their instants."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_uri)
    client.drop_database(DATABASE)
    effects.append(client[DATABASE].get_collection("effects", write_concern=WriteConcern(w="majority", j=True)))
    store = MongoDBJobStore(database=DATABASE, client=MongoClient(mongo_uri, w=1))
    scheduler = BackgroundScheduler(
        jobstores={"default": store},
        executors={"default": ThreadPoolExecutor(THREADS)},
        job_defaults={"misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    begin = time.time() + 2 + count * ADD_SECONDS_MAX
    for number in range(count):
        at = begin + number / per_second
        # By name: a job store keeps the name of what it is to call.
        scheduler.add_job(f"{__name__}:fire", "date", run_date=datetime.fromtimestamp(at, UTC), args=(number, at))
    if time.time() > begin:
        raise TimeoutError("the timers were not in the store in time")
    scheduler.resume()
    deadline = begin + count / per_second + LATE_SECONDS_MAX
    while len(fired) < count and time.time() < deadline:
        time.sleep(0.1)
    # Paused, not shut down: it would close the store's client while its own thread still looks into the store.
    scheduler.pause()
    client.drop_database(DATABASE)
    if len(fired) < count:
        raise TimeoutError(f"{len(fired)} of {count} timers fired")
    return [fired[number] for number in range(count)]


if __name__ == "__main__":
    # Under its own name: this copy, `__main__`, is not the one that the scheduler calls.
    from tests.bench import rival_timers

    mongo_uri, count, per_second = sys.argv[1:]
    late = rival_timers.run(mongo_uri, int(count), int(per_second))
    sys.stdout.write(f"{' '.join(f'{one:.4f}' for one in late)}\n")
