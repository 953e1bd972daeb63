"""A mail server that delivers nothing: it keeps every message as an .eml file, to be read by people and tests."""

import argparse
import asyncio
import email
import email.policy
import itertools
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess, accepts_connections

_READY_SECONDS_MAX: Final = 15.0
_STOP_SECONDS_MAX: Final = 5.0
_MESSAGE_BYTES_MAX: Final = 32 * 1024 * 1024

# The envelope is not part of a message; these headers keep it.
_SENDER_HEADER: Final = "X-Envelope-From"
_RECIPIENT_HEADER: Final = "X-Envelope-To"


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as the server took it."""

    path: Path
    sender: str
    recipients: tuple[str, ...]
    """Whom the envelope names, which is who would have got it."""
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain text, else the HTML, decoded."""
        body = self.message.get_body(preferencelist=("plain", "html"))
        return str(body.get_content()) if body is not None else ""


def read_mails(folder: Path) -> list[Mail]:
    """All messages of a mailbox folder, oldest first."""
    return [_read(path) for path in sorted(folder.glob("*.eml"))]


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), _class=EmailMessage, policy=email.policy.default)
    recipients = tuple(str(value) for value in message.get_all(_RECIPIENT_HEADER, []))
    return Mail(path, str(message[_SENDER_HEADER] or ""), recipients, message)


@dataclass(slots=True)
class Mailbox:
    """The mail server in a process of its own, and the folder it fills."""

    folder: Path
    port: int
    process: ManagedProcess
    host: str = "127.0.0.1"

    @classmethod
    async def start_new(
        cls, folder: Path, log_dir: Path, *, port: int | None = None, say: Callable[[str], None] = print
    ) -> Self:
        """Start one and wait until it takes mail."""
        began = time.monotonic()
        mailbox = cls._prepare(folder, log_dir, port or free_port())
        await mailbox.start()
        say(f"Mail: kept in {mailbox.folder}, SMTP on 127.0.0.1:{mailbox.port}, {time.monotonic() - began:.1f} s")
        return mailbox

    @classmethod
    def _prepare(cls, folder: Path, log_dir: Path, port: int) -> Self:
        folder = folder.absolute()
        command = (sys.executable, "-m", "deploy.local.mailbox", "--port", str(port), "--dir", str(folder))
        return cls(folder, port, ManagedProcess("mailbox", command, log_dir / "mailbox.log"))

    async def start(self) -> None:
        """Start it on its port and folder, and wait until it takes mail."""
        self.process.start()
        try:
            await self.process.wait_until(lambda: accepts_connections(self.port), within=_READY_SECONDS_MAX)
        except BaseException:
            self.process.kill()
            raise

    async def stop(self) -> None:
        """End it; the messages stay."""
        await self.process.stop(_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it like a power cut (SIGKILL); the messages it has acknowledged stay."""
        self.process.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and folder."""
        await self.stop()
        await self.start()

    def mails(self) -> list[Mail]:
        """All messages so far, oldest first."""
        return read_mails(self.folder)


class _Keeper:
    """aiosmtpd's handler: writes each message down before the client is told 250."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        headers = [f"{_SENDER_HEADER}: {envelope.mail_from}"]
        headers += [f"{_RECIPIENT_HEADER}: {recipient}" for recipient in envelope.rcpt_tos]
        content = envelope.content
        assert isinstance(content, bytes)  # decode_data is off
        name = f"{time.time_ns()}-{next(self._numbers):06}.eml"
        unfinished = self._folder / f"{name}.unfinished"
        unfinished.write_bytes("".join(f"{header}\r\n" for header in headers).encode() + content)
        unfinished.rename(self._folder / name)
        return "250 kept"


async def serve(port: int, folder: Path) -> None:
    """Take mail until we are asked to end."""
    loop = asyncio.get_running_loop()
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    keeper = _Keeper(folder)
    server = await loop.create_server(
        lambda: SMTP(keeper, data_size_limit=_MESSAGE_BYTES_MAX, enable_SMTPUTF8=True, hostname="localhost", loop=loop),
        "127.0.0.1",
        port,
    )
    async with server:
        await asked_to_end.wait()


def main() -> None:
    """`python -m deploy.local.mailbox --port 2525 --dir mails`: serve; without a port: list what the folder holds."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.mailbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the folder of the messages")
    parser.add_argument("--port", type=int, help="take mail here; without it, list the messages")
    arguments = parser.parse_args()
    if arguments.port is not None:
        arguments.dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(serve(arguments.port, arguments.dir))
        return
    for mail in read_mails(arguments.dir):
        print(f"{mail.path.name}  {mail.sender} → {', '.join(mail.recipients)}  {mail.subject}")


if __name__ == "__main__":
    main()
