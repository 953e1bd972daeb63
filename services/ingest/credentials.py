"""The verifier of the runtime, in ingest's words: its credential, its refusals, its metrics."""

from collections.abc import Sequence

from services.ingest import metrics
from services.ingest.domain.authorisation import Credential
from services.ingest.domain.refusal import Code, RefusedError
from shared.runtime.bearer import Verify, bearer
from shared.runtime.tokens import TokenMetrics, TokenRefusedError

COUNTS = TokenMetrics(
    keys=metrics.KEYS,
    keys_refused=metrics.KEYS_REFUSED,
    key_reloads_failed=metrics.KEY_RELOADS_FAILED,
    tokens_verified=metrics.TOKENS_VERIFIED,
)


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
