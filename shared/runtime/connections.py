"""aiokafka's connections on uvloop: what the event loop closed is a broken connection, not a bug."""

from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaConnectionError


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc] # aiokafka's internals are untyped
    """Reports a transport that is closed as aiokafka expects it.

    uvloop raises RuntimeError on writing to it where asyncio only logs. aiokafka catches OSError alone
    (its issue 1038), so the death of a broker could end its metadata task: the consumer then never finds its
    coordinator again, commits nothing and stands still until the process is restarted.
    """

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request; KafkaConnectionError when there is nothing to send it over."""
        try:
            return super().send(request, expect_response)
        except RuntimeError as error:
            self.close(reason=conn.CloseReason.CONNECTION_BROKEN, exc=error)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def mend_connections() -> None:
    """Let aiokafka make connections of this kind. For a process; doing it again changes nothing."""
    conn.AIOKafkaConnection = Connection
