"""What every message part has in common: frozen, flat where it can be, unknown fields ignored inside."""

from datetime import date
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Instant = AwareDatetime
"""An instant with an offset. On topics always UTC."""

Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2199, 12, 31))]
"""A day as a sender names it. Bounded: after 9999-12-31 no clock can say when the day ends."""

Vnd = Annotated[int, Field(ge=0, le=10**15)]
"""Money in whole đồng."""


class Part(BaseModel):
    """Frozen; tolerant of unknown fields, since a newer producer may know more (the edge forbids them itself)."""

    # The sentence under a field is its description in the published schemas.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Document(Part):
    """A document as people cite it. `number` may be missing: drafts exist, and a number is no key (domain §0.9)."""

    number: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    issued_on: Day
    issuer: Annotated[str, StringConstraints(max_length=200)] | None = None
    title: Annotated[str, StringConstraints(max_length=500)] | None = None


class Evidence(Part):
    """Where the proof lies; the platform keeps the reference, not the file."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    url: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
