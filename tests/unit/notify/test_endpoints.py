"""The file of webhook endpoints: what it may say, and what whoever wrote it wrong is told."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.notify.endpoints import Endpoint, read_endpoints

SHARED = base64.b64encode(bytes(range(32))).decode()
SEED = bytes(range(1, 33))
OURS = base64.b64encode(SEED).decode()
PUBLIC_HALF = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()

GOOD = f"""\
endpoints:
  - province: H48
    agency: H48.21
    url: https://qlvb.stc.example/dondoc
    secrets: [whsec_{SHARED}, whsk_{OURS}]
  - province: H48
    agency: 000.00.53.H48
    url: https://h48.example:8443/in?tenant=53
    head: true
    secrets:
      - whsec_{SHARED}
"""


def read(folder: Path, text: str, *, allow_private: bool = False) -> tuple[Endpoint, ...]:
    path = folder / "webhooks.yaml"
    path.write_text(text)
    return read_endpoints(path, allow_private=allow_private)


def refusal(folder: Path, text: str, *, allow_private: bool = False) -> str:
    with pytest.raises(ValueError, match=r"webhooks\.yaml, line [0-9]+: ") as raised:
        read(folder, text, allow_private=allow_private)
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    return str(raised.value).replace(str(folder / "webhooks.yaml"), "file")


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_endpoints(tmp_path / "nowhere", allow_private=False)


def test_endpoints_are_read(tmp_path: Path) -> None:
    first, second = read(tmp_path, GOOD)

    assert (first.province, first.agency, first.url, first.head) == (
        "H48",
        "H48.21",
        "https://qlvb.stc.example/dondoc",
        False,
    )
    shared, ours = first.secrets
    assert shared == bytes(range(32))
    assert isinstance(ours, Ed25519PrivateKey)
    assert ours.private_bytes_raw() == SEED
    assert (second.agency, second.url, second.head) == ("000.00.53.H48", "https://h48.example:8443/in?tenant=53", True)


def test_a_private_key_may_carry_its_public_half(tmp_path: Path) -> None:
    both = base64.b64encode(SEED + PUBLIC_HALF).decode()

    [ours] = read(tmp_path, GOOD.replace(OURS, both))[0].secrets[1:]

    assert isinstance(ours, Ed25519PrivateKey)
    assert ours.private_bytes_raw() == SEED


def test_a_vietnamese_name_is_written_as_the_network_knows_it(tmp_path: Path) -> None:
    assert (
        read(tmp_path, GOOD.replace("qlvb.stc.example", "đônđốc.vn"))[0].url == "https://xn--nc-7ja9ic0186b.vn/dondoc"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("head: true", "colour: red", "line 9: endpoints.1.colour: nobody reads this field"),
        ("endpoints:", "webhooks:", "line 1: webhooks: nobody reads this field"),
        ("    head: true\n", "    head: true\n    head: false\n", "line 10: head: stands twice"),
        ("    url: https://qlvb.stc.example/dondoc\n", "", "line 2: endpoints.0.url: is missing"),
        ("[whsec_", "[whpk_", "line 5: endpoints.0.secrets.0: write whsec_"),
        (f"      - whsec_{SHARED}", "      - 5", "line 11: endpoints.1.secrets.0: write whsec_"),
        (f"\n      - whsec_{SHARED}", " []", "line 10: endpoints.1.secrets: is missing; add it"),
        ("https://qlvb.stc.example", "http://qlvb.stc.example", "line 4: endpoints.0.url: this is not https"),
        ("https://qlvb", "ftp://qlvb", "line 4: endpoints.0.url: this is not https"),
        ("https://qlvb.stc.example", "https://", "line 4: endpoints.0.url: this leads to no server"),
        ("/dondoc\n", "/dondoc#in\n", "line 4: endpoints.0.url: this leads to no server"),
        (f"[whsec_{SHARED}", f"[whsec_!{SHARED}", "line 5: endpoints.0.secrets.0: write whsec_"),
        (f"      - whsec_{SHARED}\n", f"      - whsec_{SHARED}\n" * 6, "line 10: endpoints.1.secrets: are more than 5"),
        (":8443/", ":0/", "line 8: endpoints.1.url: this leads to no server"),
        (":8443/", ":65536/", "line 8: endpoints.1.url: this leads to no server"),
        ("https://h48.example", "https://h48..example", "line 8: endpoints.1.url: this is no url"),
        ("agency: 000.00.53.H48", "agency: H48.21", "line 7: endpoints.1.agency: H48/H48.21 has an endpoint above"),
        ("province: H48", "province: Quảng Ngãi", "line 2: endpoints.0.province: must match pattern"),
        ("    agency: H48.21", "    agency: [", "cannot be read as YAML"),
        (GOOD, "", "line 1: the file is empty"),
        (GOOD, "endpoints: {province: H48}", "line 1: endpoints: must be a list"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD

    assert expected in refusal(tmp_path, GOOD.replace(old, new))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = refusal(tmp_path, GOOD.replace("https", "http").replace("whsk_", "whpk_"))

    assert [line.partition(": ")[0] for line in found.splitlines()] == ["file, line 4", "file, line 5", "file, line 8"]


def test_the_same_agency_code_in_two_provinces_is_two_agencies(tmp_path: Path) -> None:
    row = f"  - {{province: H48, agency: H48.21, url: https://x.example/, secrets: [whsec_{SHARED}]}}\n"

    assert len(read(tmp_path, f"endpoints:\n{row}{row.replace('province: H48', 'province: H49')}")) == 2


@pytest.mark.parametrize("length", [0, 23, 65])
def test_a_shared_secret_is_as_long_as_the_specification_says(tmp_path: Path, length: int) -> None:
    other = base64.b64encode(b"k" * length).decode()

    assert "write whsec_" in refusal(tmp_path, GOOD.replace(f"[whsec_{SHARED}", f"[whsec_{other}"))


@pytest.mark.parametrize("length", [24, 64])
def test_the_shortest_and_the_longest_secret_are_taken(tmp_path: Path, length: int) -> None:
    key = b"k" * length

    assert read(tmp_path, GOOD.replace(SHARED, base64.b64encode(key).decode()))[0].secrets[0] == key


@pytest.mark.parametrize("key", [b"k" * 31, b"k" * 33, SEED + b"k" * 32])
def test_a_private_key_must_be_one(tmp_path: Path, key: bytes) -> None:
    assert "write whsec_" in refusal(tmp_path, GOOD.replace(OURS, base64.b64encode(key).decode()))


def test_http_is_for_trials(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD.replace("https", "http"), allow_private=True)[0].url.startswith("http://")
    assert "not https" in refusal(tmp_path, GOOD.replace("https", "ftp"), allow_private=True)


def test_a_url_carries_no_password(tmp_path: Path) -> None:
    assert "line 4: endpoints.0.url: no name and no password" in refusal(
        tmp_path, GOOD.replace("https://qlvb", "https://dondoc:secret@qlvb")
    )


@pytest.mark.parametrize(
    "spoilt",
    [
        GOOD.replace(f"[whsec_{SHARED}, whsk_{OURS}]", "whsec_hush"),
        GOOD.replace(SHARED, "hush"),
        GOOD.replace(OURS, "hush"),
        GOOD.replace("agency: H48.21", "agency: whsec_hush"),
        GOOD.replace("head: true", "head: whsec_hush"),
        GOOD.replace("https://qlvb", "https://hush:hush@qlvb"),
        GOOD.replace("https://qlvb.stc.example/dondoc", "http://h/?key=hush"),
        GOOD.replace("https://qlvb.stc.example/dondoc", "[https://h/?key=hush]"),
        GOOD.replace("https://qlvb.stc.example/dondoc", "https://h/?key=hush\n    colour: red"),
        "endpoints: {url: https://h/?key=hush}",
        "endpoints: [whsec_hush]",
        "endpoints: whsec_hush",
        "- whsec_hush",
        "endpoints: [{url: https://h/?key=hush",
    ],
)
def test_what_may_be_secret_is_in_no_error(tmp_path: Path, spoilt: str) -> None:
    """INVARIANT: errors are logged and passed around; secrets and keys in a URL are not."""
    assert "hush" in spoilt
    assert "hush" not in refusal(tmp_path, spoilt)


def test_what_may_be_secret_is_in_no_repr(tmp_path: Path) -> None:
    """INVARIANT: the same for a dump of what was read."""
    [first, second] = read(tmp_path, GOOD)

    assert repr((first, second)) == (
        "(Endpoint(province='H48', agency='H48.21', head=False), "
        "Endpoint(province='H48', agency='000.00.53.H48', head=True))"
    )
