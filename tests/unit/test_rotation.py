"""What is noticed of files that are replaced, and what is left alone while they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lanternpipe.certificates import Authority
from lanternpipe.kafka.rotation import Rotation
from lanternpipe.settings import SecuritySettings
from lanternpipe.testing.doubles import LogBook


class Client:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.logins: list[tuple[str, str]] = []

    def log_in_with(self, username: str, password: str) -> None:
        """Remember it."""
        self.logins.append((username, password))


class Bench:
    """A rotation, and the files that it looks at."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.key = folder / "ca.crt", folder / "client.key"
        self.certificate, self.password = folder / "client.crt", folder / "password"
        self.authority = Authority.make("tests", now=datetime.now(UTC), days=10)
        self.ca.write_bytes(self.authority.pair.certificate)
        self.issue(days=1)
        self.password.write_text("first\n")
        security = SecuritySettings(
            mode="scram",
            username="me",
            password_file=self.password,
            ca_file=self.ca,
            cert_file=self.certificate,
            key_file=self.key,
        )
        self.client, self.log = Client(), LogBook()
        self.replaced = 0
        self.rotation = Rotation(security, [self.client], replace=self._count, log=self.log)

    def issue(self, days: float) -> None:
        """Replace the certificate and its key."""
        made = self.authority.issue("me", now=datetime.now(UTC), days=days)
        made.write(self.certificate, self.key)

    def _count(self) -> None:
        self.replaced += 1


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_happens_while_nothing_changes(bench: Bench) -> None:
    """Looks at the same files tell nothing."""
    bench.rotation.look()
    bench.rotation.look()
    assert bench.rotation.version == 0
    assert bench.client.logins == []
    assert bench.log.lines == []


def test_a_new_password_goes_to_the_clients_as_they_are(bench: Bench) -> None:
    """They are told once, and need not be replaced."""
    bench.password.write_text("second\n")
    bench.rotation.look()
    bench.rotation.look()
    assert bench.client.logins == [("me", "second")]
    assert bench.rotation.version == 0
    assert [line["what"] for line in bench.log.named("rotated")] == ["password"]


def test_new_certificates_need_new_clients(bench: Bench) -> None:
    """Each change is one more version, and from then on the expiry is that of the new one."""
    before = bench.rotation.expiries()["client"]
    bench.issue(days=5)
    bench.rotation.look()
    bench.rotation.look()
    assert bench.rotation.version == bench.replaced == 1
    assert bench.rotation.expiries()["client"] > before


@pytest.mark.parametrize("name", ["ca", "certificate", "key", "password"])
@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\n"])
def test_what_is_half_replaced_is_waited_for(bench: Bench, name: str, content: str | None) -> None:
    """A file that is gone, empty or torn is said once; when it is whole again, all is well."""
    if name == "password" and content:
        return  # that is a password like any other
    file: Path = getattr(bench, name)
    whole = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    bench.rotation.look()
    bench.rotation.look()
    assert len(bench.log.named("rotation_waits")) == 1
    assert bench.client.logins == []
    file.write_bytes(whole)
    bench.rotation.look()
    assert bench.rotation.version == 0
