"""Makes what the secured stack keeps secret, where it is missing: its service ``secrets``.

Every reader has a volume of its own and finds in it no more than it needs. What is made stays in
the volumes of Docker, which only root can read on this machine; nothing comes into the project.

    docker compose run --rm secrets --rotate     new certificates, and new passwords for Kafka
    docker compose run --rm users                the broker learns these passwords
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bcrypt

from lanternpipe.certificates import replace
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
# Who may look: people at Grafana, Prometheus and Alertmanager; and Prometheus at all others.
PEOPLE, MACHINES = ADMIN, "prometheus"
# Each in a volume that nobody else mounts, so that no more than these bits can protect: their
# readers run as users of their own, who are not ours.
READABLE = 0o644
PASSWORD_BYTES = 24


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
        ConfigError: The master holds certificates that we have not made.
    """
    certs = folder / MASTER / "certs"
    make_certs(certs, clients=[ADMIN], servers=[*PROGRAMS, *WATCHERS], now=now, rotate=rotate)

    def password(name: str, *, new: bool = False) -> bytes:
        file = folder / MASTER / f"{name}.password"
        if new or not file.exists():
            replace(file, token(PASSWORD_BYTES).encode(), 0o600)
        return file.read_bytes()

    def hand_out(reader: str, **files: bytes) -> None:
        place = folder / reader
        place.mkdir(exist_ok=True)
        found = {"ca.crt": certs.joinpath("ca.crt").read_bytes()}
        for name, content in (found | files).items():
            replace(place / name, content, READABLE)

    def pair(name: str, as_name: str) -> dict[str, bytes]:
        return {
            f"{as_name}.{kind}": certs.joinpath(f"{name}.{kind}").read_bytes()
            for kind in ("key", "crt")
        }

    users = {name: password(name, new=rotate) for name in USERS}
    people, machines = password(f"people-{PEOPLE}"), password(f"machines-{MACHINES}")

    hand_out(BROKER, **{"kafka.pem": certs.joinpath("kafka.pem").read_bytes()})
    hand_out(ADMIN, **pair(ADMIN, "tls"), **{f"{name}.password": users[name] for name in USERS})
    for service, user in PROGRAMS.items():
        hand_out(
            service,
            **pair(service, "tls"),
            **{"password": users[user], "metrics-password": machines},
        )
    hand_out(REPLAYER, password=users[REPLAYER])
    watched: dict[str, bytes] = {}
    for name in WATCHERS:
        watched |= pair(name, name)
    logins = {PEOPLE: people, MACHINES: machines}
    for name in ("prometheus", "alertmanager"):
        watched[f"{name}-web.yml"] = web_config(name, logins).encode()
    hand_out(
        WATCH,
        **watched,
        **{
            "password": people,
            "metrics-password": machines,
            "http.yml": HTTP_CLIENT.encode(),
        },
    )


def web_config(name: str, logins: dict[str, bytes]) -> str:
    """Return what Prometheus's servers ask of who comes: TLS, and a password."""
    users = "".join(
        f"  {user}: {bcrypt.hashpw(password, bcrypt.gensalt()).decode()}\n"
        for user, password in logins.items()
    )
    return (
        "tls_server_config:\n"
        f"  cert_file: {FOLDER}/{name}.crt\n"
        f"  key_file: {FOLDER}/{name}.key\n"
        f"basic_auth_users:\n{users}"
    )


# How their own tools ask whether they are well.
HTTP_CLIENT = (
    f"basic_auth: {{username: {MACHINES}, password_file: {FOLDER}/metrics-password}}\n"
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
