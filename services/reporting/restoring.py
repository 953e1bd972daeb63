"""Restoring reports that the database lacks from the topics that told them: no revision number ever goes back.

What stands beside the figures (the period before, last year) is told in short. Where the report on that period is
known it is completed from there, and the content hash says whether that was it. Where it was not, the report keeps the
hash that it was published with, and what was not told stays zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import orjson
import structlog

from services.reporting import content_wire, report_wire
from services.reporting.domain.figures import Figures
from services.reporting.domain.report import Report, report_key
from services.reporting.loading import Ends, Loaded, Raw, Some, Source, Tell
from services.reporting.ports import Store
from services.reporting.wire import EVENT_TYPE
from shared.contracts.codec import UndecodableError, decode
from shared.contracts.report_facts import ReportPublished

log = structlog.get_logger()

COMPLETED_TOGETHER: Final = 200


class Contents(Protocol):
    """What is needed of preparing.ContentStore."""

    async def restore_revisions(self, told: Mapping[tuple[str, str], int]) -> None:
        """(province, period) → the last revision that was told."""
        ...


async def restore(source: Source, store: Store, contents: Contents, ends: Ends, tell: Tell) -> Loaded:
    """Write each report whose last revision on the topics is above what is kept."""
    records = 0
    dead: list[str] = []
    restored: set[str] = set()
    prepared: dict[tuple[str, str], int] = {}
    async for some, offsets in source.read(ends):
        records += len(some)
        # Only what is lacking is decoded: mostly that is nothing, and the topics are long.
        newest = _newest(some, EVENT_TYPE)
        for key, (revision, _) in _newest(some, content_wire.EVENT_TYPE).items():
            province, period, *_ = key.split("/")
            prepared[province, period] = max(revision, prepared.get((province, period), 0))
        known = await store.revisions(newest)
        found = {}
        for key, (revision, record) in newest.items():
            if known.get(key, 0) < revision:
                report = _read(record)
                if report is None:
                    dead.append(f"{record.topic}/{record.partition}@{record.offset}")
                else:
                    found[key] = report
        if found:
            restored |= await store.restore_reports(found.values())
        tell(offsets, len(some))
    await contents.restore_revisions(prepared)
    waiting = sorted(restored)
    for start in range(0, len(waiting), COMPLETED_TOGETHER):
        await _complete(store, waiting[start : start + COMPLETED_TOGETHER])
    return Loaded(records, Some.of(dead), restored=len(restored))


def _newest(records: Sequence[Raw], event_type: str) -> Mapping[str, tuple[int, Raw]]:
    """Key → its last revision among these, and the record."""
    found: dict[str, tuple[int, Raw]] = {}
    for record in records:
        try:
            envelope = orjson.loads(record.value or b"")
            key, _, revision = envelope["id"].rpartition(":")
            if envelope["type"] == event_type and int(revision) > found.get(key, (0, record))[0]:
                found[key] = (int(revision), record)
        # Whoever wrote that: none of ours.
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _read(record: Raw) -> Report | None:
    try:
        event = decode(record.topic, record.value)
    except UndecodableError as error:
        log.warning(
            "report.passed_over", record=f"{record.topic}/{record.partition}@{record.offset}", detail=str(error)
        )
        return None
    assert isinstance(event.data, ReportPublished), "its type says so"
    return report_wire.report(event.data)


async def _complete(store: Store, keys: Sequence[str]) -> None:
    """What was told of other periods in short is taken whole from their reports, where the hash then holds."""
    reports = await store.some_reports(keys)
    beside = {
        report_key(one.province, period, one.scope)
        for one in reports.values()
        for period in (one.previous_period, one.year_before_period)
        if one.known_hash is not None and period is not None
    }
    others = await store.some_reports(beside)
    completed = [
        whole
        for one in reports.values()
        if one.known_hash is not None
        and (whole := completed_by(one, {key: other.figures for key, other in others.items()})).known_hash is None
    ]
    if completed:
        await store.complete_reports(completed)


def completed_by(report: Report, figures: Mapping[str, Figures]) -> Report:
    """The report with what stands beside its figures whole, if its hash says that this is it; else the report."""

    def whole(period: str | None, short: Figures | None) -> Figures | None:
        known = figures.get(report_key(report.province, period, report.scope)) if period is not None else None
        return known if known is not None and short == report_wire.shortened(known) else short

    found = replace(
        report,
        previous=whole(report.previous_period, report.previous),
        year_before=whole(report.year_before_period, report.year_before),
        known_hash=None,
    )
    return found if found.content_hash == report.known_hash else report
