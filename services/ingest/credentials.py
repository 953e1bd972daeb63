"""The verifier of the runtime, in ingest's words: its credential and its refusals."""

from collections.abc import Sequence

from services.ingest.domain.authorisation import Credential
from services.ingest.domain.refusal import Code, RefusedError
from shared.runtime.bearer import Verify, bearer
from shared.runtime.tokens import TokenRefusedError


class Identify:
    """See ports.Identify."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify

    def __call__(self, authorizations: Sequence[bytes]) -> Credential:
        try:
            found = self._verify(bearer(authorizations))
        except TokenRefusedError as refused:
            raise RefusedError(Code(refused.fault.value), refused.detail) from refused
        return Credential(found.province, found.agency, found.scopes)
