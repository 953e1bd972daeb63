"""Every metric of reporting."""

from prometheus_client import Counter, Gauge, Histogram

FACTS = Counter(
    "dondoc_reporting_snapshots_total",
    "Snapshots taken from the topics: kept, or stale because a newer one was known.",
    ["kind", "outcome"],
)
REVISIONS = Counter("dondoc_reporting_revisions_total", "Report revisions written, by why.", ["reason"])
AGGREGATION_SECONDS = Histogram(
    "dondoc_reporting_aggregation_seconds",
    "Time from finding a province changed to its written reports.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LOGINS = Counter(
    "dondoc_reporting_logins_total", "Logins at the board that came to an end, by what it was.", ["outcome"]
)
LOST_RACES = Counter(
    "dondoc_reporting_lost_races_total", "Aggregations thrown away because another replica wrote first."
)
REACHED_SECONDS = Gauge(
    "dondoc_reporting_business_time_seconds",
    "Business time (Unix) that all partitions of the tasks topic have reached.",
)
GENERATION = Gauge("dondoc_reporting_generation", "The generation of derived data that serves (ADR 0025).")
REBUILT_RATIO = Gauge(
    "dondoc_reporting_rebuilt_ratio", "How much of the topics a rebuild under way has read, 0 to 1; NaN: none is."
)
FACTS_LOST = Gauge(
    "dondoc_reporting_facts_lost", "1 while the database lacks facts that were applied once and a rebuild is needed."
)
LEDGERS_MADE = Counter("dondoc_reporting_ledgers_made_total", "Ledgers made from all that is kept of the partitions.")
LEDGERS_FORGOTTEN = Counter(
    "dondoc_reporting_ledgers_forgotten_total",
    "Ledgers thrown away: the share of partitions changed, a write's outcome is not known, or they did not tally.",
    ["reason"],
)
