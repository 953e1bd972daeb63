"""Who sends: told by a bearer token, or by a proxy that is trusted to have asked."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from services.ingest import wire
from services.ingest.domain.authorisation import SCOPES, Credential, Speaker
from services.ingest.domain.refusal import Code, RefusedError
from shared.runtime.bearer import Verify, bearer
from shared.runtime.tokens import TokenRefusedError

Network = IPv4Network | IPv6Network


class Identify:
    """See ports.Identify."""

    def __init__(self, verify: Verify, trusted: Sequence[Network] = ()) -> None:
        """`trusted`: where proxies stand (an LGSP) that name the sender they have authenticated, by mTLS say."""
        self._verify = verify
        self._trusted = trusted

    def __call__(self, authorizations: Sequence[bytes], senders: Sequence[bytes], peer: str | None) -> Credential:
        # A token says more than a name: it wins, and whoever is not trusted cannot name anybody.
        if senders and not authorizations and self._trusts(peer):
            return _named(senders)
        try:
            found = self._verify(bearer(authorizations))
        except TokenRefusedError as refused:
            raise RefusedError(Code(refused.fault.value), refused.detail) from refused
        return Credential(found.province, found.agency, found.scopes)

    def _trusts(self, peer: str | None) -> bool:
        return peer is not None and any(ip_address(peer) in network for network in self._trusted)


def _named(senders: Sequence[bytes]) -> Credential:
    sender = wire.sender_of(senders[0]) if len(senders) == 1 else None
    if sender is None:
        raise RefusedError(
            Code.TOKEN_MALFORMED, f"The proxy must name one sender in {wire.SENDER_HEADER}, as H48/H48.21."
        )
    # Never the authority: a proxy knows systems, not who may decide.
    return Credential(*sender, frozenset({SCOPES[Speaker.AGENCY]}))
