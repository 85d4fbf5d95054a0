"""Tells the broker the users of the secured stack and their passwords: its service ``users``.

They are in files, ``NAME.password``; who the administrator is, and where, is in the settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from lanternpipe.cli.verb import opened
from lanternpipe.errors import LanternpipeError
from lanternpipe.kafka.entry import wait_for_broker

FOLDER = Path("/secrets")
ITERATIONS = 8_192  # of the hash; Kafka's least is 4096
ANSWER_SECONDS = 30.0


def tell(admin: AdminClient, folder: Path) -> list[str]:
    """Make all users, or change their passwords; return their names.

    Raises:
        KafkaException: The broker refuses one.
    """
    found = {file.stem: file.read_bytes() for file in sorted(folder.glob("*.password"))}
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    changes: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, info, password) for name, password in found.items()
    ]
    for future in admin.alter_user_scram_credentials(changes).values():
        future.result(ANSWER_SECONDS)
    return [*found]


def main(folder: Path = FOLDER) -> int:
    """Run the command; return its exit code."""
    try:
        settings, _, log = opened("users")
        admin = wait_for_broker(settings.kafka, log=log, stopping=lambda: False)
        if admin is not None:
            print("users:", ", ".join(tell(admin, folder)))
    except (LanternpipeError, KafkaException, OSError) as error:
        sys.stderr.write(f"users: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
