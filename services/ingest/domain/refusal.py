"""What a refusal says: a stable code, what was wrong, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Stable words that a sender's program reads. Also metric labels."""

    UNKNOWN_PARAMETER = "unknown_parameter"
    MALFORMED_ENCODING = "malformed_encoding"
    MALFORMED_JSON = "malformed_json"
    MALFORMED_XML = "malformed_xml"
    TOO_DEEP = "too_deep"

    TOKEN_MISSING = "token_missing"  # noqa: S105
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105
    TOKEN_WRONG_AUDIENCE = "token_wrong_audience"  # noqa: S105
    TOKEN_WRONG_ISSUER = "token_wrong_issuer"  # noqa: S105
    TOKEN_UNKNOWN_KEY = "token_unknown_key"  # noqa: S105
    TOKEN_BAD_SIGNATURE = "token_bad_signature"  # noqa: S105
    TOKEN_INCOMPLETE = "token_incomplete"  # noqa: S105

    SCOPE_MISSING = "scope_missing"
    WRONG_PROVINCE = "wrong_province"
    NOT_YOURS = "not_yours"

    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_TOO_LARGE = "body_too_large"
    TOO_MANY_EVENTS = "too_many_events"
    EVENT_TOO_LARGE = "event_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"

    INVALID_EVENT = "invalid_event"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    DUPLICATE_IN_BATCH = "duplicate_in_batch"
    INVALID_ENVELOPE = "invalid_envelope"
    NOT_STEERING = "not_steering"

    INTERNAL_ERROR = "internal_error"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    TOO_MANY_REQUESTS = "too_many_requests"
    OVERLOADED = "overloaded"
    KEYS_MISSING = "keys_missing"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where."""

    pointer: str
    """JSON pointer into the body as structured JSON: `/data/percent`, in a batch `/3/data/percent`."""
    code: Code
    detail: str


class RefusedError(Exception):
    """A request that is not accepted. `detail` says what was wrong and what to do; it never quotes a token."""

    def __init__(
        self, code: Code, detail: str, faults: Sequence[Fault] = (), *, retry_after_seconds: int | None = None
    ) -> None:
        """`retry_after_seconds`: where it is known when sending again will help."""
        super().__init__(code)
        self.retry_after_seconds = retry_after_seconds
        self.code = code
        self.detail = detail
        self.faults = faults
