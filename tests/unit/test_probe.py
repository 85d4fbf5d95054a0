"""What comes of knocking at a port, and above all what proves nothing."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority
from lanternpipe.kafka.probe import host_and_port, knock
from lanternpipe.settings import SecuritySettings

OPEN = SecuritySettings()
TLS = SecuritySettings(mode="tls")
SECONDS = 0.5


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer every connection in some way within the block; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    answer(line)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def hang_up(line: socket.socket) -> None:
    """Say nothing and close."""


def wait(line: socket.socket) -> None:
    """Say nothing until the other side closes."""
    while line.recv(4_096):
        pass


def garbage(line: socket.socket) -> None:
    """Answer what Kafka never does."""
    line.recv(4_096)
    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def kafka(line: socket.socket) -> None:
    """Answer as a listener without SASL does; an alien beginning is hung up on."""
    if line.recv(4_096)[:2] == b"\0\0":
        line.sendall(struct.pack(">iihi", 10, 1, 34, 0))


@pytest.mark.parametrize("security", [OPEN, TLS], ids=["plaintext", "tls"])
@pytest.mark.parametrize("answer", [hang_up, wait])
def test_silence_is_no_refusal(
    answer: Callable[[socket.socket], None], security: SecuritySettings
) -> None:
    """A broker that is frozen, starts or stops, is waited for as one that is not there."""
    with listening(answer) as address:
        seen = knock(address, security, SECONDS)
    assert (seen.stage, seen.refused) == ("connect", False)


def test_nobody_there_is_no_refusal() -> None:
    """Nor is a name that nobody knows yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    assert not knock(address, OPEN, SECONDS).refused
    assert knock("nowhere.invalid:9092", OPEN, SECONDS).stage == "resolve"


def test_a_port_without_tls() -> None:
    """It is proven to be one by a word in the open."""
    with listening(kafka) as address:
        assert knock(address, OPEN, SECONDS).problem is None
        seen = knock(address, TLS, SECONDS)
    assert seen.refused
    assert "does not speak TLS" in (seen.problem or "")


def test_a_port_of_something_else() -> None:
    """What answers otherwise than Kafka is told at once."""
    with listening(garbage) as address:
        seen = knock(address, OPEN, SECONDS)
    assert seen.refused
    assert "does not speak unencrypted Kafka" in (seen.problem or "")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("kafka:9093", ("kafka", 9093)),
        ("kafka", ("kafka", 9092)),
        ("[::1]:9093", ("::1", 9093)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    """As Kafka's clients read them."""
    assert host_and_port(address) == expected


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nhalf"])
def test_files_that_are_being_replaced_prove_nothing(tmp_path: Path, content: bytes | None) -> None:
    """A certificate of ours that is half written, or just gone, is told, and is no refusal."""
    Authority.make("tests", now=datetime.now(UTC), days=1).pair.write(
        certificate := tmp_path / "client.crt", key := tmp_path / "client.key"
    )
    security = SecuritySettings(
        mode="mtls", ca_file=certificate, cert_file=certificate, key_file=key
    )
    if content is None:
        certificate.unlink()
    else:
        certificate.write_bytes(content)
    with listening(hang_up) as address:
        seen = knock(address, security, SECONDS)
    assert seen.problem
    assert not seen.refused


def test_a_name_that_no_host_can_have() -> None:
    """An address that cannot even be looked up is told like any that leads nowhere."""
    seen = knock(f"{'a' * 70}.example:9092", OPEN, SECONDS)
    assert seen.problem
    assert not seen.refused
