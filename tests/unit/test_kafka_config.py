"""Settings to librdkafka configuration: what we own, and what a user may override."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer

from lanternpipe.kafka import config
from lanternpipe.kafka.config import Config
from lanternpipe.settings import OWNED_CLIENT_KEYS, KafkaSettings

ROLES: dict[str, Callable[[KafkaSettings], Config]] = {
    "client": config.client_config,
    "consumer": lambda kafka: config.consumer_config(kafka, instance=None),
    "producer": config.producer_config,
    "transactional": lambda kafka: config.transactional_config(kafka, transactional_id="g-1"),
    "at least once": config.at_least_once_config,
}
CLIENT = {"bootstrap.servers": "a:1,b:2", "log.connection.close": False}
PRODUCER = {
    **CLIENT,
    "acks": "all",
    "enable.idempotence": True,
}
# The keys on which the guarantees rest, as they must be for each kind of client.
OWNED = {
    "client": CLIENT,
    "consumer": {
        **CLIENT,
        "group.id": "readers",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "partition.assignment.strategy": "cooperative-sticky",
    },
    "producer": PRODUCER,
    "transactional": {
        **PRODUCER,
        "transactional.id": "g-1",
        "transaction.timeout.ms": 15_000,
        # The lines about lost connections are how doubt about a commit is noticed.
        "log.connection.close": True,
    },
    "at least once": PRODUCER,
}
KAFKA = KafkaSettings(bootstrap_servers="a:1,b:2", group_id="readers")


@pytest.mark.parametrize("role", ROLES)
def test_owned_keys(role: str) -> None:
    """The keys on which the guarantees rest are as they must be, and no others of them are set."""
    found = ROLES[role](KAFKA)
    assert {key: found[key] for key in OWNED_CLIENT_KEYS & found.keys()} == OWNED[role]


def test_only_committed_records_are_read() -> None:
    """What an upstream transaction took back is not processed."""
    assert ROLES["consumer"](KAFKA)["isolation.level"] == "read_committed"


def test_at_least_once_never_gives_up_a_record() -> None:
    """Without transactions, a record waits for its broker for ever."""
    assert ROLES["at least once"](KAFKA)["message.timeout.ms"] == 0


@pytest.mark.parametrize(
    "role",
    [pytest.param(role) for role in ROLES if role != "client"],
)
def test_the_users_extra_wins(role: str) -> None:
    """Whatever we set besides the owned keys, the user's EXTRA settings override it."""
    ours = ROLES[role](KAFKA)
    free = dict.fromkeys(ours.keys() - OWNED_CLIENT_KEYS, "theirs")
    found = ROLES[role](KAFKA.model_copy(update={"extra": free}))
    assert {key: found[key] for key in free} == free


@pytest.mark.parametrize(
    ("role", "extra"),
    [
        ("consumer", "consumer_extra"),
        ("producer", "producer_extra"),
        *(pytest.param(role, "producer_extra") for role in ("transactional", "at least once")),
    ],
)
def test_the_extra_of_a_role_wins_over_all(role: str, extra: str) -> None:
    """Settings for one kind of client override those for all clients, and ours."""
    ours = ROLES[role](KAFKA)
    free = ours.keys() - OWNED_CLIENT_KEYS
    changed = KAFKA.model_copy(
        update={"extra": dict.fromkeys(free, "all"), extra: dict.fromkeys(free, "this")}
    )
    assert {ROLES[role](changed)[key] for key in free} == {"this"}


def test_extra_of_one_role_leaves_others_alone() -> None:
    """Settings for consumers do not reach producers, nor the other way round."""
    changed = KAFKA.model_copy(
        update={"consumer_extra": {"x.c": "1"}, "producer_extra": {"x.p": "1"}}
    )
    assert "x.p" not in ROLES["consumer"](changed)
    assert "x.c" not in ROLES["transactional"](changed)
    assert not {"x.c", "x.p"} & ROLES["client"](changed).keys()


def test_the_classic_protocol_has_our_session() -> None:
    """Under the classic protocol the session is ours, with three heartbeats or more in it."""
    found = config.consumer_config(KAFKA.model_copy(update={"session_timeout": 6.0}), instance=None)
    assert (found["session.timeout.ms"], found["heartbeat.interval.ms"]) == (6_000, 2_000)


def test_the_new_protocol_leaves_the_session_to_the_broker() -> None:
    """Under KIP-848 the broker decides about session and assignment; the client refuses ours."""
    found = config.consumer_config(
        KAFKA.model_copy(update={"group_protocol": "consumer"}), instance=None
    )
    assert found["group.protocol"] == "consumer"
    assert (
        not {
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "partition.assignment.strategy",
        }
        & found.keys()
    )


@pytest.mark.parametrize(
    ("static", "instance", "expected"),
    [(True, "web-1", "web-1"), (False, "web-1", None), (True, None, None)],
)
def test_static_membership_is_asked_for(
    static: bool, instance: str | None, expected: str | None
) -> None:
    """A name for the group is given only where static membership is switched on."""
    kafka = KAFKA.model_copy(update={"static_membership": static})
    assert config.consumer_config(kafka, instance=instance).get("group.instance.id") == expected


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_client_takes_what_we_set_for_consumers(protocol: str) -> None:
    """Librdkafka knows every setting and takes every value, without a broker."""
    kafka = KAFKA.model_copy(update={"group_protocol": protocol, "bootstrap_servers": ""})
    Consumer(config.consumer_config(kafka, instance=None)).close()


@pytest.mark.parametrize("role", ["producer", "transactional", "at least once"])
def test_the_client_takes_what_we_set_for_producers(role: str) -> None:
    """Librdkafka knows every setting and takes every value, without a broker."""
    Producer(ROLES[role](KAFKA.model_copy(update={"bootstrap_servers": ""}))).flush(0)
