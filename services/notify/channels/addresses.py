"""Which addresses a webhook may go to, and a network that goes nowhere else: nobody may reach our inside through us."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore

CONNECT_SECONDS_MAX: Final = 5.0
"""To one address; a name may have several."""

_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that IANA has opened for use in the open network (RFC 4291, section 2.4)."""
_NOWHERE: Final = tuple(
    ip_network(one)
    for one in (
        # An IPv4 address in an IPv6 one; where that comes out is not ours to guess. The other ways to carry one
        # (::ffff:0:0/96, ::/96, NAT64's 64:ff9b::/96 and 64:ff9b:1::/48) are outside of _UNICAST, and Teredo's
        # 2001::/32 Python knows.
        "2002::/16",  # 6to4, RFC 3056
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "3fff::/20",  # documentation, RFC 9637; older Pythons do not know it
    )
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → its addresses as text, best first. Raises OSError."""


class ForbiddenAddressError(Exception):
    """A name leads to an address that is not on the open network."""


def is_public(address: str) -> bool:
    """Whether an IP address is one that everybody can reach (IANA's special-purpose registries, RFC 6890)."""
    match one := ip_address(address):
        case IPv4Address():
            usable = one.is_global
        case IPv6Address():
            usable = one.is_global and one in _UNICAST
    return usable and not one.is_multicast and not any(one in network for network in _NOWHERE)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once per connection and connects to exactly what was checked; TLS still asks for the name.

    One address that is not public spoils a name: whoever mixes them tries to get in by chance.
    """

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises ForbiddenAddressError, OSError or httpcore's errors."""
        addresses = await self._resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise ForbiddenAddressError
        failed: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, CONNECT_SECONDS_MAX, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed
