"""Tokens: the good ones, and every way of being bad."""

import base64
import hmac
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.runtime.keys import KeyFile, KeyMetrics
from shared.runtime.tokens import TokenFault, TokenRefusedError, TokenVerifier

NOWHERE = CollectorRegistry()
COUNTS = KeyMetrics(
    keys=Gauge("keys", "Keys.", registry=NOWHERE),
    keys_refused=Counter("keys_refused", "Keys refused.", registry=NOWHERE),
    key_reloads_failed=Counter("reloads_failed", "Reloads failed.", registry=NOWHERE),
    tokens_verified=Counter("verified", "Signatures checked.", registry=NOWHERE),
)
NOW = 1_795_500_000.0
ISSUER, AUDIENCE, LEEWAY = "https://issuer.example", "dondoc", 60
HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": "ec"}

EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = ECKey.generate_key("P-256", {"kid": "ec"})
with warnings.catch_warnings(action="ignore"):
    SMALL = RSAKey.generate_key(1024, {"kid": "small"})
SECRET = OctKey.import_key({"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("="), "kid": "oct"})
P384 = ECKey.generate_key("P-384", {"kid": "p384"})
ENCRYPTION = ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"})


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims; a change to `...` leaves the claim out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "H48/H48.21",
        "client_id": "H48/H48.21",
        "jti": "1",
        "iat": NOW - 10,
        "exp": NOW + 600,
        "province": "H48",
        "agency": "H48.21",
        "scope": "events:write tasks:read",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def signed(content: Any, header: dict[str, Any] | None = None, key: Any = EC) -> str:
    """A token over any content."""
    head = header or HEADER
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    with warnings.catch_warnings(action="ignore"):
        return jws.serialize_compact(head, payload, key, algorithms=[head["alg"]])


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass(slots=True)
class Bench:
    """A verifier, its key file and a time that the test moves."""

    path: Path
    now: float = NOW
    verify: TokenVerifier = field(init=False)

    def __post_init__(self) -> None:
        self.write(EC, RSA, ED)
        self.restart()

    def restart(self, tokens_cached_max: int = 100) -> None:
        keys = KeyFile(self.path, COUNTS, real_time=lambda: self.now)
        self.verify = TokenVerifier(
            keys,
            COUNTS,
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway_seconds=LEEWAY,
            real_time=lambda: self.now,
            tokens_cached_max=tokens_cached_max,
        )

    def write(self, *keys: Any) -> None:
        """Replace the file in one step, as an operator or a mounted secret does."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"keys": [key.as_dict(private=key is SECRET) for key in keys]}))
        temporary.replace(self.path)

    def code(self, token: str) -> TokenFault | None:
        """Why it is refused; None when it is good."""
        try:
            self.verify(token)
        except TokenRefusedError as refused:
            return refused.fault
        return None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "jwks.json")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (HEADER, EC),
        ({"typ": "application/at+jwt", "alg": "ES256", "kid": "ec"}, EC),
        ({"typ": "AT+JWT", "alg": "ES256", "kid": "ec"}, EC),
        ({"typ": "at+jwt", "alg": "RS256", "kid": "rsa"}, RSA),
        ({"typ": "at+jwt", "alg": "EdDSA", "kid": "ed"}, ED),
        ({"typ": "at+jwt", "alg": "Ed25519", "kid": "ed"}, ED),
    ],
)
def test_a_good_token_says_who_its_bearer_is(bench: Bench, header: dict[str, Any], key: Any) -> None:
    credential = bench.verify(signed(claims(), header, key))

    assert (credential.province, credential.agency) == ("H48", "H48.21")
    assert credential.scopes == {"events:write", "tasks:read"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://else.example"}, TokenFault.WRONG_ISSUER),
        ({"iss": ...}, TokenFault.WRONG_ISSUER),
        ({"iss": [ISSUER]}, TokenFault.WRONG_ISSUER),
        ({"aud": "else"}, TokenFault.WRONG_AUDIENCE),
        ({"aud": ["else", "dondoc2"]}, TokenFault.WRONG_AUDIENCE),
        ({"aud": ...}, TokenFault.WRONG_AUDIENCE),
        ({"aud": {"dondoc": 1}}, TokenFault.WRONG_AUDIENCE),
        ({"aud": ["else", AUDIENCE]}, None),
        ({"exp": NOW - LEEWAY}, TokenFault.EXPIRED),
        ({"exp": NOW - LEEWAY + 1}, None),
        ({"exp": 0}, TokenFault.EXPIRED),
        ({"exp": -1}, TokenFault.EXPIRED),
        ({"exp": ...}, TokenFault.INCOMPLETE),
        ({"exp": str(int(NOW + 600))}, TokenFault.MALFORMED),
        ({"exp": True}, TokenFault.MALFORMED),
        ({"exp": 10**400}, TokenFault.MALFORMED),
        ({"nbf": NOW + LEEWAY + 1}, TokenFault.NOT_YET_VALID),
        ({"nbf": NOW + LEEWAY}, None),
        ({"iat": NOW + LEEWAY + 1}, TokenFault.NOT_YET_VALID),
        ({"iat": ...}, None),
        ({"nbf": "soon"}, TokenFault.MALFORMED),
        ({"province": ...}, TokenFault.INCOMPLETE),
        ({"agency": ...}, TokenFault.INCOMPLETE),
        ({"scope": ...}, TokenFault.INCOMPLETE),
        ({"scope": ["events:write"]}, TokenFault.INCOMPLETE),
        ({"province": ""}, TokenFault.INCOMPLETE),
        ({"province": "H48\n"}, TokenFault.INCOMPLETE),
        ({"agency": "H48.21/x"}, TokenFault.INCOMPLETE),
        ({"agency": 7}, TokenFault.INCOMPLETE),
        ({"scope": ""}, None),
    ],
)
def test_each_claim_is_judged(bench: Bench, changes: dict[str, Any], code: TokenFault | None) -> None:
    assert bench.code(signed(claims(**changes))) == code


def test_an_infinite_expiry_is_no_expiry(bench: Bench) -> None:
    payload = json.dumps(claims()).replace(str(NOW + 600), "1e999").encode()

    assert bench.code(signed(payload)) is TokenFault.MALFORMED


def _mutations() -> dict[str, tuple[Callable[[], str], TokenFault]]:
    good = signed(claims())
    head, payload, signature = good.split(".")
    public = json.dumps(RSA.as_dict(private=False)).encode()
    pem = RSA.as_pem(private=False)
    jwk_header = {**HEADER, "kid": "mine", "jwk": STRANGER.as_dict(private=False)}

    def confused(secret: bytes) -> str:
        text = f"{part({'typ': 'at+jwt', 'alg': 'HS256', 'kid': 'rsa'})}.{payload}"
        return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"

    return {
        "alg none, no signature": (
            lambda: f"{part({**HEADER, 'alg': 'none'})}.{payload}.",
            TokenFault.BAD_SIGNATURE,
        ),
        "alg NONE, signature kept": (
            lambda: f"{part({**HEADER, 'alg': 'NONE'})}.{payload}.{signature}",
            TokenFault.BAD_SIGNATURE,
        ),
        "alg missing": (
            lambda: f"{part({'typ': 'at+jwt', 'kid': 'ec'})}.{payload}.{signature}",
            TokenFault.BAD_SIGNATURE,
        ),
        "alg a list": (lambda: f"{part({**HEADER, 'alg': ['ES256']})}.{payload}.{signature}", TokenFault.BAD_SIGNATURE),
        "HS256 with the public PEM": (lambda: confused(pem), TokenFault.BAD_SIGNATURE),
        "HS256 with the public JWK": (lambda: confused(public), TokenFault.BAD_SIGNATURE),
        "RS512 with a known key": (
            lambda: signed(claims(), {"typ": "at+jwt", "alg": "RS512", "kid": "rsa"}, RSA),
            TokenFault.BAD_SIGNATURE,
        ),
        "ES256 under the RSA key's id": (
            lambda: signed(claims(), {**HEADER, "kid": "rsa"}, EC),
            TokenFault.BAD_SIGNATURE,
        ),
        "another's key under a known id": (lambda: signed(claims(), HEADER, STRANGER), TokenFault.BAD_SIGNATURE),
        "own key in the header": (lambda: signed(claims(), jwk_header, STRANGER), TokenFault.UNKNOWN_KEY),
        "payload changed": (
            lambda: f"{head}.{part(claims(agency='H48.22'))}.{signature}",
            TokenFault.BAD_SIGNATURE,
        ),
        "scope widened": (
            lambda: f"{head}.{part(claims(scope='authority:write'))}.{signature}",
            TokenFault.BAD_SIGNATURE,
        ),
        "signature cut off": (lambda: f"{head}.{payload}.", TokenFault.BAD_SIGNATURE),
        "signature shortened": (lambda: good[:-4], TokenFault.BAD_SIGNATURE),
        "signature of zeros": (lambda: f"{head}.{payload}.{part(bytes(64))}", TokenFault.BAD_SIGNATURE),
        "unknown kid": (lambda: signed(claims(), {**HEADER, "kid": "else"}), TokenFault.UNKNOWN_KEY),
        "kid missing": (lambda: signed(claims(), {"typ": "at+jwt", "alg": "ES256"}), TokenFault.UNKNOWN_KEY),
        "kid a path": (lambda: signed(claims(), {**HEADER, "kid": "../../dev/null"}), TokenFault.UNKNOWN_KEY),
        "typ JWT": (lambda: signed(claims(), {**HEADER, "typ": "JWT"}), TokenFault.MALFORMED),
        "typ missing": (lambda: signed(claims(), {"alg": "ES256", "kid": "ec"}), TokenFault.MALFORMED),
        "crit": (
            lambda: f"{part({**HEADER, 'crit': ['exp'], 'exp': 1})}.{payload}.{signature}",
            TokenFault.MALFORMED,
        ),
        "payload not encoded": (
            lambda: f"{part({**HEADER, 'b64': False, 'crit': ['b64']})}.{payload}.{signature}",
            TokenFault.MALFORMED,
        ),
        "claims a list": (lambda: signed([1]), TokenFault.MALFORMED),
        "claims no JSON": (lambda: signed(b"\xff\xfe"), TokenFault.MALFORMED),
        "header a list": (lambda: f"{part([1])}.{payload}.{signature}", TokenFault.MALFORMED),
        "header nested without end": (lambda: f"{part(b'[' * 5000)}.{payload}.{signature}", TokenFault.MALFORMED),
        "encrypted": (lambda: "a.b.c.d.e", TokenFault.MALFORMED),
        "one part": (lambda: "abc", TokenFault.MALFORMED),
        "padding": (lambda: f"{head}.{payload}.{signature}==", TokenFault.MALFORMED),
        "a newline inside": (lambda: f"{head}.{payload}\n.{signature}", TokenFault.MALFORMED),
        "not ASCII": (lambda: f"{head}.{payload}.đ", TokenFault.MALFORMED),
        "too long": (lambda: signed(claims(note="x" * 9000)), TokenFault.MALFORMED),
    }


MUTATIONS = _mutations()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_token_is_refused_for_what_is_wrong_with_it(bench: Bench, name: str) -> None:
    """INVARIANT: no token is taken that the issuer did not sign, for this audience, with an allowed algorithm.

    If this breaks, anybody can speak for any agency.
    """
    mutate, code = MUTATIONS[name]
    token = mutate()

    with pytest.raises(TokenRefusedError) as refused:
        bench.verify(token)

    assert refused.value.fault is code
    assert token not in refused.value.detail


@pytest.mark.parametrize("position", range(0, 480, 7))
def test_no_single_changed_character_survives(bench: Bench, position: int) -> None:
    token = signed(claims())
    assert bench.code(token) is None
    # The last character of a base64url part may carry unused bits; those change nothing that was signed.
    ends = {len(token.split(".")[0]) - 1, token.rindex(".") - 1, len(token) - 1}
    if position >= len(token) or position in ends or token[position] == ".":
        return

    changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]

    assert bench.code(changed) is not None


@pytest.mark.parametrize(
    ("key", "algorithm"), [(SECRET, "HS256"), (SMALL, "RS256"), (P384, "ES384"), (ENCRYPTION, "ES256")]
)
def test_keys_that_are_too_weak_or_for_something_else_verify_nothing(bench: Bench, key: Any, algorithm: str) -> None:
    bench.write(EC, key)
    bench.restart()
    header = {"typ": "at+jwt", "alg": algorithm, "kid": key.kid}
    signer = ECKey.import_key({**key.as_dict(private=True), "use": "sig"}) if key is ENCRYPTION else key

    assert bench.code(signed(claims())) is None
    assert bench.code(signed(claims(), header, signer)) in {TokenFault.UNKNOWN_KEY, TokenFault.BAD_SIGNATURE}


def test_a_token_that_was_verified_before_still_expires(bench: Bench) -> None:
    token = signed(claims(exp=NOW + 30))
    assert bench.code(token) is None

    bench.now = NOW + 30 + LEEWAY - 1
    assert bench.code(token) is None
    bench.now = NOW + 30 + LEEWAY
    assert bench.code(token) is TokenFault.EXPIRED
    assert bench.code(token) is TokenFault.EXPIRED


def test_a_signature_is_checked_once_while_the_token_lasts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signed(claims())
    checks = _counted(monkeypatch)

    for _ in range(5):
        bench.verify(token)

    assert checks == [token]


def test_what_is_remembered_of_tokens_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.restart(tokens_cached_max=2)
    tokens = [signed(claims(jti=str(number))) for number in range(3)]
    checks = _counted(monkeypatch)

    for token in [*tokens, tokens[0], tokens[2]]:
        bench.verify(token)

    assert checks == [*tokens, tokens[0]]


def test_a_key_that_is_taken_out_of_the_file_verifies_nothing_more(bench: Bench) -> None:
    token = signed(claims())
    assert bench.code(token) is None

    bench.write(RSA)
    bench.now += 1

    assert bench.code(token) is TokenFault.UNKNOWN_KEY


def test_a_new_key_works_within_a_second_of_being_added(bench: Bench) -> None:
    token = signed(claims(), {"typ": "at+jwt", "alg": "ES256", "kid": "new"}, EC)
    assert bench.code(token) is TokenFault.UNKNOWN_KEY

    bench.write(ECKey.import_key({**EC.as_dict(private=False), "kid": "new"}))
    bench.now += 1

    assert bench.code(token) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"keys": 1}', b"\xff"])
def test_a_key_file_that_cannot_be_read_leaves_the_keys_before_in_force(bench: Bench, content: bytes) -> None:
    assert bench.code(signed(claims())) is None

    bench.path.write_bytes(content)
    bench.now += 1

    assert bench.code(signed(claims(jti="2"))) is None
    os.unlink(bench.path)
    bench.now += 1
    assert bench.code(signed(claims(jti="3"))) is None


def test_without_any_key_nothing_is_judged_and_the_service_is_not_ready(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "jwks.json")
    bench.path.unlink()
    bench.restart()

    assert not bench.verify.ready()
    assert bench.code(signed(claims())) is TokenFault.KEYS_MISSING


@pytest.mark.parametrize(("leeway", "issuer"), [(61, ISSUER), (-1, ISSUER), (60, "")])
def test_settings_that_would_weaken_the_check_are_refused_at_the_start(
    tmp_path: Path, leeway: int, issuer: str
) -> None:
    with pytest.raises(ValueError, match="DONDOC_JWT"):
        TokenVerifier(KeyFile(tmp_path / "x", COUNTS), COUNTS, issuer=issuer, audience=AUDIENCE, leeway_seconds=leeway)


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    checks: list[str] = []
    original = jws.deserialize_compact

    def counted(token: str, *arguments: Any, **options: Any) -> Any:
        checks.append(token)
        return original(token, *arguments, **options)

    monkeypatch.setattr(jws, "deserialize_compact", counted)
    return checks


# -- other JWTs of the issuer --------------------------------------------------------------------------------------

ID_TYPES = frozenset({"", "jwt"})


@pytest.mark.parametrize("header", [{"typ": "JWT", "alg": "ES256", "kid": "ec"}, {"alg": "ES256", "kid": "ec"}])
def test_an_id_token_says_what_stands_in_it_and_opens_nothing(bench: Bench, header: dict[str, Any]) -> None:
    token = signed({"nonce": "n"}, header)

    assert bench.verify.claims(token, types=ID_TYPES) == {"nonce": "n"}
    assert bench.code(signed(claims(), header)) is TokenFault.MALFORMED


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        (signed(claims()), TokenFault.MALFORMED),
        (signed({}, {"alg": "ES256", "kid": "ec"}, STRANGER), TokenFault.BAD_SIGNATURE),
        (signed({}, {"alg": "ES256", "kid": "new"}), TokenFault.UNKNOWN_KEY),
        (signed(b"[]", {"alg": "ES256", "kid": "ec"}), TokenFault.MALFORMED),
        (f"{part({'alg': 'none'})}.{part({})}.", TokenFault.BAD_SIGNATURE),
        ("", TokenFault.MALFORMED),
    ],
)
def test_what_is_no_id_token_of_the_issuer_says_nothing(bench: Bench, token: str, fault: TokenFault) -> None:
    with pytest.raises(TokenRefusedError) as refused:
        bench.verify.claims(token, types=ID_TYPES)

    assert refused.value.fault is fault


def test_without_keys_an_id_token_says_nothing_yet(bench: Bench) -> None:
    bench.path.unlink()
    bench.restart()

    with pytest.raises(TokenRefusedError) as refused:
        bench.verify.claims(signed({}, {"alg": "ES256", "kid": "ec"}), types=ID_TYPES)
    assert refused.value.fault is TokenFault.KEYS_MISSING
