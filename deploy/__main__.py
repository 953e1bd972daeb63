"""`dondoc`: what an operator does by hand. `python -m deploy keys|token|issuer|audit|rebuild`."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from deploy import audit
from deploy.issuer import SCOPES, FileIssuer, IssuerError
from shared.contracts.identifiers import AgencyCode, ProvinceCode

FOLDER: Final = Path(os.environ.get("DONDOC_ISSUER_DIR", "issuer"))
_TTL: Final = re.compile(r"([1-9][0-9]{0,4})([hd])")
_DAYS_MAX: Final = 366
_BOARD_URL: Final = "http://127.0.0.1:8083"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a failure is one message on stderr and exit code 1."""
    given = _parser().parse_args(arguments)
    try:
        _COMMANDS[given.command](given)
    except IssuerError as error:
        sys.exit(f"dondoc: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dondoc", description="What an operator does by hand.")
    commands = parser.add_subparsers(dest="command", required=True)

    keys = commands.add_parser("keys", help="the keys of the file-based issuer")
    steps = keys.add_subparsers(dest="step", required=True)
    made = steps.add_parser("init", help="make an issuer with its first key")
    made.add_argument("--issuer", required=True, help="its name, DONDOC_JWT_ISSUER of the services: https://…")
    made.add_argument("--audience", default="dondoc")
    listed = steps.add_parser("list", help="show the keys")
    rotated = steps.add_parser("rotate", help="sign with a new key; tokens under the old ones stay good")
    retired = steps.add_parser("retire", help="take a key back: its tokens are refused from now on")
    retired.add_argument("kid")

    token = commands.add_parser("token", help="print a token for an agency's system")
    token.add_argument("--province", required=True, type=_province, help="for example H48")
    token.add_argument("--agency", required=True, type=_agency, help="for example H48.07")
    token.add_argument("--scope", required=True, action="append", choices=SCOPES, help="may be repeated")
    token.add_argument("--valid", type=_ttl, default=timedelta(hours=8), help="for example 8h or 90d (default: 8h)")

    issuer = commands.add_parser("issuer", help="for trials only: a login page over the file-based issuer")
    served = issuer.add_subparsers(dest="step", required=True).add_parser(
        "serve", help="answer on this machine; whoever opens the page may log in as any agency"
    )
    served.add_argument("--port", type=int, default=8084)
    served.add_argument("--board", action="append", help=f"DONDOC_BOARD_URL of reporting (default: {_BOARD_URL})")
    served.add_argument("--client", default="dondoc-board", help="DONDOC_LOGIN_CLIENT_ID of reporting")
    served.add_argument("--secret-file", type=Path, help="its DONDOC_LOGIN_CLIENT_SECRET_FILE (none: public client)")
    served.add_argument("--agencies", type=Path, help="who can be chosen, as YAML (default: those of the demo)")
    served.add_argument("--valid", type=_ttl, default=timedelta(hours=8), help="how long a login lasts (default: 8h)")
    for one in (made, listed, rotated, retired, token, served):
        one.add_argument("--folder", type=Path, default=FOLDER, help="DONDOC_ISSUER_DIR, else ./issuer")

    counted = commands.add_parser("audit", help="count what was accepted against what became of it")
    audit.add_options(counted)

    rebuilt = commands.add_parser("rebuild", help="derive what a service keeps anew from its topics, while it serves")
    rebuilt.add_argument("service", choices=["reporting"])
    rebuilt.add_argument("--abort", action="store_true", help="end a rebuild, and drop what one left half done")
    rebuilt.add_argument(
        "--allow-missing", action="store_true", help="switch even if something serves now that is in no topic"
    )
    return parser


def _keys(given: argparse.Namespace) -> None:
    folder: Path = given.folder
    match given.step:
        case "init":
            issuer = FileIssuer.make(folder, issuer=given.issuer, audience=given.audience)
            [key] = issuer.known_keys()
            print(f"made, signing with {key.kid}; give the services {issuer.jwks_file} and nothing else")
        case "list":
            for one in FileIssuer.load(folder).known_keys():
                print(f"{one.kid}  {one.made_at:%Y-%m-%d %H:%M}Z  {'signs' if one.signs else 'verifies'}")
        case "rotate":
            print(f"{FileIssuer.load(folder).rotate()} signs from now on; publish {folder / 'jwks.json'}")
        case _:
            FileIssuer.load(folder).retire(given.kid)
            print(f"{given.kid} is taken back once the services read {folder / 'jwks.json'}")


def _token(given: argparse.Namespace) -> None:
    print(FileIssuer.load(given.folder).mint(given.agency, given.province, given.scope, given.valid))


def _issuer(given: argparse.Namespace) -> None:
    try:
        # Not at the top: the image has no login page, and its other commands must run without.
        from deploy import login_page
    except ImportError as error:
        raise IssuerError("the login page is for trials and no part of this image; run it from the sources") from error
    try:
        secret = given.secret_file.read_text(encoding="utf-8").strip() if given.secret_file else ""
    except OSError as error:
        raise IssuerError(f"{given.secret_file} cannot be read: {error.strerror}") from error
    board = login_page.Board(tuple(given.board or [_BOARD_URL]), given.client, secret)
    people = login_page.read_people(given.agencies or login_page.DEMO_AGENCIES)
    url = f"http://{login_page.HOST}:{given.port}"
    page = login_page.LoginPage(given.folder, url, board, people, valid=given.valid)
    print(f"for trials only: {url}/.well-known/openid-configuration is DONDOC_LOGIN_DISCOVERY_URL", flush=True)
    login_page.serve(page, given.port)


def _audit(given: argparse.Namespace) -> None:
    sys.exit(audit.run(given))


def _rebuild(given: argparse.Namespace) -> None:
    said = [f"--{name}" for name in ("abort", "allow-missing") if getattr(given, name.replace("-", "_"))]
    # The service's own command: with its settings, and signals reach it as they came.
    os.execv(sys.executable, [sys.executable, "-m", f"services.{given.service}", "rebuild", *said])  # noqa: S606


_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], None]]] = {
    "keys": _keys,
    "token": _token,
    "issuer": _issuer,
    "audit": _audit,
    "rebuild": _rebuild,
}


def _province(text: str) -> str:
    return _checked(TypeAdapter(ProvinceCode), text, "a province code, for example H48")


def _agency(text: str) -> str:
    return _checked(TypeAdapter(AgencyCode), text, "an agency code, for example H48.07")


def _checked(wanted: TypeAdapter[str], text: str, what: str) -> str:
    try:
        return wanted.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from error


def _ttl(text: str) -> timedelta:
    found = _TTL.fullmatch(text)
    ttl = timedelta(**{"hours" if found[2] == "h" else "days": int(found[1])}) if found else None
    if ttl is None or ttl > timedelta(days=_DAYS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 8h or 90d, {_DAYS_MAX}d at most")
    return ttl


if __name__ == "__main__":
    main()
