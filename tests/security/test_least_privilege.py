"""What each of the four users can do beyond its part: nothing. Tried by clients of their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import NewTopic

from tests.chaos.deployment import Deployment
from tests.security.attempts import CLUSTER, Attempts, Right, permitted
from tests.security.broker import USERS, SecuredBroker
from tests.security.pipelines import PARTITIONS, QUICK
from tests.security.test_acls import run

pytestmark = pytest.mark.kafka

AT_A_TIME = 16
STRANGER = "of-others"
GROUP = "{name}-group"
TOPICS = (
    "{name}-in",
    "{name}-in.replay",
    "{name}-out",
    "{name}-in.dlq",
    "{name}-in.dlq.marks",
    STRANGER,
)
GROUPS = (GROUP, f"{GROUP}-reader", STRANGER)
TRANSACTIONAL_IDS = (f"{GROUP}-1", "{name}-in.dlq:dlq-replay", STRANGER)

# Written down once more, by hand: what is declared too widely must show.
MAY = {
    "producer": {("write", "topic", "{name}-in")},
    "processor": {
        ("read", "topic", "{name}-in"),
        ("read", "topic", "{name}-in.replay"),
        ("read", "topic", "{name}-in.dlq"),
        ("write", "topic", "{name}-in.dlq"),
        ("write", "topic", "{name}-out"),
        ("read", "group", GROUP),
        ("write", "transactional_id", f"{GROUP}-1"),
    },
    "replayer": {
        ("read", "topic", "{name}-in.dlq"),
        ("read", "topic", "{name}-in.dlq.marks"),
        ("write", "topic", "{name}-in.dlq.marks"),
        ("write", "topic", "{name}-in.replay"),
        ("describe", "group", GROUP),
        ("describe", "group", f"{GROUP}-reader"),
        ("write", "transactional_id", "{name}-in.dlq:dlq-replay"),
    },
    "observer": {
        *(("read", "topic", topic) for topic in TOPICS if topic != STRANGER),
        *(("describe_configs", "topic", topic) for topic in TOPICS if topic != STRANGER),
        ("describe", "group", GROUP),
        ("describe", "group", f"{GROUP}-reader"),
    },
}
# Kafka lets those who may do one of these see what they do it with.
COME_WITH_DESCRIBE = {"read", "write", "delete", "alter"}


class Secured(NamedTuple):
    """A pipeline whose users have the rights that are declared for them.

    Attributes:
        name: How the names of its topics and its group begin.
        clients: The configuration of each role's clients.
    """

    name: str
    clients: dict[str, dict[str, Any]]

    def named(self, names: Iterable[str]) -> list[str]:
        """Return names as they are here."""
        return [each.format(name=self.name) for each in names]


@pytest.fixture(name="pipeline", scope="module")
def _pipeline(
    secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    name = f"least-{uuid.uuid4().hex[:8]}"
    users = {role: f"{role}-of-{name}" for role in USERS}
    for user in users.values():
        secured.set_password(user, secured.password(user))
    who = [each for role, user in users.items() for each in ("--principal", f"{role}=User:{user}")]
    folder = tmp_path_factory.mktemp("least")
    # The topics' names must not begin with the group's and a hyphen: as its transactional ids do.
    settings = {**QUICK, "KAFKA__GROUP_ID": GROUP.format(name=name)}
    with Deployment.on(
        secured.cluster, name, folder, settings, partitions=PARTITIONS
    ) as deployment:
        for future in secured.admin.create_topics([NewTopic(STRANGER, 1, 1)]).values():
            future.result(10)
        applied = run(deployment, "topics", "apply", "--acls", *who)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        yield Secured(name, {role: _client(secured, user) for role, user in users.items()})


def _client(secured: SecuredBroker, user: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": secured.cluster.door("SASL"),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": secured.password(user),
        "ssl.ca.location": str(secured.files.ca),
    }


def _with_describe(rights: set[Right]) -> set[Right]:
    return rights | {
        each._replace(operation="describe")
        for each in rights
        if each.operation in COME_WITH_DESCRIBE and each.kind != "transactional_id"
    }


@pytest.mark.parametrize("role", USERS)
def test_each_user_may_do_its_part_and_nothing_else(pipeline: Secured, role: str) -> None:
    """Of all that can be tried with topics, groups, transactional ids and the cluster."""
    attempts, topics, groups = (
        Attempts(pipeline.clients[role]),
        pipeline.named(TOPICS),
        pipeline.named(GROUPS),
    )
    harmless = dict(attempts.harmless(topics, groups, pipeline.named(TRANSACTIONAL_IDS)))
    destroying = dict(attempts.destroying(topics, groups))
    tried: dict[Right, bool] = {}
    # Side by side: of some refusals a client tells only when its time is up.
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for some in (harmless, destroying):
            tried.update(zip(some, pool.map(permitted, some.values()), strict=True))
    may = {Right(*pipeline.named(each)) for each in MAY[role]}
    assert may <= tried.keys()
    assert {right for right, passed in tried.items() if passed} == _with_describe(may)
    assert not any(passed for right, passed in tried.items() if right.name in {STRANGER, CLUSTER})
