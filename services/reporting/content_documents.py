"""What the database holds ↔ contents of reports, and what tasks are found by for their lists."""

import zlib
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter

from services.reporting.documents import instant_text
from services.reporting.domain.content import Content, Prepared, PreparedHead
from services.reporting.domain.listing import Window
from services.reporting.domain.occasions import FOREVER, Occasions
from services.reporting.domain.trace import moment
from shared.runtime.mongodb import Document

_CONTENT: Final = TypeAdapter(Content)


def content_schema(ref_template: str) -> dict[str, Any]:
    """The JSON Schema of a content."""
    return _CONTENT.json_schema(mode="serialization", ref_template=ref_template)


# -- tasks -------------------------------------------------------------------------------------------------------------


def occasions_fields(found: Occasions) -> Document:
    """Beside the other fields of a task's document (documents.task_document). What is not there is not indexed."""
    fields: Document = {}
    if found.overdue is not None:
        fields["overdue_from"], fields["overdue_until"] = found.overdue
    if found.deadline_days:
        fields["deadline_days"] = [one.isoformat() for one in found.deadline_days]
    if found.extended_at:
        fields["extended_at"] = [instant_text(one) for one in found.extended_at]
    if found.funded:
        fields["funded"] = True
    return fields


def listed_filters(province: str, window: Window) -> list[Document]:
    """Occasions.may_be_listed, asked of an index each."""
    at = moment(window.as_of)
    days = {"$gte": window.as_of.day.isoformat(), "$lte": window.upcoming_until.isoformat()}
    received = {"$gte": instant_text(window.since), "$lte": instant_text(window.as_of.instant)}
    return [
        # Two, so that each is one stretch of the index: those with no end known, and the few that ended since.
        {"province": province, "overdue_until": FOREVER, "overdue_from": {"$lte": at}},
        {"province": province, "overdue_until": {"$gt": at, "$lt": FOREVER}, "overdue_from": {"$lte": at}},
        {"province": province, "deadline_days": {"$elemMatch": days}},
        {"province": province, "extended_at": {"$elemMatch": received}},
        {"province": province, "funded": True},
    ]


# -- prepared reports --------------------------------------------------------------------------------------------------


def prepared_id(province: str, period: str, revision: int) -> str:
    """One revision."""
    return f"{province}/{period}/{revision}"


def prepared_document(prepared: Prepared) -> Document:
    """See content.Prepared. To be told."""
    content = prepared.content
    return {
        "_id": prepared_id(content.province, content.span.id, prepared.revision),
        "province": content.province,
        "period": content.span.id,
        "kind": content.span.kind.value,
        "cut_off_on": content.span.cut_off_on.isoformat(),
        "revision": prepared.revision,
        "report_revision": content.report_revision,
        "content_hash": prepared.content_hash,
        "prepared_at": instant_text(prepared.prepared_at),
        # JSON, since sums are larger than BSON's integers; compressed, since lists are long and alike.
        "content": zlib.compress(_CONTENT.dump_json(content), 6),
        "untold": True,
    }


def lost_document(province: str, period: str, revision: int) -> Document:
    """A revision that was told and whose content is lost. No content has its hash, so the next one follows at once."""
    return {
        "_id": prepared_id(province, period, revision),
        "province": province,
        "period": period,
        "revision": revision,
        "report_revision": 0,
        "content_hash": "",
    }


def prepared(document: Document) -> Prepared:
    """See prepared_document."""
    return Prepared(
        document["revision"],
        _CONTENT.validate_json(zlib.decompress(document["content"])),
        document["content_hash"],
        datetime.fromisoformat(document["prepared_at"]),
    )


def prepared_head(document: Document) -> PreparedHead:
    """See content.PreparedHead."""
    return PreparedHead(document["revision"], document["report_revision"], document["content_hash"])
