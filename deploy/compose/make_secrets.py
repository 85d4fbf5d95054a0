"""Makes what the secured stack keeps secret, where it is missing: its service ``secrets``.

Every program has a volume of its own and finds in it no more than it needs; the servers of the
monitoring share one. What is made stays in the volumes of Docker, which only root can read on this
machine; nothing comes into the project.

    docker compose run --rm secrets --rotate     new certificates, and new passwords for Kafka
    docker compose run --rm users                the broker learns these passwords
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bcrypt

from lanternpipe.certificates import PRIVATE, replace
from lanternpipe.errors import LanternpipeError
from lanternpipe.ops.certs import make_certs

FOLDER = Path("/secrets")  # here, and where each reader finds its own
MASTER = "master"
BROKER, ADMIN = "kafka", "admin"
# Our programs, by service: the user of each for Kafka.
PROGRAMS = {"producer": "producer", "processor": "processor", "lag": "observer"}
REPLAYER = "replayer"
USERS = (*PROGRAMS.values(), REPLAYER)
WATCH = "watch"
WATCHERS = ("prometheus", "alertmanager", "grafana", "loki", "tempo", "otel-collector")
# Who may look: people at Grafana, Prometheus and Alertmanager, machines of the monitoring there
# too; and Prometheus at our programs, each of which knows that password.
PEOPLE, MACHINES, SCRAPES = ADMIN, "prometheus", "scrapes"
# Each in a volume that nobody else mounts, so that no more than these bits can protect: their
# readers run as users of their own, who are not ours.
READABLE = 0o644
PASSWORD_BYTES = 24


class Vault:
    """Holds all secrets, and hands them out.

    Args:
        folder: Holds a folder for each reader, and the vault's own.
        rotate: Whether to make new certificates and passwords for Kafka in place of the old ones.
        token: Returns a random text of so many bytes.
    """

    def __init__(self, folder: Path, *, rotate: bool, token: Callable[[int], str]) -> None:
        self._folder = folder
        self._own = folder / MASTER
        self._certs = self._own / "certs"
        self._rotate = rotate
        self._token = token

    def issue(self, clients: Sequence[str], servers: Sequence[str], now: datetime) -> None:
        """Make the certificates that are missing."""
        make_certs(self._certs, clients=clients, servers=servers, now=now, rotate=self._rotate)

    def pair(self, name: str, as_name: str) -> dict[str, bytes]:
        """Return a certificate and its key, by the names of files."""
        return {
            f"{as_name}.{kind}": self._certs.joinpath(f"{name}.{kind}").read_bytes()
            for kind in ("key", "crt")
        }

    def keystore(self) -> bytes:
        """Return the broker's certificate and key in one."""
        return self._certs.joinpath(f"{BROKER}.pem").read_bytes()

    def password(self, name: str, *, rotates: bool = False) -> bytes:
        """Return a password; one that rotates is made anew where that is asked for."""
        file = self._own / f"{name}.password"
        if (rotates and self._rotate) or not file.exists():
            replace(file, self._token(PASSWORD_BYTES).encode(), PRIVATE)
        return file.read_bytes()

    def hashed(self, name: str) -> bytes:
        """Return what a password is checked by; the same again, or its readers would start anew."""
        file, plain = self._own / f"{name}.bcrypt", self.password(name)
        if not file.exists() or not bcrypt.checkpw(plain, file.read_bytes()):
            replace(file, bcrypt.hashpw(plain, bcrypt.gensalt()), PRIVATE)
        return file.read_bytes()

    def hand_out(self, reader: str, files: Mapping[str, bytes]) -> None:
        """Give a reader its files, and the authority's certificate; what is the same is kept."""
        place = self._folder / reader
        place.mkdir(exist_ok=True)
        ca = {"ca.crt": self._certs.joinpath("ca.crt").read_bytes()}
        for name, content in {**ca, **files}.items():
            file = place / name
            if not file.exists() or file.read_bytes() != content:  # programs notice a new one
                replace(file, content, READABLE)


def make(
    folder: Path,
    *,
    now: datetime,
    rotate: bool = False,
    token: Callable[[int], str] = secrets.token_urlsafe,
) -> None:
    """Write all secrets into the folders of their readers.

    Args:
        folder: Holds a folder for each reader.
        now: The time.
        rotate: Whether to make new certificates and passwords for Kafka in place of the old ones.
            Those of people and of Prometheus stay.
        token: Returns a random text of so many bytes.

    Raises:
        ConfigError: There are certificates that we have not made.
    """
    vault = Vault(folder, rotate=rotate, token=token)
    vault.issue([ADMIN], [*PROGRAMS, *WATCHERS], now)
    users = {name: vault.password(name, rotates=True) for name in USERS}
    scrapes = vault.password(SCRAPES)
    logins = {name: vault.hashed(name) for name in (PEOPLE, MACHINES)}

    vault.hand_out(BROKER, {"kafka.pem": vault.keystore()})
    passwords = {f"{name}.password": users[name] for name in USERS}
    vault.hand_out(ADMIN, {**vault.pair(ADMIN, "tls"), **passwords})
    vault.hand_out(REPLAYER, {"password": users[REPLAYER]})
    for service, user in PROGRAMS.items():
        own = {"password": users[user], "metrics-password": scrapes}
        vault.hand_out(service, {**vault.pair(service, "tls"), **own})
    watched = {
        "password": vault.password(PEOPLE),
        "metrics-password": scrapes,
        "machines-password": vault.password(MACHINES),
        "http.yml": HTTP_CLIENT.encode(),
        "prometheus-web.yml": web_config("prometheus", logins).encode(),
        "alertmanager-web.yml": web_config("alertmanager", logins).encode(),
    }
    for name in WATCHERS:
        watched |= vault.pair(name, name)
    vault.hand_out(WATCH, watched)


def web_config(name: str, logins: dict[str, bytes]) -> str:
    """Return what Prometheus's servers ask of who comes: TLS, and a password, known by its hash."""
    users = "".join(f"  {user}: {known_by.decode()}\n" for user, known_by in logins.items())
    return (
        "tls_server_config:\n"
        f"  cert_file: {FOLDER}/{name}.crt\n"
        f"  key_file: {FOLDER}/{name}.key\n"
        f"basic_auth_users:\n{users}"
    )


# How their own tools ask whether they are well.
HTTP_CLIENT = (
    f"basic_auth: {{username: {MACHINES}, password_file: {FOLDER}/machines-password}}\n"
    f"tls_config: {{ca_file: {FOLDER}/ca.crt}}\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rotate", action="store_true", help="make new ones, but for logins")
    options = parser.parse_args(arguments)
    try:
        make(FOLDER, now=datetime.now(UTC), rotate=options.rotate)
    except (LanternpipeError, OSError) as error:
        sys.stderr.write(f"secrets: {error}\n")
        return 1
    print("secrets: all are there" + (", Kafka's anew" if options.rotate else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
