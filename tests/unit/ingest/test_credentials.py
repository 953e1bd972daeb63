"""The runtime's verifier in ingest's words. What tokens are refused, and why: tests/unit/runtime/test_tokens.py."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from services.ingest.credentials import Identify
from services.ingest.domain.authorisation import Credential
from services.ingest.domain.refusal import Code, RefusedError
from services.ingest.settings import Settings, networks
from shared.contracts import claims
from shared.runtime.tokens import TokenFault, TokenRefusedError


def test_a_bearer_is_known_by_province_agency_and_scopes() -> None:
    found = claims.Credential("H48", "H48.21", frozenset({"events:write"}))

    assert Identify(lambda _: found)([b"Bearer a.b.c"], [], None) == Credential(
        "H48", "H48.21", frozenset({"events:write"})
    )


@pytest.mark.parametrize("fault", TokenFault)
def test_every_fault_of_a_token_is_a_code_of_ingest_under_the_same_word(fault: TokenFault) -> None:
    def refuse(_: str) -> claims.Credential:
        raise TokenRefusedError(fault, "what was wrong, and what to do")

    with pytest.raises(RefusedError) as refused:
        Identify(refuse)([b"Bearer a.b.c"], [], None)

    assert refused.value.code is Code(fault.value)
    assert refused.value.detail == "what was wrong, and what to do"


# -- a proxy in front ----------------------------------------------------------------------------------------------

PROXY, STRANGER = "10.1.0.7", "10.2.0.7"
NAMED = [b"H48/H48.21"]


def behind_a_proxy(authorizations: list[bytes], senders: list[bytes], peer: str | None) -> Credential:
    def verify(token: str) -> claims.Credential:
        if token != "a.b.c":
            raise TokenRefusedError(TokenFault.MISSING, "no token")
        return claims.Credential("H48", "H48.30", frozenset({"authority:write"}))

    identify = Identify(verify, (ip_network("10.1.0.0/24"), ip_network("fd00::/8")))
    return identify(authorizations, senders, peer)


def test_a_trusted_proxy_names_an_agency_and_never_the_authority() -> None:
    assert behind_a_proxy([], NAMED, PROXY) == Credential("H48", "H48.21", frozenset({"events:write"}))
    assert behind_a_proxy([], [b"H48/000.00.53.H48"], "fd00::1").agency == "000.00.53.H48"


@pytest.mark.parametrize("peer", [STRANGER, "::1", None])
def test_whoever_is_not_trusted_names_nobody(peer: str | None) -> None:
    """INVARIANT: a header alone makes nobody an agency."""
    with pytest.raises(RefusedError) as refused:
        behind_a_proxy([], NAMED, peer)
    assert refused.value.code is Code.TOKEN_MISSING


def test_by_default_nobody_is_trusted() -> None:
    def refuse(_: str) -> claims.Credential:
        raise TokenRefusedError(TokenFault.MISSING, "no token")

    with pytest.raises(RefusedError):
        Identify(refuse)([], NAMED, "127.0.0.1")


def test_a_token_says_more_than_a_name() -> None:
    assert behind_a_proxy([b"Bearer a.b.c"], NAMED, PROXY).agency == "H48.30"


@pytest.mark.parametrize("senders", [[b"H48"], [b"H48/"], [b"/H48.21"], [b"H48/H48.21/x"], [b"h48/H48.21"], NAMED * 2])
def test_a_name_that_is_none_or_two_is_refused(senders: list[bytes]) -> None:
    with pytest.raises(RefusedError) as refused:
        behind_a_proxy([], senders, PROXY)
    assert refused.value.code is Code.TOKEN_MALFORMED


@pytest.mark.parametrize("text", ["10.1.0.7/24", "proxy.example", "10.1.0.0/33"])
def test_a_network_that_is_none_is_said_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"host bits|not appear"):
        networks(text)
    with pytest.raises(ValidationError):
        Settings(KAFKA_BOOTSTRAP_SERVERS="x", outbox=False, trusted_proxies=text)


def test_networks_are_read_as_they_are_listed() -> None:
    assert networks(" 10.1.0.7, fd00::/8 ,") == (ip_network("10.1.0.7/32"), ip_network("fd00::/8"))
