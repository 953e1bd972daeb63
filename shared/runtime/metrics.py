"""Metrics of the plumbing; each service has its own beside it. Base units, labels only from enums and topic names."""

import math

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter(
    "dondoc_consumed_records_total", "Records taken from a topic, by what became of them.", ["topic", "outcome"]
)
BATCH_SECONDS = Histogram(
    "dondoc_consumed_batch_seconds",
    "Time from receiving one partition's batch to its committed offset.",
    ["topic"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RETRIES = Counter("dondoc_consumed_retries_total", "In-place retries of a batch, by cause.", ["topic", "cause"])
DEAD_LETTERS = Counter("dondoc_dead_letters_total", "Records sent to the dead-letter topic.", ["topic", "reason"])
LAG = Gauge("dondoc_consumer_lag_records", "Records of a partition not yet applied.", ["topic", "partition"])
PUBLISHED = Counter("dondoc_published_records_total", "Records acknowledged by the broker.", ["topic"])
PUBLISH_SECONDS = Histogram(
    "dondoc_publish_seconds",
    "Time from handing a group of records to the producer to the last acknowledgement.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
STALLED_SECONDS = Gauge("dondoc_stalled_seconds", "Seconds since a loop of this process last made progress.", ["loop"])
HEADS_REFUSED = Counter(
    "dondoc_http_heads_refused_total", "Connections let go before a request was there, by code.", ["code"]
)
READS_REFUSED = Counter("dondoc_reads_refused_total", "Requests to read that were not let in, by code.", ["code"])
VERIFICATION_KEYS = Gauge("dondoc_verification_keys", "Keys that readers' tokens are verified with; NaN: none needed.")
# Nobody waits for keys where no token is needed, so no alert may rest on the figure there.
VERIFICATION_KEYS.set(math.nan)
KEYS_REFUSED = Counter("dondoc_verification_keys_refused_total", "Keys of the JWKS file that cannot be used.")
KEY_RELOADS_FAILED = Counter(
    "dondoc_key_reloads_failed_total", "Changed JWKS files that could not be read; the keys before stay."
)
TOKENS_VERIFIED = Counter("dondoc_tokens_verified_total", "Signatures checked; the rest came from the cache.")
