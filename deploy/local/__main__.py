"""The local stack on the command line: `up`, `fetch`, `token`."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from deploy.local.broker import KafkaKind
from deploy.local.cache import cache_dir
from deploy.local.errors import LocalStackError
from deploy.local.issuer import Issuer
from deploy.local.kafka_apache import find_jars
from deploy.local.mongod import find_program
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import SERVICE_PORTS, Stack, StackOptions
from deploy.topics import TopicsError

_BUILD: Final = REPOSITORY_ROOT / "build"
_CURRENT_RUN: Final = "up"


def main() -> None:
    """Run one command; a failure is one message on stderr and exit code 1."""
    arguments = _parser().parse_args()
    try:
        match arguments.command:
            case "up":
                asyncio.run(up(_options(arguments)))
            case "fetch":
                asyncio.run(fetch())
            case _:
                print(token(arguments))
    except (LocalStackError, TopicsError) as error:
        cause = f"\n{error.__cause__}" if error.__cause__ else ""
        sys.exit(f"{error}{cause}")
    except KeyboardInterrupt:
        # Asked for while stopping already: the kernel ends the children together with us.
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The whole system on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start everything, wait for Ctrl-C, stop everything")
    start.add_argument("--kafka", type=KafkaKind, choices=list(KafkaKind), default=KafkaKind.EMBEDDED)
    start.add_argument("--clock", help="DONDOC_CLOCK, for example 2024-10-11T08:00:00+07:00@3600")
    start.add_argument("--build-dir", type=Path, default=_BUILD, help="where runs keep their logs and mails")
    start.add_argument("--services", nargs="*", default=list(SERVICE_PORTS), help="only these (none: only the parts)")
    commands.add_parser("fetch", help="only download what is missing")
    mint = commands.add_parser("token", help="print a token for the stack that is up")
    mint.add_argument("--agency", required=True, help="for example H48.07")
    mint.add_argument("--province", required=True, help="for example H48")
    mint.add_argument("--scope", required=True, action="append", help="for example events:write; may be repeated")
    mint.add_argument("--hours", type=float, default=8.0, help="how long it is valid")
    mint.add_argument("--build-dir", type=Path, default=_BUILD)
    return parser


def _options(arguments: argparse.Namespace) -> StackOptions:
    run = f"up-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    return StackOptions(
        run_dir=arguments.build_dir.resolve() / run,
        kafka=arguments.kafka,
        services=tuple(arguments.services),
        preferred_ports=True,
        clock=arguments.clock,
        trial_login=True,
    )


async def up(options: StackOptions) -> None:
    """Hold the stack up until a signal asks us to end; a part that ends by itself is an error."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    # Being asked to end is success.
    with suppress(asyncio.CancelledError):
        async with Stack(options, say=_say) as stack:
            _point_at(options.run_dir)
            _say(_addresses(stack))
            raise LocalStackError(await stack.first_death())


def _say(line: str) -> None:
    print(line, flush=True)


def _point_at(run_dir: Path) -> None:
    """Make `build/up` lead to this run, so that `token` finds its key."""
    link = run_dir.with_name(_CURRENT_RUN)
    unfinished = run_dir.with_name(f".{_CURRENT_RUN}-{os.getpid()}")
    unfinished.symlink_to(run_dir.name)
    unfinished.replace(link)


def _addresses(stack: Stack) -> str:
    rows = [(service.name, service.url) for service in stack.services]
    if stack.login is not None:
        rows += [
            ("board", f"{stack.login.board_url}/"),
            ("its login page", f"{stack.login.url} (for trials: be any agency, no password)"),
        ]
    rows += [
        ("Kafka", stack.kafka.bootstrap),
        ("MongoDB", stack.mongod.uri),
        ("mails", str(stack.mailbox.folder)),
        ("logs", str(stack.log_dir)),
        ("a token", "python -m deploy.local token --agency H48.07 --province H48 --scope events:write"),
    ]
    return "\n".join(["", *(f"  {name:<16} {where}" for name, where in rows), "", "Ctrl-C stops everything."])


async def fetch() -> None:
    """Fill the cache with mongod and Kafka's jars."""
    with tempfile.TemporaryDirectory(prefix="dondoc-fetch-") as logs:
        program = await find_program(Path(logs))
        _say(f"MongoDB: {program.path} from {program.origin}")
        jars, origin = await find_jars(Path(logs))
        _say(f"Kafka: {jars} from {origin}")
    _say(f"The cache is {cache_dir()}")


def token(arguments: argparse.Namespace) -> str:
    """A token signed by the key of the stack that is up."""
    issuer = Issuer.existing(arguments.build_dir / _CURRENT_RUN / "issuer")
    if issuer is None:
        raise LocalStackError("no stack has been started here: run `python -m deploy.local up` first")
    scopes = [scope for group in arguments.scope for scope in group.split()]
    return issuer.mint(arguments.agency, arguments.province, scopes, timedelta(hours=arguments.hours))


if __name__ == "__main__":
    main()
