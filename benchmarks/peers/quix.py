"""quixstreams: an application with a streaming data frame, in an environment of its own."""

from __future__ import annotations

import sys
import time
from typing import Any

from quixstreams import Application

TEXTS = ("user_id", "app_version", "ip", "locale", "device_id", "device_type")


def valid(login: dict[str, Any]) -> bool:
    """Say whether all fields are there and of their types; the framework knows no schema."""
    return all(isinstance(login.get(name), str) and login[name] for name in TEXTS) and isinstance(
        login.get("timestamp"), int
    )


def current(login: dict[str, Any]) -> bool:
    """Say whether an app version is new enough."""
    return tuple(map(int, login["app_version"].split("."))) >= (2, 0, 0)


def processed(login: dict[str, Any]) -> dict[str, Any]:
    """Add the time."""
    return {**login, "processed_timestamp": int(time.time())}


def main(servers: str, source: str, target: str, group: str, linger_ms: str) -> None:
    """Process until killed; at least once, as it comes."""
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        producer_extra_config={
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": int(linger_ms),
        },
        loglevel="WARNING",
    )
    logins = app.dataframe(app.topic(source, key_deserializer="bytes", value_deserializer="json"))
    logins = logins.filter(valid).filter(current).apply(processed)
    logins.to_topic(app.topic(target, key_serializer="bytes", value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
