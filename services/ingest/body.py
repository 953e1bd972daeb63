"""A request's body as it comes in: decompressed on the way, never larger than its limit in either form."""

import zlib

from services.ingest.domain.refusal import Code, RefusedError

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Body:
    """Collects pieces. `bytes_max` holds for what is sent and for what becomes of it."""

    def __init__(self, *, is_gzip: bool, bytes_max: int) -> None:
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if is_gzip else None
        self._bytes_max = bytes_max
        self._sent = 0
        self._content: bytes | bytearray = b""

    def announced(self, length: int | None) -> None:
        """Refuse at once what says itself that it is too large."""
        if length is not None and length > self._bytes_max:
            raise self._too_large()

    def add(self, piece: bytes) -> int:
        """Take a piece. Returns how many bytes the content grew by. Raises RefusedError."""
        self._sent += len(piece)
        if self._sent > self._bytes_max:
            raise self._too_large()
        if self._inflater is not None:
            piece = self._inflated(self._inflater, piece)
        if not self._content:
            # Mostly the only one: kept as it is.
            self._content = piece
        else:
            if isinstance(self._content, bytes):
                self._content = bytearray(self._content)
            self._content += piece
        return len(piece)

    def whole(self) -> bytes:
        """The content, when no more pieces come. Raises RefusedError where a compressed one is cut off."""
        if self._inflater is not None and not self._inflater.eof:
            raise _malformed("it is cut off")
        return bytes(self._content)

    def _inflated(self, inflater: "zlib._Decompress", piece: bytes) -> bytes:
        room = self._bytes_max - len(self._content)
        try:
            # Never more than one byte too many, whatever the piece would become.
            content = inflater.decompress(piece, room + 1)
        except zlib.error as error:
            raise _malformed("it is not gzip (RFC 1952)") from error
        if len(content) > room:
            raise self._too_large()
        if inflater.unused_data:
            raise _malformed("something follows its end")
        return content

    def _too_large(self) -> RefusedError:
        return RefusedError(
            Code.BODY_TOO_LARGE, f"The body has more than {self._bytes_max} bytes. Send it in smaller parts."
        )


def _malformed(reason: str) -> RefusedError:
    return RefusedError(
        Code.MALFORMED_ENCODING, f"The compressed body cannot be read: {reason}. Compress it anew, or send it plain."
    )
