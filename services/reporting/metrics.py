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
LOST_RACES = Counter(
    "dondoc_reporting_lost_races_total", "Aggregations thrown away because another replica wrote first."
)
REACHED_SECONDS = Gauge(
    "dondoc_reporting_business_time_seconds",
    "Business time (Unix) that all partitions of the tasks topic have reached.",
)
