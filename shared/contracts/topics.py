"""The topic table: who writes what, under which key, who reads it, and how long it stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class CleanUp(StrEnum):
    """What the broker does with old records (Kafka `cleanup.policy`)."""

    KEEP = "keep"
    COMPACT = "compact"
    DELETE = "delete"


_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic. The partition count is fixed for life: ownership and fences depend on it (ADR 0002)."""

    name: str
    key: str
    """What the record key is, in words."""
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    clean_up: CleanUp
    partitions: int = 12
    retention_ms: int | None = None
    min_compaction_lag_ms: int | None = None
    describes: str = field(default="", kw_only=True)

    def config(self) -> Mapping[str, str]:
        """Topic configuration in the broker's own words."""
        if self.clean_up is CleanUp.COMPACT:
            lag = {"min.compaction.lag.ms": str(self.min_compaction_lag_ms)} if self.min_compaction_lag_ms else {}
            return {"cleanup.policy": "compact", **lag}
        # "keep" is delete with no limit: the audit topic must outlive every default.
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms or -1), "retention.bytes": "-1"}


SUBMISSIONS: Final = Topic(
    name="dondoc.submissions.v1",
    key="task id; the province code for all that shapes the province; the agency code for indicators",
    producers=("ingest",),
    consumers=("tasks",),
    clean_up=CleanUp.KEEP,
    describes="Every accepted event of agencies and of the authority, as received.",
)
TASKS: Final = Topic(
    name="dondoc.tasks.v1",
    key="task id",
    producers=("tasks",),
    consumers=("notify", "reporting", "outside"),
    clean_up=CleanUp.COMPACT,
    min_compaction_lag_ms=7 * _DAY_MS,
    describes="One event per change of a task, each with the whole task.",
)
AGENCIES: Final = Topic(
    name="dondoc.agencies.v1",
    key="agency code",
    producers=("tasks",),
    consumers=("notify", "reporting"),
    clean_up=CleanUp.COMPACT,
    describes="The registry of agencies, one record an agency.",
)
INDICATORS: Final = Topic(
    name="dondoc.indicators.v1",
    key="{province}/{agency}/{code}/{period}",
    producers=("tasks",),
    consumers=("reporting", "outside"),
    clean_up=CleanUp.COMPACT,
    describes="Indicator values as reported, numerator and denominator, and all that was reported and aimed at before.",
)
DIRECTIVES: Final = Topic(
    name="dondoc.directives.v1",
    key="{province}/{directive}",
    producers=("tasks",),
    consumers=("reporting", "outside"),
    clean_up=CleanUp.COMPACT,
    describes="Directives and their clauses as the highest revision says, one record a directive.",
)
ALERTS: Final = Topic(
    name="dondoc.alerts.v1",
    key="task id",
    producers=("notify",),
    consumers=("outside",),
    clean_up=CleanUp.DELETE,
    retention_ms=400 * _DAY_MS,
    describes="Every alert that was decided, with its recipients and its reason.",
)
DEADLETTERS: Final = Topic(
    name="dondoc.deadletters.v1",
    key="the original key",
    producers=("ingest", "tasks", "notify", "reporting"),
    consumers=("operators",),
    clean_up=CleanUp.DELETE,
    retention_ms=400 * _DAY_MS,
    describes="Records nobody can process: the raw value; headers say why, whence and when.",
)


def _reports(period: str) -> Topic:
    return Topic(
        name=f"dondoc.reports.{period}.v1",
        key="{province}/{period}/{scope}",
        producers=("reporting",),
        consumers=("outside",),
        clean_up=CleanUp.COMPACT,
        describes=f"The {period} aggregates; revision and final inside.",
    )


REPORTS_WEEKLY: Final = _reports("weekly")
REPORTS_MONTHLY: Final = _reports("monthly")
REPORTS_QUARTERLY: Final = _reports("quarterly")
REPORTS_HALF_YEARLY: Final = _reports("half-yearly")
REPORTS_YEARLY: Final = _reports("yearly")

TOPICS: Final[tuple[Topic, ...]] = (
    SUBMISSIONS,
    TASKS,
    AGENCIES,
    INDICATORS,
    DIRECTIVES,
    ALERTS,
    DEADLETTERS,
    REPORTS_WEEKLY,
    REPORTS_MONTHLY,
    REPORTS_QUARTERLY,
    REPORTS_HALF_YEARLY,
    REPORTS_YEARLY,
)
