"""When a message that was not taken is tried again, and when it has failed for good."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryTable:
    """A channel's own. All in seconds."""

    waits: tuple[float, ...]
    """Before the second try, the third, …; the last one repeats."""
    give_up_after: float
    """Since the message was made."""

    def wait(self, attempts: int, *, age: float, asked: float | None = None) -> float | None:
        """How long to wait after so many tries; None when it has failed for good. `asked`: what the other side said."""
        # Nights and holidays age a message without a try; whoever was hardly asked has not refused.
        if age >= self.give_up_after and attempts > len(self.waits):
            return None
        planned = self.waits[min(attempts, len(self.waits)) - 1]
        # Whoever asks for patience gets it, but not for ever: it would be a way to fall silent.
        return planned if asked is None else min(max(asked, 1.0), max(self.waits))
