"""A door between one process and one broker, which can be slammed, blocked or slowed down."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Literal, Self

from tests.chaos.wire import PRODUCE, correlation, read_frame, request

Mode = Literal["open", "delay", "half-open", "drop"]
DELAY_SECONDS = 0.1  # of every frame, in each direction
CONNECT_SECONDS = 5.0
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # to linger for no time: the other end sees a reset


class LateCommit:
    """Holds back one request to commit until its client's next transaction has produced.

    The client loses the connection instead of getting its answer, asks again on another one, and
    goes on; then the first request reaches the broker after all (KAFKA-17754).

    Attributes:
        held: Set once a request is held back.
        answered: Set once the broker has answered it.
    """

    def __init__(self) -> None:
        self.held, self.answered = Event(), Event()
        self._armed, self._due = Event(), Event()

    def arm(self) -> None:
        """Hold the next request to commit."""
        self.held.clear()
        self.answered.clear()
        self._due.clear()
        self._armed.set()

    def disarm(self) -> None:
        """Hold nothing, and let go of what is held."""
        self._armed.clear()
        self._due.set()

    def take(self) -> bool:
        """Tell a door whether to hold the request that it has at hand; true once."""
        if not self._armed.is_set():
            return False
        self._armed.clear()
        self.held.set()
        return True

    def produced(self) -> None:
        """Note that a broker has answered a request to produce."""
        if self.held.is_set():
            self._due.set()

    def await_due(self) -> None:
        """Wait until what is held is to go on."""
        self._due.wait()


class Proxy:
    """Listens in place of a broker, for one process.

    Args:
        late: Shared by the doors to all brokers, since a transaction goes to several.
    """

    def __init__(self, late: LateCommit | None = None) -> None:
        self.late = late or LateCommit()
        self.mode: Mode = "open"
        self._target = ("127.0.0.1", 0)
        self._lock = Lock()
        self._links: set[_Link] = set()
        self._open = Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.late.disarm()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()
        self.reset()
        self.turn("open")

    def lead_to(self, address: str) -> None:
        """Say where the broker is."""
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))

    def turn(self, mode: Mode) -> None:
        """Pass everything on, pass it late, swallow it without a word, or let nobody in."""
        self.mode = mode
        if mode == "half-open":
            self._open.clear()
        else:
            self._open.set()
        if mode == "drop":
            self.reset()

    def reset(self) -> None:
        """Reset all connections; new ones are taken."""
        with self._lock:
            links = [*self._links]
        for link in links:
            link.reset()

    def pass_on(self, frame: bytes, to: socket.socket) -> None:
        """Send a frame on when the door lets it through."""
        if self.mode == "delay":
            time.sleep(DELAY_SECONDS)  # this is the fault; nothing is waited for
        self._open.wait()
        to.sendall(frame)

    def forget(self, link: _Link) -> None:
        """Note that a connection has ended."""
        with self._lock:
            self._links.discard(link)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "drop":
                _reset(client)
                continue
            try:
                broker = socket.create_connection(self._target, CONNECT_SECONDS)
            except OSError:  # the broker is away
                _reset(client)
                continue
            broker.settimeout(None)
            for end in (client, broker):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(self, client, broker)
            with self._lock:
                self._links.add(link)
            link.start()


class _Link:
    """One connection through a door: its two ends, and a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, broker: socket.socket) -> None:
        self._proxy, self._client, self._broker = proxy, client, broker
        self._asked: dict[int, int] = {}  # kind of request by correlation
        self._late: int | None = None  # correlation of what is held back

    def start(self) -> None:
        for each in (self._up, self._down):
            Thread(target=each, name="proxy-link", daemon=True).start()

    def reset(self) -> None:
        if self._late is None:  # else its client is gone already, and the rest must arrive
            _reset(self._client)
            _reset(self._broker)

    def _up(self) -> None:
        late = self._proxy.late
        with suppress(OSError):
            while (frame := read_frame(self._client)) is not None:
                asked = request(frame)
                self._asked[asked.correlation] = asked.kind
                if asked.commits and late.take():
                    self._late = asked.correlation
                    _reset(self._client)
                    late.await_due()
                    self._broker.sendall(frame)
                    return  # the answer closes the rest
                self._proxy.pass_on(frame, self._broker)
        self._end()

    def _down(self) -> None:
        late = self._proxy.late
        with suppress(OSError):
            while (frame := read_frame(self._broker)) is not None:
                to = correlation(frame)
                if self._late is not None:
                    if to == self._late:
                        late.answered.set()
                        break
                    continue
                kind = self._asked.pop(to, None)
                self._proxy.pass_on(frame, self._client)
                if kind == PRODUCE:
                    late.produced()
        self._end()

    def _end(self) -> None:
        self._proxy.forget(self)
        for end in (self._client, self._broker):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        # Closing alone would leave a thread that reads from it waiting for ever.
        connection.shutdown(socket.SHUT_RD)
    connection.close()
