"""What the database holds ↔ values. Money and sums are larger than BSON's integers: they are kept as bytes or text."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import Benchmark, BenchmarkKind, IndicatorFigure
from services.reporting.domain.ledger import Sums
from services.reporting.domain.periods import Kind
from services.reporting.domain.report import Amendment, LateFact, Report
from services.reporting.domain.scopes import Labels
from services.reporting.domain.search import search_words, wording_id
from services.reporting.domain.trace import Step, Trace
from services.reporting.ports import Counted, Entry, KeptTask, LedgerHead
from shared.runtime.mongodb import Document


def instant_text(instant: datetime) -> str:
    """Text that sorts as the instants do. A BSON date would cut off the microseconds that decide on "received by"."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _bytes(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


# -- tasks -------------------------------------------------------------------------------------------------------------


def task_document(kept: KeptTask) -> Document:
    """See ports.KeptTask."""
    listed = kept.listed
    document: Document = {
        "_id": kept.id,
        "seq": kept.seq,
        "province": kept.province,
        "p": kept.partition,
        "agency": kept.labels.agency,
        "directive": kept.labels.directive,
        "category": kept.labels.category,
        "steps": steps_list(kept.trace),
        "rules": kept.rules,
        "clause": listed.clause,
        "period": listed.period,
        "title": listed.title,
        "wording": _wording_id(kept),
        "concerns": list(listed.concerns),
        "result": listed.result,
        "open": listed.is_open,
        "legal": listed.legal.isoformat() if listed.legal is not None else None,
        "late_from": instant_text(listed.late_from) if listed.late_from is not None else None,
        "snapshot": kept.snapshot,
    }
    # What is not there is not indexed.
    return document | {"obstructed": True} if listed.is_obstructed else document


def wording_document(kept: KeptTask) -> Document:
    """What a task and all others of the same wording are found by (ADR 0026)."""
    words = search_words(kept.listed.title, kept.listed.clause, kept.labels.directive)
    return {"_id": _wording_id(kept), "province": kept.province, "search": words}


def _wording_id(kept: KeptTask) -> str:
    return wording_id(kept.province, kept.labels.directive, kept.listed.clause, kept.listed.title)


def steps_list(trace: Trace) -> list[Any]:
    """A flat list: moment, what is added from it on, and so forth."""
    return [part for step in trace.steps for part in (step.at, _bytes(step.adds))]


def counted(document: Document) -> Counted:
    """See ports.Counted."""
    parts = document["steps"]
    steps = tuple(Step(at, _number(adds)) for at, adds in zip(parts[::2], parts[1::2], strict=True))
    return Counted(
        document["_id"],
        document["seq"],
        document["province"],
        Labels(document["agency"], document["directive"], document["category"]),
        Trace(steps),
        document["rules"],
    )


def entry_document(kept: Entry) -> Document:
    """See ports.Entry."""
    return {"_id": kept.id, "seq": kept.seq, "province": kept.province, "snapshot": kept.snapshot}


def entry(document: Document) -> Entry:
    """See ports.Entry."""
    return Entry(document["_id"], document["seq"], document["province"], document["snapshot"])


# -- ledgers -----------------------------------------------------------------------------------------------------------


def portion_id(epoch: int, province: str, cut_off: date, version: int) -> str:
    """One version of one portion."""
    return f"{epoch}/{province}/{cut_off.isoformat()}/{version}"


def sums_list(sums: Sums) -> list[Any]:
    """A list, since scopes have dots in them."""
    return [part for scope, total in sums.items() for part in (scope, _bytes(total))]


def sums(parts: list[Any]) -> Sums:
    """See sums_list."""
    return {scope: _number(total) for scope, total in zip(parts[::2], parts[1::2], strict=True)}


def head_document(head: LedgerHead) -> Document:
    """See ports.LedgerHead."""
    return {
        "_id": head.epoch,
        "partitions": sorted(head.partitions),
        "reached": head.reached,
        "portions": {
            province: {cut_off.isoformat(): version for cut_off, version in some.items()}
            for province, some in head.portions.items()
        },
    }


def head(document: Document) -> LedgerHead:
    """See ports.LedgerHead."""
    return LedgerHead(
        document["_id"],
        frozenset(document["partitions"]),
        document["reached"],
        {
            province: {date.fromisoformat(cut_off): version for cut_off, version in some.items()}
            for province, some in document["portions"].items()
        },
    )


def late_document(province: str, fact: LateFact, cut_off: date, scopes: tuple[str, ...], at: datetime) -> Document:
    """See ports.Store.note_late."""
    return {
        "province": province,
        "scopes": list(scopes),
        "cut_off": cut_off.isoformat(),
        "noted_at": instant_text(at),
        **_fact_document(fact),
    }


def _fact_document(fact: LateFact) -> Document:
    return {
        "task_id": fact.task_id,
        "seq": fact.seq,
        "reason": fact.reason,
        "received_at": instant_text(fact.received_at),
        "recorded_at": instant_text(fact.recorded_at),
    }


def late_fact(document: Document) -> LateFact:
    """See report.LateFact."""
    return LateFact(
        document["task_id"],
        document["seq"],
        document["reason"],
        datetime.fromisoformat(document["received_at"]),
        datetime.fromisoformat(document["recorded_at"]),
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def report_document(report: Report) -> Document:
    """See report.Report. To be published."""
    return {
        "_id": report.key,
        "province": report.province,
        "period": report.period,
        "kind": report.kind.value,
        "scope": report.scope,
        "scope_name": report.scope_name,
        "regime": report.regime,
        "starts_on": report.starts_on.isoformat(),
        "cut_off_on": report.cut_off_on.isoformat(),
        "due_on": report.due_on.isoformat(),
        "revision": report.revision,
        "final": report.final,
        "content_hash": report.content_hash,
        "as_of": instant_text(report.as_of),
        "computed_at": instant_text(report.computed_at),
        "figures": report.figures.as_dict(),
        "previous_period": report.previous_period,
        "previous": report.previous.as_dict() if report.previous is not None else None,
        "year_before_period": report.year_before_period,
        "year_before": report.year_before.as_dict() if report.year_before is not None else None,
        "indicators": [_indicator_document(one) for one in report.indicators],
        "members": list(report.members),
        "amendment": _amendment_document(report.amendment) if report.amendment is not None else None,
        "unpublished": True,
    } | ({"known_hash": report.known_hash} if report.known_hash is not None else {})


def revision_id(key: str, revision: int) -> str:
    """One revision of one report."""
    return f"{key}:{revision}"


def replaced_document(document: Document) -> Document:
    """A report's document, as it is kept when a later revision replaces it."""
    kept = {name: value for name, value in document.items() if name not in {"_id", "unpublished"}}
    return kept | {"key": document["_id"]}


def report(document: Document) -> Report:
    """See report_document."""
    previous, year_before, amendment = document["previous"], document["year_before"], document["amendment"]
    return Report(
        province=document["province"],
        period=document["period"],
        kind=Kind(document["kind"]),
        scope=document["scope"],
        scope_name=document["scope_name"],
        regime=document["regime"],
        starts_on=date.fromisoformat(document["starts_on"]),
        cut_off_on=date.fromisoformat(document["cut_off_on"]),
        due_on=date.fromisoformat(document["due_on"]),
        revision=document["revision"],
        final=document["final"],
        as_of=datetime.fromisoformat(document["as_of"]),
        computed_at=datetime.fromisoformat(document["computed_at"]),
        figures=Figures(**document["figures"]),
        previous_period=document["previous_period"],
        previous=Figures(**previous) if previous is not None else None,
        year_before_period=document["year_before_period"],
        year_before=Figures(**year_before) if year_before is not None else None,
        indicators=tuple(_indicator(one) for one in document["indicators"]),
        members=tuple(document["members"]),
        amendment=_amendment(amendment) if amendment is not None else None,
        known_hash=document.get("known_hash"),
    )


def _indicator_document(one: IndicatorFigure) -> Document:
    return {
        **asdict(one),
        "numerator": str(one.numerator),
        "denominator": str(one.denominator),
        "at_least_percent": _text(one.at_least_percent),
        "benchmarks": [
            {
                "code": benchmark.code,
                "kind": benchmark.kind.value,
                "percent": str(benchmark.percent),
                "valid_from": benchmark.valid_from.isoformat(),
                "source": benchmark.source,
            }
            for benchmark in one.benchmarks
        ],
    }


def _indicator(document: Document) -> IndicatorFigure:
    asked = document["at_least_percent"]
    return IndicatorFigure(
        **{
            **document,
            "numerator": Decimal(document["numerator"]),
            "denominator": Decimal(document["denominator"]),
            "at_least_percent": Decimal(asked) if asked is not None else None,
            "benchmarks": tuple(
                Benchmark(
                    one["code"],
                    BenchmarkKind(one["kind"]),
                    Decimal(one["percent"]),
                    date.fromisoformat(one["valid_from"]),
                    one["source"],
                )
                for one in document["benchmarks"]
            ),
        }
    )


def _text(value: Decimal | None) -> str | None:
    return str(value) if value is not None else None


def _amendment_document(one: Amendment) -> Document:
    return {
        # A list, since names of figures have dots in them.
        "changed": [[name, _value(before), _value(after)] for name, (before, after) in one.changed.items()],
        "because": [_fact_document(fact) for fact in one.because],
        "more": one.more,
    }


def _value(value: Any) -> Any:
    return f"{value}%" if isinstance(value, Decimal) else value


def _amendment(document: Document) -> Amendment:
    changed: Mapping[str, tuple[Any, Any]] = {
        name: (_read(before), _read(after)) for name, before, after in document["changed"]
    }
    return Amendment(changed, tuple(late_fact(one) for one in document["because"]), document["more"])


def _read(value: Any) -> Any:
    return Decimal(value[:-1]) if isinstance(value, str) else value
