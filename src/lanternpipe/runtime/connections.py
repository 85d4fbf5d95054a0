"""Connections to the port of metrics and probes: few at once, each for a short time.

One thread holds them all, so that an idle one costs a file descriptor and no more. Where there are
too many, the one that is open for longest goes: a probe is done within milliseconds, who holds a
connection is not, so a newcomer is let in however many are held.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from lanternpipe.runtime.http import MOST_HEAD

MOST_CONNECTIONS = 128
REQUEST_SECONDS = 10.0  # for all of it: handshake, request, answer, farewell
FAREWELL_SECONDS = 1.0
FAREWELL_BYTES = 1024 * 1024
BREATH_SECONDS = 0.05


class Connections:
    """Takes in clients, reads what they ask for, sends the answer and lets them go.

    Args:
        answer: Returns the bytes to send for the head of a request; None for one that is too long.
        tls: Returns what a new connection is encrypted with; None: with nothing.
        most: How many at once.
        seconds: How long each may last.
    """

    def __init__(
        self,
        answer: Callable[[bytes | None], Awaitable[bytes]],
        tls: Callable[[], ssl.SSLContext | None],
        *,
        most: int = MOST_CONNECTIONS,
        seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._answer = answer
        self._tls = tls
        self._most = most
        self._seconds = seconds
        self._open: dict[asyncio.Task[None], None] = {}  # the oldest first

    async def accept(self, listening: socket.socket) -> None:
        """Take in clients for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError:  # no file descriptors are left, or the client has gone
                self._let_go()
                await asyncio.sleep(BREATH_SECONDS)
                continue
            while len(self._open) >= self._most:
                self._let_go()
            task = loop.create_task(self._serve(client))
            self._open[task] = None
            task.add_done_callback(lambda done: self._open.pop(done, None))
            await asyncio.sleep(0)  # accepting does not, while there is another one

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep this task's connection within the block, also when there are too many."""
        task = asyncio.current_task()
        if task in self._open:
            del self._open[task]
        try:
            yield
        finally:
            if task is not None:
                self._open[task] = None

    def _let_go(self) -> None:
        if self._open:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()

    async def _serve(self, client: socket.socket) -> None:
        transport: asyncio.WriteTransport | None = None
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await self._streams(client)
                transport = writer.transport
                writer.write(await self._answer(await _head(reader)))
                await writer.drain()
                await _farewell(reader, writer)
        except (OSError, EOFError):  # also TimeoutError and what is wrong with TLS
            pass
        finally:
            if transport is not None:
                transport.abort()
            else:
                client.close()

    async def _streams(
        self, client: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MOST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        context = self._tls()
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            client,
            ssl=context,
            ssl_handshake_timeout=self._seconds if context else None,
            ssl_shutdown_timeout=FAREWELL_SECONDS if context else None,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None


async def _farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close; what is still on its way to us is read, or the answer would be lost for it."""
    if writer.can_write_eof():
        writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                left = FAREWELL_BYTES
                while left > 0 and (more := await reader.read(left)):
                    left -= len(more)
    writer.close()
    await writer.wait_closed()
