"""Who needs which rights: four principals, and for each no more than it cannot do without. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lanternpipe.errors import ConfigError
from lanternpipe.kafka.acls import DeclaredAcl
from lanternpipe.pipeline import Pipeline
from lanternpipe.settings import Settings
from lanternpipe.topology import TopicNames, topic_names

ROLES: Final = {
    "producer": "sends events",
    "processor": "processes them",
    "replayer": "looks at dead letters and replays them",
    "observer": "looks at everything and changes nothing",
}
NOBODY: Final = ("User:", "User:*")  # or everybody, whose rights are not ours to give
REPLAY_ID_SUFFIX = ":dlq-replay"


def principals(given: list[str]) -> dict[str, str]:
    """Return who has which role; by default ``User:`` and the name of the role.

    Args:
        given: Others, as ``processor=User:CN=processor``.

    Raises:
        ConfigError: One is malformed, or names no role.
    """
    found = {role: f"User:{role}" for role in ROLES}
    for each in given:
        role, _, principal = each.partition("=")
        if role not in ROLES or not principal.startswith("User:") or principal in NOBODY:
            raise ConfigError(
                f"--principal {each}: must be one of {', '.join(ROLES)}, and who that is, as in "
                "processor=User:alice"
            )
        found[role] = principal
    if len({*found.values()}) < len(found):
        raise ConfigError("--principal: each role needs a user of its own")
    return found


def declared_acls(
    settings: Settings, pipeline: Pipeline[Any, Any], who: Mapping[str, str]
) -> list[DeclaredAcl]:
    """Return all rights that the four need.

    Args:
        settings: What is in force.
        pipeline: The user's.
        who: The principal of each role.
    """
    names = topic_names(settings, pipeline)
    also = tuple(topic.name for topic in pipeline.also)
    group = settings.kafka.group_id
    found = [
        DeclaredAcl(who["producer"], "write", "topic", names.input),
        *_of_processor(settings, names, also, who["processor"]),
        *_of_replayer(names, group, who["replayer"]),
        *_of_observer(names, also, group, who["observer"]),
    ]
    return sorted(found)


def transactional_id_of_replays(names: TopicNames) -> str:
    """Return the transactional id of who replays; one at a time for each topic of dead letters."""
    return names.dead_letters + REPLAY_ID_SUFFIX


def _of_processor(
    settings: Settings, names: TopicNames, also: tuple[str, ...], principal: str
) -> Iterator[DeclaredAcl]:
    group = settings.kafka.group_id
    # Dead letters are read for the time of the oldest alone, which is a metric.
    for name in (*names.sources, names.dead_letters):
        yield DeclaredAcl(principal, "read", "topic", name)
    for name in (names.output, names.dead_letters, *names.retries, *also):
        yield DeclaredAcl(principal, "write", "topic", name)
    yield DeclaredAcl(principal, "read", "group", group)
    if settings.delivery == "exactly-once":
        yield DeclaredAcl(principal, "write", "transactional_id", f"{group}-", prefixed=True)


def _of_replayer(names: TopicNames, group: str, principal: str) -> Iterator[DeclaredAcl]:
    for name in (names.dead_letters, names.marks):
        yield DeclaredAcl(principal, "read", "topic", name)
    for name in (names.marks, names.replay):
        yield DeclaredAcl(principal, "write", "topic", name)
    yield DeclaredAcl(principal, "describe", "group", group, prefixed=True)
    yield DeclaredAcl(principal, "write", "transactional_id", transactional_id_of_replays(names))


def _of_observer(
    names: TopicNames, also: tuple[str, ...], group: str, principal: str
) -> Iterator[DeclaredAcl]:
    for name in (*names.all, *also):
        yield DeclaredAcl(principal, "read", "topic", name)
        yield DeclaredAcl(principal, "describe_configs", "topic", name)
    # With its beginning, since readers have names of their own behind it.
    yield DeclaredAcl(principal, "describe", "group", group, prefixed=True)
