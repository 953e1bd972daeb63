"""Where a webhook may go: addresses on the open network, whatever they are written as, and nothing else."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.channels import addresses as module
from services.notify.channels.addresses import CheckedNetwork, ForbiddenAddressError, is_public

PUBLIC = ["8.8.8.8", "1.1.1.1", "203.113.128.1", "172.32.0.1", "100.128.0.1", "2001:4860:4860::8888", "2405:4800::1"]
FORBIDDEN = {
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%2", "fec0::1"],
    "carrier": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "5f00::1", "100::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "measurement": ["198.18.0.1", "2001:2::1"],
    "mapped": ["::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "::ffff:0:8.8.8.8"],
    "NAT64": ["64:ff9b::10.0.0.1", "64:ff9b::808:808", "64:ff9b:1::1"],
    "6to4": ["2002:a00:1::", "2002:7f00:1::1", "2002:808:808::1", "192.88.99.1"],
    "Teredo": ["2001::1", "2001:0:53aa:64c:0:fbff:f5ff:fffe"],
}
INSIDE = [
    *map(
        IPv4Network,
        ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "224.0.0.0/3"],
    ),
    IPv4Network("192.168.0.0/16"),
]
CARRIERS = ["::", "::ffff:0:0", "64:ff9b::"]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_open_network_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", [pytest.param(one, id=f"{why} {one}") for why, some in FORBIDDEN.items() for one in some]
)
def test_everything_else_is_not(address: str) -> None:
    """INVARIANT: nobody may reach our inside by naming it as an endpoint."""
    assert not is_public(address)


@given(st.data(), st.sampled_from(INSIDE))
def test_no_address_of_an_inner_network_is_public(data: st.DataObject, network: IPv4Network) -> None:
    """INVARIANT: nor by any other spelling of it."""
    inner = int(data.draw(st.ip_addresses(network=str(network))))

    assert not is_public(str(IPv4Address(inner)))
    for carrier in CARRIERS:
        assert not is_public(str(IPv6Address(int(IPv6Address(carrier)) | inner)))
    assert not is_public(str(IPv6Address(int(IPv6Address("2002::")) | inner << 80)))


@given(st.ip_addresses(v=6))
def test_of_ipv6_only_assigned_unicast_is_public(address: IPv6Address) -> None:
    assert not is_public(str(address)) or (address in IPv6Network("2000::/3") and not address.is_private)


@given(st.ip_addresses(v=4))
def test_a_public_address_is_global_unicast(address: IPv4Address) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not any(address in network for network in INSIDE)


class Names:
    """A resolver that says one thing after another, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


@pytest.mark.parametrize("mixed", [("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8"), ("2405:4800::1", "::1")])
async def test_one_inner_address_spoils_a_name(mixed: Sequence[str]) -> None:
    with pytest.raises(ForbiddenAddressError):
        await CheckedNetwork(allow_private=False, resolve=Names(mixed)).connect_tcp("x.example", 443)


async def _listening() -> asyncio.Server:
    return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)


async def test_a_name_is_asked_for_once_and_the_connection_goes_to_that_answer() -> None:
    """INVARIANT: what is connected to is what was checked: a name that answers differently a moment later gains
    nothing.
    """
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with await _listening() as server:
        port = server.sockets[0].getsockname()[1]
        stream = await CheckedNetwork(allow_private=True, resolve=names).connect_tcp("x.example", port)

    assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
    assert names.asked == 1
    await stream.aclose()


async def test_every_connection_asks_and_is_checked_anew() -> None:
    network = CheckedNetwork(allow_private=False, resolve=Names(["127.0.0.1"]))

    for _ in range(2):
        with pytest.raises(ForbiddenAddressError):
            await network.connect_tcp("x.example", 443)


async def test_an_address_where_nobody_listens_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS_MAX", 0.5)
    async with await _listening() as server:
        port = server.sockets[0].getsockname()[1]
        names = Names(["127.0.0.2", "127.0.0.1"])
        stream = await CheckedNetwork(allow_private=True, resolve=names).connect_tcp("x.example", port)

    assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
    await stream.aclose()


async def test_nobody_anywhere_is_an_error() -> None:
    async with await _listening() as server:
        port = server.sockets[0].getsockname()[1]

    with pytest.raises(httpcore.ConnectError):
        await CheckedNetwork(allow_private=True, resolve=Names(["127.0.0.1"])).connect_tcp("x.example", port)


async def test_the_systems_resolver_names_each_address_once() -> None:
    found = await module.resolve("localhost", 80)

    assert "127.0.0.1" in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
async def test_loopback_is_found_out_however_it_is_spelt(spelling: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        await CheckedNetwork(allow_private=False).connect_tcp(spelling, 80)
