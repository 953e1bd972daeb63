"""The runtime's verifier in ingest's words. What tokens are refused, and why: tests/unit/runtime/test_tokens.py."""

import pytest

from services.ingest.credentials import Identify
from services.ingest.domain.authorisation import Credential
from services.ingest.domain.refusal import Code, RefusedError
from shared.contracts import claims
from shared.runtime.tokens import TokenFault, TokenRefusedError


def test_a_bearer_is_known_by_province_agency_and_scopes() -> None:
    found = claims.Credential("H48", "H48.21", frozenset({"events:write"}))

    assert Identify(lambda _: found)([b"Bearer a.b.c"]) == Credential("H48", "H48.21", frozenset({"events:write"}))


@pytest.mark.parametrize("fault", TokenFault)
def test_every_fault_of_a_token_is_a_code_of_ingest_under_the_same_word(fault: TokenFault) -> None:
    def refuse(_: str) -> claims.Credential:
        raise TokenRefusedError(fault, "what was wrong, and what to do")

    with pytest.raises(RefusedError) as refused:
        Identify(refuse)([b"Bearer a.b.c"])

    assert refused.value.code is Code(fault.value)
    assert refused.value.detail == "what was wrong, and what to do"
