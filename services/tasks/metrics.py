"""Every metric of tasks."""

from prometheus_client import Counter, Gauge, Histogram

from services.tasks.domain.decision import FactKind

SUBMISSIONS = Counter(
    "dondoc_tasks_submissions_total", "Submissions by what became of them and why.", ["outcome", "reason"]
)
FACTS = Counter("dondoc_tasks_facts_total", "Facts about tasks, by kind.", ["kind"])
FACTS_OF = {kind: FACTS.labels(kind.value) for kind in FactKind}
REPEATS = Counter(
    "dondoc_tasks_repeated_submissions_total", "Submissions whose id was known, by what they were.", ["kind"]
)
LOST_RACES = Counter("dondoc_tasks_lost_races_total", "Writes that found a newer version and were done again.")
MILESTONES = Counter("dondoc_tasks_milestones_total", "Milestones fired by the passing of time, by kind.", ["kind"])
LATENESS_SECONDS = Histogram(
    "dondoc_tasks_milestone_lateness_seconds",
    "Business time from the instant a milestone was due to its firing.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400, 604800),
)
SWEPT = Counter("dondoc_tasks_swept_documents_total", "Documents whose untold events were published by the sweep.")
PARKED_TASKS = Gauge(
    "dondoc_tasks_waited_for", "Tasks not known that parked submissions of this replica's partitions wait for."
)
PARTITION_TIME = Gauge(
    "dondoc_tasks_partition_time_seconds",
    "Business time (seconds since 1970) that the slowest owned partition has reached; all due before it has fired.",
)
