"""Counts what was accepted against what became of it: accepted = applied + rejected + dead + in flight (design §3.1).

`dondoc audit` reads the submissions topic from its beginning and the ledger of tasks; it changes nothing.
"""

import argparse
import asyncio
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

import pydantic_core
from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

from shared.contracts.codec import event_key
from shared.contracts.topics import SUBMISSIONS

_READ_WAIT_MS = 500
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounting line. Counts are distinct submissions (source and id), except `undecodable`: records."""

    accepted: int
    applied: int
    rejected: int
    dead: int
    in_flight: int
    undecodable: int
    """Records without a readable source and id; nobody was promised anything for them."""

    @property
    def hold(self) -> bool:
        """Whether nothing is lost and nothing was invented."""
        return self.in_flight >= 0 and self.accepted == self.applied + self.rejected + self.dead + self.in_flight


async def audit(bootstrap: str, mongodb_uri: str, database_prefix: str = "dondoc") -> Accounts:
    """Count every submission in the topic and look up its outcome."""
    accepted, undecodable = await _accepted(bootstrap)
    outcomes = await _outcomes(mongodb_uri, f"{database_prefix}_tasks", accepted)
    counts = {name: sum(1 for outcome in outcomes if outcome == name) for name in ("applied", "rejected", "dead")}
    return Accounts(
        accepted=len(accepted),
        in_flight=len(accepted) - sum(counts.values()),
        undecodable=undecodable,
        **counts,
    )


async def _accepted(bootstrap: str) -> tuple[set[str], int]:
    consumer = AIOKafkaConsumer(
        SUBMISSIONS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    keys: set[str] = set()
    undecodable = 0
    try:
        ends = await consumer.end_offsets(sorted(consumer.assignment()))
        waiting = {partition for partition, end in ends.items() if end}
        while waiting:
            for records in (await consumer.getmany(timeout_ms=_READ_WAIT_MS)).values():
                for record in records:
                    key = _key(record.value)
                    if key is None:
                        undecodable += 1
                    else:
                        keys.add(key)
            waiting = {one for one in waiting if await consumer.position(one) < ends[one]}
    finally:
        await consumer.stop()
    return keys, undecodable


def _key(value: bytes | None) -> str | None:
    try:
        content = pydantic_core.from_json(value or b"")
        return event_key(str(content["source"]), str(content["id"]))
    except (ValueError, KeyError, TypeError):
        return None


async def _outcomes(mongodb_uri: str, database: str, keys: set[str]) -> list[str]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb_uri)
    try:
        found: list[str] = []
        ordered = sorted(keys)
        for start in range(0, len(ordered), _PAGE):
            page = {"_id": {"$in": ordered[start : start + _PAGE]}}
            # Claimed in the one collection, settled in the other.
            outcomes: dict[str, str] = {}
            for collection in ("ledger", "outcomes"):
                async for document in client[database][collection].find(page, {"outcome": 1}):
                    outcomes[document["_id"]] = str(document["outcome"])
            found.extend(outcomes.values())
        return found
    finally:
        await client.close()


def main(arguments: list[str]) -> int:
    """Print the accounts; 0 when they hold."""
    parser = argparse.ArgumentParser(prog="dondoc audit", description=__doc__)
    add_options(parser)
    return run(parser.parse_args(arguments))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("--prefix", default=os.environ.get("DONDOC_DATABASE_PREFIX", "dondoc"))


def run(options: argparse.Namespace) -> int:
    """Print the accounts; 0 when they hold."""
    missing = [name for name in ("KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI") if name not in os.environ]
    if missing:
        print(f"set {' and '.join(missing)} to the addresses that the services use", file=sys.stderr)
        return 2
    accounts = asyncio.run(audit(os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["MONGODB_URI"], options.prefix))
    for name, count in asdict(accounts).items():
        print(f"{name:12} {count:>10,}")
    print("the accounts hold" if accounts.hold else "THE ACCOUNTS DO NOT HOLD: something was lost or invented")
    return 0 if accounts.hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
