"""The trial issuer: tokens as RFC 9068 wants them, and a private key that stays private."""

import json
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from deploy.local.issuer import Issuer


def test_token_verifies_against_the_jwks_file_and_says_who_may_do_what(tmp_path: Path) -> None:
    issuer = Issuer.open(tmp_path)
    keys = KeySet.import_key_set(json.loads(issuer.jwks_file.read_text()))

    token = jwt.decode(
        issuer.mint("H48.07", "H48", ["events:write", "tasks:read"], timedelta(minutes=5)), keys, algorithms=["ES256"]
    )

    assert token.header["typ"] == "at+jwt"
    assert token.header["alg"] == "ES256"
    assert token.header["kid"] == keys.keys[0].kid
    claims = token.claims
    assert (claims["iss"], claims["aud"]) == ("https://dondoc.local/issuer", "dondoc")
    assert (claims["province"], claims["agency"]) == ("H48", "H48.07")
    assert claims["scope"] == "events:write tasks:read"
    assert claims["sub"] == claims["client_id"]
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["jti"]


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    first, second = Issuer.open(tmp_path), Issuer.open(tmp_path)

    assert first.key.kid == second.key.kid
    assert stat.S_IMODE((tmp_path / "private-key.json").stat().st_mode) == 0o600
    assert "d" not in json.loads(first.jwks_file.read_text())["keys"][0]


def test_another_issuer_is_not_believed(tmp_path: Path) -> None:
    ours, other = Issuer.open(tmp_path / "ours"), Issuer.open(tmp_path / "other")
    token = other.mint("H48.07", "H48", ["events:write"])

    with pytest.raises(BadSignatureError):
        jwt.decode(token, ours.key, algorithms=["ES256"])


def test_there_is_no_issuer_before_one_was_made(tmp_path: Path) -> None:
    assert Issuer.existing(tmp_path) is None
