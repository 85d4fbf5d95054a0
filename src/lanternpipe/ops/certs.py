"""``lanternpipe certs``: an authority of one's own and what it issues, for development."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lanternpipe.certificates import PRIVATE, Authority, Pair, Told, read, replace
from lanternpipe.errors import ConfigError
from lanternpipe.settings.security import check_certificates

AUTHORITY, BROKER = "ca", "kafka"
CLIENTS = ("producer", "processor", "replayer", "observer")
LOOPBACK = ("localhost", "127.0.0.1")
DAYS, AUTHORITY_DAYS = 60.0, 365.0  # the alert on what ends comes 30 days before
DAY_SECONDS = 86_400.0
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
DEVELOPMENT = (
    "For development: the authority's key lies beside what it signs. In production, certificates "
    "come from an authority whose key nobody can read."
)


class Certificate(NamedTuple):
    """One certificate in the folder.

    Attributes:
        name: Who it is for.
        files: The certificate, its key, and what holds both.
        ends: Until when it is in force, in seconds since 1970.
        written: Whether it is new.
    """

    name: str
    files: tuple[Path, ...]
    ends: float
    written: bool


class CertReport(NamedTuple):
    """What is in the folder now."""

    folder: Path
    certificates: tuple[Certificate, ...]

    def as_json(self) -> dict[str, object]:
        """Return the report for programs."""
        return {
            "folder": str(self.folder),
            "certificates": [
                {**each._asdict(), "files": [file.name for file in each.files]}
                for each in self.certificates
            ],
        }

    def lines(self) -> Iterator[str]:
        """Return the report for people."""
        for each in self.certificates:
            files = ", ".join(str(file) for file in each.files)
            until = datetime.fromtimestamp(each.ends, UTC)
            what = "written" if each.written else "kept"
            yield f"{files}: {what}, in force until {until:%Y-%m-%d %H:%M} UTC"
        if not any(each.written for each in self.certificates):
            yield "nothing was written: all of it is in force; --rotate issues new ones"
        yield DEVELOPMENT


def make_certs(
    folder: Path,
    hosts: Sequence[str] = (),
    clients: Sequence[str] = (),
    servers: Sequence[str] = (),
    *,
    now: datetime,
    days: float = DAYS,
    rotate: bool = False,
) -> CertReport:
    """Write the authority, the broker's certificate and those of clients, where they are missing.

    What is there and in force is left alone, but for certificates that are to be rotated; the
    authority stays until it has ended.

    Args:
        folder: Where the files are.
        hosts: Names and addresses of the broker besides the usual ones and those it has.
        clients: Names of the clients; by default those of our own programs.
        servers: Names of hosts besides the broker's, each with a certificate for itself and for
            this machine; one that is a client too has one certificate for both.
        now: The time.
        days: How long a new certificate is in force, at most as long as its authority.
        rotate: Whether to issue new ones in place of those in force.

    Raises:
        ConfigError: A name cannot be used, or the folder holds what we have not made.
    """
    _check_names(clients, "--client")
    _check_names(servers, "--server")
    _check_hosts(hosts)
    clients = tuple(dict.fromkeys(clients)) or CLIENTS
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _Folder(folder, now, days, rotate=rotate).fill(hosts, clients, servers)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.filename}: {error.strerror}") from error


def _check_names(names: Sequence[str], option: str) -> None:
    for name in names:
        if not NAME.fullmatch(name) or name in {AUTHORITY, BROKER}:
            raise ConfigError(
                f"{option} {name!r}: must be a word of a-z, 0-9, dot, _ and -, and neither "
                f"{AUTHORITY} nor {BROKER}, since its files are named after it"
            )


def _check_hosts(hosts: Sequence[str]) -> None:
    for host in hosts:
        if not host or not host.isascii() or not host.isprintable() or " " in host:
            raise ConfigError(f"--host {host!r}: must be a host's name or address, in ASCII")


class _Folder:
    def __init__(self, folder: Path, now: datetime, days: float, *, rotate: bool) -> None:
        self._folder = folder
        self._now = now
        self._days = days
        self._rotate = rotate

    def fill(
        self, hosts: Sequence[str], clients: Sequence[str], servers: Sequence[str]
    ) -> CertReport:
        before = self._authority()
        had = {name: self._had(name, before) for name in (BROKER, *clients, *servers)}
        for_hosts = {name: self._hosts(name, had[name], ()) for name in servers}
        for_hosts[BROKER] = self._hosts(BROKER, had[BROKER], hosts)
        authority, first = self._valid_authority(before)
        rest = [self._leaf(name, authority, had[name], for_hosts.get(name, ())) for name in had]
        return CertReport(self._folder, (first, *rest))

    def _authority(self) -> Authority | None:
        """Return the authority that is there, in force or not."""
        certificate, key = self._files(AUTHORITY)
        if not certificate.exists() and not key.exists():
            return None
        try:
            check_certificates(None, certificate, key)
            return Authority(Pair(certificate.read_bytes(), key.read_bytes()))
        except (ValueError, TypeError):
            raise ConfigError(
                f"{certificate} and {key} are not an authority that `lanternpipe certs` has made: "
                "choose another --out"
            ) from None

    def _valid_authority(self, found: Authority | None) -> tuple[Authority, Certificate]:
        files = self._files(AUTHORITY)
        if found and (ends := read(found.pair.certificate).ends) > self._now.timestamp():
            return found, Certificate(AUTHORITY, files, ends, written=False)
        made = Authority.make("Lanternpipe development", now=self._now, days=AUTHORITY_DAYS)
        made.pair.write(*files)
        ends = read(made.pair.certificate).ends
        return made, Certificate(AUTHORITY, files, ends, written=True)

    def _had(self, name: str, authority: Authority | None) -> Told | None:
        """Return what the certificate tells that is there; it must be one of ours."""
        certificate, key = self._files(name)[:2]
        if not certificate.exists():
            if key.exists():
                raise ConfigError(f"{key} has no {certificate.name}: move it, or choose an --out")
            return None
        found = certificate.read_bytes()
        if authority is None or not authority.has_issued(found):
            raise ConfigError(
                f"{certificate} is not of the authority in {self._folder}: it is left alone; "
                "choose another --out"
            )
        return read(found)

    def _hosts(self, server: str, had: Told | None, asked: Sequence[str]) -> tuple[str, ...]:
        names = had.names if had else ()
        missing = [host for host in (server, *LOOPBACK, *asked) if host not in names]
        if had and missing and not self._rotate and had.ends > self._now.timestamp():
            raise ConfigError(
                f"{missing[0]}: {self._files(server)[0]} is in force and does not name this host; "
                "--rotate issues one that does"
            )
        return tuple(dict.fromkeys((*names, *missing)))

    def _leaf(
        self, name: str, authority: Authority, had: Told | None, hosts: Sequence[str]
    ) -> Certificate:
        files = self._files(name)
        if had and not self._rotate and self._is_good(authority, had, files):
            return Certificate(name, files, had.ends, written=False)
        left = read(authority.pair.certificate).ends - self._now.timestamp()
        days = min(self._days, left / DAY_SECONDS)
        made = authority.issue(name, hosts, now=self._now, days=days)
        made.write(*files[:2])
        for both in files[2:]:
            replace(both, made.keystore, PRIVATE)
        return Certificate(name, files, read(made.certificate).ends, written=True)

    def _is_good(self, authority: Authority, had: Told, files: tuple[Path, ...]) -> bool:
        certificate, key, *both = files
        if had.ends <= self._now.timestamp() or not authority.has_issued(certificate.read_bytes()):
            return False
        try:
            check_certificates(None, certificate, key)
        except ValueError:
            return False
        pair = Pair(certificate.read_bytes(), key.read_bytes())
        return all(each.exists() and each.read_bytes() == pair.keystore for each in both)

    def _files(self, name: str) -> tuple[Path, ...]:
        kinds = ("crt", "key", "pem") if name == BROKER else ("crt", "key")
        return tuple(self._folder / f"{name}.{kind}" for kind in kinds)
