"""An event that was read and found well formed; not yet received."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from services.ingest.domain.authorisation import Credential, Statement


class Keyed(StrEnum):
    """What decides the order an event is kept in."""

    TASK = "task"
    PROVINCE = "province"
    AGENCY = "agency"


class Submission(NamedTuple):
    """One event, its data as the bytes that were validated: exactly these are kept."""

    source: str
    id: str
    type: str
    statement: Statement
    keyed: Keyed
    task_id: str | None
    attributes: Mapping[str, str | int | bool]
    """The sender's own attributes, without those that the platform sets."""
    data: bytes

    def key(self, credential: Credential) -> str:
        """What it is ordered by; `task_id` is there whenever that is the task."""
        if self.keyed is Keyed.TASK:
            assert self.task_id is not None, "every type that is keyed by task names its task"
            return self.task_id
        return credential.province if self.keyed is Keyed.PROVINCE else credential.agency


def repeated(submissions: list[Submission]) -> list[int]:
    """Positions whose source and id stood before in the same batch.

    Refused even when the content is equal: the sender counts two events, one effect would follow, and a sender that
    numbers its events twice should hear of it.
    """
    seen: set[tuple[str, str]] = set()
    positions = []
    for position, submission in enumerate(submissions):
        name = (submission.source, submission.id)
        if name in seen:
            positions.append(position)
        seen.add(name)
    return positions
