"""Free TCP ports for parts that must come back on the same port after a restart."""

import random
import socket
from typing import Final

# Below the kernel's usual range for outgoing connections (32768 and up). A client that keeps dialling a dead broker
# could otherwise be given the broker's own port as its source, connect to itself and so keep the restarted broker out.
_LOWEST: Final = 20_000
_HIGHEST: Final = 32_000
_ATTEMPTS_MAX: Final = 200

# A port given away is not listened on yet, and would look free to the next one who asks.
_given_away: Final[set[int]] = set()


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after a kill is free, one that somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port nobody uses now. Random, so that two runs at once seldom want the same one."""
    for _ in range(_ATTEMPTS_MAX):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if port not in _given_away and is_free(port):
            _given_away.add(port)
            return port
    raise OSError(f"no free port found between {_LOWEST} and {_HIGHEST} in {_ATTEMPTS_MAX} attempts")


def preferred_port(port: int) -> int:
    """The given port where it is free, any other free one where it is not."""
    return port if is_free(port) else free_port()
