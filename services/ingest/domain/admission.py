"""How much may be under way at once, so that a flood or a silent broker costs refusals and not the process."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Admission:
    """Counts what is between arrival and answer. Whoever enters leaves again."""

    events_max: int
    bytes_max: int
    events: int = field(default=0, init=False)
    bytes: int = field(default=0, init=False)

    def enter(self, *, events: int = 0, bytes: int = 0) -> bool:
        """Take the room, or say that there is none."""
        if self.events + events > self.events_max or self.bytes + bytes > self.bytes_max:
            return False
        self.events += events
        self.bytes += bytes
        return True

    def leave(self, *, events: int = 0, bytes: int = 0) -> None:
        """Give the room back."""
        self.events -= events
        self.bytes -= bytes
        assert self.events >= 0, "more events left than entered"
        assert self.bytes >= 0, "more bytes left than entered"
