"""The file-based issuer: tokens as RFC 9068 wants them, keys that come and go, and private ones that stay private."""

import json
import stat
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import ECKey, KeySet

from deploy.__main__ import main
from deploy.issuer import FileIssuer, IssuerError
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
    [private] = (tmp_path / "private").iterdir()
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert "d" not in json.loads(first.jwks_file.read_text())["keys"][0]


def test_no_key_has_a_name_that_a_command_takes_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["-dash", "--dashes", "plain"])

    def generate_key(curve: str, parameters: Any, **_: bool) -> ECKey:
        return ECKey.import_key(a_key(curve, parameters).as_dict(private=True) | {"kid": next(made)})

    a_key = ECKey.generate_key
    monkeypatch.setattr("deploy.issuer.ECKey.generate_key", generate_key)

    assert FileIssuer.make(tmp_path, issuer="https://issuer.example").key.kid == "plain"


def test_another_issuer_is_not_believed(tmp_path: Path) -> None:
    ours, other = Issuer.open(tmp_path / "ours"), Issuer.open(tmp_path / "other")
    token = other.mint("H48.07", "H48", ["events:write"])

    with pytest.raises(BadSignatureError):
        jwt.decode(token, ours.key, algorithms=["ES256"])


def test_there_is_no_issuer_before_one_was_made(tmp_path: Path) -> None:
    assert Issuer.existing(tmp_path) is None


# -- keys come and go ----------------------------------------------------------------------------------------------


def is_taken(issuer: FileIssuer, token: str) -> bool:
    """Whether a service that reads the issuer's public keys takes the token."""
    keys = KeySet.import_key_set(json.loads(issuer.jwks_file.read_text()))
    try:
        jwt.decode(token, keys, algorithms=["ES256"])
    except (JoseError, ValueError):
        return False
    return True


def test_tokens_outlive_a_rotation_and_not_the_retirement_of_their_key(tmp_path: Path) -> None:
    issuer = FileIssuer.make(tmp_path, issuer="https://issuer.example")
    [first] = issuer.known_keys()
    before = issuer.mint("H48.07", "H48", ["events:write"])

    second = issuer.rotate()
    after = issuer.mint("H48.07", "H48", ["events:write"])
    assert is_taken(issuer, before)
    assert is_taken(issuer, after)
    assert [(one.kid, one.signs) for one in FileIssuer.load(tmp_path).known_keys()] == [
        (first.kid, False),
        (second, True),
    ]

    issuer.retire(first.kid)
    assert not is_taken(issuer, before)
    assert is_taken(issuer, after)


def test_a_retirement_that_got_half_way_has_taken_the_key_back_and_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = FileIssuer.make(tmp_path, issuer="https://issuer.example")
    [first] = issuer.known_keys()
    token = issuer.mint("H48.07", "H48", ["events:write"])
    issuer.rotate()

    def fails(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fails)
        with pytest.raises(OSError, match="disk full"):
            issuer.retire(first.kid)
    assert not is_taken(issuer, token)
    FileIssuer.load(tmp_path).retire(first.kid)
    assert len(issuer.known_keys()) == 1


def test_the_key_that_signs_cannot_be_retired_nor_one_that_is_not_there(tmp_path: Path) -> None:
    issuer = FileIssuer.make(tmp_path, issuer="https://issuer.example")
    with pytest.raises(IssuerError, match="rotate` first"):
        issuer.retire(issuer.known_keys()[0].kid)
    with pytest.raises(IssuerError, match="keys list"):
        issuer.retire("nothing")


def test_an_issuer_is_made_once_and_known_afterwards(tmp_path: Path) -> None:
    with pytest.raises(IssuerError, match="keys init"):
        FileIssuer.load(tmp_path)
    FileIssuer.make(tmp_path, issuer="https://issuer.example", audience="trial")
    with pytest.raises(IssuerError, match="keys rotate"):
        FileIssuer.make(tmp_path, issuer="https://other.example")
    known = FileIssuer.load(tmp_path)
    assert (known.issuer, known.audience) == ("https://issuer.example", "trial")
    (tmp_path / "issuer.json").write_text("{")
    with pytest.raises(IssuerError, match="backup"):
        FileIssuer.load(tmp_path)


# -- by hand -------------------------------------------------------------------------------------------------------

TOKEN = ("token", "--province", "H48", "--agency", "H48.07", "--scope", "events:write")


def test_an_operator_makes_keys_and_tokens_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ("--folder", str(tmp_path / "issuer"))
    main(["keys", "init", "--issuer", "https://issuer.example", *folder])
    main(["keys", "rotate", *folder])
    capsys.readouterr()
    main(["keys", "list", *folder])
    old, new = capsys.readouterr().out.splitlines()
    assert (old.split()[-1], new.split()[-1]) == ("verifies", "signs")

    main([*TOKEN, "--scope", "tasks:read", "--valid", "90d", *folder])
    token = capsys.readouterr().out.strip()
    issuer = FileIssuer.load(tmp_path / "issuer")
    claims = jwt.decode(token, issuer.key, algorithms=["ES256"]).claims
    assert claims["exp"] - claims["iat"] == 90 * 86_400
    assert claims["scope"] == "events:write tasks:read"

    main(["keys", "retire", old.split()[0], *folder])
    assert len(issuer.known_keys()) == 1
    assert is_taken(issuer, token)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--agency", "H48 07"), "is not an agency code"),
        (("--province", "Quảng Nam"), "is not a province code"),
        (("--scope", "events:all"), "invalid choice"),
        (("--valid", "3y"), "8h or 90d"),
        (("--valid", "400d"), "366d at most"),
    ],
)
def test_what_is_wrong_by_hand_is_said_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], said: str
) -> None:
    FileIssuer.make(tmp_path, issuer="https://issuer.example")
    with pytest.raises(SystemExit) as ended:
        main([*TOKEN, *arguments, "--folder", str(tmp_path)])
    printed = capsys.readouterr()
    assert ended.value.code not in {0, None}
    assert said in f"{ended.value.code} {printed.err}"
    assert printed.out == ""


def test_without_an_issuer_an_operator_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="keys init"):
        main([*TOKEN, "--folder", str(tmp_path)])
