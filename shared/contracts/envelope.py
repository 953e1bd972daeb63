"""The CloudEvents 1.0 envelope, on HTTP and on Kafka (structured mode, JSON)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from shared.contracts.model import Instant

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

Attribute = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Envelope(BaseModel):
    """One CloudEvent. Extensions we know are typed; unknown ones are kept as they came.

    `source` + `id` is the idempotency key, for ever (design §3.5). `province`, `agency` and `receivedat` are set by
    ingest from the credential and the clock; what a client writes there is refused if it differs.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: Attribute
    source: Attribute
    type: Attribute
    time: Instant | None = None
    subject: Attribute | None = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Attribute | None = None
    province: Attribute | None = None
    agency: Attribute | None = None
    receivedat: Instant | None = None
    partitionkey: Attribute | None = None
    traceparent: Attribute | None = None
    data: Any = None
