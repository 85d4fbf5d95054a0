"""As much of Kafka's protocol as the proxy has to know: frames, and what kind of request one is."""

from __future__ import annotations

import socket
from typing import NamedTuple

PRODUCE, END_TXN = 0, 26
LAST_PLAIN_END_TXN = 2  # later versions end with tagged fields


class Request(NamedTuple):
    """One request as it goes over the wire.

    Attributes:
        kind: Kafka's number of the kind of request.
        version: Of that kind.
        correlation: What the answer will begin with.
        frame: All of its bytes.
    """

    kind: int
    version: int
    correlation: int
    frame: bytes

    @property
    def commits(self) -> bool:
        """Whether this asks to commit a transaction."""
        if self.kind != END_TXN:
            return False
        return self.frame[-1 if self.version <= LAST_PLAIN_END_TXN else -2] == 1


def request(frame: bytes) -> Request:
    """Read the header of a request."""
    kind, version, correlation = (
        int.from_bytes(frame[start:end], "big") for start, end in ((4, 6), (6, 8), (8, 12))
    )
    return Request(kind, version, correlation, frame)


def correlation(answer: bytes) -> int:
    """Tell which request an answer is for."""
    return int.from_bytes(answer[4:8], "big")


def read_frame(connection: socket.socket) -> bytes | None:
    """Return the next frame with its length in front; None at the end of the connection."""
    length = _exactly(connection, 4)
    if length is None:
        return None
    body = _exactly(connection, int.from_bytes(length, "big"))
    return None if body is None else length + body


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    """Return so many bytes; None if the connection ends before."""
    held = bytearray()
    while len(held) < count:
        more = connection.recv(count - len(held))
        if not more:
            return None
        held += more
    return bytes(held)
