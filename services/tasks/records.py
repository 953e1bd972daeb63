"""The registry's documents, in the contract's own shape: what is kept of agencies, indicators, targets and directives,
and told of them on topics of their own."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import pydantic_core
from pydantic import TypeAdapter

from services.tasks.domain.agencies import Agency, Problem, ProblemKind
from services.tasks.domain.succession import Edge
from services.tasks.domain.task import Cause, Document
from services.tasks.ports import Message, Registry
from services.tasks.wire import SOURCE
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.contracts.codec import encode
from shared.contracts.registry_facts import DirectiveObligation
from shared.contracts.topics import AGENCIES, DIRECTIVES, INDICATORS
from shared.workdays.calendar import start_of

Record = Mapping[str, Any]

_CAUSE = TypeAdapter(Cause)
_DOCUMENT = TypeAdapter(Document)
VALUE_BYTES_MAX = 500_000
"""Of a value that takes one more report. A broker takes a record of a MiB, and the targets need room too: a report has
some 400 bytes, so that a year's value may be reported three times a day."""
TARGETS_BYTES_MAX = 100_000
"""Of a target that is set once more. Two of them, the agency's own and the general one, go into a value."""

# -- agencies ------------------------------------------------------------------------------------------------------


def agency_record(data: ordered.AgencyRegistered, province: str, known: Record | None, cause: Cause) -> Record:
    """The registry's record of an agency (`AgencyChanged`). What ended it stays, unless it is set up anew later."""
    ended = known if known and known["valid_to"] and data.valid_from.isoformat() <= known["valid_to"] else None
    return {
        "province": province,
        "code": data.code,
        "seq": _next_seq(known),
        "name": data.name,
        "role": data.role.value,
        "groups": list(data.groups),
        "valid_from": data.valid_from.isoformat(),
        "valid_to": ended["valid_to"] if ended else None,
        "successors": ended["successors"] if ended else [],
        "basis": ended["basis"] if ended else None,
        "ended": ended["ended"] if ended else None,
        "head_title": data.head_title,
        "head_name": data.head_name,
        "contact": data.contact,
        "head_contact": data.head_contact,
        "cause": _plain(cause),
    }


def ended_record(data: ordered.AgencyReorganised, known: Record, cause: Cause) -> Record:
    """The record of an agency that was reorganised. Its last day is the one before the change takes effect."""
    return {
        **known,
        "seq": _next_seq(known),
        "valid_to": (data.effective_on - timedelta(days=1)).isoformat(),
        "successors": list(data.successors),
        "basis": data.document.model_dump(mode="json"),
        "ended": _plain(cause),
        "cause": _plain(cause),
    }


def agency(record: Record) -> Agency:
    """What expansion needs of an agency's record."""
    return Agency(record["code"], record["role"], tuple(record["groups"]))


def edges(records: Iterable[Record]) -> dict[str, Edge]:
    """What became of those of these agencies that were reorganised, by code."""
    return {
        record["code"]: Edge(
            record["code"],
            tuple(record["successors"]),
            start_of(date.fromisoformat(record["valid_to"]) + timedelta(days=1)),
            _DOCUMENT.validate_python(record["basis"]),
            _CAUSE.validate_python(record["ended"]),
        )
        for record in records
        if record["valid_to"] is not None
    }


# -- indicators ----------------------------------------------------------------------------------------------------


def target_record(
    data: ordered.IndicatorTargetSet, province: str, known: Record | None, cause: Cause
) -> Record | Problem | None:
    """All that was set as one target (`IndicatorTarget`), with one more; None: it has that one already."""
    before = targets_in(known)
    target = {
        **data.model_dump(mode="json", include={"at_least_percent", "title", "document"}),
        "general": data.agency is None,
        "cause": _plain(cause),
    }
    targets = _in_order([*before, target])
    if len(targets) == len(before):
        return None
    if known is not None and _bytes(known) > TARGETS_BYTES_MAX:
        return Problem(
            ProblemKind.TOO_MANY_ENTRIES,
            f"the target of {data.code} for {data.period} was set {len(before)} times, and its record is full",
        )
    return {
        "province": province,
        "code": data.code,
        "period": data.period,
        "agency": data.agency,
        "targets": targets,
    }


def targets_in(record: Record | None) -> Sequence[Record]:
    """The targets that a target's or a value's record holds. None, in one that an earlier build wrote."""
    return record.get("targets", ()) if record is not None else ()


def indicator_record(
    data: said.IndicatorReported,
    province: str,
    agency: str,
    known: Record | None,
    targets: Iterable[Record],
    cause: Cause,
) -> Record | Problem | None:
    """An indicator's value (`IndicatorValue`) with one more report; None: it has that one already.

    What was received earlier takes its place in the history and never replaces what was received later.
    """
    before = known.get("reports", ()) if known is not None else ()
    report = {
        "numerator": str(data.numerator),
        "denominator": str(data.denominator),
        "data_source": data.data_source,
        "cause": _plain(cause),
    }
    reports = _in_order([*before, report])
    if len(reports) == len(before):
        return None
    if known is not None and _bytes(known) > VALUE_BYTES_MAX:
        return Problem(
            ProblemKind.TOO_MANY_ENTRIES,
            f"{data.code} of {data.period} was reported {len(before)} times, and its record is full",
        )
    latest = reports[-1]
    value = {
        "province": province,
        "agency": agency,
        "code": data.code,
        "period": data.period,
        "title": data.code,
        "at_least_percent": None,
        "target_document": None,
        **(known or {}),
        "seq": _next_seq(known),
        **{name: latest[name] for name in ("numerator", "denominator", "data_source")},
        "reported_at": latest["cause"]["received_at"],
        "reports": reports,
    }
    return value | _measured([*targets, *targets_in(known)])


def indicator_with_targets(known: Record, targets: Iterable[Record]) -> Record | None:
    """The same value against targets that it may not have yet; None: it has them all."""
    measured = _measured([*targets, *targets_in(known)])
    if all(known.get(name) == one for name, one in measured.items()):
        return None
    return {**known, "seq": _next_seq(known), **measured}


def _measured(targets: Iterable[Record]) -> dict[str, Any]:
    """What a value says of its targets: all of them, and the one in force. Nothing where none is known."""
    known = _in_order(targets)
    if not known:
        return {"targets": []}
    in_force = ([one for one in known if not one["general"]] or known)[-1]
    return {
        "title": in_force["title"],
        "at_least_percent": in_force["at_least_percent"],
        "target_document": in_force["document"],
        "targets": known,
    }


def _in_order(entries: Iterable[Record]) -> list[Record]:
    """Each event once, in order of receipt. At the same instant what is general comes first, then as they came: so it
    does not hang on whether a value or a target was written first."""
    once: dict[str, Record] = {}
    for one in entries:
        once.setdefault(one["cause"]["event_id"], one)
    return sorted(once.values(), key=lambda one: (_received_at(one), not one.get("general", False)))


def _received_at(entry: Record) -> datetime:
    return datetime.fromisoformat(entry["cause"]["received_at"])


# -- directives ----------------------------------------------------------------------------------------------------

_REVOKED = ("revoked", "revoked_document", "revoked_reason")


def directive_record(data: ordered.DirectiveIssued, province: str, known: Record | None, cause: Cause) -> Record | None:
    """A directive as a revision says (`DirectiveChanged`); None: this revision is there already, or a higher one."""
    if known is not None and known["revision"] >= data.revision:
        return None
    return {
        "province": province,
        "directive": data.directive,
        "seq": _next_seq(known),
        "revision": data.revision,
        **data.model_dump(mode="json", include={"kind", "number", "issuer", "issued_on", "title"}),
        "obligations": [
            DirectiveObligation.model_validate(one, from_attributes=True).model_dump(mode="json")
            for one in data.obligations
        ],
        "issued": known["issued"] if known is not None else _plain(cause),
        "cause": _plain(cause),
        **{name: known[name] if known is not None else None for name in _REVOKED},
    }


def revoked_record(data: ordered.DirectiveRevoked, known: Record | None, cause: Cause) -> Record | None:
    """A directive that was withdrawn, by the first decision that did; None: it is there, or was never told."""
    if known is None or known["revoked"] is not None:
        return None
    return {
        **known,
        "seq": _next_seq(known),
        "cause": _plain(cause),
        "revoked": _plain(cause),
        "revoked_document": data.document.model_dump(mode="json"),
        "revoked_reason": data.reason,
    }


# -- told ----------------------------------------------------------------------------------------------------------


def message(registry: Registry, record: Record, *, at: Cause) -> Message | None:
    """The event that tells a registry document; targets are told with the values they belong to."""
    match registry:
        case Registry.AGENCIES:
            topic, key, event_type = AGENCIES.name, record["code"], "dondoc.agency.changed.v1"
        case Registry.INDICATORS:
            key = f"{record['province']}/{record['agency']}/{record['code']}/{record['period']}"
            topic, event_type = INDICATORS.name, "dondoc.indicator.changed.v1"
        case Registry.DIRECTIVES:
            key = f"{record['province']}/{record['directive']}"
            topic, event_type = DIRECTIVES.name, "dondoc.directive.changed.v1"
        case Registry.TARGETS:
            return None
    value = encode(
        event_type=event_type,
        # The province once more: a directive may be called like an agency, and no two events share an id.
        event_id=f"{record['province']}/{key}:{record['seq']}",
        source=SOURCE,
        time=at.recorded_at,
        province=record["province"],
        subject=key,
        data=record,
    )
    return Message(topic, key, value)


def _next_seq(known: Record | None) -> int:
    return int(known["seq"]) + 1 if known is not None else 1


def _plain(cause: Cause) -> dict[str, Any]:
    found: dict[str, Any] = pydantic_core.to_jsonable_python(cause)
    return found


def _bytes(record: Record) -> int:
    return len(orjson.dumps(record))
