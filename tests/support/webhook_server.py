"""A receiver of webhooks on plain sockets, that answers what it is told to, well or badly."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

GARBAGE = b"x" * 65_536


@dataclass(frozen=True)
class Request:
    """What came, byte for byte."""

    line: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class WebhookServer:
    """Keeps what it took. `behaviour` and the answer may be changed at any time."""

    status: str = "204 No Content"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    """Sent a moment after the headers."""
    behaviour: Literal["answers", "hangs", "resets", "floods", "stalls"] = "answers"
    """`floods`: the body never ends. `stalls`: it never begins."""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    """What TLS asked for (SNI)."""
    bytes_written: int = 0
    heard_out: int = 0
    """Answers whose body somebody still waited for."""
    port: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                self.requests.append(await _read(reader))
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behaviour == "hangs":
            await asyncio.sleep(60)
        if self.behaviour == "resets":
            # Without lingering, closing is a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        bytes_promised = len(self.body) + (9 if self.behaviour == "stalls" else 0)
        length = "" if self.behaviour == "floods" else f"content-length: {bytes_promised}\r\n"
        writer.write(f"HTTP/1.1 {self.status}\r\n{headers}{length}\r\n".encode())
        await writer.drain()
        if self.behaviour == "stalls":
            await asyncio.sleep(60)
        if self.body:
            await asyncio.sleep(0.05)
            self.heard_out += not reader.at_eof()
            writer.write(self.body)
            await writer.drain()
        while self.behaviour == "floods":
            writer.write(GARBAGE)
            self.bytes_written += len(GARBAGE)
            await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Request(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def webhook_server(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[WebhookServer]:
    """Run one on 127.0.0.1, behind TLS if a context is given."""
    answers = WebhookServer()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        # Cancelled by the end of the test; asyncio would report it as an error of ours.
        with suppress(asyncio.CancelledError):
            await answers._serve(reader, writer)

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: answers.names.append(name)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    answers.port = server.sockets[0].getsockname()[1]
    try:
        yield answers
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate of its own for a name, and the file that clients trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file
