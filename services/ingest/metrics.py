"""Every metric of ingest."""

import functools
from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from shared.runtime.keys import KeyMetrics

REQUESTS = Counter(
    "dondoc_ingest_requests_total",
    "Requests by route, status and code (`accepted`, or why not).",
    ["route", "status", "code"],
)
REQUEST_SECONDS = Histogram(
    "dondoc_ingest_request_seconds",
    "Time from the request's head to its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVENTS = Counter(
    "dondoc_ingest_events_total",
    "Events accepted: acknowledged by the broker or kept in the outbox, by type.",
    ["type"],
)
ACK_SECONDS = Histogram(
    "dondoc_ingest_ack_seconds",
    "Time from handing a request's events to the producer until the last is secured.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OUTBOX_EVENTS = Gauge("dondoc_ingest_outbox_events", "Events of all replicas that wait in the outbox.")
OUTBOX_OLDEST_SECONDS = Gauge("dondoc_ingest_outbox_oldest_seconds", "How long the oldest of them has waited.")
OUTBOX_KEPT = Counter("dondoc_ingest_outbox_kept_total", "Events kept because the broker did not acknowledge in time.")
OUTBOX_FORWARDED = Counter("dondoc_ingest_outbox_forwarded_total", "Events forwarded from the outbox.")
OUTBOX_SET_ASIDE = Counter("dondoc_ingest_outbox_set_aside_total", "Kept events that the broker will never take.")
IN_FLIGHT_EVENTS = Gauge("dondoc_ingest_in_flight_events", "Events between arrival and answer.")
IN_FLIGHT_BYTES = Gauge("dondoc_ingest_in_flight_bytes", "Bytes of bodies between arrival and answer.")
UNEXPECTED = Counter("dondoc_ingest_unexpected_errors_total", "Requests that ended in an error nobody foresaw.")
KEYS = Gauge("dondoc_ingest_verification_keys", "Keys that tokens are verified with.")
KEYS_REFUSED = Counter("dondoc_ingest_verification_keys_refused_total", "Keys of the JWKS file that cannot be used.")
KEY_RELOADS_FAILED = Counter(
    "dondoc_ingest_key_reloads_failed_total", "Changed JWKS files that could not be read; the keys before stay."
)
TOKENS_VERIFIED = Counter("dondoc_ingest_tokens_verified_total", "Signatures checked; the rest came from the cache.")
TOKENS = KeyMetrics(
    keys=KEYS, keys_refused=KEYS_REFUSED, key_reloads_failed=KEY_RELOADS_FAILED, tokens_verified=TOKENS_VERIFIED
)


def answered(route: str, status: int, code: str, seconds: float) -> None:
    """A request got its answer."""
    count, duration = _of_answer(route, status, code)
    count.inc()
    duration.observe(seconds)


def accepted(types: Sequence[str]) -> None:
    """Events were acknowledged."""
    if len(types) == 1:
        _of_type(types[0]).inc()
        return
    for one, count in Tally(types).items():
        _of_type(one).inc(count)


# Finding a child by its labels costs more than counting. Routes, statuses, codes and types are few.
@functools.cache
def _of_answer(route: str, status: int, code: str) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(route, str(status), code), REQUEST_SECONDS.labels(route)


@functools.cache
def _of_type(name: str) -> Counter:
    return EVENTS.labels(name)
